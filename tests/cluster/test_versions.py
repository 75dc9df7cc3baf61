"""An older and a newer build in one cluster: caisson-next is this program with one command kind of
the next feature level (tests/next)."""
import contextlib
import os
import subprocess

import pytest

import caisson

NEXT = caisson.BINARY.parent / "caisson-next"


@contextlib.contextmanager
def binary(path):
    """What scripts/cluster launches from now on."""
    before = os.environ.get("CAISSON")
    os.environ["CAISSON"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CAISSON"]
        else:
            os.environ["CAISSON"] = before


def run_version(cluster, node, path):
    with binary(path):
        cluster.restart(node)
    cluster.wait_ready()


def note(cluster, node, text):
    return cluster.call(node, "/api/v1/note", "POST", text.encode())


def hash_everywhere(cluster):
    def agreed():
        seen = {(s["node"]["applied_index"], s["node"]["state_hash"])
                for s in (cluster.status(i) for i in (1, 2, 3))}
        return len(seen) == 1
    caisson.wait_until(agreed, 20, "all nodes have one state")


def is_running(cluster, node):
    try:
        os.kill(cluster.pid(node), 0)
    except ProcessLookupError:
        return False
    return "Z" not in subprocess.run(["ps", "-o", "stat=", str(cluster.pid(node))],
                                     capture_output=True, text=True, check=False).stdout


def levels(cluster, node=None):
    """As the node, or the first that answers, knows them."""
    status = cluster.status(node)
    return status["level"], [m.get("level") for m in status["members"]]


def write_at_all(cluster, tag):
    for node in (1, 2, 3):
        cluster.push_image(node, "mixed/app", f"{tag}-{node}", f"{tag}{node}")


def test_a_rolling_upgrade_and_what_is_refused_on_the_way(fresh_cluster):
    if not NEXT.exists():
        pytest.fail(f"{NEXT} is missing: build it first (it is part of every build)")
    cluster = fresh_cluster()
    caisson.wait_until(lambda: levels(cluster) == (1, [1, 1, 1]), 20, "all announce level 1")
    write_at_all(cluster, "old")

    # Newer nodes one by one, the leader in the middle, so that both versions lead.
    first = cluster.leader() % 3 + 1
    run_version(cluster, first, NEXT)
    caisson.wait_until(lambda: max(levels(cluster)[1]) == 1000, 20, "the new level is announced")
    refused = note(cluster, first, "too early")
    assert refused.status == 400 and "upgrade every member first" in refused.error()[1], refused
    write_at_all(cluster, "one")
    # And back again: nothing of the new level was used.
    run_version(cluster, first, caisson.BINARY)
    caisson.wait_until(lambda: levels(cluster) == (1, [1, 1, 1]), 20, "it is as before")
    run_version(cluster, first, NEXT)
    second = cluster.leader()
    run_version(cluster, second, NEXT)
    write_at_all(cluster, "two")
    assert note(cluster, second, "too early").status == 400
    third = ({1, 2, 3} - {first, second}).pop()
    # The old one may lead the new ones, and they it: stop whoever leads until both were seen.
    led = {cluster.leader()}
    for _ in range(6):
        if third in led and led & {first, second}:
            break
        leader = cluster.leader()
        run_version(cluster, leader, caisson.BINARY if leader == third else NEXT)
        led.add(cluster.leader())
        write_at_all(cluster, f"led{len(led)}")
    hash_everywhere(cluster)

    # A snapshot for the old one, written by a new one: wiped, it comes back by it or by the log.
    run_version(cluster, third, NEXT)
    # At each node: what one may propose is asked of its own catalog, which may be a moment behind.
    caisson.wait_until(lambda: all(levels(cluster, node) == (1000, [1000] * 3)
                                   for node in (1, 2, 3)), 20, "the level moves")
    for node in (1, 2, 3):
        assert note(cluster, node, f"by {node}").status == 200
        assert cluster.call(node, "/api/v1/note").body == f"by {node}".encode()
    hash_everywhere(cluster)

    # No way back: neither after a clean stop nor after a crash, and not by joining anew.
    for how in ("stop", "kill", "wipe"):
        if how != "stop":
            cluster.kill(third)
        if how == "wipe":
            cluster.wipe(third)
        with binary(caisson.BINARY), contextlib.suppress(AssertionError):
            cluster.restart(third)
        # It may answer for a moment, until it has replayed the log to where the level moved.
        caisson.wait_until(lambda: not is_running(cluster, third), 20, f"after a {how} it ends")
        tail = cluster.log(third)[-3000:]
        assert "install that version" in tail, (how, tail)
        run_version(cluster, third, NEXT)
    assert note(cluster, third, "after all").status == 200
    write_at_all(cluster, "end")
    hash_everywhere(cluster)
