"""Quotas and settings of replication: set at one node, in force at all, counted in the log."""
import concurrent.futures

import caisson

QUOTAS = "/api/v1/quotas"
SETTINGS = "/api/v1/settings"


def put(cluster, node, path, body, auth=True):
    return cluster.call(node, path, "PUT", body, auth=auth)


def used(cluster, node, glob):
    return next(q for q in cluster.call(node, QUOTAS).json()["quotas"]
                if q["repositories"] == glob)


def try_blob(cluster, node, repository, data):
    start = cluster.call(node, f"/v2/{repository}/blobs/uploads/", "POST", b"")
    location = start.headers["Location"]
    return cluster.call(node, location + ("&" if "?" in location else "?")
                        + f"digest={caisson.digest_of(data)}", "PUT", data,
                        {"Content-Type": "application/octet-stream"})


def test_a_quota_is_one_number_for_pushes_through_all_nodes(cluster):
    glob = "room-race/**"
    assert put(cluster, 1, QUOTAS, {"repositories": glob, "max_bytes": 10000}).status == 200
    blobs = [bytes([i]) * 1000 for i in range(20)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda i: try_blob(cluster, i % 3 + 1, f"room-race/{i % 4}",
                                                   blobs[i]), range(20)))
    statuses = [answer.status for answer in answers]
    assert statuses.count(201) == 10 and statuses.count(403) == 10, statuses
    code, message = next(a for a in answers if a.status == 403).error()
    assert code == "DENIED" and glob in message and "10000" in message, message
    assert used(cluster, 2, glob)["bytes"] == 10000
    # What is there counts once, whichever node it is pushed through.
    kept = statuses.index(201)
    assert try_blob(cluster, 2, f"room-race/{kept % 4}", blobs[kept]).status == 201
    assert used(cluster, 3, glob)["bytes"] == 10000
    # Deleting gives the room back, to any node.
    gone = cluster.call(3, f"/v2/room-race/{kept % 4}/blobs/{caisson.digest_of(blobs[kept])}",
                        "DELETE")
    assert gone.status == 202, gone
    assert used(cluster, 1, glob)["bytes"] == 9000
    assert try_blob(cluster, 1, "room-race/5", b"x" * 1000).status == 201
    removed = cluster.call(2, f"{QUOTAS}?repositories={glob}", "DELETE")
    assert removed.status == 204, removed
    assert try_blob(cluster, 3, "room-race/6", b"y" * 1000).status == 201


def test_a_quota_of_tags_and_who_may_set_it(cluster):
    assert put(cluster, 2, QUOTAS, {"repositories": "room-tags", "max_tags": 1}).status == 200
    digest = cluster.push_image(1, "room-tags", "one", "room-tags")
    manifest = cluster.image("room-tags")[2]
    refused = cluster.put_manifest(3, "room-tags", "two", manifest)
    assert refused.status == 403 and "1 tags" in refused.error()[1], refused
    assert cluster.put_manifest(3, "room-tags", "one", manifest).status == 201
    assert cluster.call(1, f"/v2/room-tags/manifests/{digest}", "DELETE").status == 202
    assert used(cluster, 3, "room-tags")["tags"] == 0
    assert put(cluster, 1, QUOTAS, {"repositories": "x", "max_tags": 1}, auth=None).status == 401
    for bad in ({}, {"repositories": "x"}, {"repositories": "UPPER", "max_tags": 1},
                {"repositories": "x", "max_tags": -1}, {"repositories": "x", "more": 1}):
        assert put(cluster, 1, QUOTAS, bad).status == 400, bad
    cluster.call(1, f"{QUOTAS}?repositories=room-tags", "DELETE")


def test_counts_survive_restarts(cluster):
    assert put(cluster, 1, QUOTAS, {"repositories": "room-restart", "max_bytes": 1500}).status == 200
    cluster.push_blob(1, "room-restart", b"r" * 1000)
    cluster.kill(2)
    cluster.restart(2)
    cluster.wait_ready()
    assert used(cluster, 2, "room-restart")["bytes"] == 1000
    assert try_blob(cluster, 2, "room-restart", b"s" * 1000).status == 403
    hashes = caisson.wait_until(
        lambda: len({cluster.status(i)["node"]["state_hash"] for i in (1, 2, 3)}) == 1, 20,
        "equal state hashes")
    assert hashes
    cluster.call(1, f"{QUOTAS}?repositories=room-restart", "DELETE")


def test_settings_are_checked_and_used(cluster, run):
    before = cluster.call(1, SETTINGS).json()
    assert (before["copies"], before["write_quorum"], before["notice"]) == (3, 2, None), before
    for bad in ({"copies": 2, "write_quorum": 3}, {"write_quorum": 4, "copies": 5},
                {"copies": 0}, {"copies": 2, "repositories": "room-all/**"}):
        assert put(cluster, 2, SETTINGS, bad).status == 400, bad
    every = {"repositories": "room-all/**", "write_quorum": 3}
    assert put(cluster, 2, SETTINGS, every).status == 200
    cluster.pause(3)
    try:
        caisson.wait_until(lambda: not cluster.status(1)["can_lose_a_node"]["yes"], 20,
                           "node 3 is missed")
        assert try_blob(cluster, cluster.leader() if cluster.leader() != 3 else 1, "room-two/a",
                        b"two").status == 201
        refused = try_blob(cluster, 1, "room-all/a", b"three")
        assert refused.status == 503 and "2 of the 3 copies" in refused.error()[1], refused
    finally:
        cluster.resume(3)
    cluster.wait_ready()
    caisson.wait_until(lambda: try_blob(cluster, 1, "room-all/a", b"three").status == 201, 20,
                       "three copies")
    shown = run("settings", "show", "--server", cluster.url(2), "--user", "admin",
                env={"CAISSON_PASSWORD": cluster.admin[1], "PATH": "/usr/bin:/bin"})
    assert shown.returncode == 0 and "room-all/**" in shown.stdout, shown
    reset = cluster.call(3, f"{SETTINGS}?repositories=room-all/**", "DELETE")
    assert reset.status == 204, reset
