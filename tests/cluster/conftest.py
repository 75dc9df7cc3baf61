"""Fixtures of the end-to-end tests: `cluster`, three nodes that all tests of a run share and leave
as they found them (all nodes up), and `fresh_cluster`, a factory for tests that need their own."""
import subprocess

import pytest

import caisson


@pytest.fixture(scope="session")
def binary():
    """build/caisson, or what CAISSON names."""
    if not caisson.BINARY.exists():
        pytest.fail(f"{caisson.BINARY} is missing: build it first (scripts/test does)")
    return str(caisson.BINARY)


@pytest.fixture(scope="session")
def _shared_cluster(binary):
    cluster = caisson.Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(_shared_cluster):
    yield _shared_cluster
    _shared_cluster.start()


@pytest.fixture
def fresh_cluster(binary):
    """fresh_cluster(nodes=3, extra="yaml lines", is_open=False)."""
    made = []

    def make(**arguments):
        made.append(caisson.Cluster(**arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def run(binary):
    """run("cluster", "init", ...): the command line, with a time limit; never raises for its exit
    code."""
    def call(*arguments, timeout=30, **more):
        return subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout, **more)
    return call
