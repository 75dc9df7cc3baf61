"""What the conformance suite leaves out of the OCI distribution API, at any node of three: paging,
conditions, error bodies, sha512, tag parameters, races. Most requests go to another node than the one
before."""
import concurrent.futures
import hashlib
import http.client
import itertools
import json
import re
import socket
import urllib.parse

import pytest

import caisson

NODES = (1, 2, 3)
OCTETS = {"Content-Type": "application/octet-stream"}
NOWHERE = "sha256:" + "0" * 64
numbers = itertools.count()


@pytest.fixture(name="place")
def _place(cluster):
    return Place(cluster)


class Place:
    """A repository of its own in the shared cluster; each request at the next node."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = f"dist/t{next(numbers)}"
        self.turn = itertools.cycle(NODES)

    def ask(self, method, path, body=None, headers=None, node=None, name=None):
        """path is relative to the repository unless it starts with a slash."""
        target = path if path.startswith("/") else f"/v2/{name or self.name}/{path}"
        return self.cluster.call(node or next(self.turn), target, method, body, headers)

    def blob(self, data=b"{}", name=None):
        return self.cluster.push_blob(next(self.turn), name or self.name, data)

    def manifest(self, **more):
        """An image that has {} as config and no layers; what it consists of must be pushed."""
        return json.dumps({"schemaVersion": 2, "mediaType": caisson.MANIFEST, "layers": [],
                           "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                                      "digest": caisson.digest_of(b"{}")}, **more}).encode()

    def put(self, reference, manifest, headers=None, node=None, name=None):
        return self.ask("PUT", f"manifests/{reference}", manifest,
                        {"Content-Type": json.loads(manifest)["mediaType"], **(headers or {})},
                        node, name)

    def pages(self, path, key):
        """Follows Link as clients do: the lists of all pages."""
        found = []
        while path:
            answer = self.ask("GET", path)
            assert answer.status == 200, answer
            found.append(answer.json()[key])
            link = answer.headers["Link"]
            if link:
                match = re.fullmatch(r'<(/[^<>;]+)>; rel="next"', link)
                assert match, link
            path = match.group(1) if link else None
        return found


# --- lists and their pages ------------------------------------------------------------------------


def test_tags_by_pages(place):
    place.blob()
    tags = sorted(["a", "A", "0", "_", "a.b", "a-b", "aa", "Z.9", "z" * 128, "v1.10", "v1.9"])
    for tag in tags:
        assert place.put(tag, place.manifest()).status == 201
    for n in (1, 2, 3, len(tags) - 1, len(tags), len(tags) + 1, 99999999):
        pages = place.pages(f"tags/list?n={n}", "tags")
        assert sum(pages, []) == tags, (n, pages)
        assert all(len(page) == min(n, len(tags)) for page in pages[:-1])
        assert len(pages) == -(-len(tags) // n), "no empty last page"
    for last in ["", "0", "a", "a.", "zz", "~", "Y"] + tags:
        got = place.ask("GET", f"tags/list?last={last}").json()
        assert got == {"name": place.name, "tags": [tag for tag in tags if tag > last]}, last
    nothing = place.ask("GET", "tags/list?n=0")
    assert nothing.json()["tags"] == [] and nothing.headers["Link"] is None
    assert nothing.headers["Content-Type"] == "application/json"
    for n in ("-1", "x", "1.5", "", "%20"):
        assert place.ask("GET", f"tags/list?n={n}").status == 400, n
    assert place.ask("HEAD", "tags/list").headers["Content-Length"] == \
        place.ask("GET", "tags/list").headers["Content-Length"]


def test_a_repository_without_tags_lists_none_and_one_never_seen_is_unknown(place):
    assert place.ask("GET", "tags/list").error()[0] == "NAME_UNKNOWN"
    place.blob()
    assert place.ask("GET", "tags/list").json()["tags"] == []
    assert place.put("only", place.manifest()).status == 201
    assert place.ask("DELETE", "manifests/only").status == 202
    for node in NODES:
        assert place.ask("GET", "tags/list", node=node).json()["tags"] == []


def test_repositories_by_pages_and_names_that_begin_others(place):
    """A name that is the beginning of another, with and without a slash, shares nothing with it."""
    names = [place.name + end for end in ("", "-x", "/a", "/a/b", "/ab", "/manifests", "/tags/list",
                                          "/blobs/uploads", "/referrers", "0")]
    for name in names:
        place.blob(name=name)
        assert place.put("t", place.manifest(annotations={"of": name}), name=name).status == 201
    for name in names:
        assert place.ask("GET", "tags/list", name=name).json() == {"name": name, "tags": ["t"]}
        got = place.ask("GET", "manifests/t", name=name)
        assert got.json()["annotations"] == {"of": name}, got
    for n in (1, 3, 1000):
        pages = place.pages(f"/v2/_catalog?n={n}&last={place.name[:-1]}", "repositories")
        listed = sum(pages, [])
        assert listed == sorted(listed) and len(set(listed)) == len(listed)
        assert [name for name in listed if name.startswith(place.name)] == sorted(names), n
    assert place.ask("DELETE", "manifests/t").status == 202
    for name in names[1:]:
        assert place.ask("HEAD", "manifests/t", name=name).status == 200, name


def test_referrers_by_pages_and_by_type(place):
    """Pages are bounded by their bytes, so the annotations are large; subjects need not be there."""
    place.blob()
    subject = {"mediaType": caisson.MANIFEST, "digest": caisson.digest_of(place.name.encode()),
               "size": 7}
    wanted = {}
    for i in range(22):
        kind = "application/x+a" if i % 2 else "application/x+b"
        manifest = place.manifest(subject=subject, artifactType=kind,
                                  annotations={"i": str(i), "fill": "f" * 120_000})
        answer = place.put(caisson.digest_of(manifest), manifest)
        assert answer.status == 201 and answer.headers["OCI-Subject"] == subject["digest"], answer
        wanted[caisson.digest_of(manifest)] = kind, len(manifest), str(i)
    path = f"referrers/{subject['digest']}"
    for query, kinds in (("", None), ("?artifactType=application/x%2Ba", ["application/x+a"]),
                         ("?artifactType=application/x+b", ["application/x+b"]),
                         ("?artifactType=application/x%2Ba&artifactType=application/x%2Bb", None),
                         ("?artifactType=none/such", [])):
        pages = place.pages(path + query, "manifests")
        assert len(pages) > 1 or kinds == [], "more than a page has room for"
        got = {entry["digest"]: (entry["artifactType"], entry["size"], entry["annotations"]["i"])
               for entry in sum(pages, [])}
        assert len(got) == len(sum(pages, []))
        assert got == {digest: facts for digest, facts in wanted.items()
                       if kinds is None or facts[0] in kinds}, query
    first = place.ask("GET", path + "?artifactType=application/x%2Ba")
    assert first.headers["OCI-Filters-Applied"] == "artifactType"
    assert first.headers["Content-Type"] == caisson.INDEX
    assert place.ask("GET", path).headers["OCI-Filters-Applied"] is None
    for digest in wanted:
        assert place.ask("DELETE", f"manifests/{digest}").status == 202
    for node in NODES:
        assert place.ask("GET", path, node=node).json() == {
            "schemaVersion": 2, "mediaType": caisson.INDEX, "manifests": []}


def test_fallback_tags_of_referrers_are_tags_like_others(place):
    place.blob()
    names = [f"sha256-{'a' * 64}", f"sha256-{'a' * 64}.sig", f"sha256-{'a' * 64}.att",
             "b" * 64, f"sha512-{'c' * 64}", "1.2.3_build"]
    index = json.dumps({"schemaVersion": 2, "mediaType": caisson.INDEX, "manifests": []}).encode()
    for name in names:
        assert place.put(name, index).status == 201, name
        assert place.ask("GET", f"manifests/{name}").body == index
    assert place.ask("GET", "tags/list").json()["tags"] == sorted(names)
    assert place.ask("DELETE", f"manifests/{caisson.digest_of(index)}").status == 202
    assert place.ask("GET", "tags/list").json()["tags"] == []


# --- conditions -----------------------------------------------------------------------------------


def test_reads_that_have_it_already_get_304(place):
    digest = place.blob()
    manifest = place.manifest()
    assert place.put("t", manifest).status == 201
    name = caisson.digest_of(manifest)
    for path, etag in ((f"blobs/{digest}", digest), ("manifests/t", name),
                       (f"manifests/{name}", name)):
        for method, node in itertools.product(("GET", "HEAD"), NODES):
            for condition in (f'"{etag}"', f'W/"{etag}"', etag, "*", f'"x", "{etag}"'):
                got = place.ask(method, path, headers={"If-None-Match": condition}, node=node)
                assert got.status == 304 and not got.body, (path, condition, got)
                assert got.headers["ETag"] == f'"{etag}"'
            for condition in ('"x"', f'"{NOWHERE}"', f'"{etag}x"', f"x{etag}"):
                got = place.ask(method, path, headers={"If-None-Match": condition}, node=node)
                assert got.status == 200, (path, condition, got)


def test_conditions_on_tags_are_decided_once(place):
    """Sixteen writers through three nodes, round after round: one of them wins each round."""
    place.blob()
    manifests = [place.manifest(annotations={"n": str(n)}) for n in range(8)]
    for manifest in manifests:
        assert place.put(caisson.digest_of(manifest), manifest).status == 201
    condition = {"If-None-Match": "*"}
    with concurrent.futures.ThreadPoolExecutor(len(manifests)) as pool:
        for turn in range(6):
            answers = list(pool.map(lambda pair: place.put(
                "raced", pair[1], condition, NODES[(turn + pair[0]) % 3]), enumerate(manifests)))
            statuses = sorted(answer.status for answer in answers)
            assert statuses == [201] + [412] * 7, statuses
            winner = [answer.status for answer in answers].index(201)
            digest = caisson.digest_of(manifests[winner])
            for node in NODES:
                got = place.ask("HEAD", "manifests/raced", node=node)
                assert got.headers["Docker-Content-Digest"] == digest
            # The next round replaces exactly that; writing the same again is no other thing.
            others = [manifest for manifest in manifests if caisson.digest_of(manifest) != digest]
            condition = {"If-Match": f'"{digest}"'}
            manifests = others + [manifests[winner]] if turn % 2 else [manifests[winner]] + others
            manifests = [place.manifest(annotations={"turn": f"{turn} {n}"}) for n in range(8)]
    refused = place.put("raced", manifests[0], {"If-None-Match": "*"})
    assert refused.status == 412 and refused.error()[0] == "DENIED", refused
    assert "is at sha256:" in refused.error()[1]
    assert place.put("absent", manifests[0], {"If-Match": f'"{NOWHERE}"'}).status == 412
    for bad in ({"If-Match": "x"}, {"If-Match": "*", "If-None-Match": "*"},
                {"If-None-Match": f'"{NOWHERE}"'}):
        assert place.put("raced", manifests[0], bad).status == 400, bad


# --- tags with a manifest, sha512 -----------------------------------------------------------------


def test_tag_parameters_set_all_tags_at_once(place):
    place.blob()
    manifest = place.manifest()
    digest = caisson.digest_of(manifest)
    tags = [f"tag-{n:02}" for n in range(40)]
    query = "&".join(f"tag={tag}" for tag in tags + tags[:3])
    answer = place.put(f"{digest}?{query}", manifest)
    assert answer.status == 201 and answer.headers["OCI-Tag"] == ", ".join(tags), answer
    assert answer.headers["Location"] == f"/v2/{place.name}/manifests/{digest}"
    for node in NODES:
        assert place.ask("GET", "tags/list", node=node).json()["tags"] == tags
    for bad in ("tag=ok&tag=-bad", "tag=", "tag=a%2Fb"):
        refused = place.put(f"{digest}?{bad}", manifest)
        assert refused.status == 400 and refused.error()[0] == "NAME_INVALID", bad
    many = "&".join(f"tag=many-{n}" for n in range(101))
    assert place.put(f"{digest}?{many}", manifest).status == 414
    assert place.ask("GET", "tags/list").json()["tags"] == tags, "nothing of it happened"
    assert place.put("plain?tag=other", manifest).headers["OCI-Tag"] is None
    assert place.ask("HEAD", "manifests/other").status == 404
    assert place.ask("DELETE", f"manifests/{digest}").status == 202
    assert [place.ask("HEAD", f"manifests/{tag}").status for tag in tags[:6]] == [404] * 6


def test_sha512_all_the_way(place):
    def sha512(data):
        return "sha512:" + hashlib.sha512(data).hexdigest()

    config, layer = b"{}", bytes(range(256)) * 300
    for data in (config, layer):
        start = place.ask("POST", "blobs/uploads/?digest-algorithm=sha512", b"")
        assert start.status == 202, start
        location = start.headers["Location"]
        assert place.ask("PATCH", location, data[:1], OCTETS).status == 202
        done = place.ask("PUT", f"{location}?digest={sha512(data)}", data[1:], OCTETS)
        assert done.status == 201 and done.headers["Docker-Content-Digest"] == sha512(data), done
    subject = {"mediaType": caisson.MANIFEST, "digest": sha512(b"absent"), "size": 6}
    manifest = place.manifest(
        config={"mediaType": caisson.CONFIG, "digest": sha512(config), "size": 2}, subject=subject,
        layers=[{"mediaType": caisson.LAYER, "digest": sha512(layer), "size": len(layer)}])
    digest = sha512(manifest)
    for answer in (place.put(f"{digest}?tag=params", manifest),
                   place.put(f"query?digest={urllib.parse.quote(digest)}", manifest)):
        assert answer.status == 201 and answer.headers["Docker-Content-Digest"] == digest, answer
        assert answer.headers["OCI-Subject"] == subject["digest"]
    for node, reference in itertools.product(NODES, (digest, "params", "query")):
        got = place.ask("GET", f"manifests/{reference}", node=node)
        assert got.body == manifest and got.headers["Docker-Content-Digest"] == digest
        part = place.ask("GET", f"blobs/{sha512(layer)}", headers={"Range": "bytes=100-199"},
                         node=node)
        assert part.status == 206 and part.body == layer[100:200], part
    listed = place.ask("GET", f"referrers/{subject['digest']}").json()["manifests"]
    assert [entry["digest"] for entry in listed] == [digest]
    # The same bytes under another digest are another name: not there before they are pushed so.
    assert place.ask("HEAD", f"manifests/{caisson.digest_of(manifest)}").status == 404
    assert place.ask("HEAD", f"blobs/{caisson.digest_of(layer)}").status == 404
    mounted = place.ask("POST", f"blobs/uploads/?mount={sha512(layer)}&from={place.name}", b"",
                        name=place.name + "/mounted")
    assert mounted.status == 201 and mounted.headers["Docker-Content-Digest"] == sha512(layer)
    wrong = place.ask("POST", f"blobs/uploads/?digest={sha512(b'other')}", layer, OCTETS)
    assert wrong.status == 400 and wrong.error()[0] == "DIGEST_INVALID"
    for path in ("blobs/uploads/?digest-algorithm=md5", "blobs/uploads/?digest=sha384:00"):
        assert place.ask("POST", path, b"").error()[0] == "DIGEST_INVALID", path
    assert place.ask("DELETE", f"manifests/{digest}").status == 202
    assert place.ask("DELETE", f"blobs/{sha512(layer)}").status == 202


# --- uploads --------------------------------------------------------------------------------------


def test_an_upload_that_was_canceled_is_gone_at_every_node(place):
    for first, second in itertools.permutations(NODES, 2):
        location = place.ask("POST", "blobs/uploads/", b"", node=first).headers["Location"]
        assert place.ask("PATCH", location, b"half", OCTETS, node=second).status == 202
        assert place.ask("DELETE", location, node=second).status == 204
        for method, node in itertools.product(("GET", "PATCH", "PUT", "DELETE"), NODES):
            target = location + (f"?digest={NOWHERE}" if method == "PUT" else "")
            got = place.ask(method, target, b"x" if method in ("PATCH", "PUT") else None, node=node)
            assert got.status == 404 and got.error()[0] == "BLOB_UPLOAD_UNKNOWN", (method, got)


def test_a_finished_upload_repeats_its_answer(place):
    data = b"said twice"
    location = place.ask("POST", "blobs/uploads/", b"").headers["Location"]
    for node in NODES + NODES:
        done = place.ask("PUT", f"{location}?digest={caisson.digest_of(data)}", data, OCTETS, node)
        assert done.status == 201, done
        assert done.headers["Location"] == f"/v2/{place.name}/blobs/{caisson.digest_of(data)}"
    assert place.ask("GET", location).status == 404


@pytest.mark.parametrize("through", NODES)
def test_a_range_and_its_body_must_agree(place, through):
    """Also without Content-Length, where only the end of the body tells."""
    data = bytes(range(200))
    location = place.ask("POST", "blobs/uploads/", b"", node=1).headers["Location"]
    assert place.ask("PATCH", location, data[:100], OCTETS, through).status == 202
    for length in (1, 99, 101, 0):
        for body in (bytes(length), iter([bytes(length)] if length else [])):
            got = place.ask("PATCH", location, body, {**OCTETS, "Content-Range": "100-199"},
                            through)
            assert got.status == 400 and got.error()[0] == "SIZE_INVALID", (length, got)
            assert place.ask("GET", location, node=through).headers["Range"] == "0-99"
    for text in ("100", "x-y", "100-", "-199", "bytes=100-199"):
        got = place.ask("PATCH", location, data[100:], {**OCTETS, "Content-Range": text}, through)
        assert got.status in (400, 416) and got.error()[0] == "BLOB_UPLOAD_INVALID", (text, got)
        assert got.headers["Location"] == location and got.headers["Range"] == "0-99", (text, got)
    got = place.ask("PATCH", location, iter([data[100:150], data[150:]]),
                    {**OCTETS, "Content-Range": "bytes 100-199/200"}, through)
    assert got.status == 202 and got.headers["Range"] == "0-199", got
    digest = caisson.digest_of(data)
    assert place.ask("PUT", f"{location}?digest={digest}", b"", OCTETS, through).status == 201
    assert place.ask("GET", f"blobs/{digest}", node=through % 3 + 1).body == data


def test_two_writers_of_one_upload(place):
    """While one sends, another is told 409; and the first is not disturbed."""
    location = place.ask("POST", "blobs/uploads/", b"", node=1).headers["Location"]
    login = caisson.base64.b64encode(":".join(place.cluster.admin).encode()).decode()
    with socket.create_connection(("127.0.0.1", place.cluster.base_port + 1), timeout=10) as sock:
        sock.sendall(f"PATCH {location} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {login}\r\n"
                     "Content-Length: 6\r\n\r\nabc".encode())
        caisson.wait_until(lambda: place.ask("PATCH", location, b"x", OCTETS).status == 409, 10,
                           "the first writer has the upload")
        for method, node in itertools.product(("PATCH", "PUT"), NODES):
            got = place.ask(method, f"{location}?digest={NOWHERE}", b"x", OCTETS, node)
            assert got.status == 409 and got.error()[0] == "BLOB_UPLOAD_INVALID", got
        sock.sendall(b"def")
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.status == 202 and answer.headers["Range"] == "0-5"
    done = place.ask("PUT", f"{location}?digest={caisson.digest_of(b'abcdef')}", b"", OCTETS)
    assert done.status == 201, done


def test_a_mount_beside_a_delete_of_its_source(place):
    """Whichever comes first: a mount that said 201 can be read, one that did not was not made."""
    source, target = place.name + "/source", place.name + "/target"
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for turn in range(12):
            data = f"{place.name} {turn}".encode()
            digest = place.blob(data, source)
            delete = pool.submit(place.ask, "DELETE", f"blobs/{digest}", node=turn % 3 + 1,
                                 name=source)
            mounts = [pool.submit(place.ask, "POST", f"blobs/uploads/?mount={digest}&from={source}",
                                  b"", node=node, name=f"{target}{node}") for node in NODES]
            assert delete.result().status == 202
            for node, mount in zip(NODES, mounts):
                assert mount.result().status in (201, 202), mount.result()
                got = place.ask("GET", f"blobs/{digest}", name=f"{target}{node}")
                if mount.result().status == 201:
                    assert got.status == 200 and got.body == data, got
                else:
                    assert got.status == 404, got
            assert place.ask("HEAD", f"blobs/{digest}", name=source).status == 404


def test_one_tag_by_eight_at_once(place):
    """The last one stands, at every node the same, and each manifest is there by its digest."""
    place.blob()
    manifests = [place.manifest(annotations={"by": str(n)}) for n in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            answers = pool.map(lambda pair: place.put("one", pair[1], node=NODES[pair[0] % 3]),
                               enumerate(manifests))
            assert {answer.status for answer in answers} == {201}
            seen = {place.ask("HEAD", "manifests/one", node=node).headers["Docker-Content-Digest"]
                    for node in NODES}
            assert len(seen) == 1 and seen <= {caisson.digest_of(one) for one in manifests}, seen
    for node, manifest in itertools.product(NODES, manifests):
        digest = caisson.digest_of(manifest)
        assert place.ask("GET", f"manifests/{digest}", node=node).body == manifest
    assert place.ask("GET", "tags/list").json()["tags"] == ["one"]


# --- deletes --------------------------------------------------------------------------------------


def test_a_blob_that_a_manifest_needs_stays(place):
    digest = place.blob()
    manifest = place.manifest()
    assert place.put("t", manifest).status == 201
    for node in NODES:
        got = place.ask("DELETE", f"blobs/{digest}", node=node)
        assert got.status == 405 and got.error()[0] == "DENIED" and got.headers["Allow"], got
    assert place.ask("DELETE", "manifests/t").status == 202
    assert place.ask("DELETE", f"blobs/{digest}").status == 405, "the manifest is still there"
    assert place.ask("GET", f"manifests/{caisson.digest_of(manifest)}").body == manifest
    assert place.ask("DELETE", f"manifests/{caisson.digest_of(manifest)}").status == 202
    assert place.ask("DELETE", f"blobs/{digest}").status == 202
    refused = place.put("t", manifest)
    assert refused.status == 400 and refused.error()[0] == "MANIFEST_BLOB_UNKNOWN", refused
    place.blob()
    assert place.put("t", manifest).status == 201


# --- errors ---------------------------------------------------------------------------------------


def test_every_missing_digest_is_named(place):
    digests = [f"sha256:{n:064x}" for n in range(1, 6)]
    layers = [{"mediaType": caisson.LAYER, "digest": digest, "size": 1} for digest in digests]
    foreign = {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
               "digest": NOWHERE, "size": 1}
    place.blob(name=place.name + "/other")  # Not in this repository.
    for node in NODES:
        got = place.put("t", place.manifest(layers=layers + layers[:2] + [foreign]), node=node)
        assert got.status == 400, got
        errors = got.json()["errors"]
        assert {error["code"] for error in errors} == {"MANIFEST_BLOB_UNKNOWN"}
        assert sorted(error["detail"]["digest"] for error in errors) == sorted(
            digests + [caisson.digest_of(b"{}")])
    index = {"schemaVersion": 2, "mediaType": caisson.INDEX, "manifests": [
        {"mediaType": caisson.MANIFEST, "digest": digests[0], "size": 1},
        {"mediaType": caisson.LAYER, "digest": digests[1], "size": 1}]}
    got = place.put("t", json.dumps(index).encode())
    assert sorted(error["detail"]["digest"] for error in got.json()["errors"]) == digests[:2]
    # What is no manifest is looked for among the blobs (BuildKit's cache).
    data = b"cache"
    cache = {**index, "manifests": [{"mediaType": caisson.LAYER, "size": len(data),
                                     "digest": place.blob(data)}]}
    assert place.put("cache", json.dumps(cache).encode()).status == 201


def error_requests():
    """(status, code, method, path, body, headers): each code in each way that a client can get it."""
    image = {"Content-Type": caisson.MANIFEST}
    upload = "blobs/uploads/"
    unknown = upload + "0000000000000001-" + "0" * 32
    return [
        (404, "BLOB_UNKNOWN", "GET", f"blobs/{NOWHERE}", None, {}),
        (404, "BLOB_UNKNOWN", "DELETE", f"blobs/{NOWHERE}", None, {}),
        (404, "BLOB_UPLOAD_UNKNOWN", "GET", unknown, None, {}),
        (404, "BLOB_UPLOAD_UNKNOWN", "PATCH", unknown, b"x", {}),
        (404, "BLOB_UPLOAD_UNKNOWN", "PUT", f"{unknown}?digest={NOWHERE}", b"x", {}),
        (404, "BLOB_UPLOAD_UNKNOWN", "DELETE", upload + "no-id", None, {}),
        (400, "DIGEST_INVALID", "POST", f"{upload}?digest={NOWHERE}", b"x", {}),
        (400, "DIGEST_INVALID", "POST", upload + "?digest=sha256:abc", b"x", {}),
        (400, "DIGEST_INVALID", "POST", upload + "?digest=", b"x", {}),
        (400, "DIGEST_INVALID", "GET", "blobs/sha256:ABC", None, {}),
        (400, "DIGEST_INVALID", "GET", "blobs/latest", None, {}),
        (400, "DIGEST_INVALID", "DELETE", "blobs/md5:00", None, {}),
        (400, "DIGEST_INVALID", "GET", "manifests/sha256:zz", None, {}),
        (400, "DIGEST_INVALID", "DELETE", "manifests/blake3:00", None, {}),
        (400, "DIGEST_INVALID", "PUT", f"manifests/{NOWHERE}", b"{}", image),
        (400, "DIGEST_INVALID", "PUT", "manifests/t?digest=sha1:00", b"{}", image),
        (400, "DIGEST_INVALID", "GET", "referrers/latest", None, {}),
        (400, "DIGEST_INVALID", "GET", f"referrers/{NOWHERE}?last=x", None, {}),
        (400, "MANIFEST_INVALID", "PUT", "manifests/t", b"{", image),
        (400, "MANIFEST_INVALID", "PUT", "manifests/t", b"{}", {}),
        (400, "MANIFEST_INVALID", "PUT", "manifests/t", b'{"schemaVersion":2}',
         {"Content-Type": "application/json"}),
        (400, "MANIFEST_INVALID", "PUT", "manifests/t", b'{"schemaVersion":1}',
         {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}),
        (413, "MANIFEST_INVALID", "PUT", "manifests/t", b" " * (4 * 1024 * 1024 + 1), image),
        (404, "MANIFEST_UNKNOWN", "GET", "manifests/absent", None, {}),
        (404, "MANIFEST_UNKNOWN", "GET", f"manifests/{NOWHERE}", None, {}),
        (404, "MANIFEST_UNKNOWN", "GET", "manifests/-", None, {}),
        (404, "MANIFEST_UNKNOWN", "DELETE", "manifests/absent", None, {}),
        (404, "MANIFEST_UNKNOWN", "DELETE", f"manifests/{NOWHERE}", None, {}),
        (404, "NAME_UNKNOWN", "GET", "/v2/dist/never/seen/tags/list", None, {}),
        (404, "NAME_UNKNOWN", "GET", "/v2/dist/never/seen/manifests/t", None, {}),
        (404, "NAME_UNKNOWN", "GET", "/v2/nothing", None, {}),
        (400, "NAME_INVALID", "GET", "/v2/Upper/tags/list", None, {}),
        (400, "NAME_INVALID", "POST", "/v2/a__-b/blobs/uploads/", b"", {}),
        (400, "NAME_INVALID", "PUT", "manifests/-t", b"{}", image),
        (400, "UNSUPPORTED", "GET", "tags/list?n=x", None, {}),
        (400, "UNSUPPORTED", "GET", "/v2/_catalog?n=-1", None, {}),
        (405, "UNSUPPORTED", "POST", "manifests/t", b"", {}),
        (405, "UNSUPPORTED", "PUT", "tags/list", b"", {}),
        (405, "UNSUPPORTED", "GET", upload, None, {}),
        (405, "UNSUPPORTED", "DELETE", "/v2/", None, {}),
    ]


CODES = {"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID",
         "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID",
         "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"}


def assert_error(answer, status, code):
    """The body of an error as the specification has it, with words for people."""
    assert answer.status == status, (code, answer)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert len(answer.body) < 4096
    for error in answer.json()["errors"]:
        assert error["code"] == code and code in CODES, answer
        assert len(error["message"]) > 15 and len(error["detail"]["hint"]) > 15, answer


def test_every_error_has_its_code_and_says_what_to_do(place):
    place.blob(b"so that the repository is there")
    for status, code, method, path, body, headers in error_requests():
        answer = place.ask(method, path, body, headers)
        assert_error(answer, status, code)
        if status == 405:
            assert answer.headers["Allow"]
        if method == "GET":
            head = place.ask("HEAD", path)
            assert (head.status, head.body) == (status, b""), (path, head)


def test_errors_of_who_may_not(place):
    """No login, a wrong one, and one without the right: 401 with a challenge, and 403."""
    cluster = place.cluster
    place.blob()
    user = (f"only-{place.name.rsplit('/', 1)[1]}", "a password of some length")
    made = cluster.call(1, f"/api/v1/users/{user[0]}", "PUT", {"password": user[1]})
    assert made.status in (200, 201), made
    for node, path in itertools.product(NODES, ("/v2/", f"/v2/{place.name}/tags/list",
                                                f"/v2/{place.name}/blobs/{NOWHERE}")):
        for login in (None, ("admin", "wrong password"), ("nobody", "x")):
            got = cluster.call(node, path, auth=login)
            assert_error(got, 401, "UNAUTHORIZED")
            assert got.headers["WWW-Authenticate"].startswith("Basic realm="), got
        if path != "/v2/":
            assert_error(cluster.call(node, path, auth=user), 403, "DENIED")
    for header in ("Basic", "Basic !!!", "Bearer x", "Basic Og=", "Digest a=b"):
        got = cluster.call(1, "/v2/", headers={"Authorization": header}, auth=None)
        assert_error(got, 401, "UNAUTHORIZED")
