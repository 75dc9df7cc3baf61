"""What a read may answer, what a write promises, and how soon a node that is cut off says so."""
import contextlib
import threading
import time

import caisson

TAGS = "/v2/{}/tags/list"
# Two failure detectors and a tick, on a busy machine; the ten seconds of an election are far off.
QUICK = 5


def manifest_of(cluster, repository, tag, seed):
    """Content at node 1, and the manifest's bytes, not put yet."""
    config, layer, manifest = cluster.image(seed)
    cluster.push_blob(1, repository, config)
    cluster.push_blob(1, repository, layer)
    return manifest


def head(cluster, node, repository, tag, query="", headers=None):
    return cluster.call(node, f"/v2/{repository}/manifests/{tag}{query}", "HEAD",
                        headers={"Accept": caisson.MANIFEST, **(headers or {})})


def test_a_write_shows_at_every_node_at_once(cluster):
    manifests = [manifest_of(cluster, "fresh/app", "now", f"fresh{i}") for i in range(4)]
    for i in range(24):
        writer, manifest = i % 3 + 1, manifests[i % 4]
        answer = cluster.put_manifest(writer, "fresh/app", "now", manifest)
        assert answer.status == 201
        tag = f"t{i}"
        assert cluster.put_manifest(writer, "fresh/app", tag, manifest).status == 201
        for node in (1, 2, 3):
            seen = head(cluster, node, "fresh/app", "now")
            assert seen.headers["Docker-Content-Digest"] == caisson.digest_of(manifest)
            listed = cluster.call(node, TAGS.format("fresh/app")).json()["tags"]
            assert tag in listed, (node, tag, listed)


def test_an_index_from_a_write_makes_any_node_catch_up(cluster):
    """Also with ?consistency=stale, which says so and asks nobody."""
    manifest = manifest_of(cluster, "index/app", "one", "index")
    last = 0
    for i in range(12):
        answer = cluster.put_manifest(i % 3 + 1, "index/app", f"t{i}", manifest)
        index = int(answer.headers["X-Raft-Index"])
        assert index > last
        last = index
        for node in (1, 2, 3):
            seen = head(cluster, node, "index/app", f"t{i}", "?consistency=stale",
                        {"X-Min-Raft-Index": str(index)})
            assert seen.status == 200, (node, i, seen)
            assert seen.headers["X-Caisson-Consistency"] == "stale"
            assert int(seen.headers["X-Raft-Index"]) >= index
    assert "X-Caisson-Consistency" not in head(cluster, 1, "index/app", "t0").headers
    for path, method, body in [("/v2/index/app/manifests/t0", "DELETE", None),
                               (f"/api/v1/users/index{last}", "PUT",
                                {"password": "a password", "bindings": []}),
                               (f"/api/v1/users/index{last}", "DELETE", None),
                               ("/api/v1/join-tokens", "POST", {"ttl_ms": 1000, "uses": 1})]:
        answer = cluster.call(2, path, method, body)
        assert answer.status in (200, 201, 202, 204), answer
        assert int(answer.headers["X-Raft-Index"]) > last, (path, answer.headers.items())
        last = int(answer.headers["X-Raft-Index"])
    digest = caisson.digest_of(cluster.image("index")[0])
    mounted = cluster.call(3, f"/v2/index/other/blobs/uploads/?mount={digest}&from=index/app",
                           "POST", b"")
    assert mounted.status == 201 and int(mounted.headers["X-Raft-Index"]) > last
    config = caisson.digest_of(b"index")
    start = cluster.call(1, "/v2/index/app/blobs/uploads/", "POST", b"")
    # Through another node than the one that owns the upload, too.
    done = cluster.call(2, start.headers["Location"] + f"?digest={config}", "PUT", b"index",
                        {"Content-Type": "application/octet-stream"})
    assert done.status == 201 and int(done.headers["X-Raft-Index"]) > last, done


def test_an_index_that_is_not_there_is_a_bounded_wait_and_a_clear_answer(cluster):
    cluster.push_image(1, "index/far", "one", "far")
    for query in ("", "?consistency=stale"):
        since = time.monotonic()
        answer = cluster.call(2, f"/v2/index/far/manifests/one{query}",
                              headers={"X-Min-Raft-Index": "999999999"})
        assert answer.status == 503 and "Retry-After" in answer.headers
        assert "X-Min-Raft-Index" in answer.error()[1], answer
        assert "999999999" in answer.error()[1], answer
        assert time.monotonic() - since < QUICK
    for wrong in ("-1", "x", "1.5", "99999999999999999999999"):
        answer = cluster.call(2, "/v2/index/far/manifests/one",
                              headers={"X-Min-Raft-Index": wrong})
        assert answer.status == 400 and "decimal" in answer.error()[1], (wrong, answer)
    answer = cluster.call(2, "/v2/index/far/manifests/one?consistency=eventual")
    assert answer.status == 400 and "stale" in answer.error()[1], answer


def test_a_minority_says_no_soon_and_still_reads_what_it_has(fresh_cluster):
    cluster = fresh_cluster()
    digest = cluster.push_image(1, "minority/app", "one", "one")
    manifest = cluster.image("one")[2]
    caisson.wait_until(lambda: head(cluster, 1, "minority/app", "one", "?consistency=stale").status
                       == 200, 10, "node 1 has it")
    cluster.kill(2)
    cluster.kill(3)
    for what in range(2):  # At once, when nobody has noticed, and when it is known.
        for path, method, body in [("/v2/minority/app/manifests/one", "GET", None),
                                   (TAGS.format("minority/app"), "GET", None),
                                   ("/v2/minority/app/manifests/two", "PUT", manifest)]:
            since = time.monotonic()
            answer = cluster.call(1, path, method, body, {"Content-Type": caisson.MANIFEST})
            took = time.monotonic() - since
            assert answer.status == 503 and "Retry-After" in answer.headers, (path, answer)
            assert took < QUICK, (what, path, took)
        stale = cluster.call(1, "/v2/minority/app/manifests/one?consistency=stale")
        assert stale.status == 200 and stale.headers["X-Caisson-Consistency"] == "stale"
        assert stale.headers["Docker-Content-Digest"] == digest
        tags = cluster.call(1, TAGS.format("minority/app") + "?consistency=stale")
        assert tags.json()["tags"] == ["one"]
    # A stop has nobody to wait for.
    since = time.monotonic()
    cluster.script("stop")
    assert time.monotonic() - since < QUICK
    cluster.start()
    assert cluster.put_manifest(1, "minority/app", "two", manifest).status == 201


class Creator(threading.Thread):
    """Creates tags through one node, each only if it is not there: a command that is applied twice
    would refuse itself."""

    def __init__(self, cluster, node, manifest, end):
        super().__init__(daemon=True)
        self.cluster, self.node, self.manifest, self.end = cluster, node, manifest, end
        self.counts = {}
        self.acknowledged = []
        self.wrong = []

    def run(self):
        i = 0
        while not self.end.is_set():
            i += 1
            tag = f"n{self.node}-{i}"
            try:
                answer = self.cluster.call(
                    self.node, f"/v2/once/app/manifests/{tag}", "PUT", self.manifest,
                    {"Content-Type": caisson.MANIFEST, "If-None-Match": "*"})
            except OSError:
                self.counts["lost"] = self.counts.get("lost", 0) + 1
                continue
            self.counts[answer.status] = self.counts.get(answer.status, 0) + 1
            if answer.status == 201:
                self.acknowledged.append(tag)
                # Another node reads it, whoever leads by now.
                with contextlib.suppress(OSError):
                    seen = head(self.cluster, self.node % 3 + 1, "once/app", tag)
                    if seen.status not in (200, 503):
                        self.wrong.append((tag, "read", seen.status))
            elif answer.status != 503:
                self.wrong.append((tag, "create", answer.status, answer.body))


def test_each_command_happens_once_while_leadership_moves(cluster):
    manifest = manifest_of(cluster, "once/app", "one", "once")
    end = threading.Event()
    creators = [Creator(cluster, node, manifest, end) for node in (1, 2, 3)]
    for creator in creators:
        creator.start()
    moves = 0
    until = time.monotonic() + 6
    while time.monotonic() < until:
        moves += cluster.call(moves % 3 + 1, "/api/v1/cluster/leader", "POST", {}).status < 300
        time.sleep(0.3)
    cluster.kill(cluster.leader())
    time.sleep(1.5)
    cluster.start()
    end.set()
    for creator in creators:
        creator.join(30)
        assert not creator.is_alive()
    assert moves >= 3, "leadership did not move"
    wrong = [w for creator in creators for w in creator.wrong]
    assert not wrong, wrong
    acknowledged = {tag for creator in creators for tag in creator.acknowledged}
    assert len(acknowledged) > 30, [creator.counts for creator in creators]
    tags, last = set(), ""
    while True:
        page = cluster.call(2, TAGS.format("once/app") + f"?n=1000&last={last}").json()["tags"]
        tags.update(page)
        if len(page) < 1000:
            break
        last = page[-1]
    assert acknowledged <= tags
