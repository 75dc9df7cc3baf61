"""A few seeds of nemesis.py, two at a time; CAISSON_SEED picks others. What the runs have found is
kept below as tests of their own."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

import caisson

NEMESIS = pathlib.Path(__file__).resolve().parent / "nemesis.py"
RUNS = int(os.environ.get("CAISSON_NEMESIS_RUNS", "2"))
SECONDS = int(os.environ.get("CAISSON_NEMESIS_SECONDS", "15"))


def run(seed):
    done = subprocess.run([sys.executable, str(NEMESIS), "--seed", str(seed), "--seconds",
                           str(SECONDS)], capture_output=True, text=True, timeout=SECONDS * 4 + 180,
                          check=False)
    return seed, done.returncode, done.stdout + done.stderr


def test_nemesis__seeds():
    first = int(os.environ.get("CAISSON_SEED", "20781")) * 100
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for seed, code, output in pool.map(run, range(first, first + RUNS)):
            print(output)
            assert code == 0, f"nemesis.py --seed {seed} --seconds {SECONDS}: {code}\n{output}"


def test_nemesis__a_node_that_knows_nobody_yet_sends_nobody_away(nodes):
    """Found by seed 2: after all nodes were killed, the first to come back had an empty catalog,
    and told clients with the right password that it was wrong."""
    cluster = nodes(3)
    cluster.push_image(1, "dev/app", "1.0", "x")
    for node in cluster.all():
        cluster.kill(node)
    cluster.launch(2)
    cluster.wait_answering(2)
    for path in ("/v2/dev/app/manifests/1.0", "/v2/", "/api/v1/users"):
        answer = cluster.call(2, path, headers={"Accept": caisson.MANIFEST})
        assert answer.status == 503 and answer.headers["Retry-After"], answer
    cluster.start()
    assert cluster.call(2, "/v2/").status == 200
