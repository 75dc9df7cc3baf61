"""Small work that passes through everything that writes: blobs in pieces, manifests, tags, deletes,
promotions. What was acknowledged is kept, and checked at every node afterwards."""
import json
import uuid

import caisson


class Workload:
    """One client's work in repositories of its own."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = "w" + uuid.uuid4().hex[:10]
        self.repository = f"dev/{self.name}/web"
        self.blobs = set()       # Acknowledged digests.
        self.tags = {}           # tag -> set of digests that it may show; None: it may be absent
        self.promoted = {}       # tag -> digest, acknowledged in test/
        self.number = 0
        self.has_pipeline = False

    # --- one step each; True: acknowledged. Nothing raises for a node that is down. ---

    def call(self, node, path, method="GET", body=None, headers=None, timeout=15):
        try:
            return self.cluster.call(node, path, method, body, headers, timeout=timeout)
        except OSError:
            return None

    def push_blob(self, node, data, pieces=1):
        start = self.call(node, f"/v2/{self.repository}/blobs/uploads/", "POST", b"")
        if start is None or start.status != 202:
            return False
        location = start.headers["Location"]
        size = max(1, len(data) // pieces)
        for i in range(pieces - 1):
            done = self.call(node, location, "PATCH", data[i * size:(i + 1) * size])
            if done is None or done.status != 202:
                return False
            location = done.headers["Location"]
        digest = caisson.digest_of(data)
        end = self.call(node, location + ("&" if "?" in location else "?") + f"digest={digest}",
                        "PUT", data[(pieces - 1) * size:] if pieces > 1 else data,
                        {"Content-Type": "application/octet-stream"})
        if end is None or end.status != 201:
            return False
        self.blobs.add(digest)
        return True

    def push_image(self, node, tag=None):
        """A new image under the tag (default: one of its own)."""
        self.number += 1
        tag = tag or f"t{self.number}"
        config, layer, manifest = self.cluster.image(f"{self.name}-{self.number}", 3000)
        for data, pieces in ((config, 1), (layer, 3)):
            if not self.push_blob(node, data, pieces):
                return False
        digest = caisson.digest_of(manifest)
        may = self.tags.setdefault(tag, {None})
        may.add(digest)
        answer = self.call(node, f"/v2/{self.repository}/manifests/{tag}", "PUT", manifest,
                           {"Content-Type": caisson.MANIFEST})
        if answer is None or answer.status != 201:
            return False
        self.tags[tag] = {digest}
        return True

    def delete_tag(self, node, tag):
        self.tags.setdefault(tag, {None}).add(None)
        answer = self.call(node, f"/v2/{self.repository}/manifests/{tag}", "DELETE")
        if answer is None or answer.status != 202:
            return False
        self.tags[tag] = {None}
        return True

    def pipeline(self, node):
        document = {"pipeline": self.name, "stages": [
            {"name": "dev", "repos": f"dev/{self.name}/*", "write": "open"},
            {"name": "test", "repos": f"test/{self.name}/*", "write": "promotion-only",
             "from": "dev"}]}
        answer = self.call(node, f"/api/v1/pipelines/{self.name}", "PUT",
                           json.dumps(document).encode(), {"Content-Type": "application/json"})
        self.has_pipeline = answer is not None and answer.status == 200
        return self.has_pipeline

    def promote(self, node, tag, key=None):
        body = {"pipeline": self.name, "to": "test", "wait": 5,
                "items": [{"repo": self.repository, "tag": tag}]}
        answer = self.call(node, "/api/v1/promotions", "POST", json.dumps(body).encode(),
                           {"Content-Type": "application/json",
                            "Idempotency-Key": key or uuid.uuid4().hex})
        if answer is None or answer.status != 200 or answer.json()["state"] != "committed":
            return False
        (digest,) = self.tags[tag]
        self.promoted[tag] = digest
        return True

    def round(self, node):
        """One of each. The acknowledged steps."""
        done = []
        tag = f"r{self.number}"
        done.append(self.push_image(node, tag))
        done.append(self.push_image(node, "moving"))
        done.append(self.has_pipeline or self.pipeline(node))
        if done[0] and done[2]:
            done.append(self.promote(node, tag))
        done.append(self.push_image(node, "short"))
        if done[-1]:
            done.append(self.delete_tag(node, "short"))
        return done

    # --- judging ---

    def shown(self, node, repository, tag):
        answer = self.cluster.call(node, f"/v2/{repository}/manifests/{tag}",
                                   headers={"Accept": caisson.MANIFEST})
        if answer.status == 404:
            return None, None
        assert answer.status == 200, (node, repository, tag, answer)
        assert caisson.digest_of(answer.body) == answer.headers["Docker-Content-Digest"]
        return answer.headers["Docker-Content-Digest"], answer.json()

    def check(self):
        """Every acknowledged write shows at every node, and the content of each tag is whole; what
        was not acknowledged is there whole or not at all, and the same everywhere."""
        for tag, may in self.tags.items():
            shown = set()
            for node in self.cluster.all():
                digest, manifest = self.shown(node, self.repository, tag)
                shown.add(digest)
                assert digest in may, f"node {node} {tag}: {digest}, expected one of {may}"
                if manifest is not None:
                    self.check_content(node, self.repository, manifest)
            assert len(shown) == 1, f"{tag} differs between the nodes: {shown}"
            self.tags[tag] = shown
        for tag, digest in self.promoted.items():
            for node in self.cluster.all():
                shown, manifest = self.shown(node, f"test/{self.name}/web", tag)
                assert shown == digest, f"node {node}: promoted {tag} is {shown}, not {digest}"
                self.check_content(node, f"test/{self.name}/web", manifest)
        for digest in self.blobs:
            for node in self.cluster.all():
                answer = self.cluster.call(node, f"/v2/{self.repository}/blobs/{digest}", "HEAD")
                assert answer.status == 200, f"node {node}: blob {digest}: {answer}"

    def check_content(self, node, repository, manifest):
        for part in [manifest["config"], *manifest["layers"]]:
            answer = self.cluster.call(node, f"/v2/{repository}/blobs/{part['digest']}")
            assert answer.status == 200, f"node {node}: {part}: {answer}"
            assert caisson.digest_of(answer.body) == part["digest"], f"node {node}: {part}"
