"""Who may do what, at every node: rights by route, identities that cannot be borrowed, uploads that
belong to who began them, and secrets that stay out of the logs."""
import base64
import json
import socket
import ssl
import uuid

import pytest

import caisson

NODES = (1, 2, 3)
NO_DIGEST = "sha256:" + "0" * 64
PEER_HEADERS = {"X-Caisson-Actor": "admin", "X-Caisson-Forwarded": "1", "X-Forwarded-User": "admin",
                "X-Remote-User": "admin", "X-Caisson-Node": "1"}


def new_user(cluster, name, actions, *repositories):
    user = {"password": "a long password of " + name,
            "bindings": [{"repositories": one, "actions": actions} for one in repositories]}
    answer = cluster.call(1, f"/api/v1/users/{name}", "PUT", user)
    assert answer.status in (200, 201), answer
    return (name, user["password"])


class Place:
    """A repository with an image, one that is absent, one of others, and a person of each kind."""

    def __init__(self, cluster):
        name = "a" + uuid.uuid4().hex[:8]
        self.name = name
        self.mine, self.absent, self.other = f"{name}/app", f"{name}/none", f"other-{name}/app"
        cluster.push_image(1, self.mine, "1.0", name)
        self.config, self.layer, self.manifest = cluster.image(name)
        self.secret = cluster.push_blob(2, self.other, b"of others, " + name.encode())
        cluster.push_image(3, self.other, "1.0", name + "other")
        self.people = {kind: new_user(cluster, kind + name, actions, f"{name}/**")
                       for kind, actions in (("puller", ["pull"]), ("pusher", ["push"]),
                                             ("approver", ["approve"]),
                                             ("writer", ["pull", "push"]))}
        self.people["nothing"] = new_user(cluster, "nothing" + name, ["pull"])
        self.people["elsewhere"] = new_user(cluster, "else" + name, ["pull", "push", "approve"],
                                            f"other-{name}/**")
        self.people["admin"] = cluster.admin
        self.people["anonymous"] = None


@pytest.fixture(scope="module")
def place(_shared_cluster):
    return Place(_shared_cluster)


def is_oci_error(answer, method="GET"):
    if method == "HEAD":
        return answer.body == b""
    first = answer.json()["errors"][0]
    return bool(first["code"]) and len(first["message"]) > 10 and len(answer.body) < 4096


# What a route needs of whom: path, method, body, and who is let in.
PULL = {"puller", "writer", "admin"}
PUSH = {"pusher", "writer", "admin"}
ADMIN = {"admin"}
LOGIN = {"puller", "pusher", "approver", "writer", "nothing", "elsewhere", "admin"}
ROUTES = [
    ("/v2/", "GET", None, LOGIN),
    ("/v2/_catalog", "GET", None, LOGIN),
    ("/v2/{mine}/manifests/1.0", "GET", None, PULL),
    ("/v2/{mine}/manifests/1.0", "HEAD", None, PULL),
    ("/v2/{absent}/manifests/1.0", "GET", None, PULL),
    ("/v2/{mine}/tags/list", "GET", None, PULL),
    ("/v2/{absent}/tags/list", "GET", None, PULL),
    ("/v2/{mine}/referrers/" + NO_DIGEST, "GET", None, PULL),
    ("/v2/{mine}/blobs/" + NO_DIGEST, "GET", None, PULL),
    ("/v2/{absent}/blobs/" + NO_DIGEST, "HEAD", None, PULL),
    ("/v2/{mine}/manifests/bad", "PUT", b"{}", PUSH),
    ("/v2/{absent}/manifests/bad", "PUT", b"{}", PUSH),
    ("/v2/{mine}/manifests/none", "DELETE", None, PUSH),
    ("/v2/{mine}/blobs/" + NO_DIGEST, "DELETE", None, PUSH),
    ("/v2/{mine}/blobs/uploads/?digest=bad", "POST", b"", PUSH),
    ("/v2/{mine}/blobs/uploads/none", "PATCH", b"x", PUSH),
    ("/v2/{mine}/blobs/uploads/none?digest=" + NO_DIGEST, "PUT", b"x", PUSH),
    ("/v2/{mine}/blobs/uploads/none", "GET", None, PUSH),
    ("/v2/{mine}/blobs/uploads/none", "DELETE", None, PUSH),
    ("/api/v1/pipelines", "GET", None, LOGIN),
    ("/api/v1/pipelines/none", "GET", None, LOGIN),
    ("/api/v1/pipelines/none", "PUT", {"pipeline": "none"}, ADMIN),
    ("/api/v1/promotions", "GET", None, LOGIN),
    ("/api/v1/promotions", "POST", {}, LOGIN),
    ("/api/v1/promotions/none", "GET", None, LOGIN),
    ("/api/v1/promotions/none/explain", "GET", None, LOGIN),
    ("/api/v1/promotions/none/approvals", "POST", {"decision": "approve"}, LOGIN),
    ("/api/v1/promotions/none/cancel", "POST", {}, LOGIN),
    ("/api/v1/environments/prod?pipeline=none", "GET", None, LOGIN),
    ("/api/v1/audit/entries", "GET", None, ADMIN),
    ("/api/v1/users", "GET", None, ADMIN),
    ("/api/v1/users/none", "GET", None, ADMIN),
    ("/api/v1/users/none", "PUT", {}, ADMIN),
    ("/api/v1/users/none", "DELETE", None, ADMIN),
    ("/api/v1/users/admin/password", "PUT", {"password": "x"}, ADMIN),
    ("/api/v1/join-tokens", "POST", {"ttl": "never"}, ADMIN),
]


@pytest.mark.parametrize("path, method, body, allowed", ROUTES,
                         ids=[f"{route[1]} {route[0]}"[:60] for route in ROUTES])
def test_rights_by_route(cluster, place, path, method, body, allowed):
    path = path.format(mine=place.mine, absent=place.absent)
    headers = {"Content-Type": caisson.MANIFEST} if "/manifests/" in path else {}
    for i, (kind, auth) in enumerate(sorted(place.people.items())):
        answer = cluster.call(NODES[i % 3], path, method, body, {**headers, **PEER_HEADERS}, auth)
        if kind == "anonymous":
            assert answer.status == 401, (kind, answer)
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        elif kind in allowed:
            assert answer.status not in (401, 403) and answer.status < 500, (kind, answer)
        else:
            assert answer.status == 403, (kind, answer)
        if answer.status >= 400:
            assert is_oci_error(answer, method), answer


def test_an_absent_repository_is_404_for_who_may_see_it_and_403_for_who_may_not(cluster, place):
    for node in NODES:
        for path in ("manifests/1.0", "tags/list", "blobs/" + NO_DIGEST):
            known = cluster.call(node, f"/v2/{place.absent}/{path}", auth=place.people["puller"])
            assert known.status == 404, known
            # To others, what is there and what is not look the same.
            answers = [cluster.call(node, f"/v2/{repository}/{path}",
                                    auth=place.people["nothing"])
                       for repository in (place.mine, place.absent)]
            assert [answer.status for answer in answers] == [403, 403]
            assert (answers[0].body.replace(place.mine.encode(), b"")
                    == answers[1].body.replace(place.absent.encode(), b""))


def test_lists_show_what_may_be_pulled(cluster, place):
    for node in NODES:
        def catalog(kind, query=""):
            answer = cluster.call(node, "/v2/_catalog" + query, auth=place.people[kind])
            return answer, answer.json()["repositories"]

        assert catalog("puller")[1] == [place.mine]
        assert catalog("elsewhere")[1] == [place.other]
        for kind in ("nothing", "pusher", "approver"):
            answer, names = catalog(kind, "?n=1")
            assert names == [] and "Link" not in answer.headers
        assert {place.mine, place.other} <= set(catalog("admin")[1])


def test_a_mount_never_tells_what_others_have(cluster, place):
    for node in NODES:
        answers = []
        for query in (f"?mount={place.secret}&from={place.other}", f"?mount={place.secret}",
                      f"?mount={NO_DIGEST}&from={place.other}", f"?mount={NO_DIGEST}",
                      f"?mount={place.secret}&from=no/such"):
            answer = cluster.call(node, f"/v2/{place.mine}/blobs/uploads/{query}", "POST", b"",
                                  auth=place.people["writer"])
            answers.append((answer.status, answer.body, sorted(answer.headers.keys())))
            cluster.call(node, answer.headers["Location"], "DELETE", auth=place.people["writer"])
        assert answers[0][0] == 202 and all(answer == answers[0] for answer in answers), answers
        assert cluster.call(node, f"/v2/{place.mine}/blobs/{place.secret}",
                            auth=place.people["writer"]).status == 404


def test_a_manifest_does_not_open_the_blobs_of_others(cluster, place):
    for media_type in (caisson.LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar"):
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": caisson.MANIFEST,
            "config": {"mediaType": caisson.CONFIG, "digest": caisson.digest_of(place.config),
                       "size": len(place.config)},
            "layers": [{"mediaType": media_type, "digest": place.secret, "size": 20}]}).encode()
        cluster.put_manifest(1, place.mine, "thief", manifest, auth=place.people["writer"])
        for node in NODES:
            answer = cluster.call(node, f"/v2/{place.mine}/blobs/{place.secret}",
                                  auth=place.people["writer"])
            assert answer.status == 404, answer
    # The digest alone, without the bytes, gives no blob either.
    answer = cluster.call(2, f"/v2/{place.mine}/blobs/uploads/?digest={place.secret}", "POST", b"",
                          auth=place.people["writer"])
    assert answer.status == 400 and answer.error()[0] == "DIGEST_INVALID", answer


@pytest.mark.parametrize("owner", NODES)
def test_an_upload_belongs_to_its_repository_and_its_person(cluster, place, owner):
    writer = place.people["writer"]
    other = new_user(cluster, "w2" + place.name, ["pull", "push"], f"{place.name}/**")
    start = cluster.call(owner, f"/v2/{place.mine}/blobs/uploads/", "POST", b"", auth=writer)
    location = start.headers["Location"]
    part = cluster.call(owner, location, "PATCH", b"first ", auth=writer)
    assert part.status == 202, part
    elsewhere = location.replace(place.mine, place.absent)
    digest = caisson.digest_of(b"first theft")
    for node in NODES:
        for path, auth in ((location, other), (location, cluster.admin), (elsewhere, writer)):
            for method, query, body in (("PATCH", "", b"theft"), ("PUT", f"?digest={digest}",
                                                                  b"theft"),
                                        ("GET", "", None), ("DELETE", "", None)):
                answer = cluster.call(node, path + query, method, body, PEER_HEADERS, auth)
                assert answer.status == 404, (node, path, method, answer)
                assert answer.error()[0] == "BLOB_UPLOAD_UNKNOWN"
        status = cluster.call(node, location, auth=writer)
        assert status.status == 204 and status.headers["Range"] == "0-5", status
    digest = caisson.digest_of(b"first second")
    done = cluster.call(owner % 3 + 1, location + f"?digest={digest}", "PUT", b"second",
                        auth=writer)
    assert done.status == 201, done


def test_many_open_uploads_are_too_many(cluster, place):
    hoarder = new_user(cluster, "hoard" + place.name, ["push"], f"{place.name}/**")
    locations, refused = [], None
    for _ in range(1100):
        answer = cluster.call(1, f"/v2/{place.mine}/blobs/uploads/", "POST", b"", auth=hoarder)
        if answer.status != 202:
            refused = answer
            break
        locations.append(answer.headers["Location"])
    assert refused is not None and refused.status == 429, (len(locations), refused)
    assert refused.error()[0] == "TOOMANYREQUESTS" and "cancel" in refused.error()[1]
    cluster.push_blob(1, place.mine, b"of another", auth=place.people["writer"])
    for location in locations:
        assert cluster.call(1, location, "DELETE", auth=hoarder).status == 204
    cluster.push_blob(1, place.mine, b"of the hoarder", auth=hoarder)


def test_a_change_of_rights_or_password_holds_with_the_next_request(cluster, place):
    person = new_user(cluster, "short" + place.name, ["pull"], f"{place.name}/**")
    path = f"/v2/{place.mine}/tags/list"
    for node in NODES:
        assert cluster.call(node, path, auth=person).status == 200
    new_user(cluster, person[0], ["pull"])
    for node in NODES:
        caisson.wait_until(lambda node=node: cluster.call(node, path, auth=person).status == 403,
                           5, "the right is gone everywhere")
    answer = cluster.call(2, f"/api/v1/users/{person[0]}/password", "PUT",
                          {"password": "another long password"}, auth=person)
    assert answer.status == 204, answer
    for node in NODES:
        caisson.wait_until(lambda node=node: cluster.call(node, "/v2/", auth=person).status == 401,
                           5, "the old password is no good")
    foreign = cluster.call(3, f"/api/v1/users/{person[0]}/password", "PUT",
                           {"password": "a stolen password"}, auth=place.people["writer"])
    assert foreign.status == 403, foreign


@pytest.mark.parametrize("name", ["node%2F1", "anonymous", "a:b", "a%20b", "%ff", "-a", "a" * 65,
                                  "caisson%0a", "join/er"])
def test_names_that_would_be_somebody_else(cluster, name):
    answer = cluster.call(1, f"/api/v1/users/{name}", "PUT", {"password": "long enough for all"})
    assert answer.status in (400, 404, 405), answer


# --- ports of peers --------------------------------------------------------------------------------


def on_peer_port(cluster, node, text):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    out = b""
    with socket.create_connection(("127.0.0.1", cluster.base_port + 200 + node), 5) as sock:
        with context.wrap_socket(sock) as tls:
            tls.sendall(text)
            while piece := tls.recv(65536):
                out += piece
    return out


def test_the_peers_port_gives_a_stranger_nothing(cluster, place):
    token = base64.b64encode(":".join(cluster.admin).encode()).decode()
    public = {"/healthz", "/readyz", "/metrics", "/api/v1/cluster"}
    paths = [(path.format(mine=place.mine, absent=place.absent), method)
             for path, method, _, _ in ROUTES]
    paths += [("/internal/v1/blobs/" + NO_DIGEST, "GET"), ("/internal/v1/blobs/" + NO_DIGEST, "PUT"),
              ("/internal/v1/uploads/x?offset=0", "PUT"), ("/internal/v1/uploads/x", "DELETE"),
              ("/internal/v1/uploads/x/commit", "POST")]
    for i, (path, method) in enumerate(paths):
        assert path not in public
        answer = on_peer_port(cluster, NODES[i % 3], (
            f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Caisson-Actor: admin\r\n"
            f"Authorization: Basic {token}\r\nContent-Length: 0\r\n\r\n").encode())
        assert answer.startswith(b"HTTP/1.1 403"), (path, answer[:300])


def test_the_clients_port_has_no_routes_of_peers(cluster):
    for node in NODES:
        for path, method in (("/internal/v1/blobs/" + NO_DIGEST, "GET"), ("/internal/v1/join", "POST"),
                             ("/internal/v1/uploads/x/commit", "POST"), ("/internal/", "GET")):
            answer = cluster.call(node, path, method, headers=PEER_HEADERS)
            assert answer.status == 404 and is_oci_error(answer), answer


# --- secrets ----------------------------------------------------------------------------------------


def test_no_secret_is_ever_logged(fresh_cluster):
    cluster = fresh_cluster(extra="log_level: debug\n")
    person = new_user(cluster, "person", ["pull", "push"], "**")
    token = cluster.call(2, "/api/v1/join-tokens", "POST", {}).json()["token"]
    cluster.push_image(3, "dev/web", "1.0", "1.0", auth=person)
    cluster.call(1, "/v2/", auth=("person", "a wrong but precious password"))
    cluster.call(1, "/v2/", headers={"Authorization": "Bearer a-precious-token"})
    cluster.call(1, "/api/v1/users/person", "PUT", b'{"password": "cut off, still precious')
    cluster.call(1, "/api/v1/users/person/password", "PUT", {"password": "the next precious one"},
                 auth=person)
    logs = "".join(cluster.log(node) for node in NODES)
    assert "dev/web" in logs, "the log is there"
    secrets = [cluster.admin[1], person[1], token, "precious", "PRIVATE KEY",
               (cluster.dir / "join-token").read_text().strip()]
    secrets += [base64.b64encode(":".join(login).encode()).decode()
                for login in (cluster.admin, person)]
    secrets += [part for part in token.replace(".", "-").split("-") if len(part) >= 32]
    for secret in secrets:
        assert secret not in logs, "a secret is in a log"
