"""Real images through any node: one of Debian packages for two architectures, one of 520 MB with a
layer of 220 MB, one with 100 layers, and one that is built and run here. Bytes and digests must come
out of another node as they went in."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import caisson
from clients import (BUSYBOX, PAIRS, Client, ImageLayout, fresh_repository, host,
                     pulled_digest, tar_of)

BIG_LAYERS = (220_000_000, 180_000_000, 120_000_000)
MANY_LAYERS = 100


@pytest.fixture
def place():
    """A short path that is not in tmp_path's family: pytest would keep those, and these are big."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="c."))
    yield path
    # A container that did not start is tidied up by podman's own hand, behind our back.
    caisson.wait_until(lambda: shutil.rmtree(path, ignore_errors=True) or not path.exists(), 20,
                       f"{path} is gone")


@pytest.fixture
def client(place, cluster):
    """client("skopeo"): logged in at all nodes."""
    def make(tool):
        home = place / tool
        home.mkdir()
        made = Client(tool, home, cluster.admin)
        for node in (1, 2, 3):
            made.log_in(cluster, node)
        return made
    return make


def file_digest(path):
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def travel(skopeo, cluster, layout, name, push, pull, back):
    """Into one node, out of another: the same blobs, each with the digest that is its name."""
    repository = fresh_repository("image")
    skopeo.run("copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
               f"oci:{layout}:{name}", f"docker://{host(cluster, push)}/{repository}:v1")
    skopeo.run("copy", "--all", "--preserve-digests", "--src-tls-verify=false",
               f"docker://{host(cluster, pull)}/{repository}:v1", f"oci:{back}:v1")
    found = sorted((back / "blobs" / "sha256").iterdir())
    for path in found:
        assert file_digest(path) == path.name
    return repository, {path.name for path in found}


def test_an_image_of_debian_packages_for_two_architectures(cluster, client, place):
    done = subprocess.run([str(caisson.ROOT / "scripts" / "make-image"), str(place / "image"),
                           "--cache", str(caisson.ROOT / "build" / "image-packages")],
                          capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0 and "apt-get" in done.stderr:
        pytest.skip(f"no Debian packages to be had here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done
    names = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry for entry in
             json.loads((place / "image" / "index.json").read_text())["manifests"]}
    index = json.loads((place / "image" / "blobs" / "sha256" /
                        names["image"]["digest"][7:]).read_text())
    repository, found = travel(client("skopeo"), cluster, place / "image", "image", 1, 2,
                               place / "back")
    assert names["image"]["digest"][7:] in found
    assert {entry["digest"][7:] for entry in index["manifests"]} <= found
    assert pulled_digest(cluster, 3, repository, "v1", cluster.admin)[0] == names["image"]["digest"]


def test_an_image_of_half_a_gigabyte(cluster, client, place):
    layout = ImageLayout(place / "big")
    layers = [tar_of({f"data-{size}": os.urandom(size)}) for size in BIG_LAYERS]
    layout.name("big", layout.add_image(layers, compress=False))
    del layers
    wanted = layout.names()
    _, found = travel(client("skopeo"), cluster, layout.path, "big", 2, 3, place / "back")
    assert found == wanted


def test_an_image_of_a_hundred_layers(cluster, client, place):
    layout = ImageLayout(place / "many")
    layers = [tar_of({f"layer-{number}": os.urandom(2000)}) for number in range(MANY_LAYERS)]
    layout.name("many", layout.add_image(layers))
    skopeo = client("skopeo")
    for push, pull in PAIRS:
        _, found = travel(skopeo, cluster, layout.path, "many", push, pull, place / f"back-{push}")
        assert found == layout.names() and len(found) == MANY_LAYERS + 2


def test_buildah_builds_on_an_image_of_the_registry_and_podman_runs_it(cluster, client, place):
    if not os.path.exists(BUSYBOX):
        pytest.skip("busybox-static is not installed (scripts/setup does)")
    layout = ImageLayout(place / "base")
    busybox = pathlib.Path(BUSYBOX).read_bytes()
    layout.name("base", layout.add_image(
        [tar_of({"bin/busybox": busybox, "bin/sh": busybox},
                {"bin/busybox": 0o755, "bin/sh": 0o755})], command=["/bin/busybox"]))
    repository = fresh_repository("base")
    client("skopeo").run("copy", "--dest-tls-verify=false", f"oci:{layout.path}:base",
                         f"docker://{host(cluster, 1)}/{repository}:v1")
    buildah, podman = client("buildah"), client("podman")
    (place / "Containerfile").write_text(f"FROM {host(cluster, 2)}/{repository}:v1\n"
                                         "COPY greeting /greeting\n"
                                         'CMD ["/bin/busybox", "cat", "/greeting"]\n')
    (place / "greeting").write_text("through three nodes\n")
    built = f"{host(cluster, 3)}/{repository}:built"
    buildah.run("build", "--tls-verify=false", "--isolation", "chroot", "--tag", built,
                "--file", place / "Containerfile", place)
    buildah.run("push", "--tls-verify=false", built)
    name = f"{host(cluster, 1)}/{repository}:built"
    podman.run("pull", "--tls-verify=false", name)
    # Limits that a machine without the right to raise them grants, too.
    done = podman.try_run("--runtime", "runc", "run", "--rm", "--network", "none", "--ulimit",
                          "nofile=1024:1024", "--ulimit", "nproc=1024:1024", name)
    if done.returncode in (125, 126):
        pytest.skip(f"podman cannot run a container here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0 and done.stdout == "through three nodes\n", done
