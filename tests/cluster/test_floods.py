"""Too much of everything: connections that say nothing, bodies that take their time, uploads that
would fill the disk, ranges and documents made to hurt. Nodes stay up, others are served, and what is
refused is refused with words."""
import contextlib
import json
import os
import random
import select
import socket
import time

import pytest

import caisson

NODES = (1, 2, 3)


@pytest.fixture(scope="module")
def crowded(binary):
    """An open cluster of its own whose first node may have few files open."""
    cluster = caisson.Cluster(is_open=True)
    yield cluster
    cluster.close()


def memory_mb(cluster, node):
    for line in open(f"/proc/{cluster.pid(node)}/status", encoding="ascii"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmRSS")


def send(cluster, node, data):
    """A connection on which that much of data was sent as the node takes within a second."""
    sock = socket.create_connection(("127.0.0.1", cluster.base_port + node), timeout=1)
    with contextlib.suppress(OSError):
        sock.sendall(data)
    return sock


def everyone_serves(cluster):
    for node in NODES:
        assert os.path.exists(f"/proc/{cluster.pid(node)}"), cluster.logs()
        cluster.push_image(node, f"after/{node}", "t", random.random())


def test_connections_that_say_nothing_keep_nobody_out(crowded):
    starts = (b"", b"GET", b"GET /v2/ HTTP/1.1\r\n", b"\r\n", b"\x16\x03\x01")
    socks = [send(crowded, 1 + i % 3, starts[i % len(starts)]) for i in range(600)]
    socks += [socket.create_connection(("127.0.0.1", crowded.base_port + room + node), timeout=5)
              for node in NODES for room in (100, 200) for _ in range(80)]
    everyone_serves(crowded)
    for sock in socks:
        sock.close()
    everyone_serves(crowded)


def test_bodies_that_take_their_time_cost_bounded_memory(crowded):
    before = memory_mb(crowded, 1)
    head = ("PUT /v2/slow/one/manifests/x HTTP/1.1\r\nHost: a\r\nContent-Type: " + caisson.MANIFEST
            + "\r\nContent-Length: %d\r\n\r\n" % (4 << 20)).encode()
    socks = [send(crowded, 1, head + b" " * ((4 << 20) - 1)) for _ in range(80)]
    assert memory_mb(crowded, 1) - before < 250, "80 x 4 MiB are not kept"
    answers = []
    for sock in socks:
        sock.settimeout(0.05)
        with contextlib.suppress(OSError):
            answers.append(sock.recv(4096))
        sock.close()
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 429")]
    assert refused and all(b"Retry-After: 1" in answer for answer in refused), answers
    everyone_serves(crowded)


def test_readers_that_do_not_read_cost_bounded_memory(crowded):
    digest = crowded.push_blob(1, "slow/two", random.Random(5).randbytes(32 << 20))
    before = memory_mb(crowded, 1)
    get = f"GET /v2/slow/two/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    lists = b"GET /v2/slow/two/tags/list HTTP/1.1\r\nHost: a\r\n\r\n" * 2000
    socks = [send(crowded, 1, lists if i % 4 == 0 else get) for i in range(200)]
    time.sleep(1)
    assert memory_mb(crowded, 1) - before < 250
    everyone_serves(crowded)
    for sock in socks:
        sock.close()


def free_bytes(directory):
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize


def test_an_upload_ends_before_the_disk_is_full(fresh_cluster):
    """The mark is set 200 MB under what is free; a disk that others fill or clear meanwhile proves
    nothing."""
    cluster = fresh_cluster(nodes=1, is_open=True)
    mark = free_bytes(cluster.dir) - (200 << 20)
    cluster.kill(1)
    with open(cluster.dir / "node-1.yaml", "a", encoding="utf-8") as file:
        file.write(f"free_space_mark: {max(mark, 1)}\n")
    cluster.restart(1)
    cluster.wait_ready()
    start = cluster.call(1, "/v2/disk/full/blobs/uploads/", "POST", b"", auth=None)
    if start.status != 202:
        pytest.skip("somebody else fills the disk")
    sock = socket.create_connection(("127.0.0.1", cluster.base_port + 1), timeout=30)
    sock.sendall(f"PATCH {start.headers['Location']} HTTP/1.1\r\nHost: a\r\nContent-Length: "
                 f"{1 << 40}\r\n\r\n".encode())
    piece, sent = random.Random(1).randbytes(1 << 20), 0
    with contextlib.suppress(OSError):
        while sent < 1000 and not select.select([sock], [], [], 0)[0]:
            sock.sendall(piece)
            sent += 1
    if sent == 1000 and free_bytes(cluster.dir) > mark:
        pytest.skip("somebody else clears the disk")
    assert sent < 1000, "1 GB was taken on a disk with 200 MB to spare"
    answer = b""
    with contextlib.suppress(OSError):
        answer = sock.recv(4096)
    assert answer == b"" or (b" 503 " in answer and b"make room" in answer), answer
    sock.close()
    assert cluster.is_ready(1), cluster.logs()


# --- requests made to hurt ---------------------------------------------------------------------------

RANGES = ["bytes=0-18446744073709551615", "bytes=18446744073709551616-", "bytes=-0", "bytes=--1",
          "bytes=5-2", "bytes=1000-", "bytes=" + "0-0," * 2000 + "0-0", "bytes=0-0,2-3",
          "bytes=-18446744073709551615", "bytes=a-b", "lines=0-1", "bytes= 0 - 1", "bytes=",
          "bytes=9223372036854775807-9223372036854775808", "bytes=-1"]


@pytest.mark.parametrize("text", RANGES, ids=range(len(RANGES)))
def test_ranges(crowded, text):
    data = b"0123456789"
    digest = crowded.push_blob(2, "hurt/ranges", data)
    for node in NODES:
        answer = crowded.call(node, f"/v2/hurt/ranges/blobs/{digest}", headers={"Range": text})
        assert answer.status in (200, 206, 416), answer
        if answer.status == 416:
            assert answer.headers["Content-Range"] == "bytes */10" and answer.error()[1]
        elif answer.status == 206:
            first, last = answer.headers["Content-Range"][6:].split("/")[0].split("-")
            assert answer.body == data[int(first):int(last) + 1]
        else:
            assert answer.body == data
        head = crowded.call(node, f"/v2/hurt/ranges/blobs/{digest}", "HEAD",
                            headers={"Range": text})
        assert head.status == 200 and head.headers["Content-Length"] == "10"


@pytest.mark.parametrize("query", ["n=9223372036854775808", "n=18446744073709551616", "n=-1",
                                   "n=1e9", "n=", "n=0", "n=1&n=-1", "n=%31", "last=%ff", "n=+1",
                                   "last=" + "a" * 5000, "n=9223372036854775807&last=zz",
                                   "&".join("a=b" for _ in range(250)), "&" * 5000])
def test_queries(crowded, query):
    crowded.push_image(1, "hurt/queries", "t", "q")
    for node in NODES:
        for path in ("/v2/_catalog", "/v2/hurt/queries/tags/list"):
            answer = crowded.call(node, f"{path}?{query}")
            assert answer.status in (200, 400), answer
            assert len(answer.body) < 100000
            if answer.status == 400:
                assert len(answer.error()[1]) > 10
    digest = caisson.digest_of(b"x")
    answer = crowded.call(2, f"/v2/hurt/queries/blobs/uploads/?digest={digest}&digest=bad&{query}",
                          "POST", b"x")
    assert answer.status == 201, answer


def deep(n):
    return b"[" * n + b"]" * n


DOCUMENTS = [b"", b" ", deep(31), deep(100000), b'{"a":' * 5000, b'{"a":1,"a":2}', b"1e999",
             b'{"schemaVersion":2e99}', b'"\\ud800"', b'{"a":"\\u0000"}', b"\xef\xbb\xbf{}",
             b'{"\\u0000":1}', b"[" + b"0," * 100000 + b"0]", b"\xff" * 1000, b'"' + b"\\" * 99999,
             b"-", b"{}{}", b"nul", b'{"a":' + b"9" * 10000 + b"}", b'{"config":{"size":-1}}']


@pytest.mark.parametrize("body", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_documents(crowded, body):
    targets = [("/v2/hurt/json/manifests/x", "PUT"), ("/api/v1/pipelines/p", "PUT"),
               ("/api/v1/promotions", "POST"), ("/api/v1/users/someone", "PUT"),
               ("/api/v1/promotions/none/approvals", "POST")]
    for i, (path, method) in enumerate(targets):
        answer = crowded.call(NODES[i % 3], path, method, body, {"Content-Type": caisson.MANIFEST})
        assert 400 <= answer.status < 500, (path, answer)
        assert len(answer.body) < 2000 and len(answer.error()[1]) > 10, answer


@pytest.mark.parametrize("change", [
    {"config": None}, {"config": []}, {"layers": {}}, {"layers": [None]}, {"layers": "x"},
    {"manifests": []}, {"mediaType": caisson.INDEX}, {"schemaVersion": 1}, {"schemaVersion": "2"},
    {"subject": {"digest": "x"}}, {"subject": 1}, {"annotations": []}, {"annotations": {"a": 1}},
    {"artifactType": 1}, {"artifactType": "a" * 5000},
    {"layers": [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": -1}]},
    {"layers": [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 2 ** 63}]},
    {"layers": [{"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 1.5}]},
    {"layers": [{"mediaType": "a/b", "digest": "../../x", "size": 1}]},
    {"layers": [{"mediaType": "a\u0000b", "digest": "sha256:" + "0" * 64, "size": 1}]},
    {"layers": [{"mediaType": "a/b", "digest": "sha256:%064x" % i, "size": 1}
                for i in range(20000)]},
], ids=lambda change: str(change)[:40])
def test_manifests_with_one_thing_wrong(crowded, change):
    _, _, manifest = crowded.image("wrong")
    crowded.push_image(1, "hurt/wrong", "right", "wrong")
    document = {**json.loads(manifest), **change}
    for node in NODES:
        answer = crowded.put_manifest(node, "hurt/wrong", "wrong", json.dumps(document).encode())
        assert answer.status in (400, 413), answer
        assert len(answer.body) < 65536 and len(answer.error()[1]) > 10
        assert crowded.call(node, "/v2/hurt/wrong/manifests/wrong", "HEAD").status == 404


def test_a_manifest_one_byte_over_in_chunks(crowded):
    body = b" " * ((4 << 20) + 1)
    head = (f"PUT /v2/hurt/big/manifests/x HTTP/1.1\r\nHost: a\r\nContent-Type: {caisson.MANIFEST}"
            f"\r\nTransfer-Encoding: chunked\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", crowded.base_port + 2), timeout=10) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        answer = b""
        while b"]}" not in answer and (piece := sock.recv(4096)):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413") and b"4194304 bytes" in answer, answer


PATHS = ["/v2/a%2fb/tags/list", "/v2/%2e%2e/tags/list", "/v2/a/../b/tags/list", "/v2/./tags/list",
         "/v2//a/tags/list", "/v2/a//tags/list", "/v2/a%00/tags/list", "/v2/a%252fb/tags/list",
         "/v2/%c3%a9/tags/list", "/v2/%ef%bc%8f/tags/list", "/v2/A/tags/list", "/v2/a./tags/list",
         "/v2/_a/tags/list", "/v2/a%20/tags/list", "/v2/a%0d%0ax/tags/list", "/v2/a\\b/tags/list",
         "/v2/" + "a" * 201 + "/tags/list", "/v2/" + "a/" * 1000 + "tags/list", "/v2/*/tags/list",
         "/v2/a%/tags/list", "/v2/a%2/tags/list", "/v2/a/blobs/..%2f..%2fidentity",
         "/v2/a/blobs/sha256:" + "A" * 64, "/v2/a/blobs/sha256:" + "0" * 63, "/v2/a/blobs/md5:00",
         "/v2/a/blobs/sha256:" + "0" * 64 + "%2f..", "/v2/a/manifests/" + "a" * 129,
         "/v2/a/blobs/uploads/../../x", "/%2e%2e/%2e%2e/etc/passwd", "/v1/", "/internal/v1/join"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_paths(crowded, path):
    for node in NODES:
        for method in ("GET", "DELETE"):
            answer = crowded.call(node, path, method)
            assert answer.status in (400, 404, 405), answer
            assert len(answer.error()[1]) > 8
