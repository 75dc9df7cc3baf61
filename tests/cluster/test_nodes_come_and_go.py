"""Pauses, wipes, restarts, a cluster of one, open access: what an operator does to nodes."""
import signal
import subprocess
import time

import caisson


def test_members_stand_in_the_order_of_joining(cluster):
    status = cluster.status(2)
    assert sorted(member["name"] for member in status["members"]) == ["node-1", "node-2", "node-3"]
    assert len([m for m in status["members"] if m["role"] == "leader"]) == 1
    assert status["can_lose_a_node"]["yes"], status


def test_a_paused_leader_is_replaced_and_follows_when_it_wakes(cluster):
    leader = cluster.leader()
    other = leader % 3 + 1
    cluster.pause(leader)
    try:
        digest = caisson.wait_until(
            lambda: cluster.push_image(other, "pause/app", "while", "while"), 30, "a write")
        new = caisson.wait_until(
            lambda: (cluster.status(other)["leader"] or None), 20, "another leader")
        assert new
    finally:
        cluster.resume(leader)
    cluster.wait_ready()
    answer = cluster.call(leader, "/v2/pause/app/manifests/while", "HEAD",
                          headers={"Accept": caisson.MANIFEST})
    assert answer.status == 200 and answer.headers["Docker-Content-Digest"] == digest


def test_without_a_quorum_nothing_is_decided(fresh_cluster):
    cluster = fresh_cluster()
    digest = cluster.push_image(1, "quorum/app", "one", "one")
    cluster.kill(2)
    cluster.kill(3)
    caisson.wait_until(lambda: not cluster.is_ready(1), 20, "node 1 says that it is not ready")
    manifest = cluster.image("one")[2]
    answer = cluster.put_manifest(1, "quorum/app", "two", manifest)
    assert answer.status == 503 and "Retry-After" in answer.headers, answer
    assert cluster.call(1, "/healthz", auth=None).status == 200
    assert not cluster.status(1)["can_lose_a_node"]["yes"]
    # By digest no round is needed.
    assert cluster.call(1, f"/v2/quorum/app/manifests/{digest}").status == 200
    cluster.start()
    assert cluster.put_manifest(1, "quorum/app", "two", manifest).status == 201


def test_a_wiped_node_comes_back_as_a_new_member_with_all_content(fresh_cluster):
    cluster = fresh_cluster()
    digest = cluster.push_image(1, "wipe/app", "one", "one")
    before = {member["name"]: member["id"] for member in cluster.status()["members"]}
    cluster.kill(2)
    cluster.wipe(2)
    cluster.restart(2)
    cluster.wait_ready()

    def whole():
        status = cluster.status(2)
        after = {member["name"]: member["id"] for member in status["members"]}
        roles = {member["name"]: member["role"] for member in status["members"]}
        return (set(after) == set(before) and after["node-2"] != before["node-2"]
                and roles["node-2"] != "learner" and status["can_lose_a_node"]["yes"])
    caisson.wait_until(whole, 60, f"node 2 is whole again\n{cluster.logs()}")
    assert cluster.call(2, f"/v2/wipe/app/manifests/{digest}").status == 200
    name = caisson.digest_of(cluster.image("one")[1])[7:]
    caisson.wait_until(
        lambda: (cluster.data_dir(2) / "blobs" / "sha256" / name[:2] / name).exists(), 60,
        "the layer is copied back")


def test_serve_without_configuration_is_a_registry_on_loopback(binary, tmp_path):
    port = caisson.free_base_port(1)
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([binary, "serve", "--listen", f"127.0.0.1:{port}"], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert "Admin password (shown once): " in process.stdout.readline()
        caisson.wait_until(lambda: caisson.request(url + "/readyz").status == 200, 20, "ready")
        answer = caisson.request(url + "/v2/a/b/blobs/uploads/", "POST", b"")
        assert answer.status == 202, answer
        data = b"content"
        answer = caisson.request(f"{url}{answer.headers['Location']}?digest="
                                 f"{caisson.digest_of(data)}", "PUT", data)
        assert answer.status == 201, answer
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert (tmp_path / "caisson-data" / "node.json").exists()
    # And again, as it was.
    process = subprocess.Popen([binary, "serve", "--listen", f"127.0.0.1:{port}"], cwd=tmp_path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        caisson.wait_until(lambda: caisson.request(url + "/readyz").status == 200, 20, "ready")
        found = caisson.request(f"{url}/v2/a/b/blobs/{caisson.digest_of(data)}")
        assert found.status == 200 and found.body == data
    finally:
        process.terminate()
        process.wait(20)


def test_users_made_at_one_node_log_in_at_the_next(cluster):
    body = {"password": "correct horse", "bindings": [{"repositories": "team/**",
                                                       "actions": ["pull", "push"]}]}
    name = f"user{time.monotonic_ns()}"
    assert cluster.call(1, f"/api/v1/users/{name}", "PUT", body).status == 201
    login = (name, "correct horse")
    assert cluster.push_image(2, "team/app", "one", "u", auth=login)
    start = cluster.call(3, "/v2/other/app/blobs/uploads/", "POST", b"", auth=login)
    assert start.status == 403, start
    assert cluster.call(2, f"/api/v1/users/{name}", auth=login).status == 403
    changed = cluster.call(2, f"/api/v1/users/{name}/password", "PUT",
                           {"password": "battery staple"}, auth=login)
    assert changed.status == 204, changed
    caisson.wait_until(lambda: cluster.call(3, "/v2/team/app/manifests/one",
                                            auth=login).status == 401, 5, "the old one is refused")
    login = (name, "battery staple")
    caisson.wait_until(lambda: cluster.call(3, "/v2/team/app/manifests/one",
                                            auth=login).status == 200, 5, "the new one works")
    assert cluster.call(3, f"/api/v1/users/{name}", "DELETE").status == 204
    caisson.wait_until(lambda: cluster.call(1, "/v2/team/app/manifests/one",
                                            auth=login).status == 401, 5, "the user is gone")


def test_users_passwords_and_rights_hold_at_every_node_at_once(cluster):
    """What one node acknowledged is not refused by another that has not caught up."""
    for number in range(6):
        name = f"fresh{number}x{time.monotonic_ns()}"
        for password, rights in ((f"first password {number}", []),
                                 (f"second password {number}",
                                  [{"repositories": "fresh/**", "actions": ["pull"]}])):
            body = {"password": password, "bindings": rights}
            made = cluster.call(1, f"/api/v1/users/{name}", "PUT", body)
            assert made.status in (200, 201), made
            for node in (2, 3):
                answer = cluster.call(node, "/v2/", auth=(name, password))
                assert answer.status == 200, (number, node, answer)
        body = {"bindings": [{"repositories": "other/**", "actions": ["pull", "push"]}]}
        assert cluster.call(1, f"/api/v1/users/{name}", "PUT", body).status == 200
        for node in (2, 3):
            start = cluster.call(node, "/v2/other/app/blobs/uploads/", "POST", b"",
                                 auth=(name, password))
            assert start.status == 202, (number, node, start)


def test_a_follower_says_only_what_it_knows(cluster):
    """Where its own clients reach it, and how far its own log is; of others their address."""
    leader = cluster.leader()
    for node in (1, 2, 3):
        status = cluster.status(node)
        for member in status["members"]:
            number = int(member["name"].rsplit("-", 1)[1])
            assert member["address"] == cluster.url(number).removeprefix("http://")
            assert member.get("url") == (cluster.url(node) if number == node else None)
            assert ("stored_index" in member) == (node in (leader, number))
