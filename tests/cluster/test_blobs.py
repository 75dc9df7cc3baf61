"""Blobs on three nodes: uploads that wander from node to node, broken and repeated ones, reads at
every node, and what becomes of a blob when nodes die, lose their disks, or hold a flipped bit."""
import concurrent.futures
import random
import socket
import time

import pytest

import caisson

SIZE = 300_000
OCTETS = {"Content-Type": "application/octet-stream"}


def content(seed, size=SIZE):
    return random.Random(f"blob {seed} {time.monotonic_ns()}").randbytes(size)


def start_upload(cluster, node, repository):
    answer = cluster.call(node, f"/v2/{repository}/blobs/uploads/", "POST", b"")
    assert answer.status == 202, answer
    return answer.headers["Location"]


def patch(cluster, node, location, data, first, timeout=30):
    return cluster.call(node, location, "PATCH", data,
                        {**OCTETS, "Content-Range": f"{first}-{first + len(data) - 1}"},
                        timeout=timeout)


def finish(cluster, node, location, digest, data=b"", timeout=30):
    return cluster.call(node, f"{location}?digest={digest}", "PUT", data, OCTETS, timeout=timeout)


def stands_at(cluster, node, location):
    """Bytes that a node says the upload has."""
    answer = cluster.call(node, location)
    assert answer.status == 204, answer
    return int(answer.headers["Range"].split("-")[1]) + 1


def read(cluster, node, repository, digest, method="GET", **headers):
    return cluster.call(node, f"/v2/{repository}/blobs/{digest}", method,
                        headers={key.replace("_", "-"): value for key, value in headers.items()})


def assert_everywhere(cluster, repository, data, nodes=(1, 2, 3)):
    for node in nodes:
        answer = read(cluster, node, repository, caisson.digest_of(data))
        assert answer.status == 200 and answer.body == data, (node, answer.status)


def file_of(cluster, node, digest):
    name = digest.split(":")[1]
    return cluster.data_dir(node) / "blobs" / "sha256" / name[:2] / name


def files(cluster, node):
    return {path.name for path in (cluster.data_dir(node) / "blobs" / "sha256").glob("*/*")}


# --- uploads --------------------------------------------------------------------------------------

def test_an_upload_goes_on_at_any_node(cluster):
    data = content("wander")
    third = len(data) // 3
    location = start_upload(cluster, 1, "blobs/wander")
    for turn, node in enumerate((2, 3, 1)):
        piece = data[turn * third:(turn + 1) * third]
        answer = patch(cluster, node, location, piece, turn * third)
        assert answer.status == 202, answer
        location = answer.headers["Location"]
        assert stands_at(cluster, node % 3 + 1, location) == (turn + 1) * third
    answer = finish(cluster, 2, location, caisson.digest_of(data))
    assert answer.status == 201, answer
    assert answer.headers["Docker-Content-Digest"] == caisson.digest_of(data)
    assert_everywhere(cluster, "blobs/wander", data)


def test_out_of_order_is_416_and_the_session_stays(cluster):
    data = content("order", 3000)
    location = start_upload(cluster, 1, "blobs/order")
    assert patch(cluster, 1, location, data[:1000], 0).status == 202
    for node in (1, 2, 3):
        for first in (0, 500, 2000):
            answer = patch(cluster, node, location, data[:1000], first)
            assert answer.status == 416 and answer.headers["Range"] == "0-999", answer
        digest = caisson.digest_of(data)
        answer = cluster.call(node, f"{location}?digest={digest}", "PUT", data[2000:],
                              {**OCTETS, "Content-Range": "2000-2999"})
        assert answer.status == 416, answer
        assert stands_at(cluster, node, location) == 1000
    assert patch(cluster, 3, location, data[1000:2000], 1000).status == 202
    assert finish(cluster, 2, location, caisson.digest_of(data), data[2000:]).status == 201
    assert_everywhere(cluster, "blobs/order", data)


@pytest.mark.parametrize("through", [1, 2])
def test_a_body_that_was_cut_is_sent_again(cluster, through):
    data = content("cut")
    location = start_upload(cluster, 1, "blobs/cut")
    assert patch(cluster, 1, location, data[:1000], 0).status == 202
    port = cluster.base_port + through
    login = caisson.base64.b64encode(":".join(cluster.admin).encode()).decode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall((f"PATCH {location} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                      f"Authorization: Basic {login}\r\nContent-Range: 1000-{len(data) - 1}\r\n"
                      f"Content-Length: {len(data) - 1000}\r\n\r\n").encode() + data[1000:90_000])
        time.sleep(0.1)
    # What arrived of the cut request is dropped again; until it is, the session is in use.
    caisson.wait_until(
        lambda: patch(cluster, through, location, data[1000:], 1000).status == 202, 20,
        "the same chunk is taken")
    assert finish(cluster, 3, location, caisson.digest_of(data)).status == 201
    assert_everywhere(cluster, "blobs/cut", data)


def test_one_request_is_an_upload_too(cluster):
    for node in (1, 2, 3):
        data = content(f"whole {node}")
        digest = caisson.digest_of(data)
        target = f"/v2/blobs/whole/blobs/uploads/?digest={digest}"
        assert cluster.call(node, target, "POST", data, OCTETS).status == 201
        assert_everywhere(cluster, "blobs/whole", data)
        wrong = cluster.call(node, target, "POST", data + b"x", OCTETS)
        assert wrong.status == 400 and wrong.error()[0] == "DIGEST_INVALID", wrong


def test_mounts(cluster):
    data = content("mount", 5000)
    digest = cluster.push_blob(1, "blobs/source", data)

    def mount(node, target, query):
        return cluster.call(node, f"/v2/{target}/blobs/uploads/?mount={digest}{query}", "POST", b"")

    assert mount(2, "blobs/target-a", "&from=blobs/source").status == 201
    assert_everywhere(cluster, "blobs/target-a", data)
    assert mount(3, "blobs/target-b", "").status == 201
    assert_everywhere(cluster, "blobs/target-b", data)
    answer = mount(3, "blobs/target-c", "&from=blobs/nowhere")
    assert answer.status == 202 and answer.headers["Location"], answer
    assert read(cluster, 3, "blobs/target-c", digest).status == 404
    assert finish(cluster, 1, answer.headers["Location"], digest, data).status == 201


def test_twenty_pushes_of_one_blob_at_once(cluster):
    data = content("twenty")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        pushes = [pool.submit(cluster.push_blob, n % 3 + 1, f"blobs/twenty-{n % 2}", data)
                  for n in range(20)]
        assert {push.result() for push in pushes} == {caisson.digest_of(data)}
    for number in (0, 1):
        assert_everywhere(cluster, f"blobs/twenty-{number}", data)


# --- reads ----------------------------------------------------------------------------------------

def test_reads_and_ranges_at_every_node(cluster):
    data = content("ranges", 2048)
    digest = cluster.push_blob(1, "blobs/ranges", data)
    for node in (1, 2, 3):
        head = read(cluster, node, "blobs/ranges", digest, "HEAD")
        assert head.status == 200 and head.headers["Content-Length"] == "2048" and not head.body
        assert head.headers["Docker-Content-Digest"] == digest
        for asked, first, last in (("0-99", 0, 99), ("500-", 500, 2047), ("-10", 2038, 2047),
                                   ("2000-5000", 2000, 2047)):
            part = read(cluster, node, "blobs/ranges", digest, Range=f"bytes={asked}")
            assert part.status == 206 and part.body == data[first:last + 1], (asked, part)
            assert part.headers["Content-Range"] == f"bytes {first}-{last}/2048"
        for asked in ("5000-10000", "500-0"):
            assert read(cluster, node, "blobs/ranges", digest,
                        Range=f"bytes={asked}").status == 416
        assert read(cluster, node, "blobs/ranges", caisson.digest_of(b"none")).status == 404
        assert read(cluster, node, "blobs/elsewhere", digest).status == 404


def test_ranges_that_do_not_count_give_all(cluster):
    """RFC 9110, 13.1.5 and 14.2: no range of bytes, several, or one of another content."""
    data = content("moot ranges", 2048)
    digest = cluster.push_blob(1, "blobs/moot", data)
    for node in (1, 2, 3):
        for asked in ("bytes=0-99,200-299", "bytes=x-9", "bytes=9", "bytes=", "lines=0-9", "0-9"):
            whole = read(cluster, node, "blobs/moot", digest, Range=asked)
            assert whole.status == 200 and whole.body == data, (asked, whole)
            assert "Content-Range" not in whole.headers, asked
        for validator in (f'W/"{digest}"', '"another"', "*", '"*"', digest, f'"{digest}", "b"',
                          f'"a", "{digest}"', "Tue, 24 Nov 2026 00:00:00 GMT"):
            whole = read(cluster, node, "blobs/moot", digest, Range="bytes=0-9", If_Range=validator)
            assert whole.status == 200 and whole.body == data, (validator, whole)
        part = read(cluster, node, "blobs/moot", digest, Range="bytes=0-9", If_Range=f'"{digest}"')
        assert part.status == 206 and part.body == data[:10], part
        # Conditions come before the range, even before one that cannot be had (13.2.2).
        for asked in ("bytes=0-9", "bytes=5000-"):
            known = read(cluster, node, "blobs/moot", digest, Range=asked,
                         If_None_Match=f'"{digest}"')
            assert known.status == 304 and not known.body, (asked, known)
            assert "Content-Range" not in known.headers, asked


def test_a_pushed_page_is_no_page_of_ours(cluster):
    """A browser saves it, and runs nothing of it."""
    page = b"<script>alert(1)</script>"
    digest = cluster.push_blob(1, "blobs/page", page)
    cluster.push_image(1, "blobs/page", "one", "page")
    for path in (f"blobs/{digest}", "manifests/one"):
        for method in ("GET", "HEAD"):
            got = cluster.call(2, f"/v2/blobs/page/{path}", method)
            assert got.headers["Content-Disposition"] == "attachment", path
            assert got.headers["X-Content-Type-Options"] == "nosniff", path
            assert "sandbox" in got.headers["Content-Security-Policy"], path
            assert path[0] == "m" or got.headers["Content-Type"] == "application/octet-stream"


def test_head_says_what_get_says(cluster):
    cluster.push_image(1, "blobs/head", "one", "head")
    config, layer, manifest = cluster.image("head")
    cluster.push_blob(1, "blobs/head", b"")
    paths = [f"blobs/{caisson.digest_of(blob)}" for blob in (config, layer, b"")]
    paths += ["manifests/one", f"manifests/{caisson.digest_of(manifest)}", "manifests/none",
              f"blobs/{caisson.digest_of(b'none')}"]
    of_one_answer = {"date", "x-request-id", "x-raft-index"}
    for node in (1, 2, 3):
        for path in paths:
            got, head = (cluster.call(node, f"/v2/blobs/head/{path}", method)
                         for method in ("GET", "HEAD"))
            assert head.status == got.status and not head.body, (path, head)
            told = [{name.lower(): value for name, value in answer.headers.items()
                     if name.lower() not in of_one_answer} for answer in (got, head)]
            assert told[0] == told[1], path
            assert int(head.headers["Content-Length"]) == len(got.body), path


def test_what_was_deleted_at_one_node_is_gone_at_all(cluster):
    for number in range(12):
        data = content(f"delete {number}", 500)
        node = number % 3 + 1
        digest = cluster.push_blob(node, "blobs/delete", data)
        assert cluster.call(node, f"/v2/blobs/delete/blobs/{digest}", "DELETE").status == 202
        assert [read(cluster, n, "blobs/delete", digest).status for n in (1, 2, 3)] == [404] * 3


# --- nodes die ------------------------------------------------------------------------------------

def test_a_pushed_blob_outlives_the_node_that_took_it(fresh_cluster):
    """I-1: 201 means two copies, so losing one node with its disk loses nothing."""
    cluster = fresh_cluster()
    for node in (1, 2, 3):
        data = content(f"outlive {node}")
        digest = cluster.push_blob(node, "blobs/outlive", data)
        cluster.kill(node)
        cluster.wipe(node)
        others = [n for n in (1, 2, 3) if n != node]
        assert_everywhere(cluster, "blobs/outlive", data, others)
        cluster.restart(node)
        cluster.wait_ready()
        caisson.wait_until(file_of(cluster, node, digest).exists, 60,
                           f"the blob is back\n{cluster.logs()}")
        caisson.wait_until(lambda: cluster.status()["can_lose_a_node"]["yes"], 60,
                           f"whole again\n{cluster.logs()}")


def test_pushes_with_one_node_down_are_repaired(fresh_cluster):
    cluster = fresh_cluster()
    for down in (1, 2, 3):
        cluster.kill(down)
        at = down % 3 + 1
        pushed = [content(f"{down} {number}", 20_000) for number in range(5)]
        for data in pushed:
            cluster.push_blob(at, "blobs/down", data)
            assert_everywhere(cluster, "blobs/down", data, [n for n in (1, 2, 3) if n != down])
        cluster.restart(down)
        cluster.wait_ready()
        wanted = {caisson.digest_of(data)[7:] for data in pushed}
        caisson.wait_until(lambda n=down, names=wanted: names <= files(cluster, n), 60,
                           f"repair brings all blobs to node {down}\n{cluster.logs()}")
    caisson.wait_until(lambda: files(cluster, 1) == files(cluster, 2) == files(cluster, 3), 60,
                       "all nodes hold the same files")


def test_with_two_nodes_down_nothing_is_acknowledged(fresh_cluster):
    cluster = fresh_cluster()
    before = content("before")
    cluster.push_blob(1, "blobs/alone", before)
    cluster.kill(2)
    cluster.kill(3)
    data, begun = content("alone"), time.monotonic()
    digest = caisson.digest_of(data)
    answer = cluster.call(1, f"/v2/blobs/alone/blobs/uploads/?digest={digest}", "POST", data,
                          OCTETS, timeout=60)
    assert answer.status == 503 and "Retry-After" in answer.headers, answer
    assert time.monotonic() - begun < 45
    assert_everywhere(cluster, "blobs/alone", before, [1])
    cluster.start()
    assert read(cluster, 2, "blobs/alone", digest).status == 404
    cluster.push_blob(3, "blobs/alone", data)
    assert_everywhere(cluster, "blobs/alone", data)


# --- disks lie ------------------------------------------------------------------------------------

def test_a_flipped_bit_is_never_served_and_healed(fresh_cluster):
    cluster = fresh_cluster()
    data = content("flip", 700_000)
    digest = cluster.push_blob(1, "blobs/flip", data)
    for node in (1, 2, 3):
        path = file_of(cluster, node, digest)
        caisson.wait_until(path.exists, 30, "a copy at each node")
        path.chmod(0o600)
        bad = bytearray(data)
        bad[345_678] ^= 4
        with path.open("r+b") as file:
            file.write(bad)
        seen = set()

        def healed():
            answer = read(cluster, node, "blobs/flip", digest)
            seen.add(answer.status)
            assert answer.status != 200 or answer.body == data, "wrong bytes were served"
            return answer.status == 200 and path.exists() and path.read_bytes() == data
        caisson.wait_until(healed, 60, f"node {node} heals, saw {seen}\n{cluster.logs()}")
        assert list((cluster.data_dir(node) / "quarantine").iterdir()), "kept for a look at it"
        assert_everywhere(cluster, "blobs/flip", data)
