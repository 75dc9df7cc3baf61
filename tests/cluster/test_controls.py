"""What steers promotions beside their gates: status checks, freezes, quarantines, at every node."""
import os

from caisson import wait_until

from test_promotion import ask, new_pipeline, put_json

API = "/api/v1"


def client(cluster, node):
    env = cluster.env()
    return {**os.environ, "CAISSON_URL": cluster.url(node), "CAISSON_USER": env["CAISSON_ADMIN_USER"],
            "CAISSON_PASSWORD": env["CAISSON_ADMIN_PASSWORD"]}


def gate(answer, code):
    """The gate of a promotion that gave this code."""
    body = answer.json()
    promotion = body["errors"][0]["detail"] if "errors" in body else body
    return next(gate for gate in promotion["gates"] if gate.get("code") == code)


def digest_at(cluster, repository, tag):
    answer = cluster.call(1, f"/v2/{repository}/manifests/{tag}", "HEAD",
                          headers={"Accept": "*/*"})
    return answer.headers["Docker-Content-Digest"]


def test_a_check_that_is_reported_at_one_node_opens_the_gate_at_another(cluster, run):
    name = new_pipeline(cluster, [{"id": "e2e", "type": "status", "contexts": [
        {"name": "e2e", "reporter": cluster.env()["CAISSON_ADMIN_USER"]}]}])
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    assert ask(cluster, 1, name, "dev", "test", "1.0").status == 200
    digest = digest_at(cluster, f"dev/{name}/web", "1.0")
    waiting = ask(cluster, 2, name, "test", "prod", "1.0", wait=0)
    missing = gate(waiting, "STATUS_MISSING")
    assert "status-check" in missing["fix"], missing

    done = run("status-check", digest, "--context", "e2e", "--state", "failure",
               "--url", "https://ci.example/1", env=client(cluster, 3))
    assert done.returncode == 0, done.stderr
    blocked = cluster.call(1, f"{API}/promotions/{waiting.json()['id']}")
    assert "https://ci.example/1" in gate(blocked, "STATUS_FAILED")["detail"], blocked
    good = put_json(cluster, 2, f"{API}/statuses",
                    {"digest": digest, "context": "e2e", "state": "success"}, "POST")
    assert good.status == 201 and int(good.headers["X-Raft-Index"]) > 0, good
    done = cluster.call(3, f"{API}/promotions/{waiting.json()['id']}?wait=20")
    assert done.json()["state"] == "committed", done
    listed = run("status-check", digest, env=client(cluster, 1))
    assert "e2e" in listed.stdout and "success" in listed.stdout, listed.stdout


def test_a_freeze_stops_at_every_node_until_it_is_lifted(cluster, run):
    name = new_pipeline(cluster)
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    assert run("freeze", "test", "--pipeline", name, env=client(cluster, 1)).returncode == 64
    frozen = run("freeze", "test", "--pipeline", name, "--reason", "incident 7", "--for", "1h",
                 env=client(cluster, 2))
    assert frozen.returncode == 0, frozen.stderr
    hold = frozen.stdout.split()[1]
    waiting = ask(cluster, 3, name, "dev", "test", "1.0", wait=0)
    assert waiting.status == 423 and waiting.error()[0] == "FROZEN", waiting
    assert "incident 7" in gate(waiting, "FROZEN")["detail"], waiting
    assert hold in run("holds", env=client(cluster, 3)).stdout
    lifted = run("freeze", "lift", hold, env=client(cluster, 1))
    assert lifted.returncode == 0, lifted.stderr
    done = cluster.call(2, waiting.headers["Location"] + "?wait=20")
    assert done.json()["state"] == "committed", done
    assert run("freeze", "lift", hold, env=client(cluster, 1)).returncode == 1
    kinds = [entry["kind"] for entry in cluster.call(
        1, f"{API}/audit/entries?n=1000&pipeline={name}").json()["entries"]]
    assert "freeze.opened" in kinds and "freeze.closed" in kinds, kinds


def test_bad_reports_and_freezes_are_told_what_is_wrong(cluster):
    good = {"digest": "sha256:" + "0" * 64, "context": "e2e", "state": "success"}
    for change, word in (({"digest": "sha256:0"}, "digest"), ({"context": "a\nb"}, "context"),
                         ({"state": "green"}, "state"), ({"ttl": "soon"}, "ttl"),
                         ({"extra": 1}, "extra")):
        answer = put_json(cluster, 1, f"{API}/statuses", {**good, **change}, "POST")
        assert answer.status == 400 and word in str(answer.json()), (change, answer)
    unknown = put_json(cluster, 1, f"{API}/statuses", good, "POST")
    assert unknown.status == 404, unknown
    assert cluster.call(1, f"{API}/statuses").status == 400
    for body, word in (({"stage": "prod"}, "reason"),
                       ({"reason": "x", "until": "2001-01-01T00:00:00Z"}, "until"),
                       ({"reason": "x", "stage": "../.."}, "stage")):
        answer = put_json(cluster, 1, f"{API}/holds", body, "POST")
        assert answer.status == 400 and word in str(answer.json()), (body, answer)
    answer = put_json(cluster, 1, f"{API}/quarantines", {"reason": "x"}, "POST")
    assert answer.status == 400 and "digest" in str(answer.json()), answer
    assert cluster.call(1, f"{API}/holds/{'0' * 26}", "DELETE").status == 404


def test_what_is_quarantined_is_not_served_by_any_node(cluster, run):
    name = new_pipeline(cluster)
    repository = f"dev/{name}/web"
    image = cluster.push_image(1, repository, "1.0", name)
    layer = cluster.call(1, f"/v2/{repository}/manifests/1.0").json()["layers"][0]["digest"]
    other = cluster.push_image(1, repository, "2.0", name + "other")
    done = run("quarantine", layer, "--block-pull", "--reason", "CVE-2026-1111",
               env=client(cluster, 2))
    assert done.returncode == 0, done.stderr
    hold = done.stdout.split()[1]
    for node in (1, 2, 3):
        wait_until(lambda node=node: cluster.call(
            node, f"/v2/{repository}/blobs/{layer}").status == 403, 10, "the quarantine")
        for path in (f"manifests/{image}", "manifests/1.0", f"blobs/{layer}"):
            answer = cluster.call(node, f"/v2/{repository}/{path}")
            assert answer.status == 403 and answer.error()[0] == "DENIED", (node, path, answer)
            assert "CVE-2026-1111" in str(answer.json()), answer
            head = cluster.call(node, f"/v2/{repository}/{path}", "HEAD")
            assert head.status == 403, (node, path, head)
        assert cluster.call(node, f"/v2/{repository}/manifests/{other}").status == 200
    stopped = ask(cluster, 3, name, "dev", "test", "1.0", wait=0)
    assert stopped.status == 412 and "CVE-2026-1111" in str(stopped.json()), stopped
    assert run("quarantine", "lift", hold, env=client(cluster, 3)).returncode == 0
    for node in (1, 2, 3):
        wait_until(lambda node=node: cluster.call(
            node, f"/v2/{repository}/manifests/1.0").status == 200, 10, "its end")
