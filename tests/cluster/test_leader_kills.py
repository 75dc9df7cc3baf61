"""Leaders die, stop and come back under load, nodes are restarted and wiped: no write that was
acknowledged is lost, and each node says the same in the end. scripts/kill-run runs more of it."""
import os
import signal
import statistics
import threading
import time

import caisson

KILLS = int(os.environ.get("CAISSON_KILLS", "6"))
FAULTS = os.environ.get("CAISSON_FAULTS", "pause,restart,wipe").split(",")
FAULT_ROUNDS = int(os.environ.get("CAISSON_FAULT_ROUNDS", "1"))
WRITERS = 4


class Load:
    """Writers that put manifests under tags of their own through every node, each at most once
    acknowledged; what happened is kept."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.acknowledged = {}  # tag -> digest
        self.times = []         # (begun, acknowledged), monotonic, of each
        self.threads = [threading.Thread(target=self.write, args=[i], daemon=True)
                        for i in range(WRITERS)]
        for seed in range(3):
            for blob in cluster.image(seed)[:2]:
                cluster.push_blob(1, "kills/app", blob)
        for thread in self.threads:
            thread.start()

    def write(self, writer):
        number = 0
        while not self.stop.is_set():
            number += 1
            manifest = self.cluster.image(number % 3)[2]
            tag = f"w{writer}-{number}"
            # Clients turn to another node when one does not answer.
            node = (writer + number) % self.cluster.nodes + 1
            begun = time.monotonic()
            try:
                answer = self.cluster.call(node, f"/v2/kills/app/manifests/{tag}", "PUT", manifest,
                                           {"Content-Type": caisson.MANIFEST}, timeout=5)
            except OSError:
                time.sleep(0.01)
                continue
            if answer.status == 201:
                with self.lock:
                    self.acknowledged[tag] = caisson.digest_of(manifest)
                    self.times.append((begun, time.monotonic()))

    def next_after(self, moment):
        """When a write that began after the moment was acknowledged first: what the dead leader
        had answered already does not count."""
        with self.lock:
            return min((end for begun, end in self.times if begun > moment), default=None)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(40)


def kill_leaders(cluster, kills):
    """Seconds from each kill to the next acknowledged write, and the load's record."""
    load, gaps = Load(cluster), []
    try:
        for _ in range(kills):
            caisson.wait_until(lambda since=time.monotonic(): load.next_after(since), 30,
                               f"a write before the kill\n{cluster.logs()}")
            leader = cluster.leader()
            killed = time.monotonic()
            os.kill(cluster.pid(leader), signal.SIGKILL)
            gaps.append(caisson.wait_until(lambda since=killed: load.next_after(since), 30,
                                           f"a write after the kill\n{cluster.logs()}") - killed)
            time.sleep(0.3)
            cluster.restart(leader)
            cluster.wait_ready()
    finally:
        load.end()
    return gaps, load.acknowledged


def write_after(cluster, load, what):
    """Seconds until a write that began from now on was acknowledged."""
    since = time.monotonic()
    return caisson.wait_until(lambda: load.next_after(since), 30,
                              f"a write after {what}\n{cluster.logs()}") - since


def write_through(cluster, node):
    """When a write through this node was acknowledged."""
    def write():
        answer = cluster.call(node, f"/v2/kills/app/manifests/p{time.monotonic_ns()}", "PUT",
                              cluster.image(0)[2], {"Content-Type": caisson.MANIFEST}, timeout=15)
        return time.monotonic() if answer.status == 201 else None
    return caisson.wait_until(write, 30, f"a write through node {node}\n{cluster.logs()}")


def describe_gaps(gaps):
    """p50, p99 and the longest of these seconds, in ms."""
    times = sorted(round(gap * 1000) for gap in gaps)
    worst = times[min(len(times) - 1, int(len(times) * 0.99))]
    return (f"p50 {statistics.median(times):.0f} ms, p99 {worst} ms, max {times[-1]} ms, "
            f"all {times}")


def fault_kill(cluster, load):
    leader = cluster.leader()
    cluster.kill(leader)
    gap = write_after(cluster, load, "the kill")
    cluster.restart(leader)
    return gap


def fault_pause(cluster, load):
    leader = cluster.leader()
    paused = time.monotonic()
    cluster.pause(leader)
    try:
        # The load's writers may all be waiting for the paused node: that is the client's time-out.
        gap = write_through(cluster, leader % cluster.nodes + 1) - paused
        write_after(cluster, load, "the pause")
        return gap
    finally:
        cluster.resume(leader)


def fault_restart(cluster, load):
    leader = cluster.leader()
    for node in range(1, cluster.nodes + 1):
        if node != leader:
            cluster.restart(node)
            cluster.wait_ready()
            write_after(cluster, load, f"the restart of node {node}")


def fault_wipe(cluster, load):
    node = cluster.leader() % cluster.nodes + 1
    cluster.kill(node)
    write_after(cluster, load, "the kill")
    cluster.wipe(node)
    cluster.restart(node)
    caisson.wait_until(lambda: voters(cluster) == cluster.nodes, 60,
                       f"node {node} votes again\n{cluster.logs()}")


def voters(cluster):
    roles = [member["role"] for member in cluster.status()["members"]]
    return len(roles) - roles.count("learner") if len(roles) == cluster.nodes else 0


def lost_writes(cluster, acknowledged):
    """(node, tag) of every acknowledged write that a node does not have as it was."""
    lost = []
    for node in range(1, cluster.nodes + 1):
        for tag, digest in acknowledged.items():
            answer = cluster.call(node, f"/v2/kills/app/manifests/{tag}", "HEAD",
                                  headers={"Accept": caisson.MANIFEST})
            if answer.status != 200 or answer.headers["Docker-Content-Digest"] != digest:
                lost.append((node, tag))
    return lost


def state_hashes(cluster):
    """{applied index: {hashes}} once all nodes are at one index."""
    def same_index():
        nodes = [cluster.status(i)["node"] for i in range(1, cluster.nodes + 1)]
        found = {(node["applied_index"], node["state_hash"]) for node in nodes}
        return found if len({index for index, _ in found}) == 1 else None
    return caisson.wait_until(same_index, 30, "all nodes at one index")


def test_no_acknowledged_write_is_lost_when_leaders_die(fresh_cluster):
    cluster = fresh_cluster()
    gaps, acknowledged = kill_leaders(cluster, KILLS)
    assert len(gaps) == KILLS and len(acknowledged) > KILLS
    assert lost_writes(cluster, acknowledged) == []
    assert len(state_hashes(cluster)) == 1
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged writes, none lost; kill to next write: "
          f"{describe_gaps(gaps)}")


def test_no_acknowledged_write_is_lost_when_nodes_stop_and_come_back(fresh_cluster):
    cluster = fresh_cluster()
    load, gaps = Load(cluster), {}
    try:
        for _ in range(FAULT_ROUNDS):
            for fault in FAULTS:
                gap = globals()["fault_" + fault](cluster, load)
                if gap is not None:
                    gaps.setdefault(fault, []).append(gap)
                cluster.wait_ready()
                write_after(cluster, load, fault)
    finally:
        load.end()
    assert lost_writes(cluster, load.acknowledged) == []
    assert len(state_hashes(cluster)) == 1
    print(f"{FAULT_ROUNDS} rounds of {', '.join(FAULTS)}: {len(load.acknowledged)} acknowledged "
          "writes, none lost, equal state hashes")
    for fault, times in gaps.items():
        print(f"{fault} of the leader to next write: {describe_gaps(times)}")
