#!/usr/bin/env python3
"""Three real nodes, clients that record every operation, and a plan of faults that a seed draws.

  nemesis.py [--seed N] [--seconds N] [--faults a,b,...] [--record FILE] [--list]

Prints the plan first; the same seed gives the same plan. In the end the network and the disks are
healed, all nodes run, and the history is judged: linearizable per tag, nothing acknowledged lost,
promotions once, content whole at every node, one state hash. Exit 0: nothing found; 1: a finding,
with the seed that shows it; 2: too few operations for a verdict. A fault whose tools the machine
lacks is left out, and said."""
import argparse
import base64
import contextlib

import http.client
import json
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster"), str(HERE.parent / "lib")]

# pylint: disable=wrong-import-position
import caisson  # noqa: E402
import disks as disks_module  # noqa: E402
import harness  # noqa: E402
import history  # noqa: E402
import network as network_module  # noqa: E402
import workload  # noqa: E402

CLIENTS = 6
REPO = "dev/nemesis/app"
PLAIN_TAGS = [f"plain-{i}" for i in range(4)]
FULL_TAGS = [f"full-{i}" for i in range(40)]  # With delete and compare-and-set: few operations each.
EXTRA = ("snapshot_threshold: 200\nsnapshot_trailing: 32\nlog_segment_size: 9MiB\n"
         "free_space_mark: 8MiB\n")


# --- clients ------------------------------------------------------------------------------------

class Client(threading.Thread):
    """One client that turns to one node after another, one operation at a time."""

    def __init__(self, run, number):
        super().__init__(daemon=True)
        self.run_of, self.number = run, number
        self.dice = random.Random(f"{run.seed}-{number}")
        self.connections = {}
        self.n = 0

    def request(self, node, method, path, body=None, headers=None):
        """The answer, or None when it is not known what became of it."""
        headers = {**(headers or {}), "Authorization": self.run_of.authorization}
        connection = self.connections.get(node)
        if connection is None:
            connection = http.client.HTTPConnection(
                self.run_of.cluster.host(node), self.run_of.cluster.base_port + node, timeout=4)
            self.connections[node] = connection
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return caisson.Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            self.connections.pop(node, None)
            return None

    def run(self):
        while not self.run_of.stop.is_set():
            node = self.dice.randrange(self.run_of.cluster.nodes) + 1
            kind = self.dice.random()
            if kind < 0.5:
                self.get(node, self.dice.choice(PLAIN_TAGS + FULL_TAGS[:4]))
            elif kind < 0.85:
                self.put(node, self.dice.choice(PLAIN_TAGS))
            else:
                self.change(node)
            time.sleep(0.002)

    def path(self, tag):
        return f"/v2/{REPO}/manifests/{tag}"

    def finish(self, operation, answer, good, bad):
        if answer is None:
            self.run_of.recorder.end(operation, "unknown")
            time.sleep(0.02)
        elif answer.status in good:
            self.run_of.recorder.end(operation, "ok", answer.status)
        elif answer.status in bad:
            self.run_of.recorder.end(operation, "fail", answer.status)
        else:
            self.run_of.recorder.end(operation, "unknown", answer.status)
            if answer.status < 500:
                self.run_of.surprises.append(f"{operation}: {answer}")

    def get(self, node, tag):
        operation = self.run_of.recorder.begin(self.number, "get", repo=REPO, tag=tag, node=node)
        answer = self.request(node, "GET", self.path(tag), headers={"Accept": caisson.MANIFEST})
        digest = None
        if answer is not None and answer.status == 200:
            digest = caisson.digest_of(answer.body)
            if digest != answer.headers["Docker-Content-Digest"]:
                self.run_of.surprises.append(f"wrong bytes: {operation}")
        operation["digest"] = digest
        self.finish(operation, answer, (200, 404), ())
        return digest if answer is not None and answer.status == 200 else None

    def new_manifest(self):
        self.n += 1
        manifest = dict(self.run_of.manifest, annotations={
            "client": f"{self.run_of.seed}-{self.number}-{self.n}"})
        body = json.dumps(manifest).encode()
        return body, caisson.digest_of(body)

    def put(self, node, tag):
        body, digest = self.new_manifest()
        operation = self.run_of.recorder.begin(self.number, "put", repo=REPO, tag=tag, node=node,
                                               digest=digest)
        answer = self.request(node, "PUT", self.path(tag), body, {"Content-Type": caisson.MANIFEST})
        self.finish(operation, answer, (201,), ())

    def change(self, node):
        """A delete or a compare-and-set of a tag that gets few operations."""
        tag = FULL_TAGS[self.run_of.next_full() // 30 % len(FULL_TAGS)]
        seen = self.get(node, tag)
        if seen is None:
            self.put(node, tag)
        elif self.dice.random() < 0.3:
            operation = self.run_of.recorder.begin(self.number, "delete", repo=REPO, tag=tag,
                                                   node=node, digest=None)
            self.finish(operation, self.request(node, "DELETE", self.path(tag)), (202,), (404,))
        else:
            body, digest = self.new_manifest()
            operation = self.run_of.recorder.begin(self.number, "cas", repo=REPO, tag=tag,
                                                   node=node, digest=digest, expect=seen)
            answer = self.request(node, "PUT", self.path(tag), body, {
                "Content-Type": caisson.MANIFEST, "If-Match": f'"{seen}"'})
            self.finish(operation, answer, (201,), (412,))


class Promoter(threading.Thread):
    """Pushes images and promotes them, each asked twice under one key, through different nodes."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.run_of = run
        self.work = workload.Workload(run.cluster)
        self.dice = random.Random(f"{run.seed}-promoter")

    def ask(self, node, tag, key):
        body = {"pipeline": self.work.name, "to": "test", "wait": 2,
                "items": [{"repo": self.work.repository, "tag": tag}]}
        operation = self.run_of.recorder.begin("promoter", "promote", key=key, node=node, tag=tag)
        answer = self.work.call(node, "/api/v1/promotions", "POST", json.dumps(body).encode(),
                                {"Content-Type": "application/json", "Idempotency-Key": key}, 5)
        if answer is not None and answer.status == 200 and \
                answer.json()["state"] == "committed":
            self.run_of.recorder.end(operation, "ok", 200, id=answer.json()["id"],
                                     revision=answer.json()["revision"])
            (self.work.promoted[tag],) = self.work.tags[tag]
        else:
            self.run_of.recorder.end(operation, "unknown", answer.status if answer else 0)

    def run(self):
        n = 0
        while not self.run_of.stop.is_set():
            n += 1
            nodes = self.dice.sample(list(self.run_of.cluster.all()), 2)
            tag = f"p{n}"
            if (self.work.has_pipeline or self.work.pipeline(nodes[0])) and \
                    self.work.push_image(nodes[0], tag):
                key = f"{self.work.name}-{n}"
                both = [threading.Thread(target=self.ask, args=(node, tag, key)) for node in nodes]
                for thread in both:
                    thread.start()
                for thread in both:
                    thread.join()
                self.ask(nodes[0], tag, key)
            time.sleep(0.1)


# --- faults -------------------------------------------------------------------------------------
# Each is a generator: up to the yield it hurts, after it heals. run.dice decides the details.

def some(run):
    """A node: the leader half of the time."""
    if run.dice.random() < 0.5:
        with contextlib.suppress(AssertionError, OSError):
            return run.cluster.leader(seconds=5)
    return run.dice.choice(list(run.cluster.all()))


def kill(run):
    node = some(run)
    run.cluster.kill(node)
    yield f"node {node}"
    run.cluster.launch(node)


def kill_all(run):
    for node in run.cluster.all():
        run.cluster.kill(node)
    yield "all"
    for node in run.cluster.all():
        run.cluster.launch(node)


def pause(run):
    node = some(run)
    run.cluster.pause(node)
    yield f"node {node}"
    run.cluster.resume(node)


def stop(run):
    node = some(run)
    code = run.cluster.stop(node)
    if code != 0:
        run.surprises.append(f"a clean stop of node {node} ended with {code}")
    yield f"node {node}"
    run.cluster.launch(node)


def wipe(run):
    node = some(run)
    run.cluster.kill(node)
    run.cluster.wipe(node)
    yield f"node {node}"
    run.cluster.launch(node)
    run.wait_voters()


def partition(run):
    node = some(run)
    for peer in run.cluster.all():
        if peer != node:
            run.network.cut_both(node, peer)
    yield f"node {node} alone"


def split(run):
    for one in run.cluster.all():
        for other in run.cluster.all():
            if one != other:
                run.network.cut(one, other)
    yield "each alone"


def bridge(run):
    middle = some(run)
    ends = [node for node in run.cluster.all() if node != middle]
    run.network.cut_both(ends[0], ends[1])
    yield f"node {middle} between the others"


def one_way(run):
    node = some(run)
    deaf = run.dice.random() < 0.5
    for peer in run.cluster.all():
        if peer != node:
            run.network.cut(*((node, peer) if deaf else (peer, node)))
    yield f"node {node} {'hears' if deaf else 'is heard by'} nobody"


def ring(run):
    nodes = list(run.cluster.all())
    for one, other in zip(nodes, nodes[1:] + nodes[:1]):
        run.network.cut(one, other)
    yield "one way round"


def clog(run):
    pairs = [(a, b) for a in run.cluster.all() for b in run.cluster.all() if a < b]
    run.dice.shuffle(pairs)
    for pair in pairs:
        run.network.cut_both(*pair)
        harness.settle(0.3)
    yield "links one after the other"


def loss(run):
    share = run.dice.choice((0.05, 0.3, 0.5))
    for node in run.cluster.all():
        run.network.lose(node, share)
    yield f"{share:.0%}"


def reset(run):
    node = some(run)
    for peer in run.cluster.all():
        if peer != node:
            run.network.reset(node, peer)
    yield f"connections to node {node}"


def rate(run):
    node = some(run)
    run.network.limit(node, "1mbit")
    yield f"node {node} 1 Mbit/s"


def mtu(run):
    node = some(run)
    run.network.mtu(node, 600)
    yield f"node {node} 600"


def delay(run):
    milliseconds, spread = run.dice.choice(((25, 50), (75, 50), (200, 0)))
    node = some(run)
    run.network.delay(node, milliseconds, spread)
    yield f"node {node} {milliseconds} to {milliseconds + spread} ms"


def power_cut(run):
    node = some(run)
    run.disks[node].cut_power()
    run.cluster.kill(node)
    run.disks[node].repower()
    yield f"node {node}"
    run.cluster.launch(node)


def power_cut_all(run):
    for node in run.cluster.all():
        run.disks[node].cut_power()
    for node in run.cluster.all():
        run.cluster.kill(node)
        run.disks[node].repower()
    yield "all at once"
    for node in run.cluster.all():
        run.cluster.launch(node)


def full_disk(run):
    node = some(run)
    run.disks[node].fill()
    yield f"node {node}"
    run.disks[node].free()


def no_inodes(run):
    node = some(run)
    run.disks[node].fill_inodes()
    yield f"node {node}"
    run.disks[node].free()


def clock(run):
    """The wall clock of one node is elsewhere after a restart."""
    node = some(run)
    shift = run.dice.choice(("+1h", "-1h", "+23h", "-23h"))
    run.cluster.kill(node)
    run.cluster.launch(node, LD_PRELOAD=run.faketime, FAKETIME=shift, FAKETIME_DONT_FAKE_MONOTONIC="1")
    yield f"node {node} {shift}"
    run.cluster.kill(node)
    run.cluster.launch(node)


NETWORK = (partition, split, bridge, one_way, ring, clog, loss, reset, rate, mtu, delay)
DISK = (power_cut, power_cut_all, full_disk, no_inodes)
ALL = (kill, kill_all, pause, stop, wipe, *NETWORK, *DISK, clock)


def find_faketime():
    paths = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(paths[0]) if paths else ""


# --- a run --------------------------------------------------------------------------------------

class Run:
    """A cluster on spoilable ground, clients on it, and what they saw."""

    def __init__(self, seed, names, seconds, record=None):
        self.seed = seed
        self.seconds = seconds
        self.dice = random.Random(seed)
        self.stop = threading.Event()
        self.recorder = history.Recorder(record)
        self.surprises = []
        self.full = 0
        self.lock = threading.Lock()
        self.faketime = find_faketime()
        self.network, self.disks, self.cluster = None, {}, None
        self.faults = [fault for fault in ALL if not names or fault.__name__ in names]
        self.drop_impossible()
        self.plan = self.draw()

    def drop(self, faults, why):
        mine = [fault for fault in self.faults if fault in faults]
        if why and mine:
            print(f"left out {', '.join(fault.__name__ for fault in mine)}: {why}")
            self.faults = [fault for fault in self.faults if fault not in faults]

    def drop_impossible(self):
        self.drop(NETWORK, network_module.lacks())
        self.drop(DISK, disks_module.lacks())
        self.drop((clock,), "" if self.faketime else "faketime is not installed")
        self.drop((rate,), "" if shutil.which("tc") else "tc is not installed")
        if delay in self.faults:
            with contextlib.closing(network_module.Network(1)) as probe:
                self.drop((delay,), probe.can_delay())

    def draw(self):
        """Faults of 1 to 4 s with pauses of 0.3 to 1 s between them, for so many seconds."""
        plan, at = [], 1.0
        while at < self.seconds:
            fault, long = self.dice.choice(self.faults), self.dice.uniform(1, 4)
            plan.append((fault, long, self.dice.uniform(0.3, 1)))
            at += long + plan[-1][2]
        return plan

    def open(self):
        if any(fault in NETWORK for fault in self.faults):
            self.network = network_module.Network(3)
        if any(fault in DISK for fault in self.faults):
            for node in (1, 2, 3):
                self.disks[node] = disks_module.Disk()
        self.cluster = harness.Nodes(3, extra=EXTRA, network=self.network, places={
            node: disk.path for node, disk in self.disks.items()})
        self.authorization = caisson_login(self.cluster.admin)
        config, layer, manifest = self.cluster.image("nemesis")
        for data in (config, layer):
            self.cluster.push_blob(1, REPO, data)
        self.manifest = json.loads(manifest)

    def next_full(self):
        with self.lock:
            self.full += 1
            return self.full

    def wait_voters(self):
        self.cluster.wait_voters(seconds=60)

    def hurt(self, fault, seconds, rest):
        # What a fault draws does not depend on how the one before it went.
        since = time.monotonic()
        steps = fault(self)
        what = next(steps)
        print(f"  {fault.__name__}: {what}, {seconds:.1f} s", flush=True)
        harness.settle(max(0, seconds - (time.monotonic() - since)))
        next(steps, None)
        if self.network:
            self.network.heal()
        harness.settle(rest)
        self.revive()

    def revive(self):
        """A node that stopped itself, as it must when its disk fails, is started again."""
        for node in self.cluster.all():
            if not self.cluster.is_up(node):
                code = self.cluster.wait_exit(node)
                if code not in (harness.EXIT_FAIL_STOP, -9, 1):
                    self.surprises.append(f"node {node} ended with {code}")
                self.cluster.launch(node)

    def heal(self):
        if self.network:
            self.network.heal()
        for disk in self.disks.values():
            disk.free()
        end = time.monotonic() + 60
        while True:
            self.revive()
            with contextlib.suppress(AssertionError, OSError):
                self.cluster.wait_voters(seconds=5)
                return
            if time.monotonic() > end:
                raise AssertionError(f"not healthy 60 s after the last fault\n{self.cluster.logs()}")

    def go(self):
        clients = [Client(self, i) for i in range(CLIENTS)]
        promoter = Promoter(self)
        for thread in [*clients, promoter]:
            thread.start()
        harness.settle(1)
        for fault, seconds, rest in self.plan:
            self.hurt(fault, seconds, rest)
        self.heal()
        harness.settle(1)
        self.stop.set()
        for thread in [*clients, promoter]:
            thread.join(60)
        return self.judge(promoter)

    def judge(self, promoter):
        """What is wrong."""
        for node in self.cluster.all():
            self.final_reads(node)
        operations = self.recorder.operations
        found = list(self.surprises)
        found += history.check_linearizable(operations)
        found += history.check_once(operations)
        for node in self.cluster.all():
            found += [f"node {node}: {one}" for one in
                      history.check_set(operations, {REPO: self.digests(node, operations)})]
        try:
            promoter.work.check()
            assert len(self.cluster.state_hashes()) == 1, "the state hashes differ"
            self.cluster.check_clean_logs()
        except (AssertionError, OSError) as error:
            found.append(str(error))
        return found

    def final_reads(self, node):
        client = Client(self, f"final-{node}")
        for tag in PLAIN_TAGS + FULL_TAGS:
            client.get(node, tag)

    def digests(self, node, operations):
        """Which of the digests that were ever put this node has."""
        client, there = Client(self, f"walk-{node}"), set()
        for digest in {one["digest"] for one in operations if one["op"] in ("put", "cas")}:
            answer = client.request(node, "HEAD", f"/v2/{REPO}/manifests/{digest}",
                                    headers={"Accept": caisson.MANIFEST})
            if answer is not None and answer.status == 200:
                there.add(digest)
        return there

    def close(self):
        self.stop.set()
        if self.cluster:
            self.cluster.close()
        for disk in self.disks.values():
            disk.close()
        if self.network:
            self.network.close()
        self.recorder.close()


def caisson_login(login):

    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--faults", default="")
    parser.add_argument("--record")
    parser.add_argument("--least", type=int, default=200, help="operations for a verdict")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(fault.__name__ for fault in ALL))
        return 0
    unknown = set(filter(None, options.faults.split(","))) - {fault.__name__ for fault in ALL}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))} (--list)")
    run = Run(options.seed, [name for name in options.faults.split(",") if name], options.seconds, options.record)
    print(f"seed {run.seed}: " + ", ".join(
        f"{fault.__name__} {seconds:.1f} s" for fault, seconds, _ in run.plan), flush=True)
    try:
        run.open()
        found = run.go()
        operations = run.recorder.operations
        ok = sum(one["outcome"] == "ok" for one in operations)
        print(f"seed {run.seed}: {len(run.plan)} faults, {len(operations)} operations, {ok} ok, "
              f"longest write gap {history.longest_gap(operations):.2f} s, "
              f"{len(found)} findings", flush=True)
        for one in found[:20]:
            print(f"FOUND (seed {run.seed}): {one}", flush=True)
        if found:
            print(run.cluster.logs(40))
        return 1 if found else 0 if ok >= options.least else 2
    finally:
        run.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as late:
        sys.exit(f"FOUND: {late}")
