"""Promotions in numbers: the same request again and again while leaders die, races for a channel, and
a release set of a hundred images. scripts/soak runs them in full (CAISSON_PROMOTIONS and its like)."""
import json
import os
import signal
import threading
import time
import uuid

import caisson

from test_promotion import API, new_pipeline, put_json

PROMOTIONS = int(os.environ.get("CAISSON_PROMOTIONS", "60"))
RETRIES = 8
KILLS = int(os.environ.get("CAISSON_PROMOTION_KILLS", "2"))
ROUNDS = int(os.environ.get("CAISSON_RACES", "40"))
WORKERS = 4
SET = 100


def audit_count(cluster, name, kind):
    """Every record of the kind, by pages."""
    after, n = 0, 0
    while True:
        page = cluster.call(1, f"/api/v1/audit/entries?pipeline={name}&kind={kind}&n=1000"
                               f"&after={after}").json()["entries"]
        if not page:
            return n
        n, after = n + len(page), page[-1]["number"]


class Retries:
    """Workers that ask for promotions, each RETRIES times with one key through all nodes, whatever
    the answer was."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.lock = threading.Lock()
        self.ids = {}  # tag -> {ids that answers named}
        self.begun = 0
        self.threads = [threading.Thread(target=self.work, args=[i]) for i in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def ask(self, number, attempt):
        tag = f"t{number}"
        body = {"pipeline": self.name, "to": "test", "wait": 0, "items": [
            {"repo": f"dev/{self.name}/web", "tag": "1.0", "tags": [tag]}]}
        node = (number + attempt) % self.cluster.nodes + 1
        try:
            answer = self.cluster.call(node, API, "POST", json.dumps(body).encode(),
                                       {"Content-Type": "application/json",
                                        "Idempotency-Key": f"{self.name}-{number}"}, timeout=20)
        except OSError:
            return False
        # 503: the outcome is not known. 409, 412: decided by what a first attempt did meanwhile.
        assert answer.status in (200, 202, 503), (number, answer)
        if answer.status == 503:
            return False
        with self.lock:
            self.ids.setdefault(tag, set()).add(answer.json()["id"])
        return True

    def work(self, worker):
        for number in range(worker, PROMOTIONS, WORKERS):
            self.begun += 1
            for attempt in range(RETRIES):
                self.ask(number, attempt)

    def wait_begun(self, share):
        caisson.wait_until(lambda: self.begun >= PROMOTIONS * share or not self.is_alive(), 300,
                           f"{share:.0%} of the promotions")

    def is_alive(self):
        return any(thread.is_alive() for thread in self.threads)

    def end(self):
        for thread in self.threads:
            thread.join(600)
        assert not self.is_alive()


def test_each_request_is_one_promotion_however_often_it_is_sent(fresh_cluster):
    cluster = fresh_cluster()
    name = new_pipeline(cluster)
    cluster.push_image(1, f"dev/{name}/web", "1.0", name)
    retries = Retries(cluster, name)
    try:
        for kill in range(KILLS):
            retries.wait_begun((kill + 1) / (KILLS + 1))
            leader = cluster.leader()
            os.kill(cluster.pid(leader), signal.SIGKILL)
            caisson.wait_until(lambda dead=leader: cluster.leader() != dead, 30, "a new leader")
            cluster.restart(leader)
            cluster.wait_ready()
    finally:
        retries.end()
    cluster.wait_ready()
    for number in range(PROMOTIONS):
        caisson.wait_until(lambda n=number: retries.ask(n, n), 60, f"an answer about {number}")
    assert {len(ids) for ids in retries.ids.values()} == {1}, retries.ids
    everyone = {next(iter(ids)) for ids in retries.ids.values()}
    assert len(everyone) == PROMOTIONS
    for one in everyone:
        done = cluster.call(2, f"{API}/{one}?wait=30").json()
        assert done["state"] == "committed", done
    history = cluster.call(3, f"/api/v1/environments/test/history?pipeline={name}&n=1").json()
    assert history["revisions"][0]["revision"] == PROMOTIONS
    for kind in ("promotion.requested", "promotion.committed"):
        assert audit_count(cluster, name, kind) == PROMOTIONS
    print(f"{PROMOTIONS} promotions, {RETRIES} requests each, {KILLS} leaders killed: one record each")


def test_of_two_that_race_for_a_channel_one_wins_each_time(cluster):
    name = new_pipeline(cluster)
    digests = {tag: cluster.push_image(1, f"dev/{name}/web", tag, name + tag) for tag in "abc"}
    target, held = f"test/{name}/web:stable", None
    for number in range(ROUNDS):
        answers, gate = {}, threading.Barrier(2)

        def race(node, tag, expected=held, found=answers, start=gate):
            body = {"pipeline": name, "to": "test", "expect": {target: expected}, "items": [
                {"repo": f"dev/{name}/web", "tag": tag, "channels": ["stable"]}]}
            start.wait(30)
            found[tag] = put_json(cluster, node, API, body, "POST")

        nodes = (number % 3 + 1, (number + 1) % 3 + 1)
        rivals = [tag for tag in "abc" if digests[tag] != held][:2]
        threads = [threading.Thread(target=race, args=one) for one in zip(nodes, rivals)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(answer.status for answer in answers.values()) == [200, 409], answers
        won = next(tag for tag in rivals if answers[tag].status == 200)
        lost = next(answers[tag] for tag in rivals if tag != won)
        assert lost.error()[0] == "TAG_MOVED", lost
        answer = cluster.call(nodes[1], f"/v2/test/{name}/web/manifests/stable", "HEAD",
                              headers={"Accept": caisson.MANIFEST})
        held = answer.headers["Docker-Content-Digest"]
        assert held == digests[won], (won, held)


def test_a_set_of_a_hundred_images_is_one_entry(cluster):
    name = "set" + uuid.uuid4().hex[:6]
    assert put_json(cluster, 1, f"/api/v1/pipelines/{name}", {"stages": [
        {"name": "dev", "repos": f"dev/{name}/*", "write": "open"},
        {"name": "prod", "repos": f"prod/{name}/*", "write": "promotion-only", "from": "dev"}]
        }).status == 200
    digests = [cluster.push_image(number % 3 + 1, f"dev/{name}/app{number}", "1.0",
                                  f"{name}{number}") for number in range(SET)]
    body = {"pipeline": name, "to": "prod", "wait": 30, "items": [
        {"repo": f"dev/{name}/app{number}", "tag": "1.0"} for number in range(SET)]}
    begun = time.monotonic()
    done = put_json(cluster, 2, API, body, "POST")
    seconds = time.monotonic() - begun
    assert done.status == 200 and done.json()["state"] == "committed", done
    index = done.json()["raft_index"]
    assert (done.json()["revision"], len(done.json()["moved"])) == (1, SET)
    lock = cluster.call(3, f"/api/v1/environments/prod/lock?pipeline={name}&index={index}").json()
    assert sorted(image["digest"] for image in lock["images"]) == sorted(digests)
    before = cluster.call(1, f"/api/v1/environments/prod/lock?pipeline={name}&index={index - 1}")
    assert before.json()["images"] == []
    assert audit_count(cluster, name, "promotion.committed") == 1
    print(f"{SET} images in one entry, {seconds * 1000:.0f} ms from the request to the answer")
