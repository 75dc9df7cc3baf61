"""Disks that lie: a flipped bit, zeros, a cut and a swapped file in blobs of every size class, under
load, on one node (healed, and no wrong byte is ever complete at a client) and on two (loud). I-5 and
I-6 of the design's promises; disks that come back empty are I-3."""
import http.client
import os
import random
import threading
import time

import pytest

import caisson

MIB = 1 << 20
SIZES = {"tiny": 40, "small": 300_000, "chunks": 5 * MIB + 123, "large": 100 * MIB}


def content(seed, size):
    return random.Random(f"damage {seed} {time.monotonic_ns()}").randbytes(size)


def file_of(cluster, node, digest):
    name = digest.split(":")[1]
    return cluster.data_dir(node) / "blobs" / "sha256" / name[:2] / name


def read(cluster, node, digest, repository="damage/all"):
    """(status, body), or (None, what came) when the connection was cut."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.base_port + node, timeout=60)
    login = caisson.base64.b64encode(":".join(cluster.admin).encode()).decode()
    try:
        connection.request("GET", f"/v2/{repository}/blobs/{digest}",
                           headers={"Authorization": "Basic " + login})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.IncompleteRead as error:
        return None, error.partial
    except (http.client.HTTPException, ConnectionError):
        return None, b""
    finally:
        connection.close()


def replace(path, data):
    """The file has these bytes from now on, in one step. A disk that rots does so under the page
    cache; bytes that another program writes into the page cache, between the check of a chunk and
    its sending, are something else (docs/decisions/0012)."""
    copy = path.parents[3] / ("damaged-" + path.name[:16])
    copy.write_bytes(data)
    os.replace(copy, path)


def flip_a_bit(path, size, _other):
    data = bytearray(path.read_bytes())
    data[size * 2 // 3] ^= 4
    replace(path, data)


def zeros(path, size, _other):
    data, at = bytearray(path.read_bytes()), size // 2
    data[at:at + 4096] = bytes(min(4096, size - at))
    replace(path, data)


def cut(path, size, _other):
    replace(path, path.read_bytes()[:size // 2])


def swap(path, _size, other):
    """Another blob of the same size under this name."""
    replace(path, other)


DAMAGES = [flip_a_bit, zeros, cut, swap]


@pytest.fixture
def damaged_cluster(fresh_cluster):
    return fresh_cluster(extra="scrub_rate: 0\n")


def push(cluster, seed, size, node=1):
    data = content(seed, size)
    digest = cluster.push_blob(node, "damage/all", data)
    caisson.wait_until(lambda: all(file_of(cluster, n, digest).exists() for n in (1, 2, 3)), 60,
                       f"a copy at each node\n{cluster.logs()}")
    return digest, data


class Readers:
    """Clients that read all blobs at all nodes all the time and judge every complete answer."""

    def __init__(self, cluster, blobs):
        self.cluster, self.blobs = cluster, blobs
        self.wrong, self.complete, self.broken = [], 0, 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in (1, 2, 3)]

    def run(self, node):
        while not self.stop.is_set():
            for digest, data in self.blobs:
                status, body = read(self.cluster, node, digest)
                if status == 200 and body != data:
                    self.wrong.append((node, digest))
                self.complete += status == 200
                self.broken += status != 200

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def heals(cluster, node, digest, data):
    """A reader finds the damage, a later one gets the content, and the disk is right again."""
    path = file_of(cluster, node, digest)

    def healed():
        status, body = read(cluster, node, digest)
        assert status != 200 or body == data, "wrong bytes were served"
        return status == 200 and path.exists() and path.stat().st_size == len(data) and \
            path.read_bytes() == data
    caisson.wait_until(healed, 60, f"node {node} heals {digest}\n{cluster.logs()}")


def test_damage_of_every_kind_and_size_heals_under_load(damaged_cluster):
    cluster = damaged_cluster
    blobs = {name: push(cluster, name, size) for name, size in SIZES.items()}
    others = {name: content("other", len(data)) for name, (_, data) in blobs.items()}
    load = [blobs["tiny"], blobs["small"], blobs["chunks"]]
    with Readers(cluster, load) as readers:
        for number, damage in enumerate(DAMAGES):
            node = number % 3 + 1
            for name, (digest, data) in blobs.items():
                if name == "large" and damage not in (flip_a_bit, cut):
                    continue
                damage(file_of(cluster, node, digest), len(data), others[name])
            for digest, data in blobs.values():
                heals(cluster, node, digest, data)
    assert not readers.wrong, readers.wrong
    assert readers.complete > 20
    assert list((cluster.data_dir(1) / "quarantine").iterdir()), "kept for a look at it"
    caisson.wait_until(lambda: cluster.status()["under_replicated"] == 0, 30, "whole again")
    metrics = cluster.call(1, "/metrics").body.decode()
    assert "\ncaisson_quarantined_blobs_total 0\n" not in metrics


def test_damaged_sums_cost_nothing_but_a_look(damaged_cluster):
    cluster = damaged_cluster
    digest, data = push(cluster, "sums", 3 * MIB + 1)
    path = file_of(cluster, 2, digest)
    sums = path.with_name(path.name + ".sums")
    before = sums.read_bytes()
    for bad in (b"", before[:40], before[:-1] + b"x", None):
        if bad is None:
            sums.unlink()
        else:
            sums.write_bytes(bad)
        assert read(cluster, 2, digest) == (200, data)
        caisson.wait_until(lambda: sums.exists() and sums.read_bytes() == before, 10, "mended")
    assert not list((cluster.data_dir(2) / "quarantine").iterdir())


def test_damage_everywhere_is_loud_and_a_push_repairs_it(damaged_cluster):
    cluster = damaged_cluster
    blobs = [push(cluster, name, size) for name, size in SIZES.items() if name != "large"]
    manifest = cluster.image("lost")[2]
    cluster.push_image(1, "damage/all", "lost", "lost")
    image = caisson.digest_of(manifest), manifest
    caisson.wait_until(lambda: cluster.status()["under_replicated"] == 0, 30, "three copies")
    for node in (1, 2, 3):
        cluster.kill(node)   # What is cached in memory goes with it.
    for node in (1, 2, 3):
        for digest, data in blobs + [image]:
            flip_a_bit(file_of(cluster, node, digest), len(data), None)
    cluster.start()
    cluster.wait_ready()
    for _ in range(3):
        for node in (1, 2, 3):
            for digest, _data in blobs:
                status, _ = read(cluster, node, digest)
                assert status is None or status >= 500, (node, status)
            answer = cluster.call(node, "/v2/damage/all/manifests/lost")
            assert answer.status >= 500, answer
    caisson.wait_until(lambda: cluster.status()["repair"]["lost_blobs"] == len(blobs) + 1, 30,
                       f"the loss is told\n{cluster.status()}\n{cluster.logs()}")
    assert "no good copy" in cluster.log(1)
    answer = cluster.call(1, f"/v2/damage/all/blobs/{blobs[0][0]}")
    assert answer.status == 500 and "push it again" in answer.error()[1], answer
    assert cluster.call(1, f"/v2/damage/all/blobs/{blobs[0][0]}", "HEAD").status == 404
    for digest, data in blobs:
        assert cluster.push_blob(2, "damage/all", data) == digest
    assert cluster.put_manifest(2, "damage/all", "lost", manifest).status == 201
    for node in (1, 2, 3):
        for digest, data in blobs:
            assert read(cluster, node, digest) == (200, data)
        assert cluster.call(node, "/v2/damage/all/manifests/lost").body == manifest
    caisson.wait_until(lambda: cluster.status()["repair"]["lost_blobs"] == 0, 30, "nothing is lost")


def test_a_pushed_manifest_repairs_the_copy_here(damaged_cluster):
    cluster = damaged_cluster
    cluster.push_image(1, "damage/all", "one", "again")
    manifest = cluster.image("again")[2]
    digest = caisson.digest_of(manifest)
    caisson.wait_until(lambda: cluster.status()["under_replicated"] == 0, 30, "three copies")
    for node in (1, 2, 3):
        flip_a_bit(file_of(cluster, node, digest), len(manifest), None)
        assert cluster.put_manifest(node, "damage/all", "one", manifest).status == 201
        assert file_of(cluster, node, digest).read_bytes() == manifest


def test_a_wiped_disk_is_refilled(damaged_cluster):
    """I-3: within 30 s and the bytes at 50 MB/s, found from the metadata."""
    cluster = damaged_cluster
    total = 0
    many = [content(f"many {n}", 2000) for n in range(300)]
    for number, data in enumerate(many):
        cluster.push_blob(number % 3 + 1, "damage/all", data)
        total += len(data)
    big = [push(cluster, f"big {n}", 30 * MIB) for n in range(4)]
    total += sum(len(data) for _, data in big)
    cluster.kill(3)
    cluster.wipe(3)
    cluster.restart(3)
    begun = time.monotonic()
    seen = set()

    def refilled():
        status = cluster.status(3)
        seen.add(status["repair"]["missing_blobs"] > 0)
        return status["under_replicated"] == 0 and status["can_lose_a_node"]["yes"] and \
            all(file_of(cluster, 3, digest).exists() for digest, _ in big)
    caisson.wait_until(refilled, 30 + total / 50e6, f"refilled\n{cluster.logs()}")
    print(f"{total / 1e6:.0f} MB in {len(many) + len(big)} blobs: "
          f"{time.monotonic() - begun:.1f} s")
    for data in many[::50]:
        assert read(cluster, 3, caisson.digest_of(data)) == (200, data)
    for digest, data in big:
        assert read(cluster, 3, digest) == (200, data)
    caisson.wait_until(lambda: cluster.status(3)["repair"]["missing_blobs"] == 0, 10,
                       "and said so")
    assert True in seen, "the way there could be seen"


# --- scrub ----------------------------------------------------------------------------------------

def scrub_of(cluster, node):
    answer = cluster.call(node, "/api/v1/scrub")
    assert answer.status == 200, answer
    return answer.json()


def test_a_scrub_finds_what_nobody_reads(damaged_cluster, run, tmp_path):
    cluster = damaged_cluster
    blobs = [push(cluster, f"scrub {n}", size) for n, size in enumerate(
        (40, 300_000, 3 * MIB + 5, 9 * MIB))]
    lost = push(cluster, "gone", 1234)
    for digest, data in blobs[:3]:
        flip_a_bit(file_of(cluster, 2, digest), len(data), None)
    file_of(cluster, 2, lost[0]).unlink()
    password = tmp_path / "password"
    password.write_text(cluster.admin[1] + "\n")
    login = ("--server", cluster.url(2), "--user", "admin", "--password-file", password)
    assert run("scrub", "start", *login).returncode == 0
    caisson.wait_until(lambda: (scrub_of(cluster, 2)["pass"] or {}).get("finished"), 30,
                       f"the pass ends\n{scrub_of(cluster, 2)}")
    found = scrub_of(cluster, 2)
    assert (found["pass"]["damaged"], found["pass"]["missing"]) == (3, 1), found
    assert {one["digest"] for one in found["findings"]} == \
        {digest for digest, _ in blobs[:3]} | {lost[0]}
    shown = run("scrub", "status", *login)
    assert shown.returncode == 1 and "3 damaged, 1 missing" in shown.stdout, shown

    def whole():
        return all(file_of(cluster, 2, digest).exists() and
                   file_of(cluster, 2, digest).read_bytes() == data
                   for digest, data in blobs + [lost])
    caisson.wait_until(whole, 60, f"node 2 is whole again\n{cluster.logs()}")
    caisson.wait_until(lambda: cluster.status()["under_replicated"] == 0, 30, "three copies")
    assert cluster.call(2, "/api/v1/scrub", "POST", {"bytes_per_second": -1}).status == 400
    assert cluster.call(2, "/api/v1/scrub", auth=None).status == 401


def test_a_scrub_keeps_its_rate_and_goes_on_after_a_restart(damaged_cluster):
    cluster = damaged_cluster
    for number in range(12):
        push(cluster, f"rate {number}", MIB)
    assert cluster.call(3, "/api/v1/scrub", "POST", {"bytes_per_second": MIB}).status == 202
    begun = time.monotonic()
    caisson.wait_until(lambda: (scrub_of(cluster, 3)["pass"] or {}).get("blobs", 0) >= 3, 30, "on")
    now = scrub_of(cluster, 3)
    assert now["running"] and now["pass"]["bytes"] <= (time.monotonic() - begun + 2) * MIB, now
    # As if the ten seconds between two saves were over.
    caisson.wait_until(lambda: scrub_of(cluster, 3)["pass"]["blobs"] >= 4, 30, "a bit further")
    cluster.kill(3)
    cluster.restart(3)
    cluster.wait_ready()
    again = scrub_of(cluster, 3)
    assert again["running"] and again["pass"]["started"] == now["pass"]["started"], again
    assert cluster.call(3, "/api/v1/scrub", "POST", {"bytes_per_second": 0}).status == 202
    caisson.wait_until(lambda: scrub_of(cluster, 3)["pass"]["finished"], 30, "the end")
    assert scrub_of(cluster, 3)["pass"]["damaged"] == 0
    assert scrub_of(cluster, 3)["pass"]["bytes"] >= 12 * MIB


# --- one blob -------------------------------------------------------------------------------------

def test_a_blob_is_told_about(cluster):
    data = content("told", 5000)
    digest = cluster.push_blob(1, "damage/told", data)
    cluster.push_blob(1, "damage/told-too", data)

    def told():
        answer = cluster.call(2, f"/api/v1/blobs/{digest}").json()
        return answer["state"] == "replicated" and answer
    answer = caisson.wait_until(told, 30, "three copies")
    assert answer["size"] == 5000 and not answer["missing"], answer
    assert {one["name"] for one in answer["holders"]} == {"node-1", "node-2", "node-3"}
    assert {one["repository"] for one in answer["used_by"]} == {"damage/told", "damage/told-too"}
    assert cluster.call(1, f"/api/v1/blobs/{caisson.digest_of(b'no')}").status == 404
    assert cluster.call(1, "/api/v1/blobs/no-digest").status == 400
    assert cluster.call(1, f"/api/v1/blobs/{digest}", auth=None).status == 401
