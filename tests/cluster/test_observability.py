"""What a node says about itself and the others is well-formed, documented, and true."""
import json
import re
import subprocess

import caisson

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\}'
VALUE = r"[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf|NaN)"
SAMPLE = re.compile(rf"^({NAME})({LABELS})? ({VALUE})(?: -?\d+)?$")


def parse_metrics(text):
    """{family: (type, [(name, labels, value)])}; AssertionError where the format is not kept."""
    assert text.endswith("\n")
    families, current = {}, None
    for line in text.splitlines():
        if line.startswith("# "):
            kind, name, rest = line[2:].split(" ", 2)
            assert kind in ("HELP", "TYPE") and re.fullmatch(NAME, name), line
            if kind == "HELP":
                assert name not in families, f"{name} twice"
                families[name], current = [None, []], name
            else:
                assert name == current and not families[name][1], line
                assert rest in ("counter", "gauge", "histogram", "summary", "untyped"), line
                families[name][0] = rest
            continue
        match = SAMPLE.match(line)
        assert match, f"not a sample: {line!r}"
        name = match.group(1)
        family = current if name == current else re.sub(r"_(bucket|sum|count)$", "", name)
        assert family == current, f"{line} stands under {current}"
        families[family][1].append((name, match.group(2) or "", float(match.group(3))))
    for name, (kind, samples) in families.items():
        assert kind, name
        keys = [sample[:2] for sample in samples]
        assert len(keys) == len(set(keys)), name
        assert (kind == "counter") == name.endswith("_total"), name
        if kind == "histogram":
            buckets = [v for n, _, v in samples if n.endswith("_bucket")]
            assert buckets == sorted(buckets) and 'le="+Inf"' in samples[len(buckets) - 1][1]
            assert buckets[-1] == next(v for n, _, v in samples if n.endswith("_count"))
    return families


def test_metrics_keep_the_format_and_are_documented(cluster):
    cluster.push_image(1, "metrics/app", "one", "metrics")
    documented = set(re.findall(r"`((?:caisson|process)_[a-z0-9_]+)`",
                                (caisson.ROOT / "docs" / "operations.md").read_text()))
    for node in (1, 2, 3):
        answer = cluster.call(node, "/metrics", auth=None)
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = parse_metrics(answer.body.decode())
        assert set(families) == documented, set(families) ^ documented
        syncs = families["caisson_raft_fsync_seconds"][1]
        assert next(v for n, _, v in syncs if n.endswith("_count")) > 0
        members = {labels for _, labels, _ in families["caisson_member_up"][1]}
        assert members == {f'{{member="node-{i}"}}' for i in (1, 2, 3)}


def test_each_node_tells_how_far_every_member_is(cluster):
    index = int(cluster.put_manifest(1, "told/app", "one", push(cluster, "told/app")).headers[
        "X-Raft-Index"])

    def told():
        for node in (1, 2, 3):
            status = cluster.status(node)
            for member in status["members"]:
                if member.get("applied_index", 0) < index or member["commit_index"] < index:
                    return False
                assert member["term"] == status["term"] and member["log_bytes"] > 0
                assert 0 < member["free_bytes"] <= member["total_bytes"]
                assert abs(member["clock_skew_ms"]) < 2000  # One machine, one clock.
                assert member["version"] and member["level"] == status["level"]
        return True
    caisson.wait_until(told, 20, "all members tell")


def push(cluster, repository):
    config, layer, manifest = cluster.image(repository)
    cluster.push_blob(1, repository, config)
    cluster.push_blob(1, repository, layer)
    return manifest


def test_status_is_readable_and_ends_with_the_verdict(cluster, binary):
    caisson.wait_until(lambda: cluster.status(1)["can_lose_a_node"]["yes"], 30, "all is well")
    done = subprocess.run([binary, "cluster", "status", "--server", cluster.url(1)],
                          capture_output=True, text=True, timeout=20)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[-1].startswith("A node may be lost now: "), done
    assert max(map(len, lines)) <= 120, done.stdout
    assert sum("node-" in line and " yes " in line for line in lines) == 3, done.stdout
    done = subprocess.run([binary, "cluster", "status", "--server", cluster.url(1), "-o", "json"],
                          capture_output=True, text=True, timeout=20)
    assert len(json.loads(done.stdout)["members"]) == 3


def test_a_dead_node_shows_in_the_verdict_with_its_name(cluster, binary):
    node = cluster.leader() % 3 + 1
    other = node % 3 + 1
    cluster.kill(node)
    caisson.wait_until(
        lambda: f"node-{node} is not reachable" in cluster.status(other)["can_lose_a_node"]["why"],
        20, "the reason names it")
    done = subprocess.run([binary, "cluster", "status", "--server", cluster.url(other)],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and f"node-{node} is not reachable" in done.stdout, done
    families = parse_metrics(cluster.call(other, "/metrics", auth=None).body.decode())
    assert ("caisson_member_up", f'{{member="node-{node}"}}', 0.0) in \
        families["caisson_member_up"][1]
    cluster.start()


def test_a_request_id_goes_along_from_node_to_node(fresh_cluster):
    cluster = fresh_cluster(extra="log_level: debug\n")
    blob = b"traced"
    start = cluster.call(1, "/v2/trace/app/blobs/uploads/", "POST", b"",
                         {"X-Request-Id": "my.trace_1-a"})
    assert start.headers["X-Request-Id"] == "my.trace_1-a"
    # Another node than the one that owns the upload hands it on, under the same id.
    end = cluster.call(2, start.headers["Location"] + f"?digest={caisson.digest_of(blob)}", "PUT",
                       blob, {"X-Request-Id": "my.trace_2"})
    assert end.status == 201 and end.headers["X-Request-Id"] == "my.trace_2"
    for node in (1, 2):
        # What a node logs of a request comes after its answer.
        caisson.wait_until(lambda n=node: "request=my.trace_2 " in cluster.log(n), 10,
                           f"node {node} logs the request")
    for wrong in ("", "with space", "x" * 65, "new\\nline", "\"quoted\""):
        answer = cluster.call(1, "/v2/", headers={"X-Request-Id": wrong})
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"]), wrong
    for line in cluster.log(1).splitlines():
        assert {"ts", "level", "node", "msg"} <= json.loads(line).keys()
