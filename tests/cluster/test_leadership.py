"""Leadership by command: at every node, to a named node or to any, and refused when it must be."""
import caisson


def transfer(cluster, node, body=None, auth=True):
    return cluster.call(node, "/api/v1/cluster/leader", "POST", body if body is not None else {},
                        auth=auth)


def test_leadership_moves_from_every_node_to_a_named_one(cluster):
    cluster.wait_ready()
    for asked in (1, 2, 3):
        leader = cluster.leader()
        to = leader % 3 + 1
        answer = transfer(cluster, asked, {"member": f"node-{to}"})
        assert answer.status == 202, answer
        assert answer.json()["to"] != answer.json()["from"]
        caisson.wait_until(lambda to=to: cluster.leader() == to, 10, f"node-{to} leads")


def test_refusals_say_why(cluster):
    leader = cluster.leader()
    for node in (leader, leader % 3 + 1):
        answer = transfer(cluster, node, {"member": f"node-{leader}"})
        assert answer.status == 409 and "leads already" in answer.error()[1], answer
        answer = transfer(cluster, node, {"member": "node-9"})
        assert answer.status == 404 and "cluster status" in answer.error()[1], answer
        assert transfer(cluster, node, {"member": 7}).status == 400
        assert transfer(cluster, node, auth=None).status == 401


def test_the_command_waits_until_it_shows(cluster, run, tmp_path):
    password = tmp_path / "pw"
    password.write_text(cluster.admin[1])
    before = cluster.leader()
    done = run("cluster", "transfer-leader", "--server", cluster.url(before % 3 + 1), "--user",
               "admin", "--password-file", password)
    assert done.returncode == 0, done.stderr
    after = cluster.leader()
    assert after != before and f"node-{after} leads now" in done.stdout
