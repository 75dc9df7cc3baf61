"""TLS for clients through real sockets: versions, a certificate that is renewed on SIGHUP, the wrong
protocol on either kind of port, and clients that stall."""
import contextlib
import hashlib
import signal
import socket
import ssl
import subprocess
import time

import pytest

import caisson

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")


def make_certificate(directory, name):
    """The pair of files, in directory; the DER of the certificate."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", directory / "key.pem",
                    "-out", directory / "certificate.pem"], check=True, capture_output=True)
    return ssl.PEM_cert_to_DER_cert((directory / "certificate.pem").read_text())


class Node:
    def __init__(self, directory, binary, has_tls=True):
        self.directory = directory
        (directory / "data").mkdir()
        self.port = caisson.free_base_port(1) + 1
        self.certificate = make_certificate(directory, "first")
        self.log = directory / "log"
        config = (f"name: n\ndata_dir: {directory}/data\nlisten: 127.0.0.1:{self.port}\n"
                  f"raft_listen: 127.0.0.1:{self.port + 100}\n"
                  f"data_listen: 127.0.0.1:{self.port + 200}\nopen: true\n")
        if has_tls:
            config += (f"tls:\n  certificate: {directory}/certificate.pem\n"
                       f"  key: {directory}/key.pem\n")
        (directory / "node.yaml").write_text(config)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--init", "--config", str(directory / "node.yaml")],
                stdout=log, stderr=log)
        caisson.wait_until(lambda: b"serving clients" in self.log.read_bytes(), 20, "serving")

    def connect(self, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context.wrap_socket(self.raw())

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def wait_for_log(self, words, since=0):
        caisson.wait_until(lambda: words in self.log.read_text()[since:], 10,
                           f"{words!r} in the log:\n{self.log.read_text()}")


@contextlib.contextmanager
def running(directory, binary, has_tls=True):
    node = Node(directory, binary, has_tls)
    try:
        yield node
    finally:
        node.process.terminate()
        assert node.process.wait(15) == 0


def read_all(connection):
    data = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece


def get(connection, path="/v2/", close=False):
    """Status line and headers, and the body by its length."""
    end = "Connection: close\r\n" if close else ""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: n\r\n{end}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = bytearray(body)
    while len(body) < length:
        piece = connection.recv(1 << 20)
        assert piece
        body += piece
    return head, body


def push(connection, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    connection.sendall(f"POST /v2/tls/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: n\r\n"
                       f"Content-Length: {len(data)}\r\n\r\n".encode())
    connection.sendall(data)
    answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    return digest


def test_versions_and_a_blob(tmp_path, binary):
    data = bytes(range(256)) * 20_000 + b"end"
    with running(tmp_path, binary) as node:
        with node.connect(ssl.TLSVersion.TLSv1_3) as connection:
            assert connection.version() == "TLSv1.3"
            digest = push(connection, data)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with node.connect(version) as connection:
                assert get(connection, f"/v2/tls/app/blobs/{digest}")[1] == data
                assert get(connection, f"/v2/tls/app/blobs/{digest}")[1] == data
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                node.connect(version)


def test_a_renewed_certificate(tmp_path, binary):
    with running(tmp_path, binary) as node:
        with node.connect() as old:
            assert old.getpeercert(binary_form=True) == node.certificate
            second = make_certificate(tmp_path, "second")
            with node.connect() as connection:
                assert connection.getpeercert(binary_form=True) == node.certificate
            node.process.send_signal(signal.SIGHUP)
            node.wait_for_log("use the certificate that is in")
            with node.connect() as connection:
                assert connection.getpeercert(binary_form=True) == second
            assert get(old)[0].startswith(b"HTTP/1.1 200 ")  # Lives on with what it was shown.
            # A key that does not fit, and no certificate at all: told, and nothing changes.
            key = (tmp_path / "key.pem").read_bytes()
            make_certificate(tmp_path, "third")
            (tmp_path / "key.pem").write_bytes(key)
            for broken in (None, b"no certificate"):
                if broken is not None:
                    (tmp_path / "certificate.pem").write_bytes(broken)
                since = len(node.log.read_text())
                node.process.send_signal(signal.SIGHUP)
                node.wait_for_log("stays the old one", since)
                assert str(tmp_path / "certificate.pem") in node.log.read_text()[since:]
                with node.connect() as connection:
                    assert connection.getpeercert(binary_form=True) == second
                    assert get(connection)[0].startswith(b"HTTP/1.1 200 ")


def test_plain_http_on_a_tls_port(tmp_path, binary):
    with running(tmp_path, binary) as node:
        with node.raw() as connection:
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: n\r\n\r\n" + b"x" * 100_000)
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer
        head, body = answer.split(b"\r\n\r\n", 1)
        assert f"Content-Length: {len(body)}\r\n".encode() in head
        node.wait_for_log("came with plain HTTP")
        with node.connect() as connection:
            assert get(connection)[0].startswith(b"HTTP/1.1 200 ")


def test_tls_on_a_plain_port(tmp_path, binary):
    with running(tmp_path, binary, has_tls=False) as node:
        with pytest.raises(ssl.SSLError):
            node.connect()
        node.wait_for_log("came with TLS")
        with node.raw() as connection:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            assert read_all(connection).startswith(b"HTTP/1.1 400 ")
        node.process.send_signal(signal.SIGHUP)
        node.wait_for_log("nothing to read again")
        with node.raw() as connection:
            assert get(connection)[0].startswith(b"HTTP/1.1 200 ")


def test_a_client_that_stalls_gets_it_all_later(tmp_path, binary):
    data = bytes(range(256)) * 40_000
    with running(tmp_path, binary) as node:
        with node.connect() as connection:
            digest = push(connection, data)
        stalled = [node.connect() for _ in range(20)]
        for connection in stalled:
            connection.sendall(f"GET /v2/tls/app/blobs/{digest} HTTP/1.1\r\nHost: n\r\n\r\n".encode())
        time.sleep(0.3)
        with node.connect() as connection:  # Nobody waits for them.
            assert get(connection, f"/v2/tls/app/blobs/{digest}")[1] == data
        for connection in stalled[:5]:
            received = bytearray()
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            del received[:received.index(b"\r\n\r\n") + 4]
            while len(received) < len(data):
                piece = connection.recv(1 << 20)
                assert piece
                received += piece
            assert received == data
        for connection in stalled:
            connection.close()
