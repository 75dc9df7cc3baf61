"""The same requests, one after the other, to a node of a three-node cluster and to Debian's
docker-registry. Each difference in what they answer is in DIFFERENCES with its reason, or a bug."""
import hashlib
import itertools
import json
import re
import sys

import pytest

import caisson

sys.path.append(str(caisson.ROOT / "tests" / "lib"))
# pylint: disable=wrong-import-position
import docker_registry  # noqa: E402
from difference_table import DIFFERENCES  # noqa: E402

OCTETS = {"Content-Type": "application/octet-stream"}
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
NOWHERE = "sha256:" + "0" * 64
CONFIG, LAYER = b'{"architecture":"amd64","os":"linux"}', bytes(range(256)) * 8
COMPARED = ("Content-Type", "Content-Length", "Docker-Content-Digest", "Location", "Range",
            "Content-Range", "Accept-Ranges", "ETag", "Docker-Distribution-API-Version", "Link",
            "Allow", "Cache-Control", "Content-Encoding", "OCI-Subject", "OCI-Tag",
            "OCI-Filters-Applied")


def image(media_type=caisson.MANIFEST, **more):
    return json.dumps({
        "schemaVersion": 2, "mediaType": media_type,
        "config": {"mediaType": caisson.CONFIG, "digest": caisson.digest_of(CONFIG),
                   "size": len(CONFIG)},
        "layers": [{"mediaType": caisson.LAYER, "digest": caisson.digest_of(LAYER),
                    "size": len(LAYER)}], **more}).encode()


def index(*manifests, media_type=caisson.INDEX):
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [
        {"mediaType": json.loads(manifest)["mediaType"], "digest": caisson.digest_of(manifest),
         "size": len(manifest)} for manifest in manifests]}).encode()


def step(name, method, path, body=None, **headers):
    """One request; path may hold {location}, where the last answer that had one led to."""
    return name, method, path, body, {key.replace("_", "-"): value
                                      for key, value in headers.items()}


# --- the table ------------------------------------------------------------------------------------


def roots():
    for path, method in itertools.product(("/v2/", "/v2", "/v1/", "/v2/_catalog", "/v2/a/unknown/x"),
                                          ("GET", "HEAD", "POST", "PUT", "DELETE")):
        yield step(f"root {method} {path}", method, path, b"" if method in ("POST", "PUT") else None)


def names():
    for name, (method, end) in itertools.product(
            ("Upper", "a_", "-a", "a..b", "a___b", "a.b_c__d--e", "x" * 180, "a/b/c/d/e/f"),
            (("GET", "tags/list"), ("GET", f"blobs/{NOWHERE}"), ("HEAD", "manifests/t"),
             ("DELETE", f"manifests/{NOWHERE}"))):
        yield step(f"name {method} {name[:20]} {end[:20]}", method, f"/v2/{name}/{end}")


def digests():
    for digest, (method, end) in itertools.product(
            ("sha256:short", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha512:" + "0" * 128,
             "sha256", ":", "sha256:" + "0" * 65),
            (("GET", "blobs/"), ("HEAD", "blobs/"), ("DELETE", "blobs/"), ("GET", "manifests/"),
             ("DELETE", "manifests/"))):
        yield step(f"digest {method} {end}{digest[:20]}{len(digest)}", method,
                   f"/v2/diff/a/{end}{digest}")


def upload(name, repository, data, pieces=0, put_last=False, digest=None):
    """A session: pieces by PATCH, its status between, the PUT, and what is left of it."""
    base = f"/v2/{repository}/blobs/uploads/"
    yield step(f"{name} start", "POST", base, b"")
    size = len(data) // max(pieces, 1)
    for i in range(pieces - put_last):
        piece = data[i * size:(i + 1) * size]
        yield step(f"{name} patch {i}", "PATCH", "{location}", piece, **OCTETS,
                   Content_Range=f"{i * size}-{i * size + len(piece) - 1}")
        yield step(f"{name} status {i}", "GET", "{location}")
    rest = data if pieces == 0 else data[size * (pieces - put_last):]
    yield step(f"{name} put", "PUT", "{location}?digest=" + (digest or caisson.digest_of(data)),
               rest, **OCTETS)


def uploads():
    yield from upload("monolithic", "diff/a", LAYER)
    yield from upload("patched", "diff/a", CONFIG, 1)
    yield from upload("chunks", "diff/a", b"chunks" * 400, 4)
    yield from upload("last chunk by put", "diff/a", b"last" * 400, 4, True)
    yield from upload("empty", "diff/a", b"")
    yield from upload("wrong digest", "diff/a", b"wrong", digest=NOWHERE)
    yield from upload("wrong digest, patched", "diff/a", b"wronger", 1, digest=NOWHERE)
    yield from upload("malformed digest", "diff/a", b"malformed", digest="sha256:xyz")
    yield from upload("unknown algorithm", "diff/a", b"unknown", digest="md5:" + "0" * 32)
    yield from upload("sha512", "diff/a", b"long",
                      digest="sha512:" + hashlib.sha512(b"long").hexdigest())
    yield step("one post", "POST", f"/v2/diff/a/blobs/uploads/?digest={caisson.digest_of(b'1')}",
               b"1", **OCTETS)
    yield step("cancel start", "POST", "/v2/diff/a/blobs/uploads/", b"")
    yield step("cancel patch", "PATCH", "{location}", b"half", **OCTETS)
    yield step("cancel", "DELETE", "{location}")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        yield step(f"canceled {method}", method, "{location}?digest=" + NOWHERE,
                   b"x" if method in ("PATCH", "PUT") else None)
    yield step("out of order start", "POST", "/v2/diff/a/blobs/uploads/", b"")
    for text in ("5-9", "0-3", "9-5", "x", "0-9/10"):
        yield step(f"out of order {text}", "PATCH", "{location}", b"01234", **OCTETS,
                   Content_Range=text)
    yield step("no slash", "POST", "/v2/diff/a/blobs/uploads", b"")
    yield step("no digest", "PUT", "{location}", b"")
    for query in ("mount=%s&from=diff/a" % caisson.digest_of(LAYER),
                  "mount=%s&from=diff/none" % caisson.digest_of(LAYER),
                  "mount=%s" % caisson.digest_of(LAYER), f"mount={NOWHERE}&from=diff/a",
                  "mount=junk&from=diff/a", "digest-algorithm=sha512"):
        number = hashlib.sha256(query.encode()).hexdigest()[:6]
        yield step(f"mount {query[:20]}{query[-10:]}", "POST",
                   f"/v2/diff/mount-{number}/blobs/uploads/?{query}", b"")
        yield step(f"mounted {query[:20]}{query[-10:]}", "HEAD",
                   f"/v2/diff/mount-{number}/blobs/{caisson.digest_of(LAYER)}")


def put(name, reference, manifest, media_type=caisson.MANIFEST):
    return step(f"manifest {name}", "PUT", f"/v2/diff/a/manifests/{reference}", manifest,
                **({"Content_Type": media_type} if media_type else {}))


def manifests():
    plain = image()
    yield put("by tag", "t", plain)
    yield put("again", "t", plain)
    yield put("by digest", caisson.digest_of(plain), plain)
    yield put("other bytes by digest", caisson.digest_of(plain), plain + b"\n")
    yield put("docker", "docker", image(DOCKER), DOCKER)
    yield put("index", "index", index(plain))
    yield put("index as such", "index", index(plain), caisson.INDEX)
    yield put("docker list", "list", index(image(DOCKER), media_type=DOCKER_LIST), DOCKER_LIST)
    yield put("sparse index", "sparse", index(image(annotations={"a": "b"})), caisson.INDEX)
    yield put("without type", "none", plain, None)
    yield put("type with parameter", "parameter", plain, caisson.MANIFEST + "; charset=utf-8")
    yield put("type in capitals", "capitals", plain, caisson.MANIFEST.upper())
    yield put("type of another", "other", plain, DOCKER)
    yield put("schema 1", "schema1", b'{"schemaVersion":1}', SCHEMA_1)
    yield put("unknown type", "json", plain, "application/json")
    missing = json.loads(plain)
    missing["layers"][0]["digest"] = NOWHERE
    yield put("missing layer", "missing", json.dumps(missing).encode())
    missing["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    missing["layers"][0]["urls"] = ["https://layers.example/a"]
    yield put("foreign layer", "foreign", json.dumps(missing).encode())
    for name, more in (("no layers", {"layers": []}), ("annotations", {"annotations": {"a": "b"}}),
                       ("unknown field", {"x": 1}), ("artifact", {"artifactType": "a/b"}),
                       ("subject", {"subject": {"mediaType": caisson.MANIFEST, "digest": NOWHERE,
                                                "size": 1}}),
                       ("version 1", {"schemaVersion": 1}), ("null layers", {"layers": None}),
                       ("also an index", {"manifests": []}), ("bad config", {"config": 1})):
        yield put(name, re.sub(" ", "-", name), image(**more))
    for name, body in (("empty", b""), ("cut", plain[:-1]), ("array", b"[]"), ("text", b"text")):
        yield put(f"body {name}", f"body-{name}", body)
    for tag in ("a" * 128, "a" * 129, "-a", "_a", "A.b-c", f"sha256-{'0' * 64}.sig"):
        yield put(f"tag {tag[:20]}{len(tag)}", tag, plain)


def reads():
    plain = caisson.digest_of(image())
    places = {"blob": f"blobs/{caisson.digest_of(LAYER)}", "tag": "manifests/t",
              "digest": f"manifests/{plain}"}
    etags = {"blob": caisson.digest_of(LAYER), "tag": plain, "digest": plain}
    for (name, path), method in itertools.product(places.items(), ("GET", "HEAD")):
        for accept in (None, "*/*", DOCKER, caisson.MANIFEST + ", " + caisson.INDEX, "text/html"):
            yield step(f"read {method} {name} accept {accept}", method, f"/v2/diff/a/{path}",
                       **({"Accept": accept} if accept else {}))
        for condition in (f'"{etags[name]}"', f'W/"{etags[name]}"', '"x"', "*",
                          f'"x", "{etags[name]}"'):
            yield step(f"read {method} {name} if-none-match {condition[:4]}{len(condition)}", method,
                       f"/v2/diff/a/{path}", If_None_Match=condition, Accept=caisson.MANIFEST)
        yield step(f"read {method} {name} gzip", method, f"/v2/diff/a/{path}",
                   Accept_Encoding="gzip, zstd", Accept=caisson.MANIFEST)
        yield step(f"read {method} {name} elsewhere", method, f"/v2/diff/elsewhere/{path}")
    for text, method in itertools.product(
            ("bytes=0-0", "bytes=0-99", "bytes=2000-", "bytes=-100", "bytes=2000-9999", "bytes=-0",
             "bytes=9999-", "bytes=500-0", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=-9999"),
            ("GET", "HEAD")):
        yield step(f"range {method} {text}", method, f"/v2/diff/a/{places['blob']}", Range=text)
    for query in ("", "?n=3", "?n=0", "?n=-1", "?n=x", "?last=list", "?last=zzz", "?last=none",
                  "?n=2&last=docker", "?n=1000", "?n=99999999", "?unknown=1"):
        yield step(f"tags{query}", "GET", f"/v2/diff/a/tags/list{query}")
        yield step(f"catalog{query}", "GET", f"/v2/_catalog{query}")
    yield step("tags of none", "GET", "/v2/diff/none/tags/list")
    for end in (NOWHERE, plain, "junk"):
        yield step(f"referrers {end[:12]}", "GET", f"/v2/diff/a/referrers/{end}")


def methods():
    for path, method in itertools.product(
            ("tags/list", "manifests/t", f"blobs/{NOWHERE}", "blobs/uploads/"),
            ("GET", "POST", "PUT", "PATCH", "DELETE")):
        if (path, method) not in (("manifests/t", "DELETE"), ("manifests/t", "PUT")):
            yield step(f"method {method} {path[:15]}", method, f"/v2/diff/a/{path}",
                       None if method in ("GET", "DELETE") else b"")


def deletes():
    plain = caisson.digest_of(image())
    for name, path in (("absent tag", "manifests/absent"), ("absent digest", f"manifests/{NOWHERE}"),
                       ("absent blob", f"blobs/{NOWHERE}"), ("tag", "manifests/docker"),
                       ("used blob", f"blobs/{caisson.digest_of(CONFIG)}"),
                       ("digest", f"manifests/{plain}"), ("digest again", f"manifests/{plain}"),
                       ("blob", f"blobs/{caisson.digest_of(b'')}"),
                       ("blob again", f"blobs/{caisson.digest_of(b'')}")):
        yield step(f"delete {name}", "DELETE", f"/v2/diff/a/{path}")
        yield step(f"deleted {name}", "GET", f"/v2/diff/a/{path}")
    yield step("tags at the end", "GET", "/v2/diff/a/tags/list")


def requests():
    return list(itertools.chain(roots(), names(), digests(), uploads(), manifests(), reads(),
                                methods(), deletes()))


# --- sending and comparing ------------------------------------------------------------------------


class Side:
    """One of the two registries."""

    def __init__(self, url):
        self.url = url
        self.location = "/v2/diff/a/blobs/uploads/none"

    def send(self, method, path, body, headers):
        location, more = self.location, ""
        if path.startswith("{location}?"):
            more = ("&" if "?" in location else "?") + path.partition("?")[2]
            path = location + more
        path = path.replace("{location}", location)
        try:
            answer = caisson.request(self.url + path, method, body, headers)
        except OSError:
            return {"status": "no whole answer"}
        if "/blobs/uploads/" in (answer.headers["Location"] or ""):
            self.location = answer.headers["Location"].removeprefix(self.url)
        return self.facts(method, answer)

    def facts(self, method, answer):
        """What is compared, by field."""
        out = {"status": answer.status}
        error = None
        if answer.status >= 400 and method != "HEAD" and answer.body:
            try:
                error = answer.json()["errors"][0]["code"]
            except (ValueError, KeyError, TypeError, IndexError):
                error = "not an OCI error"
        out["error"] = error
        for name in COMPARED:
            value = answer.headers[name]
            if name == "Location" and value:
                value = re.sub(r"uploads/[0-9a-f-]+.*", "uploads/ID", value.removeprefix(self.url))
            if answer.status >= 400 and name in ("Content-Length", "Content-Type"):
                value = None  # Of the error's text.
            out[name] = value
        if answer.status < 300:
            try:
                out["body"] = json.dumps(answer.json(), sort_keys=True)
            except ValueError:
                out["body"] = caisson.digest_of(answer.body)
        return out


def differences(name, ours, theirs):
    for field in sorted(set(ours) | set(theirs)):
        one, other = ours.get(field), theirs.get(field)
        if one != other:
            yield f"{name}: {field}: {one} | {other}"


@pytest.mark.skipif(docker_registry.PROGRAM is None, reason="docker-registry is not installed")
def test_every_difference_to_docker_registry_has_a_reason(fresh_cluster):
    cluster = fresh_cluster(is_open=True)
    found, table = [], requests()
    assert len(table) >= 300 and len({one[0] for one in table}) == len(table)
    with docker_registry.DockerRegistry() as other:
        ours, theirs = Side(cluster.url(1)), Side(other.url)
        for (name, method, path, body, headers), node in zip(table, itertools.cycle((1, 2, 3))):
            ours.url = cluster.url(node)
            found += differences(name, ours.send(method, path, body, headers),
                                 theirs.send(method, path, body, headers))
    rules = [re.compile(pattern) for pattern, _ in DIFFERENCES]
    unexplained = [line for line in found if not any(rule.fullmatch(line) for rule in rules)]
    assert not unexplained, "\n".join(unexplained)
    stale = [rule.pattern for rule in rules if not any(rule.fullmatch(line) for line in found)]
    assert not stale, "differences that are none any more:\n" + "\n".join(stale)
