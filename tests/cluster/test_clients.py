"""Real clients at every node: what one pushes through one node, it pulls whole through the next.
skopeo, podman and buildah, with a login and on an open cluster. Images are small and made here."""
import gzip
import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

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


class Layout:
    """An OCI image layout with an index of two small images, tagged "all"; "one" is the first."""

    def __init__(self, path):
        self.path = path
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        images = [self.image(architecture) for architecture in ("amd64", "arm64")]
        index = self.add({"schemaVersion": 2, "mediaType": caisson.INDEX, "manifests": images},
                         caisson.INDEX)
        named = [{**index, "annotations": {"org.opencontainers.image.ref.name": "all"}},
                 {**images[0], "annotations": {"org.opencontainers.image.ref.name": "one"}}]
        (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": named}))
        self.index, self.one = index["digest"], images[0]["digest"]

    def add(self, content, media_type):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = caisson.digest_of(data)
        (self.path / "blobs" / "sha256" / digest[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def image(self, architecture):
        layers, ids = [], []
        for number in range(2):
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w") as tar:
                entry = tarfile.TarInfo(f"{architecture}-{number}")
                entry.size = 3000
                tar.addfile(entry, io.BytesIO(f"{number}".encode() * 3000))
            # Compressed, or skopeo would do it on the way.
            layers.append(self.add(gzip.compress(data.getvalue(), mtime=0),
                                   caisson.LAYER + "+gzip"))
            ids.append("sha256:" + hashlib.sha256(data.getvalue()).hexdigest())
        config = self.add({"architecture": architecture, "os": "linux", "config": {},
                           "rootfs": {"type": "layers", "diff_ids": ids}}, caisson.CONFIG)
        descriptor = self.add({"schemaVersion": 2, "mediaType": caisson.MANIFEST,
                               "config": config, "layers": layers}, caisson.MANIFEST)
        return {**descriptor, "platform": {"architecture": architecture, "os": "linux"}}

    def names(self):
        return {path.name for path in (self.path / "blobs" / "sha256").iterdir()}


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return Layout(tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="module")
def _open_cluster(binary):
    assert binary
    cluster = caisson.Cluster(is_open=True)
    yield cluster
    cluster.close()


@pytest.fixture(params=["login", "open"])
def place(request):
    """(cluster, credentials or None): one where clients log in, one that is open."""
    if request.param == "login":
        cluster = request.getfixturevalue("cluster")
        return cluster, cluster.admin
    return request.getfixturevalue("_open_cluster"), None


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


@pytest.fixture
def client(place):
    """client("skopeo"): logged in at all nodes where there is a login."""
    cluster, login = place
    short = pathlib.Path(tempfile.mkdtemp(prefix="c."))  # podman wants a short path.

    def make(tool):
        home = short / tool
        home.mkdir()
        made = Client(tool, home, login)
        for node in (1, 2, 3):
            made.log_in(cluster, node)
        return made
    yield make
    shutil.rmtree(short, ignore_errors=True)


def pulled_digest(cluster, node, repository, tag, login):
    """(digest, media type) that the node gives for a tag."""
    answer = cluster.call(node, f"/v2/{repository}/manifests/{tag}", auth=login)
    assert answer.status == 200, answer
    assert caisson.digest_of(answer.body) == answer.headers["Docker-Content-Digest"]
    return answer.headers["Docker-Content-Digest"], answer.headers["Content-Type"]


# --- skopeo ---------------------------------------------------------------------------------------

def test_skopeo_copies_an_index_with_all_its_images(place, client, layout, tmp_path):
    cluster, _ = place
    skopeo = client("skopeo")
    for push, pull in PAIRS:
        repository = fresh_repository("index")
        skopeo.run("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.path}:all",
                   f"docker://{host(cluster, push)}/{repository}:v1")
        back = tmp_path / f"back-{push}"
        skopeo.run("copy", "--all", "--src-tls-verify=false",
                   f"docker://{host(cluster, pull)}/{repository}:v1", f"oci:{back}:v1")
        assert {path.name for path in (back / "blobs" / "sha256").iterdir()} == layout.names()


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_copies_both_formats(place, client, layout, tmp_path, form):
    cluster, login = place
    skopeo = client("skopeo")
    for push, pull in PAIRS:
        repository = fresh_repository(form)
        skopeo.run("copy", "--format", form, "--dest-tls-verify=false", f"oci:{layout.path}:one",
                   f"docker://{host(cluster, push)}/{repository}:v1")
        digest, media_type = pulled_digest(cluster, pull, repository, "v1", login)
        assert media_type == (caisson.MANIFEST if form == "oci" else DOCKER)
        assert form != "oci" or digest == layout.one
        back = tmp_path / f"back-{push}"
        skopeo.run("copy", "--src-tls-verify=false",
                   f"docker://{host(cluster, pull)}/{repository}@{digest}", f"dir:{back}")
        assert caisson.digest_of((back / "manifest.json").read_bytes()) == digest


def test_skopeo_inspects_lists_and_deletes(place, client, layout):
    cluster, _ = place
    skopeo = client("skopeo")
    for first, second in PAIRS:
        repository = fresh_repository("inspect")
        target = f"docker://{host(cluster, first)}/{repository}"
        for tag in ("a", "b"):
            skopeo.run("copy", "--dest-tls-verify=false", f"oci:{layout.path}:one",
                       f"{target}:{tag}")
        other = f"docker://{host(cluster, second)}/{repository}"
        seen = json.loads(skopeo.run("inspect", "--tls-verify=false", f"{other}:a"))
        assert seen["Digest"] == layout.one and seen["RepoTags"] == ["a", "b"]
        assert json.loads(skopeo.run("list-tags", "--tls-verify=false", other))["Tags"] == \
            ["a", "b"]
        # skopeo deletes the digest behind a tag: all of its tags go.
        skopeo.run("delete", "--tls-verify=false", f"{other}:a")
        for node in (1, 2, 3):
            gone = skopeo.try_run("inspect", "--tls-verify=false",
                                  f"docker://{host(cluster, node)}/{repository}:b")
            assert gone.returncode != 0 and "manifest unknown" in gone.stderr, gone


def test_skopeo_syncs_a_repository_to_another(place, client, layout):
    cluster, login = place
    skopeo = client("skopeo")
    repository = fresh_repository("sync")
    for tag, name in (("one", "one"), ("every", "all")):
        skopeo.run("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.path}:{name}",
                   f"docker://{host(cluster, 1)}/{repository}:{tag}")
    skopeo.run("sync", "--all", "--src", "docker", "--dest", "docker", "--src-tls-verify=false",
               "--dest-tls-verify=false", f"{host(cluster, 2)}/{repository}",
               f"{host(cluster, 3)}/mirror")
    mirror = "mirror/" + repository.rsplit("/", 1)[1]
    assert pulled_digest(cluster, 1, mirror, "one", login)[0] == layout.one
    assert pulled_digest(cluster, 2, mirror, "every", login)[0] == layout.index


def test_a_wrong_password_and_no_login_are_refused(cluster, layout, tmp_path):
    skopeo = Client("skopeo", tmp_path, None)
    for more in ([], ["--dest-creds", "admin:wrong"]):
        done = skopeo.try_run("copy", *more, "--dest-tls-verify=false", f"oci:{layout.path}:one",
                              f"docker://{host(cluster, 2)}/{fresh_repository('no')}:v1")
        assert done.returncode != 0, done
        assert "unauthorized" in done.stderr or "authentication required" in done.stderr, done


# --- buildah and podman ---------------------------------------------------------------------------

def test_buildah_builds_from_scratch_and_podman_pulls_it(place, client):
    if not os.path.exists(BUSYBOX):
        pytest.skip("busybox-static is not installed (scripts/setup does)")
    cluster, login = place
    buildah, podman = client("buildah"), client("podman")
    container = buildah.run("from", "scratch")
    buildah.run("copy", container, BUSYBOX, "/bin/busybox")
    buildah.run("config", "--cmd", "/bin/busybox", container)
    for form, media_type in (("oci", caisson.MANIFEST), ("docker", DOCKER)):
        buildah.run("commit", "--format", form, container, f"localhost/{form}")
        for push, pull in PAIRS:
            repository = fresh_repository(form)
            buildah.run("push", "--tls-verify=false", f"localhost/{form}",
                        f"docker://{host(cluster, push)}/{repository}:v1")
            assert pulled_digest(cluster, pull, repository, "v1", login)[1] == media_type
            name = f"{host(cluster, pull)}/{repository}:v1"
            podman.run("pull", "--tls-verify=false", name)
            assert podman.run("image", "inspect", "--format", "{{.Config.Cmd}}", name) == \
                "[/bin/busybox]"


def test_podman_pushes_and_pulls(place, client, layout):
    cluster, login = place
    podman = client("podman")
    image = podman.run("pull", f"oci:{layout.path}:one").splitlines()[-1]
    for push, pull in PAIRS:
        repository = fresh_repository("podman")
        podman.run("push", "--tls-verify=false", image,
                   f"docker://{host(cluster, push)}/{repository}:v1")
        pulled_digest(cluster, pull, repository, "v1", login)
        back = podman.run("pull", "--tls-verify=false",
                          f"{host(cluster, pull)}/{repository}:v1").splitlines()[-1]
        assert back == image
