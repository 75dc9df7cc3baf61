"""Each named failpoint is reached by ordinary work, and a node that dies there comes back with
everything that was acknowledged. CAISSON_FAILPOINTS_ALL=1 dies at each of them, at the node that
serves the client and at another; without it, a few that CAISSON_SEED chooses."""
import contextlib
import json
import os
import random
import signal
import subprocess
import time

import pytest

import caisson
import harness
import workload

# Small logs, so that segments roll and snapshots are made and sent within a test.
SMALL = "snapshot_threshold: 60\nsnapshot_trailing: 16\nlog_segment_size: 9MiB"
SAMPLE = int(os.environ.get("CAISSON_FAILPOINTS_SAMPLE", "3"))

# Reached when a node starts, stops, joins or is mended, not by a client's request.
AT_START = ("vote.", "bootstrap.", "identity.", "mend.", "shards.", "segment.", "catalog.before_un",
            "catalog.after_un", "restore.", "directory.", "durable.", "catalog.before_swap",
            "catalog.after_swap")
AT_STOP = ("catalog.before_mark", "catalog.after_mark", "transfer.")
WIPED = ("incoming.", "install.", "identity.", "durable.", "directory.after_make", "segment.header",
         "segment.before_ren", "segment.after_ren")

# What a node's log says when a point is fired there.
FIRED = "\nfailpoint "

pytestmark = pytest.mark.skipif(not harness.DEBUG.exists(),
                                reason=f"{harness.DEBUG} is missing: scripts/test builds it")


def test_failpoint__names_are_unique_and_enough():
    names = harness.failpoints()
    assert len(names) == len(set(names)) and len(names) >= 60, sorted(names)


def fill_log(cluster, work, megabytes):
    """Manifests whose records are large, so that the log goes on in its next segment."""
    config, layer, _ = cluster.image(work.name)
    assert work.push_blob(1, config) and work.push_blob(1, layer)
    for i in range(megabytes * 9):
        manifest = {"schemaVersion": 2, "mediaType": caisson.MANIFEST,
                    "config": {"mediaType": caisson.CONFIG, "digest": caisson.digest_of(config),
                               "size": len(config)},
                    "layers": [{"mediaType": caisson.LAYER, "digest": caisson.digest_of(layer),
                                "size": len(layer)}],
                    "subject": {"mediaType": caisson.MANIFEST, "size": 2,
                                "digest": caisson.digest_of(b"{}")},
                    "annotations": {f"note-{n}": f"{i:06d}" * 1000 for n in range(20)}}
        answer = cluster.put_manifest(1 + i % 3, work.repository, f"large-{i}",
                                      json.dumps(manifest).encode())
        assert answer.status == 201, answer


def spoil(path, offset, size=64):
    with open(path, "r+b") as file:
        file.seek(offset)
        was = file.read(size)
        file.seek(offset)
        file.write(bytes(byte ^ 0xff for byte in was))


def damage_blob(cluster, work, node):
    """The content of a layer at one node changes; reading it there finds that."""
    _, layer, _ = cluster.image(work.name)
    name = caisson.digest_of(layer).split(":")[1]
    path = cluster.data_dir(node) / "blobs" / "sha256" / name[:2] / name
    if path.exists():
        spoil(path, 0)
    for suffix in ("", ".crc"):
        with contextlib.suppress(OSError):
            os.utime(str(path) + suffix)
    answer = cluster.call(node, f"/v2/{work.repository}/blobs/{caisson.digest_of(layer)}")
    if answer.status == 200:
        assert caisson.digest_of(answer.body) == caisson.digest_of(layer)


def tear_log(cluster, node):
    """What a power cut in the middle of a batch leaves: the next start mends it."""
    segments = sorted((cluster.data_dir(node) / "log").glob("segment-*"))
    data = segments[-1].read_bytes()
    end = len(data.rstrip(b"\0"))
    spoil(segments[-1], end - 8, 8)


def cut_off_entries(cluster, work):
    """A leader that dies with entries that nobody else has: it takes them back when it returns."""
    leader = cluster.leader()
    others = [node for node in cluster.all() if node != leader]
    for node in others:
        cluster.kill(node)  # Paused, they would find the entries in their sockets.
    answer = work.call(leader, f"/v2/{work.repository}/manifests/moving", "DELETE", timeout=2)
    assert answer is None or answer.status != 202, answer
    work.tags["moving"].add(None)
    cluster.kill(leader)
    for node in others:
        cluster.launch(node)
    caisson.wait_until(lambda: work.push_image(others[0]), 30, "a write without the old leader")
    cluster.launch(leader)
    cluster.wait_answering(leader)
    cluster.wait_voters()


def give_up_upload(cluster, work, node):
    """An upload is at the node that it began at, and removed there."""
    start = cluster.call(node, f"/v2/{work.repository}/blobs/uploads/", "POST", b"")
    more = cluster.call(node, start.headers["Location"], "PATCH", b"x" * 1000)
    assert more.status == 202, more
    assert cluster.call(node, more.headers["Location"], "DELETE").status == 204


def reach_all(cluster):
    """Everything that a cluster does in its life, once."""
    work = workload.Workload(cluster)
    for node in cluster.all():
        assert all(work.round(node)), cluster.logs()
    promotions_by_timer(cluster, work)
    fill_log(cluster, work, 10)
    damage_blob(cluster, work, 2)
    give_up_upload(cluster, work, 1)
    cut_off_entries(cluster, work)
    # A node that lags is sent a snapshot; what it had appended alone is cut off.
    lost = cluster.leader()
    cluster.pause(lost)
    others = [node for node in cluster.all() if node != lost]
    caisson.wait_until(lambda: work.push_image(others[0]), 30, "a write without the old leader")
    cluster.resume(lost)
    for node in others:
        assert all(work.round(node)), cluster.logs()
    cluster.kill(lost)
    for _ in range(4):
        assert all(work.round(others[0])), cluster.logs()
    cluster.restart(lost)
    cluster.wait_voters()
    # A clean stop of each, which hands leadership over; then a crash with a torn log; then a wipe.
    for node in cluster.all():
        assert cluster.stop(node) == 0, cluster.logs()
        cluster.launch(node)
        cluster.wait_answering(node)
        cluster.wait_ready()
    cluster.kill(3)
    tear_log(cluster, 3)
    cluster.launch(3)
    with contextlib.suppress(AssertionError):
        cluster.wait_answering(3, 20)
    cluster.kill(3)
    cluster.wipe(3)
    cluster.launch(3)
    cluster.wait_answering(3)
    cluster.wait_voters()
    assert all(work.round(3)), cluster.logs()
    return work


def promotions_by_timer(cluster, work):
    """A promotion whose gate opens with time: the leader's timer commits it."""
    name = work.name + "soak"
    document = {"pipeline": name, "stages": [
        {"name": "dev", "repos": f"dev/{name}/*", "write": "open"},
        {"name": "test", "repos": f"test/{name}/*", "write": "promotion-only", "from": "dev",
         "gates": [{"id": "soak", "type": "soak", "min": "1s"}]}]}
    headers = {"Content-Type": "application/json"}
    answer = cluster.call(1, f"/api/v1/pipelines/{name}", "PUT", json.dumps(document).encode(),
                          headers)
    assert answer.status == 200, answer
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    body = {"pipeline": name, "to": "test", "wait": 0,
            "items": [{"repo": f"dev/{name}/web", "tag": "1.0"}]}
    answer = cluster.call(1, "/api/v1/promotions", "POST", json.dumps(body).encode(), headers)
    assert answer.status in (200, 202), answer
    path = f"/v2/test/{name}/web/manifests/1.0"
    caisson.wait_until(lambda: cluster.call(2, path, headers={"Accept": caisson.MANIFEST}).status
                       == 200, 30, "the timer's promotion")


def test_failpoint__each_is_reached(nodes):
    cluster = nodes(binary=harness.DEBUG, extra=SMALL)
    work = reach_all(cluster)
    missing = sorted(set(harness.failpoints()) - cluster.seen())
    assert not missing, f"not reached: {missing}"
    work.check()
    assert len(cluster.state_hashes()) == 1
    cluster.check_clean_logs()


def provoke_mend(cluster, _work, victim):
    cluster.kill(victim)
    tear_log(cluster, victim)
    cluster.launch(victim)
    cluster.processes[victim].wait(10)


def provoke_quarantine(cluster, work, victim):
    assert work.push_image(victim)
    damage_blob(cluster, work, victim)


def provoke_new_leader(cluster, _work, victim):
    """The plan of the victim holds for whoever is elected."""
    plan = cluster.plan_path(victim).read_text().splitlines()
    leader = cluster.leader()
    for node in cluster.all():
        cluster.arm(node, *plan)
    cluster.kill(leader)
    others = [node for node in cluster.all() if node != leader]
    caisson.wait_until(lambda: not all(cluster.is_up(node) for node in others), 20, "a death")


# What ordinary requests do not reach, and how to get there (the cluster, the work, the victim).
PROVOKE = {
    "mend.": provoke_mend,
    "quarantine.": provoke_quarantine,
    "barrier.": provoke_new_leader,
    "upload.before_remove": give_up_upload,
    "promoter.": lambda cluster, work, _: promotions_by_timer(cluster, work),
    "log.before_truncate": lambda cluster, work, _: cut_off_entries(cluster, work),
    "log.before_seal": lambda cluster, work, _: fill_log(cluster, work, 10),
    "log.after_seal": lambda cluster, work, _: fill_log(cluster, work, 10),
    "segment.before_remove": lambda cluster, work, _: fill_log(cluster, work, 20),
    "segment.after_remove": lambda cluster, work, _: fill_log(cluster, work, 20),
}
SLOW = ("log.before_seal", "log.after_seal", "segment.before_remove", "segment.after_remove")


def provoke(cluster, work, name, victim):
    for prefix, way in PROVOKE.items():
        if name.startswith(prefix):
            # The node dies under it.
            with contextlib.suppress(AssertionError, OSError, subprocess.TimeoutExpired):
                way(cluster, work, victim)
            return
    end = time.monotonic() + 12
    while all(cluster.is_up(node) for node in cluster.all()) and time.monotonic() < end:
        work.round(random.choice((victim, victim % cluster.nodes + 1)))
        work.push_image(victim)


def await_death(cluster, marks):
    """What a request leads to may come after its answer. Once nothing is armed no point is fired any
    more, and whoever said that it dies is waited for."""
    end = time.monotonic() + 5
    while (all(cluster.is_up(node) and cluster.log(node).count(FIRED) == count
               for node, count in marks.items()) and time.monotonic() < end):
        harness.settle(0.05)
    for node in cluster.all():
        cluster.arm(node)
    harness.settle(0.2)
    for node, count in marks.items():
        if cluster.log(node).count(FIRED) > count:
            cluster.wait_exit(node)


def crash_at(cluster, work, name, victim):
    """Arm the point and do what reaches it. True: a node died there."""
    action = random.choice(("exit", "kill"))
    marks = {node: cluster.log(node).count(FIRED) for node in cluster.all()}
    if name.startswith(WIPED):
        cluster.kill(victim)
        cluster.wipe(victim)
    if name.startswith(AT_START + WIPED) and not name.startswith(tuple(PROVOKE)):
        cluster.kill(victim)
        cluster.arm(victim, f"{name} {action}")
        cluster.launch(victim)
    else:
        cluster.arm(victim, f"{name} {action}")
    if name.startswith(AT_STOP):
        cluster.signal(victim, signal.SIGTERM)
    provoke(cluster, work, name, victim)
    await_death(cluster, marks)
    dead = [node for node in cluster.all() if not cluster.is_up(node)]
    codes = [cluster.wait_exit(node) for node in dead]
    assert all(code in (harness.EXIT_FAILPOINT, -9, 0) for code in codes), cluster.logs()
    if len(dead) == 1:
        others = [node for node in cluster.all() if node not in dead]
        caisson.wait_until(lambda: work.push_image(random.choice(others)), 30,
                           f"a write without node {dead}\n{cluster.logs()}")
    return dead != [] and any(f"failpoint {name}: {action}" in cluster.log(node) for node in dead)


def recover(cluster, work):
    for node in cluster.all():
        if not cluster.is_up(node):
            cluster.launch(node)
            cluster.wait_answering(node)
    cluster.wait_voters()
    assert len(cluster.state_hashes()) == 1
    work.check()
    leftovers = [path for node in cluster.all()
                 for path in (cluster.data_dir(node) / "snapshots").glob("writing-*")]
    assert all(path.stat().st_mtime > time.time() - 60 for path in leftovers), leftovers


def sample(names):
    """All of them, or some: the same ones each time, unless a seed is given (scripts/soak does)."""
    if os.environ.get("CAISSON_FAILPOINTS_ALL") == "1":
        return names
    seed = int(os.environ.get("CAISSON_SEED", "20781"))
    chosen = random.Random(seed).sample([name for name in names if name not in SLOW],
                                        min(SAMPLE, len(names)))
    print(f"CAISSON_SEED={seed}: {chosen}")
    return chosen


def test_failpoint__a_crash_there_loses_nothing(nodes):
    names = sample([name for name in harness.failpoints() if not name.startswith("bootstrap.")])
    cluster = nodes(binary=harness.DEBUG, extra=SMALL)
    dead = []
    for name in names:
        work = workload.Workload(cluster)
        assert all(work.round(1)), cluster.logs()
        victim = cluster.leader()
        if name.startswith(WIPED + ("propose.before_forward", "propose.after_forward")):
            victim = victim % cluster.nodes + 1
        for one in (victim, victim % cluster.nodes + 1):
            died = crash_at(cluster, work, name, one)
            recover(cluster, work)
            if died:
                dead.append(name)
                break
    cluster.check_clean_logs()
    missed = sorted(set(names) - set(dead))
    print(f"died at {len(dead)} of {len(names)} points, nothing lost; not reached in time: {missed}")
    assert len(missed) * 10 <= len(names), missed


def init(binary, directory, plan):
    """cluster init in the directory; the finished process."""
    password = directory.parent / "password"
    password.write_text("a long password")
    password.chmod(0o600)
    return subprocess.run([str(binary), "cluster", "init", "--data-dir", str(directory), "--name",
                           "one", "--admin-password-file", str(password)], capture_output=True,
                          text=True, timeout=60, check=False,
                          env={**os.environ, "CAISSON_FAILPOINTS": str(plan)})


def serve_until_ready(binary, directory, plan):
    """None when it answers; else its exit code."""
    port = caisson.free_base_port(1)
    listen = [f"127.0.0.1:{port + room}" for room in (1, 101, 201)]
    config = directory.parent / "one.yaml"
    config.write_text(f"name: one\ndata_dir: {directory}\nlisten: {listen[0]}\n"
                      f"raft_listen: {listen[1]}\ndata_listen: {listen[2]}\n")
    process = subprocess.Popen([str(binary), "serve", "--config", str(config)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL,
                               env={**os.environ, "CAISSON_FAILPOINTS": str(plan)})
    try:
        def check():
            return process.poll() is not None or caisson.request(
                f"http://{listen[0]}/readyz", timeout=2).status == 200
        caisson.wait_until(check, 30, "ready, or dead")
        return process.poll()
    finally:
        process.kill()
        process.wait(20)


FIRST = ("bootstrap.", "identity.", "durable.", "directory.", "segment.before_r", "segment.after_r",
         "segment.header", "vote.")


def test_failpoint__a_first_start_that_dies_is_done_again(tmp_path):
    names = [name for name in harness.failpoints()
             if name.startswith(FIRST) and "remove" not in name]
    died = 0
    for number, name in enumerate(sample(names)):
        directory = tmp_path / str(number) / "data"
        directory.mkdir(parents=True)
        plan = directory.parent / "plan"
        plan.write_text(f"{name} exit\n")
        made = init(harness.DEBUG, directory, plan)
        code = made.returncode
        if code == 0:
            code = serve_until_ready(harness.DEBUG, directory, plan)
        died += code == harness.EXIT_FAILPOINT
        plan.write_text("")
        if made.returncode != 0:
            again = init(harness.DEBUG, directory, plan)
            assert again.returncode == 0 or "already" in again.stderr, (name, made, again)
        assert serve_until_ready(harness.DEBUG, directory, plan) is None, name
    assert died > 0


def test_failpoint__a_failed_sync_stops_the_node_or_the_request(nodes):
    cluster = nodes(binary=harness.DEBUG)
    work = workload.Workload(cluster)
    assert work.round(1)
    leader = cluster.leader()
    cluster.arm(leader, "log.sync error")
    work.push_image(leader)
    assert cluster.wait_exit(leader) == harness.EXIT_FAIL_STOP, cluster.logs()
    cluster.arm(leader, "vote.sync error")
    cluster.launch(leader)
    assert cluster.wait_exit(leader) != 0, cluster.logs()
    cluster.arm(leader)
    recover(cluster, work)
    node = cluster.leader()
    # A blob's sync fails: the request may, the node does not; nothing half is left behind.
    for name in ("blob.sync", "blob.directory_sync"):
        cluster.arm(node, f"{name} errors")
        work.push_image(node)
        cluster.arm(node)
        assert cluster.is_up(node), cluster.logs()
        recover(cluster, work)
    cluster.check_clean_logs()
