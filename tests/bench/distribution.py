"""The sections of scripts/bench about the distribution API: manifests, blobs, pushes, growth. What is
compared takes turns in one run: a warm-up, then rounds, and the median of each."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse

import caisson
import rivals

LOAD = caisson.ROOT / "build" / "tests" / "bench_base_http_load"
ACCEPT = f"Accept: {caisson.MANIFEST}"
REPOSITORY = "bench/app"
UNIQUE = "0" * 20  # bench_base_http_load puts a number of its own there.


def load(port, connections, extent, method, path, body=None, headers=()):
    with tempfile.NamedTemporaryFile() as file:
        file.write(body or b"")
        file.flush()
        done = subprocess.run([str(LOAD), str(port), str(connections), str(extent), method, path,
                               file.name if body else "-", *headers], check=True, text=True,
                              capture_output=True)
    result = json.loads(done.stdout)
    if result["failed"]:
        raise AssertionError(f"{method} {path}: {result}")
    return result


def rounds(options, contenders):
    """{name: median}, each contender called in turn; the first round warms up and does not count."""
    found = {name: [] for name in contenders}
    for number in range(options.turns + 1):
        for name, measure in contenders.items():
            value = measure()
            if number > 0:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def table(say, head, lines):
    say("| " + " | ".join(head) + " |")
    say("|" + "---|" * len(head))
    for line in lines:
        say("| " + " | ".join(line) + " |")
    say()


# --- a client that does no more than it must ------------------------------------------------------

class Pusher:
    """One kept connection, plain or TLS."""

    def __init__(self, port, is_tls=False):
        if is_tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=120,
                                                          context=context)
        else:
            self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def call(self, method, target, body=None, headers=None, wanted=(200, 201, 202)):
        self.connection.request(method, target, body=body, headers=headers or {})
        response = self.connection.getresponse()
        content = response.read()
        assert response.status in wanted, f"{method} {target}: {response.status} {content[:300]}"
        return response.headers, content

    def blob(self, data, digest):
        started, _ = self.call("POST", f"/v2/{REPOSITORY}/blobs/uploads/", b"")
        parts = urllib.parse.urlsplit(started["Location"])
        query = (parts.query + "&" if parts.query else "") + "digest=" + digest
        self.call("PUT", f"{parts.path}?{query}", data,
                  {"Content-Type": "application/octet-stream"})

    def manifest(self, tag, manifest):
        self.call("PUT", f"/v2/{REPOSITORY}/manifests/{tag}", manifest,
                  {"Content-Type": caisson.MANIFEST})


def image(port, is_tls=False):
    """Pushes what a small manifest names; the manifest, with the place for a number of its own."""
    pusher = Pusher(port, is_tls)
    config, layer = json.dumps({"architecture": "amd64", "os": "linux"}).encode(), b"layer" * 100
    for data in (config, layer):
        pusher.blob(data, caisson.digest_of(data))
    return json.dumps({
        "schemaVersion": 2, "mediaType": caisson.MANIFEST,
        "config": {"mediaType": caisson.CONFIG, "digest": caisson.digest_of(config),
                   "size": len(config)},
        "layers": [{"mediaType": caisson.LAYER, "digest": caisson.digest_of(layer),
                    "size": len(layer)}],
        "annotations": {"number": UNIQUE}}).encode()


# --- manifests ------------------------------------------------------------------------------------

def _manifest_contenders(options, ports, digest, connections, method, by_tag):
    reference = "v1" if by_tag else digest
    return {name: lambda port=port, name=name: load(
        port, connections, options.seconds, method,
        f"/{digest}" if name == "nginx" else f"/v2/{REPOSITORY}/manifests/{reference}", None,
        [ACCEPT]) for name, port in ports.items()}


def _rates(options, contenders):
    """(requests per second, how busy the generator was) of each, medians."""
    busy = {name: 0.0 for name in contenders}

    def one(name):
        result = contenders[name]()
        busy[name] = max(busy[name], result["busy"])
        return result["per_second"]
    return rounds(options, {name: lambda name=name: one(name) for name in contenders}), busy


def bench_manifests(options, say):
    say("### Manifests")
    say()
    with tempfile.TemporaryDirectory(prefix="caisson-bench.") as at, \
            rivals.registry(pathlib.Path(at)) as theirs, rivals.nginx(pathlib.Path(at)) as files, \
            rivals.cluster(1) as lone, rivals.cluster(3) as three:
        leader = three.leader()
        follower = next(node for node in (1, 2, 3) if node != leader)
        ports = {"one node": lone.base_port + 1, "three, leader": three.base_port + leader,
                 "three, follower": three.base_port + follower, "docker-registry": theirs}
        for port in (lone.base_port + 1, three.base_port + leader, theirs):
            manifest = image(port)
            Pusher(port).manifest("v1", manifest)
        digest = caisson.digest_of(manifest)
        (pathlib.Path(at) / "www").mkdir()
        (pathlib.Path(at) / "www" / digest).write_bytes(manifest)
        ports["nginx"] = files
        lines, busiest = [], 0.0
        for by_tag in (True, False):
            for method in ("GET", "HEAD"):
                for connections in (1, 64):
                    rate, busy = _rates(options, _manifest_contenders(
                        options, ports, digest, connections, method, by_tag))
                    busiest = max(busiest, *busy.values())
                    lines.append([f"{method} by {'tag' if by_tag else 'digest'}", str(connections),
                                  *(f"{rate[name]:.0f}" for name in ports),
                                  f"{rate['three, follower'] / rate['docker-registry']:.1f}",
                                  f"{rate['three, leader'] / rate['docker-registry']:.1f}",
                                  f"{rate['three, leader'] / rate['nginx']:.2f}"])
    say("Requests per second, keep-alive, one outstanding on each connection; by tag every answer "
        "of Caisson is linearizable (a quorum confirmed the leader after the request came). nginx "
        "serves the manifest as a file; at it, \"by tag\" is the same file. The load generator kept "
        f"its core busy at most {busiest * 100:.0f} % of the time; {options.busy()}.")
    say()
    table(say, ["", "connections", *ports, "follower / docker-registry",
                "leader / docker-registry", "leader / nginx"], lines)


# --- blobs ----------------------------------------------------------------------------------------

BLOBS = (("1 MB", 1_000_000), ("500 MB", 500_000_000))


def _wrk(port, connections, seconds, path):
    """MB per second as wrk sees it, over TLS; bodies that are not whole count as far as they came."""
    done = subprocess.run(["wrk", "--threads", "1", "--connections", str(connections), "--duration",
                           f"{max(1, round(seconds))}s", "--timeout", "120s",
                           f"https://127.0.0.1:{port}{path}"], check=True, text=True,
                          capture_output=True)
    found = re.search(r"Transfer/sec:\s*([\d.]+)([KMG]?)B", done.stdout)
    if "Non-2xx" in done.stdout or found is None:
        raise AssertionError(done.stdout)
    return float(found.group(1)) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[found.group(2)] / 1e6


def _blob_lines(options, ports, is_tls, content):
    lines = []
    for label, size in BLOBS:
        digest = content[size]
        for connections in (1, 32):
            def one(name, digest=digest, connections=connections):
                path = f"/{digest}" if name == "nginx" else f"/v2/{REPOSITORY}/blobs/{digest}"
                if is_tls:
                    return _wrk(ports[name], connections, options.seconds, path)
                return load(ports[name], connections, options.seconds, "GET",
                            path)["mb_per_second"]
            rate = rounds(options, {name: lambda name=name: one(name) for name in ports})
            lines.append([f"{label}, {'TLS' if is_tls else 'plain'}", str(connections),
                          *(f"{rate[name]:.0f}" for name in ("caisson", "docker-registry",
                                                             "nginx")),
                          f"{rate['caisson'] / rate['docker-registry']:.2f}",
                          f"{rate['caisson'] / rate['nginx']:.2f}"])
    return lines


def bench_blobs(options, say):
    say("### Blobs")
    say()
    lines = []
    with tempfile.TemporaryDirectory(prefix="caisson-bench.") as at:
        directory = pathlib.Path(at)
        directory.chmod(0o755)  # nginx's workers are nobody.
        tls = rivals.certificate(directory)
        (directory / "www").mkdir()
        content = {}
        for _, size in BLOBS:
            data = os.urandom(size)
            content[size] = caisson.digest_of(data)
            (directory / "www" / content[size]).write_bytes(data)
        for secure in (None, tls):
            if secure and shutil.which("wrk") is None:
                say("TLS was not measured: wrk is not installed.")
                say()
                continue
            place = directory / ("tls" if secure else "plain")
            place.mkdir()
            (place / "www").symlink_to(directory / "www")
            with rivals.registry(place, secure) as theirs, rivals.nginx(place, secure) as files, \
                    _node(place, secure) as ours:
                ports = {"caisson": ours, "docker-registry": theirs, "nginx": files}
                for digest in content.values():
                    data = (directory / "www" / digest).read_bytes()
                    for port in (ours, theirs):
                        Pusher(port, secure is not None).blob(data, digest)
                    del data
                lines += _blob_lines(options, ports, secure is not None, content)
    say("MB per second of GET from one node, keep-alive, the files in the page cache; nginx sends "
        f"them with sendfile; plain by bench_base_http_load, TLS by wrk; {options.busy()}.")
    say()
    table(say, ["", "connections", "Caisson", "docker-registry", "nginx",
                "Caisson / docker-registry", "Caisson / nginx"], lines)


def _node(place, secure):
    return rivals.tls_node(place, secure) if secure else rivals.plain_node(place)


# --- pushes ---------------------------------------------------------------------------------------

def _by_hand(directory, data, name):
    """Two copies: written, hashed and synced, one after the other."""
    for copy in range(2):
        path = directory / f"floor-{name}-{copy}"
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(data), 1 << 20):
                file.write(data[at:at + (1 << 20)])
            hashlib.sha256(data).digest()
            os.fdatasync(file.fileno())
        path.unlink()


def _timed(threads, jobs):
    """Jobs per second; each job is called with its number and its thread's own dictionary."""
    own = threading.local()

    def one(job):
        if not hasattr(own, "kept"):
            own.kept = {}
        job(own.kept)
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(one, job) for job in jobs]:
            done.result()
    return len(jobs) / (time.perf_counter() - begun)


def _push_blobs(port, threads, count, size):
    """MB per second of fresh blobs; making them is not counted."""
    fresh = [os.urandom(size) for _ in range(count)]
    digests = [caisson.digest_of(data) for data in fresh]

    def job(data, digest):
        def push(kept):
            if "pusher" not in kept:
                kept["pusher"] = Pusher(port)
            kept["pusher"].blob(data, digest)
        return push
    rate = _timed(threads, [job(*one) for one in zip(fresh, digests)])
    os.sync()
    return rate * size / 1e6


def _floor_blobs(directory, threads, count, size):
    fresh = [os.urandom(size) for _ in range(count)]
    rate = _timed(threads, [lambda _, data=data, number=number: _by_hand(directory, data, number)
                            for number, data in enumerate(fresh)])
    os.sync()
    return rate * size / 1e6


def bench_pushes(options, say):
    say("### Pushes")
    say()
    lines, manifests = [], []
    with tempfile.TemporaryDirectory(prefix="caisson-bench.") as at, \
            rivals.registry(pathlib.Path(at)) as theirs, rivals.cluster(3) as three:
        directory = pathlib.Path(at)
        leader = three.leader()
        ports = {"leader": three.base_port + leader,
                 "follower": three.base_port + next(n for n in (1, 2, 3) if n != leader),
                 "docker-registry": theirs}
        for threads, count, size in ((1, 1, 100_000_000), (1, 20, 1_000_000), (1, 100, 10_000),
                                     (16, 16, 10_000_000), (16, 64, 1_000_000),
                                     (16, 320, 10_000)):
            contenders = {name: lambda port=port: _push_blobs(port, threads, count, size)
                          for name, port in ports.items()}
            contenders["floor"] = lambda: _floor_blobs(directory, threads, count, size)
            lines.append(_push_line(f"{size / 1e6:g} MB", threads, rounds(options, contenders)))
        manifest = image(ports["leader"])
        image(theirs)
        for connections in (1, 16):
            contenders = {name: lambda port=port: load(
                port, connections, options.seconds, "PUT", f"/v2/{REPOSITORY}/manifests/t%",
                manifest, [f"Content-Type: {caisson.MANIFEST}"])["per_second"]
                for name, port in ports.items()}
            contenders["floor"] = lambda: _timed(connections, [
                lambda _, number=number: _by_hand(directory, manifest, number)
                for number in range(200 * connections)])
            manifests.append(_push_line("manifest", connections, rounds(options, contenders)))
    say("MB per second of new blobs (POST and PUT), and new manifests with a new tag per second. "
        "Caisson keeps them durably on two of its three nodes before it answers; docker-registry "
        "keeps one copy and syncs nothing. The floor writes, hashes and syncs two copies by hand, "
        f"as many at once; {options.busy()}.")
    say()
    head = ["", "at once", "Caisson, leader", "Caisson, follower", "docker-registry", "floor",
            "follower / docker-registry", "floor's time x"]
    table(say, head, lines + manifests)


def _push_line(label, threads, rate):
    return [label, str(threads), *(f"{rate[name]:.1f}" for name in ("leader", "follower",
                                                                    "docker-registry", "floor")),
            f"{rate['follower'] / rate['docker-registry']:.2f}",
            f"{rate['floor'] / rate['follower']:.2f}"]


# --- growth ---------------------------------------------------------------------------------------

def _list_all(port, is_paged=True):
    """(tags, pages, seconds) of listing a repository by pages of 1,000."""
    pusher, target = Pusher(port), f"/v2/{REPOSITORY}/tags/list" + ("?n=1000" if is_paged else "")
    tags, pages, begun = 0, 0, time.perf_counter()
    while target:
        headers, content = pusher.call("GET", target)
        tags += len(json.loads(content)["tags"])
        pages += 1
        link = re.match(r'<([^>]+)>; *rel="?next', headers.get("Link") or "")
        target = link.group(1) if link else None
    return tags, pages, time.perf_counter() - begun


def _grow(port, connections, tags, manifest):
    """Adds tags; how many a second."""
    return load(port, connections, f"{tags}x", "PUT", f"/v2/{REPOSITORY}/manifests/t%", manifest,
                [f"Content-Type: {caisson.MANIFEST}"])["per_second"]


def bench_growth(options, say):
    say("### Growth: tags of a repository")
    say()
    lines = []
    with tempfile.TemporaryDirectory(prefix="caisson-bench.") as at, \
            rivals.registry(pathlib.Path(at)) as theirs, rivals.cluster(3) as three:
        for name, port, sizes in (("Caisson", three.base_port + 1, (10, 1000, 100_000)),
                                  ("docker-registry", theirs, (10, 1000))):
            manifest = image(port).replace(UNIQUE.encode(), b"one for all")
            Pusher(port).manifest("v1", manifest)
            there = 1
            for size in sizes:
                pushed = _grow(port, min(16, size - there), size - there, manifest)
                there = size
                listed = [_list_all(port) for _ in range(options.turns + 1)][1:]
                tags, pages, _ = listed[0]
                took = statistics.median(seconds for _, _, seconds in listed)
                got = statistics.median(
                    load(port, 16, options.seconds, "GET", f"/v2/{REPOSITORY}/manifests/v1", None,
                         [ACCEPT])["per_second"] for _ in range(options.turns))
                lines.append([name, f"{tags:,}", f"{pushed:.0f}", f"{got:.0f}", str(pages),
                              f"{took * 1000:.1f}", f"{took * 1000 / pages:.2f}"])
    say("One manifest under ever more tags, by 16 connections; then GET by tag, and all tags listed "
        "by pages of 1,000 (docker-registry knows no pages, and is not asked for more than 1,000); "
        f"{options.busy()}.")
    say()
    table(say, ["", "tags", "tags pushed per second", "GET by tag per second", "pages",
                "all listed, ms", "ms a page"], lines)
