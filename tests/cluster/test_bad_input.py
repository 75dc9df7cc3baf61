"""Bytes from outside: each gets a clear error, nothing is lost, nothing crashes. Every test ends
with all nodes alive and the cluster taking a write."""
import json
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

import caisson


@pytest.fixture(autouse=True)
def everyone_lives(cluster):
    """No test here may stop or confuse a node."""
    yield
    cluster.wait_ready(seconds=15)
    for node in (1, 2, 3):
        assert pathlib.Path(f"/proc/{cluster.pid(node)}").exists(), cluster.logs()
    cluster.push_image(1, "bad/input", "after", "after")


def raw(port, data, half_close=True, timeout=5):
    """Everything that comes back for these bytes."""
    out = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        try:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65536):
                out += piece
        except OSError:  # It hung up first, as it may.
            pass
    return out


@pytest.mark.parametrize("data, status", [
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET /v2/ HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n", b"400"),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"4"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", b"431"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n", b"431"),
    (b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    (b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", b"4"),
    (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", b"4"),
])
def test_requests_that_are_not_http(cluster, data, status):
    answer = raw(cluster.base_port + 1, data)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]


def test_truncated_and_random_bytes(cluster):
    rng = random.Random(2)
    whole = b"GET /v2/bad/input/manifests/after HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"
    for cut in range(1, len(whole), 7):
        raw(cluster.base_port + 1, whole[:cut])
    for _ in range(30):
        raw(cluster.base_port + 2, rng.randbytes(rng.randrange(1, 3000)))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100, b'{"a":1,"a":2}',
                                  b'{"schemaVersion":1}', b"null", b'{"schemaVersion":2}'])
def test_manifests_that_are_none(cluster, body):
    answer = cluster.put_manifest(2, "bad/input", "broken", body)
    assert answer.status == 400, answer
    assert answer.error()[0] == "MANIFEST_INVALID" and answer.error()[1]
    assert cluster.call(1, "/v2/bad/input/manifests/broken").status == 404


def test_a_manifest_over_the_limit(cluster):
    answer = cluster.put_manifest(1, "bad/input", "large", b" " * (4 * 1024 * 1024 + 1))
    assert answer.status == 413, answer


@pytest.mark.parametrize("path, method", [("/api/v1/pipelines/p", "PUT"),
                                          ("/api/v1/promotions", "POST"),
                                          ("/api/v1/users/someone", "PUT"),
                                          ("/api/v1/join-tokens", "POST")])
@pytest.mark.parametrize("body", [b"{", b"[1,2", b"\x00", b'"text"', b'{"a":{"a":' * 40])
def test_json_that_is_none(cluster, path, method, body):
    answer = cluster.call(3, path, method, body, {"Content-Type": "application/json"})
    assert answer.status == 400, answer
    assert answer.error()[1]


def test_a_wrong_digest_and_an_upload_that_is_cut(cluster):
    start = cluster.call(1, "/v2/bad/input/blobs/uploads/", "POST", b"")
    location = start.headers["Location"]
    wrong = caisson.digest_of(b"something else")
    answer = cluster.call(1, f"{location}?digest={wrong}", "PUT", b"content")
    assert answer.status == 400 and answer.error()[0] == "DIGEST_INVALID"
    assert cluster.call(2, f"/v2/bad/input/blobs/{wrong}").status == 404

    # Half a body, then nothing: what came before is not a blob.
    start = cluster.call(1, "/v2/bad/input/blobs/uploads/", "POST", b"")
    location, data = start.headers["Location"], random.Random(3).randbytes(100000)
    digest = caisson.digest_of(data)
    token = caisson.base64.b64encode(":".join(cluster.admin).encode()).decode()
    head = (f"PUT {location}?digest={digest} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {token}"
            f"\r\nContent-Length: {len(data)}\r\n\r\n").encode()
    raw(cluster.base_port + 1, head + data[:50000])
    assert cluster.call(2, f"/v2/bad/input/blobs/{digest}", "HEAD").status == 404
    assert cluster.push_blob(3, "bad/input", data) == digest


def test_wrong_passwords_and_no_password(cluster):
    for auth in (None, ("admin", "wrong"), ("nobody", "x"), ("admin", ""), ("", "")):
        answer = cluster.call(1, "/v2/bad/input/manifests/after", auth=auth)
        assert answer.status == 401, (auth, answer)
        assert "WWW-Authenticate" in answer.headers


# --- the peers' ports ---------------------------------------------------------------------------

PEER_PORTS = (100, 200)


def stranger(tmp_path, subject="/CN=stranger"):
    """A key and a certificate of a CA of its own."""
    key, certificate = tmp_path / "key.pem", tmp_path / "crt.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", subject,
                    "-addext", "subjectAltName=URI:caisson://" + "0" * 32 + "/node/" + "1" * 16],
                   check=True, capture_output=True)
    return certificate, key


def shake_hands(port, certificate=None, key=None, ask=b""):
    """What a TLS 1.3 client gets: bytes, or an exception. TLS 1.3 tells a refused client certificate
    only at the first read."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        with context.wrap_socket(sock) as tls:
            if ask:
                tls.sendall(ask)
            return tls.recv(4096)


@pytest.mark.parametrize("room", PEER_PORTS)
def test_a_peer_of_another_ca_is_refused(cluster, tmp_path, room):
    ask = b"GET /internal/v1/blobs/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    with pytest.raises(OSError):
        assert shake_hands(cluster.base_port + room + 1, *stranger(tmp_path), ask=ask) == b""
        raise ConnectionError("closed without an answer")


def test_without_a_certificate_there_is_no_log_and_no_content(cluster):
    with pytest.raises(OSError):
        assert shake_hands(cluster.base_port + 101) == b""
        raise ConnectionError("closed without an answer")
    ask = b"GET /internal/v1/blobs/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = shake_hands(cluster.base_port + 201, ask=ask)
    assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 403")), answer


def test_a_join_needs_the_token(cluster):
    body = json.dumps({"secret": "0" * 32, "csr": "x", "name": "evil",
                       "raft_address": "127.0.0.1:1", "data_address": "127.0.0.1:2",
                       "client_address": "127.0.0.1:3"}).encode()
    for text in (body, b"{", b"", body.replace(b'"evil"', b'"a b"')):
        ask = (b"POST /internal/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: "
               + str(len(text)).encode() + b"\r\n\r\n" + text)
        answer = shake_hands(cluster.base_port + 201, ask=ask)
        assert answer.startswith(b"HTTP/1.1 4"), answer
    assert len(cluster.status()["members"]) == 3


def hello(member, cluster_id, address):
    """The first frame of a log link."""
    def text(value):
        return bytes([0xd9, len(value)]) + value.encode()
    body = b"\x94" + text("caisson") + b"\xcf" + int(member, 16).to_bytes(8, "big") + text(cluster_id) + text(address)
    return (len(body) + 2).to_bytes(4, "little") + b"\x01\x01" + body


def identity_of(cluster, node):
    return json.loads((cluster.data_dir(node) / "node.json").read_text())


def tls_of(directory):
    return directory / "node.crt", directory / "node.key"


def log_link_is_refused(port, certificate, member, cluster_id):
    """Does the log port hang up on a hello of this member? One that it takes is kept and pinged."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*certificate)
    end = time.monotonic() + 3
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        with context.wrap_socket(sock) as tls:
            tls.sendall(hello(member, cluster_id, "127.0.0.1:9"))
            while time.monotonic() < end:
                try:
                    if not tls.recv(4096):
                        return True
                except OSError:
                    return True
    return False


def test_a_certificate_does_not_speak_for_another_node(cluster):
    """Log port: node 2's certificate under node 3's id."""
    three = identity_of(cluster, 3)
    assert log_link_is_refused(cluster.base_port + 101, tls_of(cluster.data_dir(2) / "tls"),
                               three["member"], three["cluster"])


def test_a_member_is_asked_for_by_its_own_certificate(cluster, tmp_path):
    """A server with node 2's certificate at node 3's addresses is not node 3: nothing is sent to
    it, and the blob that only two nodes can hold is pushed all the same."""
    two = tls_of(cluster.data_dir(2) / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*two)
    came, servers = [], []
    cluster.kill(3)

    def serve(listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(sock, server_side=True) as tls:
                    tls.settimeout(2)
                    came.append(tls.recv(4096))
            except OSError:
                pass
    try:
        for room in PEER_PORTS:
            servers.append(socket.create_server(("127.0.0.1", cluster.base_port + room + 3)))
            threading.Thread(target=serve, args=[servers[-1]], daemon=True).start()
        cluster.push_image(1, "bad/input", "impostor", "impostor")
        time.sleep(2)
    finally:
        for server in servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        cluster.restart(3)
    assert [data for data in came if data] == []


def test_the_certificate_of_a_member_that_left_is_a_strangers(cluster, tmp_path):
    old = identity_of(cluster, 3)
    shutil.copytree(cluster.data_dir(3) / "tls", tmp_path / "tls")
    ask = (b"GET /internal/v1/blobs/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: a\r\n"
           b"Connection: close\r\n\r\n")
    good = shake_hands(cluster.base_port + 201, *tls_of(tmp_path / "tls"), ask=ask)
    assert good.startswith(b"HTTP/1.1 404"), good
    cluster.kill(3)
    cluster.wipe(3)
    cluster.restart(3)
    cluster.wait_ready()
    assert identity_of(cluster, 3)["member"] != old["member"]
    for node in (1, 2, 3):
        answer = shake_hands(cluster.base_port + 200 + node, *tls_of(tmp_path / "tls"), ask=ask)
        assert answer.startswith(b"HTTP/1.1 403"), answer
    # Nodes that saw it leave keep no log link to it either.
    assert log_link_is_refused(cluster.base_port + 101, tls_of(tmp_path / "tls"), old["member"],
                               old["cluster"])


def entries_once_still(cluster):
    """The last index, once it has stood still for a second: what earlier tests left under way (copies
    that are told to the log) has ended."""
    def is_still():
        before = cluster.status(1)["node"]["last_index"]
        time.sleep(1)
        return cluster.status(1)["node"]["last_index"] == before and before
    return caisson.wait_until(is_still, 60, "nobody writes")


def test_guesses_at_the_token_cost_the_cluster_nothing(cluster):
    """Nothing is proposed for a wrong token, and a flood of them is told to slow down."""
    body = json.dumps({"secret": "0" * 32, "csr": "x", "name": "evil",
                       "raft_address": "127.0.0.1:1", "data_address": "127.0.0.1:2",
                       "client_address": "127.0.0.1:3"}).encode()
    ask = (b"POST /internal/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: "
           + str(len(body)).encode() + b"\r\n\r\n" + body)
    before = entries_once_still(cluster)
    statuses = [shake_hands(cluster.base_port + 202, ask=ask)[9:12] for _ in range(30)]
    assert set(statuses) == {b"403", b"429"}, statuses
    assert cluster.status(1)["node"]["last_index"] - before < 10


@pytest.mark.parametrize("room", PEER_PORTS)
def test_garbage_on_a_peer_port(cluster, room):
    rng = random.Random(room)
    for size in (1, 5, 100, 5000, 100000):
        raw(cluster.base_port + room + 1, rng.randbytes(size))
    raw(cluster.base_port + room + 1, b"GET / HTTP/1.1\r\n\r\n")
    raw(cluster.base_port + room + 1, b"\x16\x03\x01\xff\xff" + rng.randbytes(70000))


# --- data directories -----------------------------------------------------------------------------


def test_a_second_process_on_the_directory_is_refused(cluster, run):
    done = run("serve", "--config", cluster.dir / "node-2.yaml")
    assert done.returncode == 1
    assert "another process runs on" in done.stderr


def test_the_directory_of_another_node_is_refused(cluster, run, tmp_path):
    cluster.kill(3)
    try:
        text = (cluster.dir / "node-3.yaml").read_text()
        path = tmp_path / "mixed.yaml"
        path.write_text(text.replace("name: node-3", "name: node-2"))
        done = run("serve", "--config", path)
        assert done.returncode == 1
        assert "belongs to node 'node-3'" in done.stderr
        # Identity of one node, key and certificate of another.
        copy = tmp_path / "copy"
        shutil.copytree(cluster.data_dir(3), copy)
        shutil.rmtree(copy / "tls")
        shutil.copytree(cluster.data_dir(2) / "tls", copy / "tls")
        path.write_text(text.replace(str(cluster.data_dir(3)), str(copy)))
        done = run("serve", "--config", path)
        assert done.returncode == 1
        assert "mixed" in done.stderr
    finally:
        cluster.restart(3)
