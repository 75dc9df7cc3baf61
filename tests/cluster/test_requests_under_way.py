"""Requests whose bodies are still on their way, over real sockets: 100-continue, refusals before the
body was read, and a stop with a download and an upload in flight."""
import base64
import contextlib
import http.client
import os
import socket
import subprocess

import pytest

import caisson
import test_stop

NOWHERE = "sha256:" + "0" * 64


class Client:
    """A connection that sends what it is told, head and body apart, and reads answers."""

    def __init__(self, cluster, node, receive_buffer=None):
        self.host = f"127.0.0.1:{cluster.base_port + node}"
        self.login = base64.b64encode(":".join(cluster.admin).encode()).decode()
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(60)
        self.sock.connect(("127.0.0.1", cluster.base_port + node))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def head(self, method, target, login=True, **headers):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}"]
        if login:
            lines.append(f"Authorization: Basic {self.login}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, data):
        """True when all of it was taken; a server that refuses may stop reading."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def answer(self, method="PUT"):
        response = http.client.HTTPResponse(self.sock, method=method)
        response.begin()
        return caisson.Answer(response.status, response.headers, response.read())

    def interim(self):
        """The next head, and not a byte more: what comes before the real answer."""
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            piece = self.sock.recv(1)
            assert piece, got
            got += piece
        return got

    def is_at_end(self):
        return self.sock.recv(1) == b""


def upload_of(cluster, node, repository):
    answer = cluster.call(node, f"/v2/{repository}/blobs/uploads/", "POST", b"")
    assert answer.status == 202, answer
    return answer.headers["Location"]


# --- Expect: 100-continue -------------------------------------------------------------------------


@pytest.mark.parametrize("node", (1, 2))
def test_a_body_that_waits_for_100_is_asked_for(cluster, node):
    """At the node that has the upload, and at one that passes it on."""
    data = os.urandom(300_000)
    location = upload_of(cluster, 1, "way/continue")
    target = f"{location}?digest={caisson.digest_of(data)}"
    with Client(cluster, node) as client:
        client.head("PUT", target, Expect="100-continue", Content_Length=len(data))
        assert client.interim() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(data)
        assert client.answer().status == 201
        # The connection goes on, and an empty body needs no invitation.
        client.head("PUT", target, Expect="100-continue", Content_Length=0)
        assert client.answer().status == 201
        client.head("GET", f"/v2/way/continue/blobs/{caisson.digest_of(data)}")
        assert client.answer("GET").body == data


REFUSALS = [
    (401, "UNAUTHORIZED", "PUT", "/v2/way/refused/manifests/t", {"login": False}),
    (404, "NAME_UNKNOWN", "PUT", "/v2/nothing", {}),
    (404, "BLOB_UPLOAD_UNKNOWN", "PATCH",
     f"/v2/way/refused/blobs/uploads/0000000000000001-{'0' * 32}", {}),
    (405, "UNSUPPORTED", "PUT", "/v2/way/refused/tags/list", {}),
    (400, "NAME_INVALID", "PUT", "/v2/Way/manifests/t", {}),
]


@pytest.mark.parametrize("status, code, method, target, more", REFUSALS)
def test_a_refusal_comes_instead_of_100(cluster, status, code, method, target, more):
    """The client then does not send its body; or it had begun to, and reads the refusal all the
    same."""
    for sends_anyway in (False, True):
        with Client(cluster, 1) as client:
            client.head(method, target, **more, Expect="100-continue", Content_Length=2_000_000)
            if sends_anyway:
                client.send(bytes(2_000_000))
            answer = client.answer(method)
            assert answer.status == status and answer.error()[0] == code, answer
            assert answer.headers["Connection"] == "close", "nobody knows whether the body comes"


def test_an_expectation_that_is_none_of_ours(cluster):
    with Client(cluster, 1) as client:
        client.head("PUT", "/v2/way/refused/manifests/t", Expect="a-miracle", Content_Length=3)
        client.send(b"{}\n")
        assert client.answer().status == 417


# --- refusals with the body under way -------------------------------------------------------------


@pytest.mark.parametrize("status, code, method, target, more", REFUSALS + [
    (413, "MANIFEST_INVALID", "PUT", "/v2/way/refused/manifests/t", {})])
@pytest.mark.parametrize("is_chunked", (False, True))
def test_a_refusal_reaches_who_is_still_sending(cluster, status, code, method, target, more,
                                                is_chunked):
    """8 MB that nobody wants: no reset takes the answer away. A small body is read over instead, and
    the connection goes on."""
    size = 8_000_000
    how = {"Transfer_Encoding": "chunked"} if is_chunked else {"Content_Length": size}
    with Client(cluster, 2) as client:
        client.head(method, target, **more, **how)
        client.send((b"%x\r\n" % size if is_chunked else b"") + bytes(size))
        answer = client.answer(method)
        assert answer.status == status and answer.error()[0] == code, answer
        assert len(answer.error()[1]) > 15
    if status == 413:
        return
    small = 20_000
    how = how if is_chunked else {"Content_Length": small}
    with Client(cluster, 2) as client:
        for _ in range(3):
            client.head(method, target, **more, **how)
            client.send(b"%x\r\n" % small + bytes(small) + b"\r\n0\r\n\r\n" if is_chunked
                        else bytes(small))
            assert client.answer(method).status == status


# --- a stop ---------------------------------------------------------------------------------------


def is_refused(cluster, node):
    with socket.socket() as sock:
        sock.settimeout(5)
        return sock.connect_ex(("127.0.0.1", cluster.base_port + node)) != 0


def leads_elsewhere(cluster, node):
    other = node % 3 + 1
    status = cluster.status(other)
    names = {member["id"]: member["name"] for member in status["members"]}
    return status["leader"] and names[status["leader"]] != f"node-{node}"


def test_what_is_in_flight_ends_well_when_the_leader_stops(fresh_cluster, binary):
    """A download that was begun and an upload whose body is half here, both at the leader."""
    cluster = fresh_cluster(extra="drain_seconds: 120\n")
    children = test_stop.Children(cluster, binary)
    large, data = os.urandom(24_000_000), os.urandom(400_000)
    try:
        node = cluster.leader()
        digest = cluster.push_blob(node, "way/stop", large)
        location = upload_of(cluster, node, "way/stop")
        with Client(cluster, node, 65536) as down, Client(cluster, node) as up, \
                Client(cluster, node) as idle:
            idle.head("GET", "/v2/")
            assert idle.answer("GET").status == 200
            up.head("PUT", f"{location}?digest={caisson.digest_of(data)}", Expect="100-continue",
                    Content_Length=len(data))
            assert up.interim().startswith(b"HTTP/1.1 100 ")
            up.send(data[:200_000])
            down.head("GET", f"/v2/way/stop/blobs/{digest}")
            download = http.client.HTTPResponse(down.sock, method="GET")
            download.begin()
            got = download.read(100_000)
            children.processes[node].terminate()
            # Leadership is elsewhere, and nobody new gets in, while both are still in flight.
            caisson.wait_until(lambda: is_refused(cluster, node), 60, "no new connections")
            caisson.wait_until(lambda: leads_elsewhere(cluster, node), 60,
                               f"another node leads\n{cluster.logs()}")
            assert idle.is_at_end()
            assert children.processes[node].poll() is None
            up.send(data[200_000:])
            answer = up.answer()
            assert answer.status == 201, answer
            assert answer.headers["Connection"] == "close" and up.is_at_end()
            assert children.processes[node].poll() is None, "the download is not over"
            while piece := download.read(1 << 20):
                got += piece
            assert got == large and down.is_at_end()
        assert children.processes[node].wait(60) == 0, cluster.logs()
        assert "handing leadership over" in test_stop.check_log(cluster, node, 0)
        for other in (n for n in (1, 2, 3) if n != node):
            back = cluster.call(other, f"/v2/way/stop/blobs/{caisson.digest_of(data)}")
            assert back.status == 200 and back.body == data
    finally:
        for process in children.processes.values():
            process.terminate()
        for process in children.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        children.end()
