"""What the tests of real clients share: small image layouts made here, and a client of the skopeo
family with a home of its own. Standard library, pytest."""
import gzip
import io
import itertools
import json
import os
import shutil
import subprocess
import tarfile

import pytest

import caisson

PAIRS = [(1, 2), (2, 3), (3, 1)]
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
BUSYBOX = "/bin/busybox"
_names = itertools.count()


def need(tool):
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed (scripts/setup does)")
    return path


def fresh_repository(kind):
    return f"clients/{kind}-{os.getpid()}-{next(_names)}"


def tar_of(files, modes=None):
    """A layer: {name: bytes} as a tar, the same bytes each time."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), (modes or {}).get(name, 0o644)
            tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


class ImageLayout:
    """An OCI image layout that grows: add(), add_image(), then name() for what clients ask for."""

    def __init__(self, path):
        self.path, self._named = path, []
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, content, media_type):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = caisson.digest_of(data)
        (self.path / "blobs" / "sha256" / digest[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def add_image(self, layers, architecture="amd64", command=None, compress=True):
        """A manifest's descriptor; layers are tars. What is not compressed skopeo compresses on the
        way, unless it is told to preserve digests."""
        ids = [caisson.digest_of(layer) for layer in layers]
        if compress:
            stored = [self.add(gzip.compress(layer, mtime=0), caisson.LAYER + "+gzip")
                      for layer in layers]
        else:
            stored = [self.add(layer, caisson.LAYER) for layer in layers]
        config = self.add({"architecture": architecture, "os": "linux",
                           "config": {"Cmd": command} if command else {},
                           "rootfs": {"type": "layers", "diff_ids": ids}}, caisson.CONFIG)
        descriptor = self.add({"schemaVersion": 2, "mediaType": caisson.MANIFEST,
                               "config": config, "layers": stored}, caisson.MANIFEST)
        return {**descriptor, "platform": {"architecture": architecture, "os": "linux"}}

    def name(self, name, descriptor):
        self._named.append(
            {**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}})
        (self.path / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": self._named}))

    def names(self):
        return {path.name for path in (self.path / "blobs" / "sha256").iterdir()}


class Layout(ImageLayout):
    """An index of two small images, tagged "all"; "one" is the first."""

    def __init__(self, path):
        super().__init__(path)
        images = [self.add_image([tar_of({f"{architecture}-{number}": b"%d" % number * 3000})
                                  for number in range(2)], architecture)
                  for architecture in ("amd64", "arm64")]
        index = self.add({"schemaVersion": 2, "mediaType": caisson.INDEX, "manifests": images},
                         caisson.INDEX)
        self.name("all", index)
        self.name("one", images[0])
        self.index, self.one = index["digest"], images[0]["digest"]


class Client:
    """One tool with a home of its own, so that nothing of the machine's is read or left behind."""

    def __init__(self, tool, home, login):
        self.program, self.tool, self.home, self.login = need(tool), tool, home, login
        self.policy = home / "policy.json"
        self.policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        self.auth = home / "auth.json"
        (home / "run").mkdir()
        self.environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home),
                            "XDG_RUNTIME_DIR": str(home / "run"),
                            "REGISTRY_AUTH_FILE": str(self.auth)}
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            self.environment.pop(name, None)
        self.auth.write_text("{}")

    def options(self):
        if self.tool == "skopeo":
            return ["--policy", str(self.policy)]
        return ["--storage-driver", "vfs", "--root", str(self.home / "root"),
                "--runroot", str(self.home / "runroot")]

    def try_run(self, *arguments, timeout=120, stdin=None):
        return subprocess.run([self.program, *self.options(), *map(str, arguments)], text=True,
                              capture_output=True, timeout=timeout, env=self.environment,
                              input=stdin, check=False)

    def run(self, *arguments, **more):
        done = self.try_run(*arguments, **more)
        assert done.returncode == 0, f"{self.tool} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def log_in(self, cluster, node):
        if self.login:
            self.run("login", "--tls-verify=false", "--username", self.login[0],
                     "--password-stdin", host(cluster, node), stdin=self.login[1])


def host(cluster, node):
    return cluster.url(node).removeprefix("http://")


def pulled_digest(cluster, node, repository, tag, login):
    """(digest, media type) that the node gives for a tag."""
    answer = cluster.call(node, f"/v2/{repository}/manifests/{tag}", auth=login)
    assert answer.status == 200, answer
    assert caisson.digest_of(answer.body) == answer.headers["Docker-Content-Digest"]
    return answer.headers["Docker-Content-Digest"], answer.headers["Content-Type"]
