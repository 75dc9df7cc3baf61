"""Tests under real faults. The helpers are those of the end-to-end tests, in tests/cluster, and
tests/lib; harness.py starts nodes one by one, so that each can have an environment, a disk and a
network of its own."""
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster"), str(HERE.parent / "lib")]


@pytest.fixture
def nodes():
    """nodes(n=3, ...): harness.Nodes, stopped and removed after the test."""
    import harness  # pylint: disable=import-outside-toplevel
    made = []

    def make(*arguments, **named):
        made.append(harness.Nodes(*arguments, **named))
        return made[-1]

    yield make
    for one in made:
        one.close()
