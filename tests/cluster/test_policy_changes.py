"""A pipeline that wants two people for its own changes gets them at every node."""
from test_promotion import new_pipeline, new_user, put_json


def test_a_change_waits_for_two_people(cluster, run):
    name = new_pipeline(cluster)
    path = f"/api/v1/pipelines/{name}"
    people = [new_user(cluster, person + name, f"prod/{name}/**") for person in ("ann", "ben", "cyd")]
    document = cluster.call(1, path).json()
    document.update({"groups": {"owners": [people[0][0], people[1][0]]},
                     "changes": {"group": "owners", "min": 2}})
    assert put_json(cluster, 1, path, document).status == 200
    before = cluster.call(2, path).headers["ETag"]
    assert cluster.call(3, path + "/change").status == 404

    document["stages"][2]["gates"] = [{"id": "size", "type": "size", "maxImage": "1GiB"}]
    waiting = put_json(cluster, 2, path, document)
    assert waiting.status == 202 and waiting.json()["agreed"] == 0, waiting
    change = cluster.call(3, path + "/change").json()
    assert change["revision"] == waiting.json()["revision"] and change["document"] == document

    def approve(node, person, revision=change["revision"], decision="approve"):
        return put_json(cluster, node, path + "/change",
                        {"decision": decision, "revision": revision}, "POST", auth=person)

    assert approve(1, people[2]).status == 403
    assert approve(1, people[0], before.strip('"')).status == 409
    assert approve(1, people[0], "nonsense").status == 400
    assert approve(1, people[0]).status == 202
    assert approve(2, people[0]).status == 202
    assert {cluster.call(node, path).headers["ETag"] for node in (1, 2, 3)} == {before}
    done = run("pipeline", "approve", name, "--server", cluster.url(3), "--user", people[1][0],
               env={"CAISSON_PASSWORD": people[1][1]})
    assert done.returncode == 0 and "in force" in done.stdout, done
    for node in (1, 2, 3):
        assert cluster.call(node, path).json() == document
        assert cluster.call(node, path + "/change").status == 404
    listed = cluster.call(2, path + "/revisions").json()["revisions"]
    assert [one["number"] for one in listed] == [3, 2, 1]
    assert listed[0]["revision"] == change["revision"]
    assert listed[0]["by"] == people[1][0]
    assert len(cluster.call(1, path + "/revisions?before=2").json()["revisions"]) == 1
    kinds = [entry["kind"] for entry in
             cluster.call(1, f"/api/v1/audit/entries?pipeline={name}").json()["entries"]]
    assert kinds == ["policy.changed", "policy.changed", "policy.change-proposed",
                     "policy.change-approved", "policy.change-approved", "policy.changed"], kinds
