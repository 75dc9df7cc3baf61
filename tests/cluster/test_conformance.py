"""The OCI distribution conformance suite in each of its versions, against one node and against three
(each request at another node than the one before), open and with a login: scripts/conformance runs
all of them side by side. Every test of the suite must pass; none may be skipped or disabled."""
import subprocess

import pytest

import caisson

TOOL = str(caisson.ROOT / "scripts" / "conformance")
CANNOT_RUN = 77
RUNS = [f"{nodes}, {version}, {login}" for nodes in ("1 node", "3 nodes")
        for version in ("1.1", "dev", "dev, sparse") for login in ("open", "Basic")]


@pytest.fixture(scope="module")
def verdicts(binary, tmp_path_factory):
    """What scripts/conformance says about each combination; skips when the suite is not to be had."""
    assert binary
    done = subprocess.run([TOOL, "--install"], capture_output=True, text=True, timeout=700,
                          check=False)
    if done.returncode == CANNOT_RUN:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    results = tmp_path_factory.mktemp("conformance")
    done = subprocess.run([TOOL, "--results", str(results)], capture_output=True, text=True,
                          timeout=600, check=False)
    assert (results / "summary.txt").exists(), done.stdout + done.stderr
    return (results / "summary.txt").read_text()


@pytest.mark.parametrize("run", RUNS)
def test_every_test_of_the_suite_passes(verdicts, run):
    assert f"passed  {run}: " in verdicts, verdicts
