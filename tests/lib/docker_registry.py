"""Debian's docker-registry on a free loopback port, with a directory of its own. Standard library
only."""
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import caisson

PROGRAM = shutil.which("docker-registry")
CONFIGURATION = """version: 0.1
log:
  level: error
storage:
  filesystem:
    rootdirectory: {directory}/data
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: {address}
"""


class DockerRegistry:
    """with DockerRegistry() as registry: registry.url is http://127.0.0.1:PORT."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="docker-registry-test."))
        self.base_port = caisson.free_base_port(1)
        self.address = f"127.0.0.1:{self.base_port + 1}"
        self.url = "http://" + self.address
        self.process = None

    def __enter__(self):
        path = self.directory / "config.yml"
        path.write_text(CONFIGURATION.format(directory=self.directory, address=self.address))
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "serve", str(path)], stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                host, port = self.address.split(":")
                socket.create_connection((host, int(port)), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    log = (self.directory / "log").read_text()
                    self.__exit__(None, None, None)
                    raise RuntimeError(f"docker-registry does not start: {log}") from None
                time.sleep(0.05)

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        caisson.release_base_port(self.base_port)
