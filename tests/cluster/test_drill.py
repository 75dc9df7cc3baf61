"""Failover drills: a throw-away cluster with every kind of fault, verdicts, the operator's hook,
results that the cluster keeps and signs, and a gate that asks for a fresh one."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import stat

import pytest

import caisson

QUICK = ("--hold", "1200ms", "--calm", "300ms")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None,
                               reason="network namespaces and a small disk take root and iproute2")


@pytest.fixture
def login(cluster, tmp_path):
    """Options that make a command the admin's."""
    password = tmp_path / "password"
    password.write_text(cluster.admin[1])
    return ("--server", cluster.url(1), "--user", "admin", "--password-file", str(password))


def processes_of(directory):
    """Command lines that name the directory."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(directory).encode() in path.read_bytes():
                found.append(path)
    return found


@pytest.fixture
def local(run, tmp_path):
    """local(*arguments): `drill --local` with a directory for temporary files of its own, which has
    to be empty afterwards."""
    def call(*arguments, hold="1200ms"):
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        done = run("drill", "--local", "--hold", hold, "--calm", "300ms", *arguments, timeout=150,
                   env=dict(os.environ, TMPDIR=str(scratch)))
        assert list(scratch.iterdir()) == [], done.stderr
        assert not processes_of(scratch), "processes are left"
        return done
    return call


def verdict(done, directory):
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((pathlib.Path(directory) / "report.json").read_text())
    assert report["passed"] and not report["why"]
    assert report["lost"] == report["stale"] == report["not_linearizable"] == 0
    return report


def test_a_throw_away_cluster_is_drilled(local, tmp_path):
    out = tmp_path / "out"
    done = local("handover", "kill-leader", "pause", "--report", out, hold="2s")
    report = verdict(done, out)
    assert report["kinds"] == ["handover", "kill-leader", "pause"]
    assert [step["leader_before"] != step["leader_after"]
            for step in report["steps"][:3]] == [True] * 3
    assert report["operations"]["writes"] > 50 and report["operations"]["reads"] > 100
    assert report["errors"] == sum(report["error_classes"].values())
    operations = [json.loads(line) for line in (out / "operations.jsonl").read_text().splitlines()]
    assert {one["kind"] for one in operations} == {"push", "swap", "read", "list"}
    assert sum(one.get("final", False) for one in operations) >= 15
    assert "PASSED" in (out / "report.txt").read_text()
    page = (out / "report.html").read_text()
    assert "<svg" in page and "kill-leader" in page
    assert not re.search(r"<script|https?://|@import|url\(", page), "the page fetches something"


@ROOT_ONLY
def test_a_node_is_cut_off_and_a_disk_is_full(local, tmp_path):
    out = tmp_path / "out"
    report = verdict(local("partition", "full-disk", "--report", out, hold="3s"), out)
    cut = report["steps"][0]
    assert cut["leader_before"] != cut["leader_after"], "nobody noticed that the node was cut off"
    assert report["steps"][1]["node"] == "node-3"
    mounts = pathlib.Path("/proc/self/mounts").read_text()
    assert str(tmp_path) not in mounts, "a disk is still mounted"


def test_a_limit_that_nothing_can_meet_is_missed(run, login):
    done = run("drill", *QUICK, "--max-write-gap", "1ms", "--no-record", *login, timeout=60)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "NOT PASSED" in done.stdout and "the limit is 1 ms" in done.stdout


def test_what_cannot_be_done_says_why(run, login, cluster):
    done = run("drill", "kill-leader", *login)
    assert done.returncode == 1 and "--hook" in done.stderr
    done = run("drill", "partition", "--cluster-dir", cluster.dir, *login)
    assert done.returncode == 1 and "--local" in done.stderr
    assert run("drill", "earthquake").returncode == 64
    assert run("drill", "--hold", "soon").returncode == 64
    assert run("drill", "--local", "--hook", "x").returncode == 64


def test_the_hook_is_called_and_must_not_fail(run, login, cluster, tmp_path):
    log, hook = tmp_path / "log", tmp_path / "hook"
    script = caisson.ROOT / "scripts" / "cluster"
    hook.write_text(f'''#!/bin/sh
echo "$1 $2 $CAISSON_DRILL_ACTION $CAISSON_DRILL_MEMBER" >>{log}
[ "$1" != start ] || set -- restart "$2"
exec {script} "$1" "${{2#node-}}" --dir {cluster.dir}
''')
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    done = run("drill", "kill-leader", *QUICK, "--hook", hook, "--no-record", *login, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == ["kill", "start"]
    assert lines[0][1] == lines[1][1] and lines[0][2:] == lines[0][:2]
    hook.write_text("#!/bin/sh\nexit 3\n")
    done = run("drill", "pause", *QUICK, "--hook", hook, "--no-record", *login, timeout=90)
    assert done.returncode == 1 and "exit code 3" in done.stderr, done.stderr


def test_the_canary_leaves_nothing(run, login, cluster):
    done = run("drill", *QUICK, "--repository", "canary/clean", "--no-record", *login, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.call(2, "/v2/canary/clean/tags/list").json()["tags"] in ([], None)


def gated(cluster):
    """A pipeline whose prod wants a drill of two kinds."""
    gate = {"id": "drilled", "type": "drill", "kinds": ["handover", "pause"], "maxAge": "7d",
            "maxWriteGap": "9s"}
    return cluster.call(1, "/api/v1/pipelines/drilled", "PUT", {"stages": [
        {"name": "dev", "repos": "drill-dev/*", "write": "open"},
        {"name": "prod", "repos": "drill-prod/*", "write": "promotion-only", "from": "dev",
         "gates": [gate]}]})


def promote(cluster, node):
    return cluster.call(node, "/api/v1/promotions", "POST", {
        "pipeline": "drilled", "to": "prod",
        "items": [{"repo": "drill-dev/web", "tag": "1.0", "tags": ["1.0"]}]})


def test_a_gate_asks_for_a_fresh_drill(run, login, cluster):
    answer = gated(cluster)
    assert answer.status == 200, answer
    cluster.push_image(1, "drill-dev/web", "1.0", "drill")
    blocked = promote(cluster, 2)
    assert blocked.status == 412 and "DRILL_MISSING" in blocked.body.decode(), blocked
    assert "caisson drill handover" in blocked.body.decode()
    done = run("drill", "handover", "pause", *QUICK, "--cluster-dir", cluster.dir, *login,
               timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = cluster.call(3, "/api/v1/drills").json()["drills"]
    assert kept[0]["signature"] == "valid" and kept[0]["kinds"] == ["handover", "pause"]
    one = cluster.call(2, "/api/v1/drills/latest").json()
    assert one["report"]["id"] == one["id"] == kept[0]["id"] and one["actor"] == "admin"
    # The result opens the gate for the one that waits; asked again before it is through, one of both
    # would find that the tag moved.
    first = blocked.json()["errors"][0]["detail"]["id"]
    done = cluster.call(3, f"/api/v1/promotions/{first}?wait=30")
    assert done.json()["state"] == "committed", done
    answer = promote(cluster, 3)
    assert answer.status == 200, answer
    for arguments, wanted in ((("list",), kept[0]["id"]), (("show", "latest"), "valid"),
                              (("report", kept[0]["id"]), "PASSED"),
                              (("report", "latest", "--format", "html"), "<svg")):
        done = run("drill", *arguments, *login)
        assert done.returncode == 0 and wanted in done.stdout, done
    # A drill that was not passed counts from then on.
    report = dict(one["report"], lost=1)
    assert cluster.call(1, "/api/v1/drills", "POST", report).status == 201
    cluster.push_image(1, "drill-dev/web", "1.0", "drill-2")
    again = promote(cluster, 1)
    assert again.status == 412 and "DRILL_FAILED" in again.body.decode(), again


def test_what_is_no_result_is_refused(cluster):
    for body in ({}, [], {"passed": True}, {"passed": True, "steps": [{"kind": "x"}], "lost": 0}):
        answer = cluster.call(1, "/api/v1/drills", "POST", body)
        assert answer.status == 400, answer
    assert cluster.call(1, "/api/v1/drills", "POST", {}, auth=None).status == 401
    assert cluster.call(1, "/api/v1/drills/nothing").status == 404
    wrong = '{"stages": [{"name": "a", "repos": "a/*", "write": "open"}, {"name": "b", "repos": ' \
            '"b/*", "write": "promotion-only", "from": "a", "gates": [{"id": "d", "type": "drill", ' \
            '"kinds": ["flood"], "maxAge": "1d"}]}]}'
    answer = cluster.call(1, "/api/v1/pipelines/bad", "PUT", json.loads(wrong))
    assert answer.status == 400 and "flood" in answer.error()[1]
