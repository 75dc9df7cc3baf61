"""Requests that two parsers could read in two ways (tests/lib/http_corpus.h), alone and behind nginx
and HAProxy: no bytes ever become more requests than the proxy saw. And limits: the right status, and
the connection is closed."""
import ast
import contextlib
import itertools
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest

import caisson

PROXIES = {"nginx": "/usr/sbin/nginx", "haproxy": "/usr/sbin/haproxy"}
CORPUS = caisson.ROOT / "tests" / "lib" / "http_corpus.h"
HOST = "Host: a\r\n"

# What a smuggler hides behind a request; nobody may ever answer it as one of its own.
HIDDEN = (b"GET /v2/smuggled/absent/tags/list HTTP/1.1\r\nHost: a\r\n"
          b"X-Request-Marker: hidden\r\n\r\n")


def corpus():
    """The byte strings of the C header, to a path that takes bodies."""
    text = CORPUS.read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("BYTES_LITERAL(", "\x01(")
    for entry in re.findall(r"\x01\((.*?)\),\n", text, re.S):
        parts = re.findall(r'"(?:[^"\\]|\\.)*"|\bH\b', entry)
        data = b"".join(HOST.encode() if part == "H"
                        else ast.literal_eval("b" + re.sub(r"\\0(?!\d)", r"\\x00", part))
                        for part in parts)
        yield data.replace(b"PUT /echo ", b"PUT /v2/smuggled/a/manifests/t ")


def more_requests():
    """(answers, data): smuggling as it was found in other servers, each with a whole request behind
    it. Two answers where the first request is sound and what follows is plainly another one."""
    put = b"PUT /v2/smuggled/a/manifests/t HTTP/1.1\r\nHost: a\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    for header in (b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Content-Length: 5\r\n"
                   b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked, chunked",
                   b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding : chunked",
                   b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
                   b"X: y\rTransfer-Encoding: chunked", b"Transfer-Encoding:\n chunked",
                   b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: chunked;q=1",
                   b"Content-Length: 0\r\nContent-Length: 5", b"Content-Length: 5, 0",
                   b"Content-Length: 0 5", b"Content-Length: 05x", b"content-length : 5",
                   b"Content-Length: \x0c0", b"Expect: x\r\nContent-Length: 0"):
        yield 1, put + header + b"\r\n\r\n0\r\n\r\n" + HIDDEN
    for body in (b"0\r\nX: y\r\n\r\n", b"0\r\nContent-Length: 9\r\n\r\n", b"00\r\n\r\n"):
        yield 2, put + chunked + b"\r\n" + body + HIDDEN
    for body in (b"0;a=b\r\n\r\n", b"0\n\n", b"0x0\r\n\r\n", b" 0\r\n\r\n", b"0 \r\n\r\n",
                 b"1\r\naX0\r\n\r\n", b"2\r\na\r\n0\r\n\r\n", b"1\r\na\n0\r\n\r\n", b"-0\r\n\r\n",
                 b"fffffffffffffffff\r\n\r\n", b"1;\r\na\r\n0\r\n\r\n", b"1\r\na\r\n\r\n",
                 b"0;\nX: y\r\n\r\n", b"0\r\nX\r\n\r\n", b"0\r\nX : y\r\n\r\n",
                 b"0\r\n\n", b"0\r\nX: y\r\n\n"):
        yield 1, put + chunked + b"\r\n" + body + HIDDEN
    yield 2, put + b"Content_Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN
    yield 1, b"GET /v2/smuggled/a/tags/list HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" \
        % len(HIDDEN) + HIDDEN
    yield 2, b"GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\n" + chunked \
        + b"\r\n0\r\n\r\n" + HIDDEN
    yield 2, b"GET /v2/ HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n" \
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + HIDDEN
    yield 2, b"HEAD /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN
    yield 2, b"POST /v2/smuggled/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN


def exchange(port, data, timeout=5.0, half_close=True):
    """All that comes back for data on a connection of its own. Proxies take a half-closed connection
    for one that is gone: without half_close, the end is when nothing more comes for a moment."""
    out = b""
    with contextlib.suppress(OSError), \
            socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65536):
            out += piece
            if not half_close:
                sock.settimeout(0.05)
    return out


def answers(data, methods=()):
    """[(status, head)] of the answers in data, by their lengths. methods: of the requests."""
    out = []
    for method in itertools.chain(methods, itertools.repeat("GET")):
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            return out
        assert head.startswith(b"HTTP/1.1 "), data[:200]
        status = int(head[9:12])
        if status >= 200:
            out.append((status, head))
        length = re.search(rb"(?i)\ncontent-length: (\d+)", head)
        size = int(length.group(1)) if length and method != "HEAD" and status not in (204, 304) \
            else 0
        if b"chunked" in head.lower():
            size = rest.index(b"0\r\n\r\n") + 5
        data = rest[size:]
    return out


@pytest.fixture(name="node", scope="module")
def _node(binary):
    assert binary
    cluster = caisson.Cluster(nodes=1, is_open=True)
    yield cluster
    cluster.close()


# --- alone ----------------------------------------------------------------------------------------


def test_the_corpus_is_refused_and_the_connection_closed(node):
    """Whatever stands behind a request that is refused is never read as one."""
    entries = list(corpus())
    assert len(entries) > 55
    for entry in entries:
        got = answers(exchange(node.base_port + 1, entry + HIDDEN))
        assert [status for status, _ in got] == [400], (entry, got)
        assert b"\r\nConnection: close" in got[0][1], entry
    assert node.is_ready(1)


def test_hidden_requests_stay_hidden(node):
    for wanted, entry in more_requests():
        got = answers(exchange(node.base_port + 1, entry), [entry.split()[0].decode()])
        assert len(got) == wanted, (entry, got)
        if got[0][0] not in (200, 202, 404) and wanted == 1:
            assert b"Connection: close" in got[0][1], (entry, got)
    assert node.is_ready(1)


LIMITS = {
    "a target of 8 KiB": (b"GET /v2/?" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "a longer one": (b"GET /v2/?" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "one without an end": (b"GET /" + b"a" * 100_000, 414),
    "a header of 30 KiB": (b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 30_000 + b"\r\n\r\n",
                           200),
    "a header of 40 KiB": (b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
                           431),
    "a header without an end": (b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 400_000, 431),
    "a thousand headers": (b"GET /v2/ HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 431),
    "a manifest that says 5 MB": (b"PUT /v2/a/manifests/t HTTP/1.1\r\nHost: a\r\n"
                                  b"Content-Length: 5000000\r\n\r\n", 413),
    "trailers": (b"PUT /v2/a/manifests/t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", 4),
    "a chunk extension": (b"PUT /v2/a/manifests/t HTTP/1.1\r\nHost: a\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000, 4),
    "an expectation": (b"PUT /v2/a/manifests/t HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n"
                       b"Content-Length: 1\r\n\r\n", 417),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(node, name):
    data, status = LIMITS[name]
    got = answers(exchange(node.base_port + 1, data + HIDDEN if status >= 400 else data))
    assert len(got) == 1, got
    assert str(got[0][0]).startswith(str(status)), got
    if status != 200:
        assert b"Connection: close" in got[0][1], got
    assert node.is_ready(1)


# --- behind a proxy -------------------------------------------------------------------------------


class Wire:
    """Between a proxy and a node: passes on all bytes, and keeps what went to the node and what came
    back on each connection."""

    def __init__(self, port):
        self.port = port
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listen_port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                upstream = socket.create_connection(("127.0.0.1", self.port), timeout=10)
                sock.settimeout(10)
                sent, received = bytearray(), bytearray()
                self.connections.append((sent, received))
                for one, other, kept in ((sock, upstream, sent), (upstream, sock, received)):
                    threading.Thread(target=self.pass_on, args=(one, other, kept),
                                     daemon=True).start()

    @staticmethod
    def pass_on(one, other, kept):
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                kept += piece
                other.sendall(piece)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


NGINX = """daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log {dir}/access.log; client_max_body_size 0; ignore_invalid_headers off;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  upstream node {{ server 127.0.0.1:{node}; keepalive 1; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_set_header Host a; proxy_request_buffering off; proxy_read_timeout 5s; }}
  }}
}}
"""
HAPROXY = """defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  http-reuse always
  option accept-invalid-http-request
listen caisson
  bind 127.0.0.1:{port}
  http-request add-header X-Proxy-Saw %[path]
  server node 127.0.0.1:{node}
"""


@contextlib.contextmanager
def proxy(name, node_port):
    """The port of a proxy before node_port."""
    port = caisson.free_base_port(1) + 1
    directory = pathlib.Path(tempfile.mkdtemp(prefix="caisson-proxy."))
    path = directory / "config"
    path.write_text((NGINX if name == "nginx" else HAPROXY).format(dir=directory, port=port,
                                                                   node=node_port))
    command = [PROXIES[name]] + (["-c", path, "-p", directory, "-e", directory / "error.log"]
                                 if name == "nginx" else ["-db", "-f", path])
    with open(directory / "out", "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        caisson.wait_until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True,
                           20, f"{name} listens: {(directory / 'out').read_text()}")
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)
        caisson.release_base_port(port - 1)


REQUEST_LINE = re.compile(rb"(?:GET|HEAD|PUT|POST|PATCH|DELETE) \S+ HTTP/1\.[01]\r\n")


def split(sent):
    """The requests that a proxy sent, by the proxy's own framing: it is strict in what it sends."""
    out = []
    while sent:
        head, found, rest = sent.partition(b"\r\n\r\n")
        if not found or not REQUEST_LINE.match(head + b"\r\n"):
            return out + [head]
        out.append(head)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if re.search(rb"(?i)\r\ntransfer-encoding: *chunked(\r\n|$)", head):
            while True:
                size, _, rest = rest.partition(b"\r\n")
                number = int(re.match(rb"[0-9a-fA-F]*", size).group() or b"0", 16)
                if number == 0:  # Trailers end with an empty line.
                    rest = rest[2:] if rest.startswith(b"\r\n") else rest.partition(b"\r\n\r\n")[2]
                    break
                rest = rest[number + 2:]
        elif length:
            rest = rest[int(length.group(1)):]
        sent = rest
    return out


@pytest.mark.parametrize("name", PROXIES)
def test_behind_a_proxy_nobody_sees_two_requests_where_the_other_saw_one(node, name):
    if not pathlib.Path(PROXIES[name]).exists():
        pytest.skip(f"{name} is not installed")
    wire = Wire(node.base_port + 1)
    entries = [data for _, data in more_requests()] + [entry + HIDDEN for entry in corpus()]
    reached = 0
    with proxy(name, wire.listen_port) as port:
        for entry in entries:
            before = len(wire.connections)
            exchange(port, entry, 0.5, False)
            # The next client of the pair gets its own answer, whatever connection it shares.
            mine = exchange(port, b"GET /v2/proxied/mine/tags/list HTTP/1.1\r\nHost: a\r\n"
                                  b"Connection: close\r\n\r\n", 5, False)
            assert b"proxied/mine" not in entry and b"NAME_UNKNOWN" in mine, (entry, mine)
            for sent, received in wire.connections[max(before - 1, 0):]:
                asked = split(bytes(sent))
                methods = [one.split()[0].decode(errors="replace") for one in asked]
                got = answers(bytes(received), methods)
                assert len(got) <= len(asked), (entry, asked, got)
                reached += len(got)
    wire.close()
    assert reached > 30, "the proxy passed requests on"
    assert node.is_ready(1)
