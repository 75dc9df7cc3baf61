"""I-19: ten thousand slow clients at once (headers that do not end, bodies of a byte a second, readers
that do not read, TLS clients that stall) cost bounded memory. What speed a fast client keeps beside
them is printed; it is not asserted, because the clients share the node's cores here."""
import hashlib
import multiprocessing
import os
import resource
import selectors
import socket
import subprocess
import threading
import time

import pytest

import caisson
import test_tls

SLOW = 10_000
TLS_SLOW = 300
BLOB_SIZE = 64 << 20
MIB = 1 << 20
# I-19: 64 MiB, 64 KiB a connection, and what is configured: caches of manifests (16 MiB a worker),
# and requests' bodies that are collected (node/worker.h).
ALLOWED = 64 * MIB + 16 * MIB
PER_CONNECTION = 64 << 10


@pytest.fixture
def many_files():
    """10,000 sockets here; the node takes as many as its own limit allows, and sheds the others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SLOW + 2048
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} files may be open here (ulimit -Hn), the test needs {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def rss(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def speed(connect, digest):
    """pull() in a process of its own: the slow clients keep this one busy."""
    context = multiprocessing.get_context("fork")
    result = context.Value("d", 0)
    process = context.Process(target=lambda: setattr(result, "value", pull(connect, digest)))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    return result.value


def pull(connect, digest, seconds=1.0):
    """Bytes per second of one client that pulls as fast as it can."""
    place, received = bytearray(MIB), 0
    request = f"GET /v2/tls/app/blobs/{digest} HTTP/1.1\r\nHost: n\r\n\r\n".encode()
    with connect() as connection:
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            connection.sendall(request)
            left = None
            while left is None or left > 0:
                n = connection.recv_into(place)
                assert n > 0
                received += n
                if left is None:  # The head, and perhaps more, is in the first piece.
                    head = bytes(place[:n]).index(b"\r\n\r\n") + 4
                    assert place.startswith(b"HTTP/1.1 200 ")
                    left = BLOB_SIZE + head
                left -= n
        return received / (time.monotonic() - begun)


class SlowClients:
    """A third each: half a header, a body of a byte a second, a blob that is not read."""

    def __init__(self, node, digest, n):
        upload = f"sha256:{hashlib.sha256(b'never').hexdigest()}"
        self.first = (
            b"GET /v2/ HTTP/1.1\r\nHost: n\r\nX: ",
            f"POST /v2/slow/app/blobs/uploads/?digest={upload} HTTP/1.1\r\nHost: n\r\n"
            f"Content-Length: 1000000\r\n\r\nx".encode(),
            f"GET /v2/tls/app/blobs/{digest} HTTP/1.1\r\nHost: n\r\n\r\n".encode())
        self.connections = [self.open(node, i) for i in range(n)]
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.trickle, daemon=True)
        self.thread.start()

    def open(self, node, i):
        connection = socket.socket()
        if i % 3 == 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", node.port))
        connection.sendall(self.first[i % 3])
        connection.setblocking(False)
        return connection

    def trickle(self):
        """A byte a second from those that send."""
        while not self.stop.wait(1):
            for i, connection in enumerate(self.connections):
                if i % 3 != 2 and not self.stop.is_set():
                    try:
                        connection.send(b"x")
                    except OSError:
                        pass  # Shed.

    def end(self):
        self.stop.set()
        self.thread.join(10)
        for connection in self.connections:
            connection.close()


def answered(connections):
    """The status lines of those that were shed with an answer."""
    found = {}
    with selectors.DefaultSelector() as selector:
        for i, connection in enumerate(connections):
            if i % 3 != 2:
                selector.register(connection, selectors.EVENT_READ)
        for key, _ in selector.select(0):
            try:
                line = key.fileobj.recv(12)
            except OSError:
                line = b"reset"
            found[line] = found.get(line, 0) + 1
    return found


def check(node, connect, digest, make_slow, n):
    before = max(speed(connect, digest) for _ in range(3))
    slow = make_slow()
    try:
        during, most = [], 0
        for _ in range(4):
            during.append(speed(connect, digest))
            most = max(most, rss(node))
        shed = answered(slow.connections) if isinstance(slow, SlowClients) else {}
        figures = (f"idle {before / MIB:.0f} MiB/s, beside {n} slow clients "
                   f"{max(during) / MIB:.0f} MiB/s ({max(during) / before:.2f}); RSS "
                   f"{most / MIB:.0f} MiB, {(most - 64 * MIB) / n / 1024:.1f} KiB a connection over "
                   f"64 MiB; answered {shed}")
        print(figures)
        assert min(during) > 0, figures
        assert most <= ALLOWED + n * PER_CONNECTION, figures
    finally:
        slow.end()
    # Nothing of it stays.
    caisson.wait_until(lambda: rss(node) <= ALLOWED + 64 * MIB, 20,
                       f"less memory after the slow clients than {rss(node) / MIB:.0f} MiB")
    assert speed(connect, digest) > 0


def push_blob(connect):
    data = os.urandom(BLOB_SIZE)
    with connect() as connection:
        return test_tls.push(connection, data)


def test_ten_thousand_slow_clients(tmp_path, binary, many_files):
    with test_tls.running(tmp_path, binary, has_tls=False) as node:
        digest = push_blob(node.raw)
        check(node, node.raw, digest, lambda: SlowClients(node, digest, SLOW), SLOW)


class SlowTls:
    def __init__(self, node, digest):
        self.connections = []
        for i in range(TLS_SLOW):
            if i % 2 == 0:  # A handshake that does not go on.
                self.connections.append(node.raw())
                self.connections[-1].sendall(b"\x16\x03\x01\x02\x00\x01")
            else:
                self.connections.append(node.connect())
                self.connections[-1].sendall(
                    f"GET /v2/tls/app/blobs/{digest} HTTP/1.1\r\nHost: n\r\n\r\n".encode())

    def end(self):
        for connection in self.connections:
            connection.close()


def test_slow_tls_clients(tmp_path, binary, many_files):
    with test_tls.running(tmp_path, binary) as node:
        digest = push_blob(node.connect)
        check(node, node.connect, digest, lambda: SlowTls(node, digest), TLS_SLOW)


def test_a_node_with_few_descriptors_sheds_who_waits(tmp_path, binary):
    """More clients than it can hold: those that wait go, and a new one is served."""
    limited = tmp_path / "limited"
    limited.write_text(f"#!/bin/sh\nulimit -n 1024\nexec {binary} \"$@\"\n")
    limited.chmod(0o755)
    with test_tls.running(tmp_path, str(limited), has_tls=False) as node:
        digest = push_blob(node.raw)
        slow = SlowClients(node, digest, 900)
        try:
            for _ in range(20):
                with node.raw() as connection:
                    assert test_tls.get(connection)[0].startswith(b"HTTP/1.1 200 ")
        finally:
            slow.end()
        assert subprocess.run(["kill", "-0", str(node.process.pid)], check=False).returncode == 0
