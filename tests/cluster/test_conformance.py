"""The OCI distribution conformance suite against three nodes, each request at another node than the
one before, and against one node. scripts/conformance runs all combinations."""
import subprocess

import pytest

import caisson

TOOL = str(caisson.ROOT / "scripts" / "conformance")
CANNOT_RUN = 77


@pytest.fixture(scope="module")
def suite(binary):
    """Runs the suite with these options; skips when it is not to be had here."""
    assert binary
    done = subprocess.run([TOOL, "--install"], capture_output=True, text=True, timeout=700,
                          check=False)
    if done.returncode == CANNOT_RUN:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr

    def run(*options):
        done = subprocess.run([TOOL, *options], capture_output=True, text=True, timeout=500,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout.strip())
    return run


@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_suite_passes_on_three_nodes(suite, version):
    suite("--nodes", "3", "--version", version)


def test_suite_passes_on_three_nodes_with_a_login_and_sparse_images(suite):
    suite("--nodes", "3", "--version", "dev", "--sparse", "--basic")


def test_suite_passes_on_one_node(suite):
    suite("--nodes", "1", "--version", "dev")
