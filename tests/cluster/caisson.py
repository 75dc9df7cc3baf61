"""A running cluster as the end-to-end tests see it: scripts/cluster behind an object, and a plain
HTTP client. Standard library only."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CAISSON", ROOT / "build" / "caisson")).absolute()
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _all_free(ports):
    with contextlib.ExitStack() as stack:
        for port in ports:
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


_reserved = {}  # By base port: what keeps the blocks of ten from the other tests of this machine.


def _reserve(base):
    """Whether nobody else has these three blocks. A name of a socket that no file stands for: it is
    free again when this process ends, whatever happens, and a node that is killed in between
    finds its ports as it left them."""
    with contextlib.ExitStack() as stack:
        for room in (0, 100, 200):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            try:
                sock.bind(f"\0caisson-test-ports-{base + room}")
            except OSError:
                return False
        _reserved[base] = stack.pop_all()
    return True


def free_base_port(nodes=3):
    """A base port whose client, log and content ports are all free (below the ephemeral range),
    and reserved until release_base_port() or the end of this process."""
    assert nodes < 10
    for _ in range(1000):
        base = random.randrange(10000, 32000, 10)
        if base in _reserved or not _reserve(base):
            continue
        if _all_free([base + room + i for room in (0, 100, 200) for i in range(1, nodes + 1)]):
            return base
        release_base_port(base)
    raise RuntimeError("no free ports found")


def release_base_port(base):
    """Nothing happens to one that is not reserved."""
    _reserved.pop(base, contextlib.ExitStack()).close()


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def error(self):
        """(code, message) of the first OCI error."""
        first = self.json()["errors"][0]
        return first["code"], first.get("message", "")

    def __repr__(self):
        return f"Answer({self.status}, {self.body[:300]!r})"


def request(url, method="GET", body=None, headers=None, auth=None, timeout=30):
    """One HTTP request on a connection of its own; OSError when nobody answers."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    headers = dict(headers or {})
    if auth is not None:
        token = base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
        headers["Authorization"] = "Basic " + token
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    target = parts.path + ("?" + parts.query if parts.query else "")
    try:
        connection.request(method, target or "/", body=body, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    except http.client.HTTPException as error:
        raise OSError(f"broken answer: {error!r}") from error
    finally:
        connection.close()


def wait_until(check, seconds, what):
    """Calls check until it gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            value = check()
            if value:
                return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Cluster:
    """Nodes are numbered from 1, as in scripts/cluster."""

    def __init__(self, nodes=3, extra="", is_open=False):
        self.nodes = nodes
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="caisson-test."))
        self.base_port = free_base_port(nodes)
        self.urls = [f"http://127.0.0.1:{self.base_port + i}" for i in range(1, nodes + 1)]
        arguments = ["start", "--nodes", str(nodes), "--base-port", str(self.base_port)]
        if is_open:
            arguments.append("--open")
        if extra:
            path = self.dir / "extra-given.yaml"
            path.write_text(extra)
            arguments += ["--config-extra", str(path)]
        try:
            self.script(*arguments, timeout=180)
        except Exception:
            self.close()
            raise
        self.admin = ("admin", self.env()["CAISSON_ADMIN_PASSWORD"])

    def script(self, *arguments, timeout=90):
        done = subprocess.run([str(ROOT / "scripts" / "cluster"), *arguments, "--dir",
                               str(self.dir)], capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(f"scripts/cluster {' '.join(arguments)}: {done.stdout}"
                                 f"{done.stderr}\n{self.logs()}")
        return done.stdout

    def logs(self, lines=15):
        """The ends of the nodes' logs, for failures."""
        out = []
        for i in range(1, self.nodes + 1):
            with contextlib.suppress(OSError):
                tail = self.log(i).splitlines()[-lines:]
                out.append(f"--- node {i}\n" + "\n".join(tail))
        return "\n".join(out)

    def log(self, node):
        return (self.dir / f"node-{node}" / "caisson.log").read_text(errors="replace")

    def env(self):
        pairs = (line.split("=", 1) for line in (self.dir / "cluster.env").read_text().splitlines())
        return {key: value.strip("'") for key, value in pairs}

    def data_dir(self, node):
        return self.dir / f"node-{node}"

    def pid(self, node):
        return int((self.dir / f"node-{node}.pid").read_text())

    def url(self, node):
        return self.urls[node - 1]

    def call(self, node, path, method="GET", body=None, headers=None, auth=True, timeout=30):
        """A request to a node: auth True is the admin, None is nobody."""
        login = self.admin if auth is True else auth
        return request(self.url(node) + path, method, body, headers, login, timeout)

    # --- what happens to nodes ---

    def kill(self, node):
        self.script("kill", str(node))

    def pause(self, node):
        self.script("pause", str(node))

    def resume(self, node):
        self.script("resume", str(node))

    def restart(self, node):
        self.script("restart", str(node))

    def wipe(self, node):
        self.script("wipe", str(node))

    def start(self):
        self.script("start", timeout=180)

    def is_ready(self, node):
        try:
            return request(self.url(node) + "/readyz", timeout=3).status == 200
        except OSError:
            return False

    def wait_ready(self, nodes=None, seconds=60):
        wanted = list(nodes or range(1, self.nodes + 1))
        wait_until(lambda: all(self.is_ready(i) for i in wanted), seconds,
                   f"nodes {wanted} ready\n{self.logs()}")

    def status(self, node=None):
        """/api/v1/cluster of this node, or of the first that answers."""
        for i in [node] if node else range(1, self.nodes + 1):
            with contextlib.suppress(OSError):
                answer = self.call(i, "/api/v1/cluster", timeout=3)
                if answer.status == 200:
                    return answer.json()
        raise OSError("no node answers")

    def leader(self, seconds=30):
        """The leader's number."""
        def find():
            status = self.status()
            for member in status["members"]:
                if status["leader"] and member["id"] == status["leader"]:
                    return int(member["name"].rsplit("-", 1)[1])
            return None
        return wait_until(find, seconds, f"a leader\n{self.logs()}")

    def close(self):
        subprocess.run([str(ROOT / "scripts" / "cluster"), "stop", "--dir", str(self.dir)],
                       capture_output=True, check=False, timeout=90)
        shutil.rmtree(self.dir, ignore_errors=True)
        release_base_port(self.base_port)

    # --- a small OCI client ---

    def push_blob(self, node, repository, data, auth=True, timeout=60):
        """POST and PUT; the digest. AssertionError unless it said 201."""
        start = self.call(node, f"/v2/{repository}/blobs/uploads/", "POST", b"", auth=auth)
        assert start.status == 202, start
        location = start.headers["Location"]
        digest = digest_of(data)
        end = self.call(node, location + ("&" if "?" in location else "?") + f"digest={digest}",
                        "PUT", data, {"Content-Type": "application/octet-stream"}, auth, timeout)
        assert end.status == 201, end
        return digest

    def image(self, seed, layer_size=1000):
        """(config, layer, manifest) as bytes, different for each seed."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "seed": str(seed),
                             "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        layer = random.Random(str(seed)).randbytes(layer_size)
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)}],
        }).encode()
        return config, layer, manifest

    def push_image(self, node, repository, tag, seed, auth=True):
        """An image with one layer; the digest of its manifest."""
        config, layer, manifest = self.image(seed)
        self.push_blob(node, repository, config, auth)
        self.push_blob(node, repository, layer, auth)
        answer = self.put_manifest(node, repository, tag, manifest, auth=auth)
        assert answer.status == 201, answer
        return digest_of(manifest)

    def put_manifest(self, node, repository, reference, manifest, media_type=MANIFEST, auth=True):
        return self.call(node, f"/v2/{repository}/manifests/{reference}", "PUT", manifest,
                         {"Content-Type": media_type}, auth)
