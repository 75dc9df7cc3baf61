"""Members come and go: five nodes that lose two, shrinking and growing, what is refused and why, and
data directories that are not what they were."""
import shutil
import time

import caisson


def names(cluster, node=None):
    return {m["name"]: m for m in cluster.status(node)["members"]}


def remove(cluster, node, name, query=""):
    return cluster.call(node, f"/api/v1/cluster/members/{name}{query}", "DELETE")


def voters(cluster, node=None):
    return sorted(n for n, m in names(cluster, node).items() if m["role"] != "learner")


def test_five_nodes_lose_two_and_go_on_shrink_and_grow(fresh_cluster):
    cluster = fresh_cluster(nodes=5)
    cluster.push_image(5, "five/app", "one", "one")
    leader = cluster.leader()
    dead = [leader, leader % 5 + 1]
    alive = [i for i in range(1, 6) if i not in dead]
    for node in dead:
        cluster.kill(node)
    caisson.wait_until(
        lambda: cluster.push_image(alive[0], "five/app", "two", "two"), 20, "a write with three")
    for node in alive:
        assert cluster.call(node, "/v2/five/app/manifests/two").status == 200
    # Three of five: another one may not go, and the answer says so. A dead one may.
    refused = remove(cluster, alive[0], f"node-{alive[1]}")
    assert refused.status == 409 and "quorum" in refused.error()[1], refused
    assert remove(cluster, alive[0], "node-9").status == 404
    for node in dead:
        caisson.wait_until(lambda n=node: remove(cluster, alive[0], f"node-{n}").status == 202,
                           60, f"node {node} is removed once its blobs are copied")
        caisson.wait_until(lambda n=node: f"node-{n}" not in names(cluster, alive[0]), 20, "gone")
    wanted = sorted(f"node-{i}" for i in alive)
    caisson.wait_until(lambda: voters(cluster, alive[0]) == wanted, 20, "three voters")
    caisson.wait_until(lambda: cluster.status(alive[0])["can_lose_a_node"]["yes"], 60,
                       "three of three are whole")
    # The removed one's directory is no ticket back.
    cluster.script("restart", str(dead[0]))
    time.sleep(1)
    assert f"node-{dead[0]}" not in names(cluster, alive[0])
    # And grow again: empty directories join as new members.
    for node in dead:
        if node == dead[0]:
            cluster.kill(node)
        cluster.wipe(node)
        cluster.restart(node)
    cluster.wait_ready()
    caisson.wait_until(lambda: len(voters(cluster)) == 5, 30, f"five voters\n{cluster.logs()}")
    assert cluster.call(dead[0], "/v2/five/app/manifests/two").status == 200


def test_a_rolled_back_directory_does_not_vote(fresh_cluster, tmp_path):
    cluster = fresh_cluster()
    cluster.push_image(1, "back/app", "one", "one")
    node = cluster.leader() % 3 + 1
    cluster.kill(node)
    shutil.copytree(cluster.data_dir(node), tmp_path / "old")
    cluster.restart(node)
    cluster.wait_ready()
    for i in range(5):
        cluster.push_image(node, "back/app", f"t{i}", f"t{i}")
    time.sleep(1.5)  # Others have heard by then how far it was.
    cluster.kill(node)
    shutil.rmtree(cluster.data_dir(node))
    shutil.copytree(tmp_path / "old", cluster.data_dir(node))
    try:
        cluster.restart(node)
    except AssertionError:
        pass
    caisson.wait_until(lambda: "rolled back" in cluster.log(node), 20,
                       f"it says what is wrong\n{cluster.logs()}")
    caisson.wait_until(lambda: not cluster.is_ready(node), 10, "it ends")
    # Emptied, it comes back by itself.
    cluster.wipe(node)
    cluster.restart(node)
    cluster.wait_ready()
    assert cluster.call(node, "/v2/back/app/manifests/t4").status == 200


def test_a_foreign_directory_is_refused(fresh_cluster, binary):
    cluster = fresh_cluster()
    cluster.script("stop")
    first, second = cluster.data_dir(1), cluster.data_dir(2)
    second.rename(cluster.dir / "kept")
    shutil.copytree(first, second)
    try:
        cluster.restart(2)
        raise RuntimeError("it started on the directory of another node")
    except AssertionError as error:
        assert "another node's directory" in str(error)
    shutil.rmtree(second)
    (cluster.dir / "kept").rename(second)
    cluster.start()
