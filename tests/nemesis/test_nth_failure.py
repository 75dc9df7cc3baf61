"""The n-th call that changes a file fails, once or from then on, and the n-th allocation: in the
middle of each kind of request. The node may refuse the request or stop with exit code 70; whatever
was acknowledged is there when it is back, and nothing is half there. CAISSON_NTH_ALL=1: for every
n; without it, some that change with the day."""
import ctypes
import errno
import mmap
import os
import random
import signal
import subprocess
import time

import pytest

import harness
import workload

NODE = 1  # Where it fails.
SAMPLE = int(os.environ.get("CAISSON_NTH_SAMPLE", "2"))
FIELDS = ("io_calls", "io_at", "io_errno", "io_from_then_on", "memory_calls", "memory_at")


class Control(ctypes.Structure):
    """As in fault_io.c."""
    _fields_ = [(name, ctypes.c_int64) for name in FIELDS]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    room = tmp_path_factory.mktemp("fault-io")
    library = room / "fault_io.so"
    built = subprocess.run(["cc", "-O1", "-fPIC", "-shared", "-o", str(library),
                            str(harness.ROOT / "tests" / "nemesis" / "fault_io.c"), "-ldl"],
                           capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    path = room / "control"
    path.write_bytes(bytes(ctypes.sizeof(Control)))
    with open(path, "r+b") as file:
        memory = mmap.mmap(file.fileno(), ctypes.sizeof(Control))
    made = harness.Nodes(3, extra="snapshot_threshold: 60\nsnapshot_trailing: 16")
    made.control = Control.from_buffer(memory)
    made.shim = {"LD_PRELOAD": str(library), "FAULT_IO_CONTROL": str(path)}
    made.stop(NODE)
    made.launch(NODE, **made.shim)
    made.wait_answering(NODE)
    made.wait_voters()
    yield made
    made.control = None
    made.close()


def blob(work):
    work.number += 1
    data = random.Random(f"{work.name}{work.number}").randbytes(200_000)
    return work.push_blob(NODE, data, pieces=3)


def snapshot(work):
    """Enough entries that this node makes one."""
    for _ in range(45):
        work.call(NODE, f"/v2/{work.repository}/manifests/moving", "HEAD")
        work.call(NODE, f"/v2/{work.repository}/manifests/nothing", "DELETE")
    return True


KINDS = {
    "blob push": blob,
    "manifest push": lambda work: work.push_image(NODE, "moving"),
    "tag delete": lambda work: work.push_image(2, "short") and work.delete_tag(NODE, "short"),
    "promotion": lambda work: work.push_image(2, "up") and work.promote(NODE, "up"),
    "snapshot": snapshot,
}


def prepare(cluster):
    work = workload.Workload(cluster)
    assert work.push_image(2, "moving") and work.pipeline(2), cluster.logs()
    return work


def numbers(highest):
    if os.environ.get("CAISSON_NTH_ALL") == "1":
        return range(1, highest + 1)
    dice = random.Random(int(os.environ.get("CAISSON_SEED", "20781")) + highest)
    return sorted({dice.randint(1, highest) for _ in range(SAMPLE)})


def disarm(control):
    for name in FIELDS:
        setattr(control, name, 0)


def settle(cluster, work, what):
    """The node is still up, or stopped as it should; then it is back, and all is there."""
    disarm(cluster.control)
    time.sleep(0.05)
    stopped = not cluster.is_up(NODE)
    if stopped:
        code = cluster.wait_exit(NODE)
        assert code in (harness.EXIT_FAIL_STOP, -signal.SIGABRT), f"{what}: {code}\n{cluster.logs()}"
        cluster.launch(NODE, **cluster.shim)
        cluster.wait_answering(NODE)
    cluster.wait_voters()
    work.check()
    assert len(cluster.state_hashes()) == 1, what
    return stopped


@pytest.mark.parametrize("kind", KINDS)
def test_nth_io__fails(cluster, kind):
    control, stops, tries = cluster.control, 0, 0
    work = prepare(cluster)
    disarm(control)
    assert KINDS[kind](work), cluster.logs()
    time.sleep(0.1)
    highest = max(control.io_calls, 1)
    for code, from_then_on in ((errno.EIO, 0), (errno.EIO, 1), (errno.ENOSPC, 1)):
        for n in numbers(highest):
            work = prepare(cluster)
            disarm(control)
            control.io_errno, control.io_from_then_on, control.io_at = code, from_then_on, n
            KINDS[kind](work)
            what = f"{kind}: call {n} of {highest}, {errno.errorcode[code]}, {from_then_on}"
            stops += settle(cluster, work, what)
            tries += 1
    cluster.check_clean_logs()
    print(f"{kind}: {highest} calls, {tries} failures, {stops} stops, nothing lost")


@pytest.mark.parametrize("kind", KINDS)
def test_nth_allocation__fails(cluster, kind):
    control, stops, tries = cluster.control, 0, 0
    work = prepare(cluster)
    disarm(control)
    assert KINDS[kind](work), cluster.logs()
    time.sleep(0.1)
    highest = max(control.memory_calls, 1)
    for n in numbers(highest):
        work = prepare(cluster)
        disarm(control)
        control.memory_at = n
        KINDS[kind](work)
        stops += settle(cluster, work, f"{kind}: allocation {n} of {highest}")
        tries += 1
    cluster.check_clean_logs(allowed=("check failed",))
    print(f"{kind}: {highest} allocations, {tries} failures, {stops} stops, nothing lost")
