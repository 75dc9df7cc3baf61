"""Promotions through every node: gates, refusals, the same request twice, a race for a tag."""
import json
import threading
import uuid

import caisson

API = "/api/v1/promotions"


def stages(name, gates):
    return {"pipeline": name, "stages": [
        {"name": "dev", "repos": f"dev/{name}/*", "write": "open"},
        {"name": "test", "repos": f"test/{name}/*", "write": "promotion-only", "from": "dev"},
        {"name": "prod", "repos": f"prod/{name}/*", "write": "promotion-only", "from": "test",
         "gates": gates}]}


def put_json(cluster, node, path, document, method="PUT", headers=None, auth=True):
    return cluster.call(node, path, method, json.dumps(document).encode(),
                        {"Content-Type": "application/json", **(headers or {})}, auth=auth)


def new_pipeline(cluster, gates=()):
    name = "p" + uuid.uuid4().hex[:8]
    answer = put_json(cluster, 1, f"/api/v1/pipelines/{name}", stages(name, list(gates)))
    assert answer.status == 200, answer
    return name


def ask(cluster, node, name, source, to, tag, key=None, wait=20):
    body = {"pipeline": name, "to": to, "wait": wait,
            "items": [{"repo": f"{source}/{name}/web", "tag": tag}]}
    return put_json(cluster, node, API, body, "POST", {"Idempotency-Key": key} if key else {})


def new_user(cluster, name, repositories):
    user = {"password": "a long password of " + name,
            "bindings": [{"repositories": repositories, "actions": ["pull", "approve"]}]}
    answer = put_json(cluster, 1, f"/api/v1/users/{name}", user)
    assert answer.status in (200, 201), answer
    return (name, user["password"])


def test_gates_hold_at_every_node_and_people_open_them(cluster):
    name = new_pipeline(cluster, [
        {"id": "soak", "type": "soak", "min": "1s"},
        {"id": "4eyes", "type": "approvals", "rules": [{"min": 2}]}])
    people = [new_user(cluster, person + name, f"prod/{name}/**") for person in ("ann", "ben")]
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    assert ask(cluster, 2, name, "dev", "test", "1.0").json()["state"] == "committed"

    waiting = ask(cluster, 3, name, "test", "prod", "1.0", wait=0)
    assert waiting.status == 202, waiting
    path = f"{API}/{waiting.json()['id']}"
    mine = put_json(cluster, 1, path + "/approvals", {"decision": "approve"}, "POST")
    assert mine.status == 403 and mine.error()[0] == "NOT_ELIGIBLE", mine
    for node, person in zip((1, 2), people):
        answer = put_json(cluster, node, path + "/approvals", {"decision": "approve"}, "POST",
                          auth=person)
        assert answer.status in (200, 202), answer
    done = cluster.call(3, path + "?wait=20")
    assert done.json()["state"] == "committed", done
    for node in (1, 2, 3):
        answer = cluster.call(node, f"/v2/prod/{name}/web/manifests/1.0", "HEAD",
                              headers={"Accept": caisson.MANIFEST})
        assert answer.status == 200, answer
        refused = cluster.call(node, f"/v2/prod/{name}/web/manifests/1.0", "DELETE")
        assert refused.status == 403 and name in str(refused.json()), refused


def test_the_same_key_is_the_same_promotion_at_any_node(cluster):
    name = new_pipeline(cluster)
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    answers = [ask(cluster, node, name, "dev", "test", "1.0", key=name) for node in (1, 2, 3, 1)]
    assert {answer.status for answer in answers} == {200}, answers
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert {answer.json()["revision"] for answer in answers} == {1}
    other = ask(cluster, 2, name, "dev", "test", "2.0", key=name)
    assert other.status == 422, other


def test_of_two_that_race_for_a_tag_one_is_told(cluster):
    name = new_pipeline(cluster)
    repository = f"dev/{name}/web"
    for seed in ("a", "b"):
        cluster.push_image(1, repository, seed, name + seed)
    body = {"pipeline": name, "to": "test", "expect": {f"test/{name}/web:stable": None}}
    answers = {}

    def race(node, tag):
        items = [{"repo": repository, "tag": tag, "channels": ["stable"]}]
        answers[tag] = put_json(cluster, node, API, {**body, "items": items}, "POST")

    threads = [threading.Thread(target=race, args=one) for one in ((1, "a"), (2, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers.values()) == [200, 409], answers


def test_bad_requests_are_told_what_is_wrong(cluster):
    name = new_pipeline(cluster)
    for body in (b"", b"{", b"[]", b'{"pipeline":"x"}', b"[" * 100, b'{"wait":"x"}'):
        answer = cluster.call(1, API, "POST", body, {"Content-Type": "application/json"})
        assert answer.status == 400, (body, answer)
    assert cluster.call(1, API + "/nothing").status == 404
    assert cluster.call(1, API + "/01KAEXAMP1E0000000000000AB/explain").status == 404
    missing = ask(cluster, 1, name, "dev", "test", "9.9")
    assert missing.status == 404 and "9.9" in str(missing.json()), missing
    overlap = put_json(cluster, 1, "/api/v1/pipelines/other", {**stages(name, []),
                                                               "pipeline": "other"})
    assert overlap.status == 400 and name in str(overlap.json()), overlap
