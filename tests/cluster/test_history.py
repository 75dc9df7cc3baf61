"""What history answers: revisions, lock files, digests, and receipts that verify."""
import base64
import json
import pathlib
import subprocess
import tempfile

from test_promotion import ask, new_pipeline, put_json

API = "/api/v1"


def two_revisions(cluster):
    name = new_pipeline(cluster)
    digests = []
    for node in (1, 2):
        digests.append(cluster.push_image(node, f"dev/{name}/web", "stable", f"{name}{node}"))
        done = ask(cluster, node, name, "dev", "test", "stable", key=f"{name}-{node}")
        assert done.status == 200, done
    return name, digests


def test_history_and_lock_files(cluster, run):
    name, digests = two_revisions(cluster)
    for node in (1, 2, 3):
        answer = cluster.call(node, f"{API}/environments/test/history?pipeline={name}").json()
        assert [one["revision"] for one in answer["revisions"]] == [2, 1]
        moved = answer["revisions"][0]["moved"][f"test/{name}/web:stable"]
        assert (moved["from"], moved["to"]) == tuple(digests)
        older = cluster.call(node, f"{API}/environments/test/history?pipeline={name}&before=2").json()
        assert [one["revision"] for one in older["revisions"]] == [1]
    login = ["--server", cluster.url(3), "--user", cluster.admin[0]]
    env = {"CAISSON_PASSWORD": cluster.admin[1]}

    def lock(*arguments):
        done = run("lock", "test", "--pipeline", name, *arguments, *login, env=env)
        assert done.returncode == 0, done
        return done.stdout

    now = json.loads(lock())
    assert now["revision"] == 2
    assert now["images"] == [{"name": "web", "repository": f"test/{name}/web", "tag": "stable",
                              "digest": digests[1]}]
    assert json.loads(lock("--revision", 1))["images"][0]["digest"] == digests[0]
    image = f"reg.example:5000/test/{name}/web"
    assert lock("--format", "env", "--registry", "reg.example:5000") == (
        f'WEB_IMAGE="{image}@{digests[1]}"\n')
    assert lock("--format", "kustomize", "--registry", "reg.example:5000") == (
        f'images:\n- name: "web"\n  newName: "{image}"\n  digest: "{digests[1]}"\n')
    assert lock("--format", "helm", "--registry", "reg.example:5000") == (
        f'images:\n  "web":\n    repository: "{image}"\n    tag: "stable"\n'
        f'    digest: "{digests[1]}"\n')
    assert lock("--format", "helm", "--tag", "nothing") == "images: {}\n"
    assert run("history", "test", "--pipeline", name, *login, env=env).returncode == 0
    for query in ("&format=xml", "&registry=a%20b", "&at=never"):
        bad = cluster.call(1, f"{API}/environments/test/lock?pipeline={name}{query}")
        assert bad.status == 400, (query, bad)
    assert cluster.call(1, f"{API}/environments/none/lock?pipeline={name}").status == 404


def test_a_digest_tells_where_it_was(cluster):
    name, digests = two_revisions(cluster)
    report = put_json(cluster, 2, f"{API}/statuses",
                      {"digest": digests[0], "context": "e2e", "state": "success"}, "POST")
    assert report.status == 201, report
    held = put_json(cluster, 1, f"{API}/quarantines", {"digest": digests[0], "reason": "test"}, "POST")
    assert held.status == 201, held
    for node in (1, 2, 3):
        about = cluster.call(node, f"{API}/digests/{digests[0]}").json()
        assert about["repositories"] == [f"dev/{name}/web", f"test/{name}/web"], about
        assert all(one["to"] is not None for one in about["residence"]), about
        assert [one["state"] for one in about["promotions"]] == ["committed"]
        assert [one["context"] for one in about["statuses"]] == ["e2e"]
        assert [one["reason"] for one in about["holds"]] == ["test"]
    assert cluster.call(1, f"{API}/holds/{held.json()['id']}", "DELETE").status == 204
    assert cluster.call(1, f"{API}/digests/sha256:{'0' * 64}").status == 404
    assert cluster.call(1, f"{API}/digests/nonsense").status == 400
    # Who may pull nothing of it is told that there is nothing.
    stranger = put_json(cluster, 1, f"{API}/users/u{name}", {
        "password": "a long password", "bindings": [
            {"repositories": "elsewhere/**", "actions": ["pull"]}]})
    assert stranger.status in (200, 201), stranger
    answer = cluster.call(2, f"{API}/digests/{digests[0]}", auth=(f"u{name}", "a long password"))
    assert answer.status == 404, answer


def test_a_receipt_is_the_same_at_every_node(cluster):
    name, digests = two_revisions(cluster)
    listed = cluster.call(1, f"{API}/promotions?pipeline={name}").json()["promotions"]
    path = f"{API}/promotions/{listed[1]['id']}/receipt"
    receipts = [cluster.call(node, path) for node in (3, 1, 2)]
    assert [one.status for one in receipts] == [200] * 3, receipts
    assert len({one.body for one in receipts}) == 1
    envelope = receipts[0].json()
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": f"test/{name}/web",
                                     "digest": {"sha256": digests[1].split(":")[1]}}]
    assert statement["predicate"]["state"] == "committed"
    assert {gate["result"] for gate in statement["predicate"]["gates"]} == {"pass"}
    verify(envelope)
    waiting = new_pipeline(cluster, [{"id": "4eyes", "type": "approvals", "rules": [{"min": 1}]}])
    cluster.push_image(1, f"dev/{waiting}/web", "1.0", waiting)
    assert ask(cluster, 1, waiting, "dev", "test", "1.0").status == 200
    held = ask(cluster, 1, waiting, "test", "prod", "1.0", wait=0)
    assert cluster.call(2, f"{API}/promotions/{held.json()['id']}/receipt").status == 409


def verify(envelope):
    """With the tool that anybody has, as docs/promotion.md says it."""
    kind, payload = envelope["payloadType"], base64.b64decode(envelope["payload"])
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    key = bytes.fromhex("302a300506032b6570032100" + envelope["signatures"][0]["keyid"])
    with tempfile.TemporaryDirectory() as place:
        files = {"key": key, "message": signed,
                 "signature": base64.b64decode(envelope["signatures"][0]["sig"])}
        for file, data in files.items():
            pathlib.Path(place, file).write_bytes(data)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey",
             f"{place}/key", "-rawin", "-in", f"{place}/message", "-sigfile",
             f"{place}/signature"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done
