"""What the nodes answer is what docs/openapi.yaml (served as /api/v1/openapi.json) says."""
import json

import jsonschema

from test_promotion import ask, new_pipeline, put_json

API = "/api/v1"


def check(document, answer, pattern, method="get"):
    """The answer's status is described, and its body fits the schema there."""
    responses = document["paths"][pattern][method]["responses"]
    response = responses.get(str(answer.status), responses.get("default"))
    assert response is not None, (pattern, method, answer)
    while "$ref" in response:
        kind, name = response["$ref"].removeprefix("#/components/").split("/")
        response = document["components"][kind][name]
    content = response.get("content", {})
    if "application/json" not in content:
        return
    assert answer.headers["Content-Type"].startswith("application/json"), answer
    # References are to the root, which is the schema: so it has what they are to.
    schema = {"allOf": [content["application/json"]["schema"]],
              "components": document["components"]}
    jsonschema.Draft4Validator(schema).validate(answer.json())


def test_answers_fit_the_description(cluster):
    document = cluster.call(2, f"{API}/openapi.json", auth=None).json()
    name = new_pipeline(cluster, [{"id": "4eyes", "type": "approvals", "rules": [{"min": 1}]}])
    digest = cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    committed = ask(cluster, 1, name, "dev", "test", "1.0")
    waiting = ask(cluster, 2, name, "test", "prod", "1.0", wait=0)
    assert (committed.status, waiting.status) == (200, 202), (committed, waiting)
    check(document, committed, f"{API}/promotions", "post")
    check(document, waiting, f"{API}/promotions", "post")
    report = put_json(cluster, 3, f"{API}/statuses",
                      {"digest": digest, "context": "e2e", "state": "success"}, "POST")
    check(document, report, f"{API}/statuses", "post")
    freeze = put_json(cluster, 1, f"{API}/holds", {"pipeline": name, "reason": "test"}, "POST")
    check(document, freeze, f"{API}/holds", "post")
    blocked = ask(cluster, 2, name, "dev", "test", "1.0", wait=0)
    assert blocked.status == 423, blocked
    check(document, blocked, f"{API}/promotions", "post")
    glass = put_json(cluster, 3, f"{API}/promotions/{waiting.json()['id']}/overrides",
                     {"gates": ["4eyes"], "reason": "test"}, "POST")
    assert glass.status == 403 and "override" in str(glass.json()), glass
    check(document, glass, f"{API}/promotions/{{id}}/overrides", "post")
    lifted = cluster.call(3, f"{API}/holds/{freeze.json()['id']}", "DELETE")
    assert lifted.status == 204, lifted
    one = f"{API}/promotions/{waiting.json()['id']}"
    for pattern, path in (
            ("/healthz", "/healthz"), ("/readyz", "/readyz"), ("/metrics", "/metrics"),
            (f"{API}/openapi.json", f"{API}/openapi.json"),
            (f"{API}/cluster", f"{API}/cluster"),
            (f"{API}/users", f"{API}/users"),
            (f"{API}/users/{{user}}", f"{API}/users/{cluster.env()['CAISSON_ADMIN_USER']}"),
            (f"{API}/users/{{user}}", f"{API}/users/nobody"),
            (f"{API}/pipelines", f"{API}/pipelines"),
            (f"{API}/pipelines/{{pipeline}}", f"{API}/pipelines/{name}"),
            (f"{API}/promotions", f"{API}/promotions?pipeline={name}"),
            (f"{API}/promotions/{{id}}", one),
            (f"{API}/promotions/{{id}}/explain", one + "/explain"),
            (f"{API}/environments/{{stage}}", f"{API}/environments/test?pipeline={name}"),
            (f"{API}/environments/{{stage}}", f"{API}/environments/test"),
            (f"{API}/environments/{{stage}}/history",
             f"{API}/environments/test/history?pipeline={name}"),
            (f"{API}/environments/{{stage}}/lock", f"{API}/environments/test/lock?pipeline={name}"),
            (f"{API}/digests/{{digest}}", f"{API}/digests/{digest}"),
            (f"{API}/promotions/{{id}}/receipt",
             f"{API}/promotions/{committed.json()['id']}/receipt"),
            (f"{API}/pipelines/{{pipeline}}/revisions", f"{API}/pipelines/{name}/revisions"),
            (f"{API}/pipelines/{{pipeline}}/revisions", f"{API}/pipelines/none/revisions"),
            (f"{API}/pipelines/{{pipeline}}/change", f"{API}/pipelines/{name}/change"),
            (f"{API}/diff", f"{API}/diff?pipeline={name}&from=test&to=prod"),
            (f"{API}/statuses", f"{API}/statuses?digest={digest}"),
            (f"{API}/holds", f"{API}/holds"),
            (f"{API}/settings", f"{API}/settings"),
            (f"{API}/quotas", f"{API}/quotas"),
            (f"{API}/audit/entries", f"{API}/audit/entries?pipeline={name}")):
        check(document, cluster.call(1, path), pattern)


def test_the_description_is_the_same_at_every_node(cluster):
    documents = [cluster.call(node, f"{API}/openapi.json").body for node in (1, 2, 3)]
    assert documents[0] == documents[1] == documents[2]
    assert json.loads(documents[0])["openapi"].startswith("3.")
