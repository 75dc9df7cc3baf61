"""Overrides through every node: two people of the stage's group, and no other way."""
import caisson

from test_promotion import API, ask, new_pipeline, new_user, put_json


def pipeline_with_glass(cluster):
    """A pipeline whose prod wants a soak of ten days and a report; two people may pass gates."""
    name = new_pipeline(cluster)
    people = [new_user(cluster, person + name, f"prod/{name}/**") for person in ("ann", "ben", "cyd")]
    document = cluster.call(1, f"/api/v1/pipelines/{name}").json()
    document["groups"] = {"sre": [people[0][0], people[1][0]]}
    document["stages"][2].update({
        "gates": [{"id": "soak", "type": "soak", "min": "240h"},
                  {"id": "size", "type": "size", "maxImage": "1GiB", "mandatory": True}],
        "override": {"group": "sre", "min": 2, "ttl": "1h"}})
    answer = put_json(cluster, 2, f"/api/v1/pipelines/{name}", document)
    assert answer.status == 200, answer
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    assert ask(cluster, 2, name, "dev", "test", "1.0").status == 200
    waiting = ask(cluster, 3, name, "test", "prod", "1.0", wait=0)
    assert waiting.status == 202, waiting
    return people, f"{API}/{waiting.json()['id']}", name


def test_two_people_pass_a_gate_and_the_record_says_so(cluster, run):
    people, path, name = pipeline_with_glass(cluster)

    def override(node, person, gates=("soak",)):
        return put_json(cluster, node, path + "/overrides",
                        {"gates": list(gates), "reason": "incident 7"}, "POST", auth=person)

    assert override(1, people[2]).status == 403
    assert override(2, people[0], ["size"]).status == 403
    assert override(3, people[0], ["replicated"]).status == 403
    assert put_json(cluster, 1, path + "/overrides", {"gates": ["soak"]}, "POST",
                    auth=people[0]).status == 400
    for node in (1, 2, 3):
        answer = override(node, people[0])
        assert answer.status == 202 and answer.json()["state"] != "committed", answer
    done = run("override", path.rsplit("/", 1)[1], "--gate", "soak", "--reason", "incident 7",
               "--server", cluster.url(2), "--user", people[1][0],
               env={"CAISSON_PASSWORD": people[1][1]})
    assert done.returncode == 0 and "committed" in done.stdout, done
    for node in (1, 2, 3):
        seen = cluster.call(node, path + "?wait=20").json()
        assert seen["state"] == "committed", seen
        gates = {gate["id"]: gate["result"] for gate in seen["gates"]}
        assert gates["soak"] == "overridden" and gates["size"] == "pass", gates
        answer = cluster.call(node, f"/v2/prod/{name}/web/manifests/1.0", "HEAD",
                              headers={"Accept": caisson.MANIFEST})
        assert answer.status == 200, answer
    audit = cluster.call(3, f"/api/v1/audit/entries?pipeline={name}&kind=override.used").json()
    assert len(audit["entries"]) == 1
    given = cluster.call(1, f"/api/v1/audit/entries?pipeline={name}&kind=override.given").json()
    assert {entry["actor"] for entry in given["entries"]} == {people[0][0], people[1][0]}
    assert all(entry["details"]["reason"] == "incident 7" for entry in given["entries"])
