"""Every way around a promotion that a client could think of, through every node, with the rights of
an administrator: each is refused with 403 DENIED, by words that name the pipeline and the command to
use, and changes nothing. Then what people may try with approvals."""
import json
import uuid

import pytest

import caisson

API = "/api/v1/promotions"
NODES = (1, 2, 3)


def put_json(cluster, node, path, document, method="PUT", headers=None, auth=True):
    return cluster.call(node, path, method, json.dumps(document).encode(),
                        {"Content-Type": "application/json", **(headers or {})}, auth=auth)


def document(name, gates=(), mode="promotion-only"):
    return {"pipeline": name, "stages": [
        {"name": "dev", "repos": f"dev/{name}/*", "write": "open"},
        {"name": "test", "repos": f"test/{name}/*", "write": mode, "from": "dev",
         "gates": list(gates)}]}


def new_name():
    return "b" + uuid.uuid4().hex[:8]


def new_pipeline(cluster, gates=()):
    name = new_name()
    answer = put_json(cluster, 1, f"/api/v1/pipelines/{name}", document(name, gates))
    assert answer.status == 200, answer
    return name


def ask(cluster, node, name, tag, auth=True, **more):
    body = {"pipeline": name, "to": "test", "items": [{"repo": f"dev/{name}/web", "tag": tag}],
            **more.pop("body", {})}
    return put_json(cluster, node, API, body, "POST", more.pop("headers", None), auth)


def new_user(cluster, name, actions, *repositories):
    user = {"password": "a long password of " + name,
            "bindings": [{"repositories": one, "actions": actions} for one in repositories]}
    answer = put_json(cluster, 1, f"/api/v1/users/{name}", user)
    assert answer.status in (200, 201), answer
    return (name, user["password"])


def manifest_with(config, layer, **more):
    return json.dumps({
        "schemaVersion": 2, "mediaType": caisson.MANIFEST,
        "config": {"mediaType": caisson.CONFIG, "digest": caisson.digest_of(config),
                   "size": len(config)},
        "layers": [{"mediaType": caisson.LAYER, "digest": caisson.digest_of(layer),
                    "size": len(layer)}], **more}).encode()


class Gated:
    """A pipeline with one image promoted to its gated stage, and an upload into the gated repository
    that was begun before there was a pipeline."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = new_name()
        self.dev, self.test = f"dev/{self.name}/web", f"test/{self.name}/web"
        self.early = [cluster.call(node, f"/v2/{self.test}/blobs/uploads/", "POST", b"")
                      .headers["Location"] for node in NODES]
        answer = put_json(cluster, 1, f"/api/v1/pipelines/{self.name}", document(self.name))
        assert answer.status == 200, answer
        self.config, self.layer, self.manifest = cluster.image(self.name)
        self.digest = cluster.push_image(2, self.dev, "1.0", self.name)
        done = ask(cluster, 3, self.name, "1.0", body={"wait": 20})
        assert done.status == 200 and done.json()["state"] == "committed", done

    def refused(self, answer):
        """403 DENIED that says which pipeline, and the way that works."""
        assert answer.status == 403, answer
        assert answer.error()[0] == "DENIED", answer
        words = str(answer.json()["errors"][0])
        assert self.name in words and "caisson promote" in words and "test" in words, answer

    def tags(self, node):
        return self.cluster.call(node, f"/v2/{self.test}/tags/list").json()["tags"]

    def is_as_it_was(self, node):
        """Reads work, GET and HEAD agree, and the image is the one that was promoted."""
        for reference in ("1.0", self.digest):
            path = f"/v2/{self.test}/manifests/{reference}"
            get = self.cluster.call(node, path, headers={"Accept": caisson.MANIFEST})
            head = self.cluster.call(node, path, "HEAD", headers={"Accept": caisson.MANIFEST})
            assert get.status == head.status == 200 and get.body == self.manifest
            for header in ("Docker-Content-Digest", "Content-Length", "Content-Type"):
                assert get.headers[header] == head.headers[header], header
        blob = self.cluster.call(node, f"/v2/{self.test}/blobs/{caisson.digest_of(self.layer)}")
        assert blob.status == 200 and blob.body == self.layer
        assert self.tags(node) == ["1.0"]
        referrers = self.cluster.call(node, f"/v2/{self.test}/referrers/{self.digest}")
        assert referrers.json()["manifests"] == []


@pytest.fixture(scope="module")
def gated(_shared_cluster):
    return Gated(_shared_cluster)


# --- writes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", NODES)
def test_no_manifest_comes_in(cluster, gated, node):
    other = manifest_with(gated.config, gated.layer, annotations={"node": str(node)})
    index = json.dumps({
        "schemaVersion": 2, "mediaType": caisson.INDEX,
        "manifests": [{"mediaType": caisson.MANIFEST, "digest": gated.digest,
                       "size": len(gated.manifest)}]}).encode()
    referrer = manifest_with(gated.config, gated.layer, artifactType="application/x.signature",
                             subject={"mediaType": caisson.MANIFEST, "digest": gated.digest,
                                      "size": len(gated.manifest)})
    hexadecimal = gated.digest.split(":")[1]
    tries = [("1.0", other), ("2.0", other), ("1.0", gated.manifest), ("latest", gated.manifest),
             (caisson.digest_of(other), other), (gated.digest, gated.manifest),
             (gated.digest + "?tag=3.0", gated.manifest),
             (caisson.digest_of(other) + "?tag=3.0&tag=1.0", other),
             (caisson.digest_of(referrer), referrer)]
    tries += [(f"sha256-{hexadecimal}{suffix}", other) for suffix in ("", ".sig", ".att", ".sbom")]
    for reference, manifest in tries:
        gated.refused(cluster.put_manifest(node, gated.test, reference, manifest))
    for reference in ("both", caisson.digest_of(index)):
        gated.refused(cluster.put_manifest(node, gated.test, reference, index, caisson.INDEX))
    for condition in ({"If-Match": f'"{gated.digest}"'}, {"If-None-Match": "*"}):
        gated.refused(cluster.call(node, f"/v2/{gated.test}/manifests/1.0", "PUT", other,
                                   {"Content-Type": caisson.MANIFEST, **condition}))
    gated.is_as_it_was(node)


@pytest.mark.parametrize("node", NODES)
def test_nothing_is_deleted(cluster, gated, node):
    for path in ("manifests/1.0", "manifests/" + gated.digest,
                 "blobs/" + caisson.digest_of(gated.layer),
                 "blobs/" + caisson.digest_of(gated.config)):
        gated.refused(cluster.call(node, f"/v2/{gated.test}/{path}", "DELETE"))
    gated.is_as_it_was(node)


@pytest.mark.parametrize("node", NODES)
def test_no_blob_comes_in(cluster, gated, node):
    secret = f"only in dev, through {node}".encode()
    digest = cluster.push_blob(node, gated.dev, secret)
    base = f"/v2/{gated.test}/blobs/uploads/"
    for query in ("", f"?mount={digest}&from={gated.dev}", f"?mount={digest}", f"?digest={digest}",
                  f"?mount={digest}&from=no/such", "?mount=nonsense"):
        body = secret if "?digest" in query else b""
        gated.refused(cluster.call(node, base + query, "POST", body))
    for location in gated.early:
        gated.refused(cluster.call(node, location, "PATCH", secret))
        gated.refused(cluster.call(node, location + f"?digest={digest}", "PUT", secret))
    assert cluster.call(node, f"/v2/{gated.test}/blobs/{digest}").status == 404
    gated.is_as_it_was(node)


def test_a_change_of_policy_takes_no_repository_of_another_pipeline(cluster, gated):
    thief = new_name()
    for pattern in (gated.test, f"test/{gated.name}/*", "test/*/web", "**", f"test/{gated.name}/**"):
        theirs = {"pipeline": thief, "stages": [
            {"name": "any", "repos": pattern, "write": "open"},
            {"name": "next", "repos": f"{thief}/next/*", "write": "promotion-only",
             "from": "any"}]}
        for node in NODES:
            answer = put_json(cluster, node, f"/api/v1/pipelines/{thief}", theirs)
            assert answer.status == 400, (pattern, answer)
            assert "overlap" in answer.error()[1] or "repos" in answer.error()[1], answer
    # Nobody but an administrator changes a policy at all.
    pusher = new_user(cluster, "p" + gated.name, ["pull", "push", "approve"], "**")
    for node in NODES:
        answer = put_json(cluster, node, f"/api/v1/pipelines/{gated.name}",
                          document(gated.name, mode="open"), auth=pusher)
        assert answer.status == 403, answer
    gated.refused(cluster.put_manifest(1, gated.test, "2.0", gated.manifest))


def test_the_right_to_push_does_not_open_a_gated_repository(cluster, gated):
    pusher = new_user(cluster, "q" + gated.name, ["pull", "push"], "**")
    for node in NODES:
        gated.refused(cluster.put_manifest(node, gated.test, "2.0", gated.manifest, auth=pusher))


# --- decisions --------------------------------------------------------------------------------------

FOUR_EYES = [{"id": "4eyes", "type": "approvals", "rules": [{"min": 2}]}]


class Waiting:
    """A promotion that somebody asked for and two others have to approve."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = new_pipeline(cluster, FOUR_EYES)
        rights = [f"{stage}/{self.name}/**" for stage in ("dev", "test")]
        self.asker, self.ann, self.ben = (
            new_user(cluster, person + self.name, ["pull", "push", "approve"], *rights)
            for person in ("asker", "ann", "ben"))
        cluster.push_image(1, f"dev/{self.name}/web", "1.0", self.name)
        answer = ask(cluster, 2, self.name, "1.0", self.asker)
        assert answer.status == 202, answer
        self.promotion = answer.json()
        self.path = f"{API}/{self.promotion['id']}"

    def approve(self, node, person, **body):
        return put_json(self.cluster, node, self.path + "/approvals",
                        {"decision": "approve", **body}, "POST", auth=person)

    def is_open(self):
        for node in NODES:
            found = self.cluster.call(node, self.path).json()
            assert found["state"] != "committed", found
            tag = self.cluster.call(node, f"/v2/test/{self.name}/web/manifests/1.0", "HEAD")
            assert tag.status == 404, tag


@pytest.fixture
def waiting(cluster):
    return Waiting(cluster)


def test_nobody_approves_what_they_asked_for(waiting):
    for node in NODES:
        answer = waiting.approve(node, waiting.asker)
        assert answer.status == 403 and answer.error()[0] == "NOT_ELIGIBLE", answer
        assert "somebody else" in answer.error()[1]
    waiting.is_open()


def test_one_person_is_one_approval(waiting):
    for node in NODES:
        answer = waiting.approve(node, waiting.ann)
        assert answer.status in (200, 202), answer
    waiting.is_open()


def test_an_approval_is_for_the_plan_that_was_looked_at(waiting):
    for node in NODES:
        answer = waiting.approve(node, waiting.ann, plan_hash="sha256:" + "0" * 64)
        assert answer.status == 409 and "look again" in answer.error()[1], answer
        assert waiting.approve(node, waiting.ann, plan_hash="nonsense").status == 400
    waiting.is_open()


def test_approvals_do_not_outlive_their_plan(waiting, cluster):
    assert waiting.approve(1, waiting.ann, plan_hash=waiting.promotion["plan_hash"]).status == 202
    # A signature arrives: what would move is not what ann saw.
    config, layer, manifest = cluster.image(waiting.name)
    late = manifest_with(config, layer, artifactType="application/x.signature",
                         subject={"mediaType": caisson.MANIFEST, "size": len(manifest),
                                  "digest": caisson.digest_of(manifest)})
    answer = cluster.put_manifest(3, f"dev/{waiting.name}/web", caisson.digest_of(late), late)
    assert answer.status == 201, answer

    # ben may still be heard on what he looked at, but that counts for nothing now.
    old = waiting.approve(2, waiting.ben, plan_hash=waiting.promotion["plan_hash"])
    assert old.status in (202, 409), old
    waiting.is_open()

    def approve_what_is_there():
        shown = cluster.call(2, waiting.path).json()["plan_hash"]
        assert shown != waiting.promotion["plan_hash"]
        return waiting.approve(3, waiting.ben, plan_hash=shown).status == 202

    caisson.wait_until(approve_what_is_there, 20, "ben approves the new plan")
    # Of the two, only ben has approved this plan.
    waiting.is_open()


def test_no_word_of_the_client_commits_before_the_gates_do(waiting, cluster):
    for node in NODES:
        for path in ("/commit", "/approvals/commit", "/force"):
            assert put_json(cluster, node, waiting.path + path, {}, "POST").status == 404
        for body in ({"state": "committed"}, {"approvals": [{"actor": "ann"}]}, {"force": True},
                     {"gates": []}):
            answer = ask(cluster, node, waiting.name, "1.0", waiting.asker, body=body)
            assert answer.status == 400, (body, answer)
            assert put_json(cluster, node, waiting.path, body).status == 405
        answer = put_json(cluster, node, waiting.path + "/approvals",
                          {"decision": "approve", "actor": waiting.ben[0]}, "POST",
                          auth=waiting.ann)
        assert answer.status == 400, answer
    waiting.is_open()


def test_headers_of_peers_mean_nothing_from_a_client(waiting, cluster):
    ben = {"X-Caisson-Actor": waiting.ben[0], "X-Caisson-Forwarded": "1",
           "X-Forwarded-User": waiting.ben[0]}
    assert waiting.approve(1, waiting.ann).status == 202
    for node in NODES:
        answer = put_json(cluster, node, waiting.path + "/approvals", {"decision": "approve"},
                          "POST", ben, auth=None)
        assert answer.status == 401, answer
        put_json(cluster, node, waiting.path + "/approvals", {"decision": "approve"}, "POST", ben,
                 auth=waiting.ann)
    waiting.is_open()


def test_the_right_to_approve_is_looked_up_when_it_counts(waiting, cluster):
    assert waiting.approve(1, waiting.ann).status == 202
    gone = cluster.call(2, f"/api/v1/users/{waiting.ann[0]}", "DELETE")
    assert gone.status == 204, gone
    assert waiting.approve(3, waiting.ben).status == 202
    waiting.is_open()


def test_a_key_is_for_one_request(cluster):
    name = new_pipeline(cluster, FOUR_EYES)
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    key = {"Idempotency-Key": name}
    first = ask(cluster, 1, name, "1.0", headers=key)
    assert first.status == 202, first
    for node in NODES:
        other = ask(cluster, node, name, "2.0", headers=key)
        assert other.status == 422 and "Idempotency-Key" in other.error()[1], other
        assert ask(cluster, node, name, "1.0", headers=key).json()["id"] == first.json()["id"]


def test_who_may_not_see_a_promotion_is_told_that_there_is_none(waiting, cluster):
    stranger = new_user(cluster, "s" + waiting.name, ["pull", "push", "approve"], "else/**")
    for node in NODES:
        for path, method in ((waiting.path, "GET"), (waiting.path + "/explain", "GET"),
                             (waiting.path + "/approvals", "POST"),
                             (waiting.path + "/cancel", "POST")):
            body = {"decision": "approve"} if path.endswith("approvals") else {}
            answer = put_json(cluster, node, path, body, method, auth=stranger)
            nothing = put_json(cluster, node, path.replace(waiting.promotion["id"], "0" * 26), body,
                               method, auth=stranger)
            assert answer.status == nothing.status == 404, answer
            assert answer.body == nothing.body
        listed = cluster.call(node, API, auth=stranger).json()
        assert waiting.promotion["id"] not in str(listed)
    waiting.is_open()
