"""A clean stop under load: exit code 0 soon, nothing acknowledged is lost, a leader hands over, and
the next start finds the catalog as it was left."""
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import caisson
import test_leader_kills

STOPS = int(os.environ.get("CAISSON_STOPS", "6"))
STOP_SECONDS = 15
# What a process that ended in another way than by our wish leaves in its log.
LAST_WORDS = ("assertion", "impossible", "fail-stop", "AddressSanitizer", "ThreadSanitizer",
              "runtime error")


class Children:
    """The cluster's nodes as children of this process, so that their exit codes can be seen."""

    def __init__(self, cluster, binary):
        self.cluster = cluster
        self.binary = binary
        self.processes = {}
        cluster.script("stop")
        for node in range(1, cluster.nodes + 1):
            self.start(node)
        cluster.wait_ready()

    def start(self, node):
        with open(self.cluster.data_dir(node) / "caisson.log", "ab") as log:
            self.processes[node] = subprocess.Popen(
                [self.binary, "serve", "--config", str(self.cluster.dir / f"node-{node}.yaml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        (self.cluster.dir / f"node-{node}.pid").write_text(f"{self.processes[node].pid}\n")

    def stop(self, node):
        """The exit code."""
        self.processes[node].send_signal(signal.SIGTERM)
        return self.processes[node].wait(STOP_SECONDS)

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait(10)


class Pushes:
    """Blobs through every node, small and large, until the end; the acknowledged ones are kept."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.stop = threading.Event()
        self.acknowledged = []
        self.thread = threading.Thread(target=self.push, daemon=True)
        self.thread.start()

    def push(self):
        number, rng = 0, random.Random(7)
        while not self.stop.is_set():
            number += 1
            data = rng.randbytes(2000 if number % 3 else 3_000_000)
            try:
                node = number % self.cluster.nodes + 1
                self.acknowledged.append(self.cluster.push_blob(node, "kills/app", data))
            except (OSError, AssertionError):
                time.sleep(0.02)

    def end(self):
        self.stop.set()
        self.thread.join(60)


def check_log(cluster, node, since):
    text = cluster.log(node)[since:].lower()
    for words in LAST_WORDS:
        assert words.lower() not in text, cluster.log(node)[since:][-3000:]
    return text


def stop_and_start(cluster, children, node, was_leader):
    since = len(cluster.log(node))
    try:
        assert children.stop(node) == 0, cluster.logs()
    except subprocess.TimeoutExpired:
        pytest.fail(f"node {node} did not stop within {STOP_SECONDS} s\n{cluster.logs(40)}")
    text = check_log(cluster, node, since)
    assert "stopped" in text
    if was_leader:
        assert "handing leadership over" in text
    since = len(cluster.log(node))
    children.start(node)
    cluster.wait_ready()
    text = check_log(cluster, node, since)
    assert "log open" in text and "rebuilt" not in text


def test_nodes_stop_cleanly_under_load(fresh_cluster, binary):
    cluster = fresh_cluster()
    children = Children(cluster, binary)
    load, pushes = test_leader_kills.Load(cluster), Pushes(cluster)
    try:
        for number in range(STOPS):
            caisson.wait_until(lambda since=time.monotonic(): load.next_after(since), 30,
                               f"a write before the stop\n{cluster.logs()}")
            leader = cluster.leader()
            node = leader if number % 2 == 0 else leader % cluster.nodes + 1
            stop_and_start(cluster, children, node, node == leader)
    finally:
        load.end()
        pushes.end()
    assert test_leader_kills.lost_writes(cluster, load.acknowledged) == []
    assert len(test_leader_kills.state_hashes(cluster)) == 1
    for digest in pushes.acknowledged:
        for node in range(1, cluster.nodes + 1):
            assert cluster.call(node, f"/v2/kills/app/blobs/{digest}", "HEAD").status == 200
    for node in range(1, cluster.nodes + 1):
        assert children.stop(node) == 0
    children.end()


def test_a_node_that_waits_to_join_can_be_stopped(tmp_path, binary):
    token = "caisson-join-1." + "0" * 32 + "." + "0" * 64 + "." + "0" * 32
    (tmp_path / "token").write_text(token)
    (tmp_path / "data").mkdir()
    config = tmp_path / "node.yaml"
    base = caisson.free_base_port(1)
    config.write_text(f"name: n\ndata_dir: {tmp_path / 'data'}\nlisten: 127.0.0.1:{base + 1}\n"
                      f"raft_listen: 127.0.0.1:{base + 101}\ndata_listen: 127.0.0.1:{base + 201}\n"
                      f"join:\n  token_file: {tmp_path / 'token'}\n  peers: ['127.0.0.1:1']\n")
    with subprocess.Popen([binary, "serve", "--config", str(config)], stderr=subprocess.PIPE,
                          stdout=subprocess.DEVNULL) as process:
        assert b"joining" in process.stderr.readline()
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
