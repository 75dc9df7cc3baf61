"""Server-sent events about a promotion: one at each change, and an end."""
import base64
import http.client
import json
import urllib.parse

from test_promotion import API, ask, new_pipeline, new_user, put_json


def follow(cluster, node, path):
    """The connection and its answer, which is read as it comes."""
    parts = urllib.parse.urlsplit(cluster.url(node))
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    token = base64.b64encode(":".join(cluster.admin).encode()).decode()
    connection.request("GET", path + "?watch=1", headers={"Authorization": "Basic " + token})
    return connection, connection.getresponse()


def next_event(answer):
    """(kind, data) of the next event; comments are passed over."""
    kind = data = None
    while True:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            data = line[6:]
        elif line == "" and kind is not None:
            return kind, data


def test_events_tell_each_change_at_every_node(cluster):
    name = new_pipeline(cluster, [{"id": "4eyes", "type": "approvals", "rules": [{"min": 2}]}])
    people = [new_user(cluster, person + name, f"prod/{name}/**") for person in ("ann", "ben")]
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    assert ask(cluster, 2, name, "dev", "test", "1.0").status == 200
    path = f"{API}/{ask(cluster, 1, name, 'test', 'prod', '1.0', wait=0).json()['id']}"
    follows = [follow(cluster, node, path) for node in (1, 2, 3)]
    try:
        for _, answer in follows:
            assert answer.status == 200 and answer.headers["Content-Type"] == "text/event-stream"
            kind, data = next_event(answer)
            assert kind == "promotion" and json.loads(data)["state"] != "committed", data
        for person in people:
            done = put_json(cluster, 3, path + "/approvals", {"decision": "approve"}, "POST",
                            auth=person)
            assert done.status in (200, 202), done
        for _, answer in follows:
            seen = []
            kind, data = next_event(answer)
            while kind == "promotion":
                seen.append(json.loads(data))
                kind, data = next_event(answer)
            assert (kind, data) == ("end", "closed")
            assert seen[-1]["state"] == "committed" and answer.read() == b"", seen
    finally:
        for connection, _ in follows:
            connection.close()
    assert cluster.call(1, f"{API}/01KAEXAMP1E0000000000000AB?watch=1").status == 404
    closed, answer = follow(cluster, 2, path)
    assert next_event(answer)[0] == "promotion" and next_event(answer) == ("end", "closed")
    closed.close()
    assert cluster.call(2, path + "?watch=1", "HEAD").status == 200
