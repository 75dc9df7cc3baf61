"""A cluster whose nodes are started one by one: each may have an environment, a binary, a disk and
a network namespace of its own. What it makes, it removes: see close(). Standard library only."""
import contextlib
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time

import caisson

ROOT = caisson.ROOT
# With failpoints; built by scripts/test for the sanitizers anyway.
DEBUG = pathlib.Path(os.environ.get("CAISSON_DEBUG", ROOT / "build" / "asan" / "caisson")).absolute()
EXIT_FAIL_STOP = 70
EXIT_FAILPOINT = 86
POINT = re.compile(r'FAILPOINT(?:_FAILS)?\("([^"]+)"\)')


def failpoints():
    """The names of all failpoints in the source."""
    names = []
    for room in ("base", "raft", "store", "promotion", "node"):
        for path in sorted((ROOT / room).glob("*.c")):
            names += POINT.findall(path.read_text())
    return names


def command(*words, check=True, timeout=60):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done


class Nodes(caisson.Cluster):  # pylint: disable=super-init-not-called
    """places: node number -> directory that holds its data (default: all in one temporary one).
    network: a network.Network, or None for loopback. extra: YAML lines for each node."""

    def __init__(self, nodes=3, binary=None, extra="", places=None, network=None, environment=None):
        self.nodes = nodes
        self.binary = pathlib.Path(binary or caisson.BINARY)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="caisson-nemesis."))
        self.places = places or {}
        self.network = network
        self.environment = environment or {}  # Of every node, besides what start() is given.
        self.base_port = 5000 if network else caisson.free_base_port(nodes)
        self.processes = {}
        self.urls = [f"http://{self.address(i, 0)}" for i in self.all()]
        self.admin = ("admin", secrets.token_hex(16))
        try:
            self.create(extra)
        except BaseException:
            self.close()
            raise

    def all(self):
        return range(1, self.nodes + 1)

    def host(self, node):
        return self.network.host(node) if self.network else "127.0.0.1"

    def address(self, node, room):
        return f"{self.host(node)}:{self.base_port + room + node}"

    def data_dir(self, node):
        return self.places.get(node, self.dir) / f"node-{node}"

    def log_path(self, node):
        return self.dir / f"node-{node}.log"

    def log(self, node):
        return self.log_path(node).read_text(errors="replace")

    def plan_path(self, node):
        return self.dir / f"node-{node}.failpoints"

    # --- making ---

    def flags(self, node):
        return ["--listen", self.address(node, 0), "--raft-listen", self.address(node, 100),
                "--data-listen", self.address(node, 200)]

    def in_place(self, node):
        return self.network.inside(node) if self.network else []

    def write_config(self, node, extra):
        lines = [f"name: node-{node}", f"data_dir: {self.data_dir(node)}",
                 f"listen: {self.address(node, 0)}", f"raft_listen: {self.address(node, 100)}",
                 f"data_listen: {self.address(node, 200)}", extra]
        if self.nodes > 1:
            lines += ["join:", f"  token_file: {self.dir}/join-token", "  peers:"]
            lines += [f"    - {self.address(i, 200)}" for i in self.all() if i != node]
        (self.dir / f"node-{node}.yaml").write_text("\n".join(lines) + "\n")

    def create(self, extra):
        for node in self.all():
            self.data_dir(node).mkdir(parents=True, exist_ok=True)
            self.write_config(node, extra)
        password = self.dir / "admin-password"
        password.write_text(self.admin[1])
        password.chmod(0o600)
        made = command(self.binary, "cluster", "init", "--data-dir", self.data_dir(1), "--name",
                       "node-1", "--token-ttl", "0", *self.flags(1), "--admin-password-file",
                       password)
        token = self.dir / "join-token"
        token.write_text(re.search(r"^Join token: *(\S+)", made.stdout, re.M).group(1) + "\n")
        token.chmod(0o600)
        self.launch(1)
        self.wait_answering(1)
        for node in list(self.all())[1:]:
            command(*self.in_place(node), self.binary, "cluster", "join", "--data-dir",
                    self.data_dir(node), "--name", f"node-{node}", "--token-file", token, "--peer",
                    self.address(1, 200), *self.flags(node))
            self.launch(node)
            self.wait_answering(node)
        self.wait_voters()

    def launch(self, node, **environment):
        """Start the node, whatever becomes of it. environment: variables for this run."""
        # A start that fails ends the process without tidying up.
        variables = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "CAISSON_FAILPOINTS":
                     str(self.plan_path(node)), **self.environment, **environment}
        with open(self.log_path(node), "ab") as log:
            self.processes[node] = subprocess.Popen(  # pylint: disable=consider-using-with
                [*self.in_place(node), str(self.binary), "serve", "--config",
                 str(self.dir / f"node-{node}.yaml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables,
                start_new_session=True)

    def wait_answering(self, node, seconds=60):
        def check():
            assert self.processes[node].poll() is None, f"node {node} stopped\n{self.logs()}"
            return caisson.request(self.url(node) + "/healthz", timeout=2).status == 200
        caisson.wait_until(check, seconds, f"node {node} answers")

    def wait_voters(self, seconds=60):
        def check():
            roles = [member["role"] for member in self.status()["members"]]
            return len(roles) == self.nodes and "learner" not in roles
        caisson.wait_until(check, seconds, f"{self.nodes} voters\n{self.logs()}")
        self.wait_ready(seconds=seconds)

    def logs(self, lines=15):
        out = []
        for node in self.all():
            with contextlib.suppress(OSError):
                tail = self.log(node).splitlines()[-lines:]
                out.append(f"--- node {node}\n" + "\n".join(tail))
        return "\n".join(out)

    # --- what happens to nodes ---

    def pid(self, node):
        return self.processes[node].pid

    def signal(self, node, number):
        self.processes[node].send_signal(number)

    def is_up(self, node):
        return node in self.processes and self.processes[node].poll() is None

    def wait_exit(self, node, seconds=20):
        """The exit code; minus the signal for one that was killed."""
        return self.processes[node].wait(seconds)

    def kill(self, node):
        if self.is_up(node):
            self.signal(node, signal.SIGKILL)
        self.wait_exit(node)

    def pause(self, node):
        self.signal(node, signal.SIGSTOP)

    def resume(self, node):
        self.signal(node, signal.SIGCONT)

    def stop(self, node):
        """A clean stop; the exit code."""
        if self.is_up(node):
            self.signal(node, signal.SIGTERM)
        return self.wait_exit(node)

    def restart(self, node, **environment):
        self.kill(node)
        self.launch(node, **environment)
        self.wait_answering(node)

    def wipe(self, node):
        assert not self.is_up(node)
        for path in self.data_dir(node).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def start(self):
        for node in self.all():
            if not self.is_up(node):
                self.launch(node)
        for node in self.all():
            self.wait_answering(node)
        self.wait_voters()

    # --- failpoints ---

    def arm(self, node, *lines):
        """The node's plan, from now on: "name action [n]" each; none: nothing is armed."""
        path = self.plan_path(node)
        fresh = path.with_suffix(".new")
        fresh.write_text("".join(line + "\n" for line in lines))
        fresh.rename(path)

    def seen(self):
        names = set()
        for node in self.all():
            with contextlib.suppress(OSError):
                names |= set((pathlib.Path(str(self.plan_path(node)) + ".seen")
                              .read_text().split()))
        return names

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
        for process in self.processes.values():
            process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)
        caisson.release_base_port(self.base_port)

    # --- what must hold after a fault ---

    def state_hashes(self, seconds=30):
        """The state hashes of all nodes, once they are at one index."""
        def same_index():
            found = [self.status(i)["node"] for i in self.all()]
            if len({one["applied_index"] for one in found}) != 1:
                return None
            return {one["state_hash"] for one in found}
        return caisson.wait_until(same_index, seconds, f"all at one index\n{self.logs()}")

    def check_clean_logs(self, allowed=()):
        """No assertion and no sanitizer report in any log."""
        for node in self.all():
            for line in self.log(node).splitlines():
                assert not re.search(r"(precondition|postcondition|check|impossible) failed|"
                                     r"ERROR: \w+Sanitizer|runtime error:", line) or any(
                                         word in line for word in allowed), \
                    f"node {node}: {line}\n{self.logs(60)}"


def settle(seconds):
    """A pause that is part of a plan, not a wait for something."""
    time.sleep(seconds)
