"""What a stage has, had, and has again: environments, differences, rollbacks, at every node."""
import time

from test_controls import client
from test_promotion import ask, new_pipeline, new_user, put_json

API = "/api/v1"


def environment(cluster, node, name, stage, query=""):
    answer = cluster.call(node, f"{API}/environments/{stage}?pipeline={name}{query}")
    assert answer.status == 200, answer
    return {f"{repository['name']}:{tag['name']}": tag["digest"]
            for repository in answer.json()["repositories"] for tag in repository["tags"]}


def promote(cluster, name, tag, seed):
    """Push under dev and take it to prod; the digest."""
    digest = cluster.push_image(1, f"dev/{name}/web", tag, seed)
    for source, to in (("dev", "test"), ("test", "prod")):
        done = ask(cluster, 2, name, source, to, tag)
        assert done.status == 200, done
    return digest


def test_prod_goes_back_to_a_revision_and_history_keeps_all_of_it(cluster, run):
    name = new_pipeline(cluster)
    image = f"prod/{name}/web:stable"
    one = promote(cluster, name, "stable", name + "1")
    time.sleep(0.01)
    now = time.time()
    between = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    time.sleep(0.01)
    two = promote(cluster, name, "stable", name + "2")
    extra = promote(cluster, name, "extra", name + "3")
    assert environment(cluster, 3, name, "prod")[image] == two
    assert environment(cluster, 2, name, "prod", "&revision=1") == {image: one}
    assert environment(cluster, 1, name, "prod", f"&at={between}") == {image: one}

    back = run("rollback", "prod", "--pipeline", name, "--to-revision", 1, "--reason", "incident",
               "--wait", "20s", env=client(cluster, 3))
    assert back.returncode == 0 and "rollback" in back.stdout, (back.stdout, back.stderr)
    for node in (1, 2, 3):
        assert environment(cluster, node, name, "prod") == {
            image: one, f"prod/{name}/web:extra": extra}
    assert environment(cluster, 1, name, "prod", "&revision=2") == {image: two}
    again = run("rollback", "prod", "--pipeline", name, "--to-revision", 1, env=client(cluster, 1))
    assert again.returncode == 0 and "just what it had" in again.stdout, again.stdout

    shown = run("diff", "test", "prod", "--pipeline", name, env=client(cluster, 2))
    assert two[:19] in shown.stdout and one[:19] in shown.stdout and "extra" not in shown.stdout
    same = run("diff", "dev", "test", "--pipeline", name, env=client(cluster, 2))
    assert "same tags" in same.stdout, same.stdout


def test_a_rollback_is_for_those_who_may_and_only_to_what_was_there(cluster):
    name = new_pipeline(cluster, [{"id": "4eyes", "type": "approvals", "rules": [{"min": 1}]}])
    reader = new_user(cluster, "rita" + name, f"test/{name}/**")
    approver = new_user(cluster, "ann" + name, f"prod/{name}/**")
    never = cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    assert ask(cluster, 1, name, "dev", "test", "1.0").status == 200
    body = {"pipeline": name, "to": "test", "kind": "rollback",
            "items": [{"repo": f"test/{name}/web", "digest": never, "tags": ["old"]}]}
    done = put_json(cluster, 2, f"{API}/promotions", body, "POST")
    assert done.status == 202 or done.status == 200, done
    body["to"] = "prod"
    body["items"][0]["repo"] = f"prod/{name}/web"
    refused = put_json(cluster, 3, f"{API}/promotions", body, "POST", auth=reader)
    assert refused.status == 403, refused
    for auth in (True, approver):
        refused = put_json(cluster, 3, f"{API}/promotions", body, "POST", auth=auth)
        assert refused.status == 400 and "never promoted" in str(refused.json()), refused


def test_bad_moments_are_told_what_is_wrong(cluster):
    name = new_pipeline(cluster)
    for query, status in (("&revision=1", 404), ("&revision=x", 400), ("&at=tuesday", 400),
                          ("&index=-1", 400)):
        answer = cluster.call(1, f"{API}/environments/prod?pipeline={name}{query}")
        assert answer.status == status and answer.error(), (query, answer)
    assert cluster.call(1, f"{API}/environments/nowhere?pipeline={name}").status == 404
    assert cluster.call(1, f"{API}/diff?pipeline={name}&from=dev&to=nowhere").status == 404
    assert cluster.call(1, f"{API}/diff?pipeline={name}").status == 404
    assert cluster.call(1, f"{API}/diff").status == 400
