"""A network namespace per node, joined by a bridge, and ways to spoil it. Names begin with
"csn<pid>"; close() removes all of them. Needs root, ip, nsenter and iptables; tc, cc and
libnetfilter_queue for some of the faults."""
import ipaddress
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def lacks():
    """What is missing for namespaces at all; '' when they work."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nsenter", "iptables") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} is not installed"
    name = f"csn{os.getpid()}t"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return "this kernel makes no network namespaces: " + made.stderr.strip()
    rule = subprocess.run(["ip", "netns", "exec", name, "iptables", "-A", "INPUT", "-s", "10.0.0.1",
                           "-j", "DROP"], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], check=False)
    return "" if rule.returncode == 0 else "iptables does not work here: " + rule.stderr.strip()


def _run(*words, check=True):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=30, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done


class Network:
    """Nodes 1..n at host(node); this process reaches them over the bridge."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.name = f"csn{os.getpid()}"
        self.bridge = self.name + "b"
        self.net = None
        self.delays = {}  # node -> process
        self.delay_tool = None
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self):
        used = _run("ip", "-4", "addr").stdout
        number = next(i for i in [(os.getpid() + k) % 250 for k in range(250)]
                      if f"10.99.{i}." not in used)
        self.net = ipaddress.ip_network(f"10.99.{number}.0/24")
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{self.net[254]}/24", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")
        for node in self.all():
            inside, outside = "eth0", f"{self.name}v{node}"
            _run("ip", "netns", "add", self.space(node))
            _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns",
                 self.space(node))
            _run("ip", "link", "set", outside, "master", self.bridge, "up")
            self._in(node, "ip", "addr", "add", f"{self.host(node)}/24", "dev", inside)
            self._in(node, "ip", "link", "set", inside, "up")
            self._in(node, "ip", "link", "set", "lo", "up")

    def all(self):
        return range(1, self.nodes + 1)

    def space(self, node):
        return f"{self.name}-{node}"

    def host(self, node):
        return str(self.net[node])

    def inside(self, node):
        """What a command begins with to run in the node's namespace, as the same process."""
        return ["nsenter", f"--net=/run/netns/{self.space(node)}"]

    def _in(self, node, *words, check=True):
        return _run(*self.inside(node), *words, check=check)

    def _rule(self, node, *words):
        self._in(node, "iptables", "-w", *words)

    # --- faults ---

    def cut(self, at, peer):
        """What peer sends does not reach at; the other way still works."""
        self._rule(at, "-A", "INPUT", "-s", self.host(peer), "-j", "DROP")

    def cut_both(self, one, other):
        self.cut(one, other)
        self.cut(other, one)

    def lose(self, at, share):
        """A share of the packets from the other nodes is lost."""
        for peer in self.all():
            if peer != at:
                self._rule(at, "-A", "INPUT", "-s", self.host(peer), "-m", "statistic", "--mode",
                           "random", "--probability", share, "-j", "DROP")

    def reset(self, at, peer):
        """Connections from peer are reset."""
        self._rule(at, "-A", "INPUT", "-p", "tcp", "-s", self.host(peer), "-j", "REJECT",
                   "--reject-with", "tcp-reset")

    def limit(self, node, rate):
        self._in(node, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate,
                 "burst", "16k", "latency", "300ms")

    def mtu(self, node, size):
        self._in(node, "ip", "link", "set", "eth0", "mtu", size)

    def can_delay(self):
        """'' when delay() works here; builds what it needs."""
        if self.delay_tool:
            return ""
        tool = pathlib.Path(tempfile.mkdtemp(prefix="caisson-delay.")) / "delay"
        built = subprocess.run(["cc", "-O1", "-o", str(tool), str(HERE / "delay.c"),
                                "-lnetfilter_queue"], capture_output=True, text=True, check=False)
        if built.returncode != 0:
            shutil.rmtree(tool.parent)
            return "libnetfilter-queue-dev is not installed"
        self.delay_tool = tool
        return ""

    def delay(self, node, milliseconds, spread):
        """Packets from the other nodes arrive so much later."""
        assert self.can_delay() == ""
        self.delays[node] = subprocess.Popen([*self.inside(node), str(self.delay_tool),
                                              str(milliseconds), str(spread)],
                                             stderr=subprocess.DEVNULL)
        for peer in self.all():
            if peer != node:
                self._rule(node, "-A", "INPUT", "-s", self.host(peer), "-j", "NFQUEUE",
                           "--queue-num", "7", "--queue-bypass")

    def heal(self):
        for node in self.all():
            self._in(node, "iptables", "-w", "-F", check=False)
            self._in(node, "tc", "qdisc", "del", "dev", "eth0", "root", check=False)
            self._in(node, "ip", "link", "set", "eth0", "mtu", "1500", check=False)
        for process in self.delays.values():
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        self.delays = {}

    def close(self):
        for process in self.delays.values():
            process.kill()
            process.wait(10)
        for node in self.all():
            _run("ip", "netns", "del", self.space(node), check=False)
            _run("ip", "link", "del", f"{self.name}v{node}", check=False)
        _run("ip", "link", "del", self.bridge, check=False)
        if self.delay_tool:
            shutil.rmtree(self.delay_tool.parent, ignore_errors=True)
