"""The section `etcd` of scripts/bench: acknowledged writes per second beside Debian's etcd-server,
three members each on the same disk, by turns in one run.

etcd is asked over HTTP as Caisson is, both ways that it has: /v2/keys, which its own HTTP server
answers, and /v3/kv/put, which a gateway translates into gRPC. Peers of both talk over mutual TLS."""
import base64
import contextlib
import json
import pathlib
import shutil
import statistics
import subprocess
import tempfile

import caisson
import rivals

LOAD = caisson.ROOT / "build" / "tests" / "bench_base_http_load"
CLIENTS = (1, 16, 256)
MARK = "0" * 20  # bench_base_http_load makes each one another number.
VALUE_SIZE = 300  # Bytes of an entry of Caisson's log for a tag.


class Etcd:
    """Three members in a directory."""

    def __init__(self, directory):
        program = rivals.need("etcd", "etcd-server")
        self.base = caisson.free_base_port(6)
        self.processes = []
        peers = ",".join(f"m{i}=https://127.0.0.1:{self.base + 3 + i}" for i in (1, 2, 3))
        for i in (1, 2, 3):
            client, peer = (f"http://127.0.0.1:{self.base + i}",
                            f"https://127.0.0.1:{self.base + 3 + i}")
            self.processes.append(subprocess.Popen(
                [program, "--name", f"m{i}", "--data-dir", str(directory / f"m{i}"),
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--peer-auto-tls", "--initial-cluster", peers, "--enable-v2",
                 "--initial-cluster-token", "bench", "--log-level", "error"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def wait_ready(self):
        def healthy():
            return all(caisson.request(f"http://127.0.0.1:{self.base + i}/health").json()["health"]
                       == "true" for i in (1, 2, 3))
        caisson.wait_until(healthy, 30, "etcd is healthy")

    def leader(self):
        """The port of the leader for clients."""
        for i in (1, 2, 3):
            answer = caisson.request(f"http://127.0.0.1:{self.base + i}/v3/maintenance/status",
                                     "POST", b"{}").json()
            if answer["header"]["member_id"] == answer["leader"]:
                return self.base + i
        raise OSError("etcd has no leader")

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)


@contextlib.contextmanager
def etcd():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="caisson-bench-etcd."))
    members = None
    try:
        members = Etcd(directory)
        members.wait_ready()
        yield members
    finally:
        if members is not None:
            members.close()
        shutil.rmtree(directory, ignore_errors=True)


def load(port, clients, seconds, method, path, body, *headers):
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        done = subprocess.run([str(LOAD), str(port), str(clients), str(seconds), method, path,
                               file.name, *headers], check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    if result["failed"]:
        raise AssertionError(f"{method} {path}: {result['failed']} answers of "
                             f"{result['bad_status']}")
    return result


def writers(cluster, members):
    """{label: a function (clients, seconds) that writes}; both are asked at the leader."""
    manifest = cluster.image("commit")[2]
    ours = cluster.base_port + cluster.leader()
    theirs = members.leader()
    value = "v" * VALUE_SIZE
    gateway = json.dumps({"key": MARK, "value": base64.b64encode(value.encode()).decode()}).encode()
    return {
        "Caisson, tag": lambda clients, seconds: load(
            ours, clients, seconds, "PUT", "/v2/bench/app/manifests/t%", manifest,
            f"Content-Type: {caisson.MANIFEST}"),
        "etcd /v2/keys": lambda clients, seconds: load(
            theirs, clients, seconds, "PUT", "/v2/keys/t%", f"value={value}".encode(),
            "Content-Type: application/x-www-form-urlencoded"),
        "etcd /v3/kv/put": lambda clients, seconds: load(
            theirs, clients, seconds, "POST", "/v3/kv/put", gateway,
            "Content-Type: application/json"),
    }


def bench_etcd(options, say):
    """Medians of the turns; the writers take turns so that the disk's moods hit all of them."""
    say("### Commits beside etcd")
    say()
    with etcd() as members, rivals.cluster(3) as cluster:
        cluster.push_image(1, "bench/app", "first", "commit")
        found = writers(cluster, members)
        results = {}
        for clients in CLIENTS:
            for write in found.values():
                write(clients, 1)
            for _ in range(options.turns):
                for label, write in found.items():
                    results.setdefault((clients, label), []).append(
                        write(clients, options.seconds))
    say(f"Three members each, on one disk, HTTP with keep-alive at the leader, one request "
        f"outstanding per client, {VALUE_SIZE} bytes of value in etcd; by turns, medians of "
        f"{options.turns}; {options.busy()}. The ratio is to the faster of etcd's two ways.")
    say()
    say("| clients | write | per second | p50 ms | p99 ms | Caisson / etcd |")
    say("|---|---|---|---|---|---|")
    for clients in CLIENTS:
        rates = {label: statistics.median(one["per_second"] for one in results[clients, label])
                 for label in found}
        best = max(rate for label, rate in rates.items() if label.startswith("etcd"))
        for label, rate in rates.items():
            middle = [statistics.median(one[name] for one in results[clients, label])
                      for name in ("p50_ms", "p99_ms")]
            ratio = f"{rate / best:.2f}" if label.startswith("Caisson") else ""
            say(f"| {clients} | {label} | {rate:.0f} | {middle[0]:.2f} | {middle[1]:.2f} | "
                f"{ratio} |")
    say()
