"""`caisson serve` that cannot start says why and what to do, ends with 1, and holds nothing."""
import contextlib
import json
import os
import socket
import ssl
import subprocess
import urllib.request

import pytest

import caisson

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Lone:
    """A registry of one node in a directory of its own."""

    def __init__(self, directory, binary):
        self.directory = directory
        self.binary = binary
        self.base = caisson.free_base_port(1)
        self.config = directory.parent / f"{directory.name}.yaml"
        directory.mkdir(exist_ok=True)
        self.configure(self.base + 1, self.base + 101, self.base + 201)

    def configure(self, client, log, content):
        self.url = f"http://127.0.0.1:{client}"
        self.config.write_text(f"name: n\ndata_dir: {self.directory}\nlisten: 127.0.0.1:{client}\n"
                               f"raft_listen: 127.0.0.1:{log}\ndata_listen: 127.0.0.1:{content}\n")

    def command(self):
        return [self.binary, "serve", "--init", "--config", str(self.config)]

    def fails(self, *before):
        done = subprocess.run([*before, *self.command()], capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == 1, done
        message = done.stderr.splitlines()[-1]
        assert message.startswith("caisson: cannot start: "), done.stderr
        return message

    @contextlib.contextmanager
    def runs(self):
        with subprocess.Popen(self.command(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                caisson.wait_until(lambda: caisson.request(self.url + "/readyz").status == 200, 20,
                                   "ready")
                yield
            finally:
                process.terminate()
                assert process.wait(15) == 0


@pytest.mark.parametrize("port", [0, 1, 2])
def test_a_port_in_use(tmp_path, binary, port):
    """Each of the three, when another node of the same user has it."""
    first, second = Lone(tmp_path / "first", binary), Lone(tmp_path / "second", binary)
    own = [second.base + room + 1 for room in (0, 100, 200)]
    taken = list(own)
    taken[port] = first.base + (0, 100, 200)[port] + 1
    with first.runs():
        second.configure(*taken)
        message = second.fails()
        assert f":{taken[port]}: another process does already; stop it" in message
        second.configure(*own)
        with second.runs():
            pass


def test_the_directory_in_use(tmp_path, binary):
    lone = Lone(tmp_path / "data", binary)
    with lone.runs():
        assert "another process runs on" in lone.fails()
    with lone.runs():
        pass


@needs_root
def test_a_directory_that_cannot_be_read(tmp_path, binary):
    lone = Lone(tmp_path / "data", binary)
    lone.directory.chmod(0)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    message = lone.fails("setpriv", "--reuid", "65534", "--clear-groups")
    assert "cannot read" in message and "run as the user who owns it" in message
    with lone.runs():
        pass


@needs_root
def test_a_full_disk(tmp_path, binary):
    lone = Lone(tmp_path / "data", binary)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(lone.directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    try:
        message = lone.fails()
        assert "no space" in message and "make room" in message
        subprocess.run(["mount", "-o", "remount,size=400m", str(lone.directory)], check=True)
        with lone.runs():
            pass
    finally:
        subprocess.run(["umount", str(lone.directory)], check=True)


def test_a_node_says_where_its_clients_reach_it(tmp_path, binary):
    lone = Lone(tmp_path / "data", binary)
    with lone.runs():
        member = caisson.request(lone.url + "/api/v1/cluster").json()["members"][0]
        assert member["url"] == lone.url and member["address"] == lone.url.removeprefix("http://")
        assert "stored_index" in member
        done = subprocess.run([binary, "cluster", "status", "--server", lone.url],
                              capture_output=True, text=True, timeout=20)
        assert lone.url in done.stdout, done
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "key.pem", "-out",
                    tmp_path / "crt.pem", "-days", "2", "-subj", "/CN=localhost"], check=True,
                   capture_output=True)
    with open(lone.config, "a") as config:
        config.write(f"tls:\n  certificate: {tmp_path / 'crt.pem'}\n  key: {tmp_path / 'key.pem'}\n")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def ask():
        with urllib.request.urlopen(lone.url.replace("http:", "https:") + "/api/v1/cluster",
                                    context=context, timeout=5) as answer:
            return json.load(answer)
    with subprocess.Popen(lone.command(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            member = caisson.wait_until(ask, 20, "an answer over TLS")["members"][0]
            assert member["url"] == lone.url.replace("http:", "https:")
            # A stop while a client shakes hands is a stop like any other.
            port = int(lone.url.rsplit(":", 1)[1])
            with socket.create_connection(("127.0.0.1", port)) as silent:
                silent.sendall(b"\x16\x03\x01")
                process.terminate()
                assert process.wait(15) == 0
        finally:
            process.kill()
