"""Real clients at every node: what one pushes through one node, it pulls whole through the next.
skopeo, podman and buildah, with a login and on an open cluster. Images are small and made here."""
import json
import os
import pathlib
import shutil
import tempfile

import pytest

import caisson
from clients import BUSYBOX, DOCKER, PAIRS, Client, Layout, fresh_repository, host, pulled_digest


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return Layout(tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="module")
def _open_cluster(binary):
    assert binary
    cluster = caisson.Cluster(is_open=True)
    yield cluster
    cluster.close()


@pytest.fixture(params=["login", "open"])
def place(request):
    """(cluster, credentials or None): one where clients log in, one that is open."""
    if request.param == "login":
        cluster = request.getfixturevalue("cluster")
        return cluster, cluster.admin
    return request.getfixturevalue("_open_cluster"), None


@pytest.fixture
def client(place):
    """client("skopeo"): logged in at all nodes where there is a login."""
    cluster, login = place
    short = pathlib.Path(tempfile.mkdtemp(prefix="c."))  # podman wants a short path.

    def make(tool):
        home = short / tool
        home.mkdir()
        made = Client(tool, home, login)
        for node in (1, 2, 3):
            made.log_in(cluster, node)
        return made
    yield make
    shutil.rmtree(short, ignore_errors=True)


# --- skopeo ---------------------------------------------------------------------------------------

def test_skopeo_copies_an_index_with_all_its_images(place, client, layout, tmp_path):
    cluster, _ = place
    skopeo = client("skopeo")
    for push, pull in PAIRS:
        repository = fresh_repository("index")
        skopeo.run("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.path}:all",
                   f"docker://{host(cluster, push)}/{repository}:v1")
        back = tmp_path / f"back-{push}"
        skopeo.run("copy", "--all", "--src-tls-verify=false",
                   f"docker://{host(cluster, pull)}/{repository}:v1", f"oci:{back}:v1")
        assert {path.name for path in (back / "blobs" / "sha256").iterdir()} == layout.names()


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_copies_both_formats(place, client, layout, tmp_path, form):
    cluster, login = place
    skopeo = client("skopeo")
    for push, pull in PAIRS:
        repository = fresh_repository(form)
        skopeo.run("copy", "--format", form, "--dest-tls-verify=false", f"oci:{layout.path}:one",
                   f"docker://{host(cluster, push)}/{repository}:v1")
        digest, media_type = pulled_digest(cluster, pull, repository, "v1", login)
        assert media_type == (caisson.MANIFEST if form == "oci" else DOCKER)
        assert form != "oci" or digest == layout.one
        back = tmp_path / f"back-{push}"
        skopeo.run("copy", "--src-tls-verify=false",
                   f"docker://{host(cluster, pull)}/{repository}@{digest}", f"dir:{back}")
        assert caisson.digest_of((back / "manifest.json").read_bytes()) == digest


def test_skopeo_inspects_lists_and_deletes(place, client, layout):
    cluster, _ = place
    skopeo = client("skopeo")
    for first, second in PAIRS:
        repository = fresh_repository("inspect")
        target = f"docker://{host(cluster, first)}/{repository}"
        for tag in ("a", "b"):
            skopeo.run("copy", "--dest-tls-verify=false", f"oci:{layout.path}:one",
                       f"{target}:{tag}")
        other = f"docker://{host(cluster, second)}/{repository}"
        seen = json.loads(skopeo.run("inspect", "--tls-verify=false", f"{other}:a"))
        assert seen["Digest"] == layout.one and seen["RepoTags"] == ["a", "b"]
        assert json.loads(skopeo.run("list-tags", "--tls-verify=false", other))["Tags"] == \
            ["a", "b"]
        # skopeo deletes the digest behind a tag: all of its tags go.
        skopeo.run("delete", "--tls-verify=false", f"{other}:a")
        for node in (1, 2, 3):
            gone = skopeo.try_run("inspect", "--tls-verify=false",
                                  f"docker://{host(cluster, node)}/{repository}:b")
            assert gone.returncode != 0 and "manifest unknown" in gone.stderr, gone


def test_skopeo_syncs_a_repository_to_another(place, client, layout):
    cluster, login = place
    skopeo = client("skopeo")
    repository = fresh_repository("sync")
    for tag, name in (("one", "one"), ("every", "all")):
        skopeo.run("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.path}:{name}",
                   f"docker://{host(cluster, 1)}/{repository}:{tag}")
    skopeo.run("sync", "--all", "--src", "docker", "--dest", "docker", "--src-tls-verify=false",
               "--dest-tls-verify=false", f"{host(cluster, 2)}/{repository}",
               f"{host(cluster, 3)}/mirror")
    mirror = "mirror/" + repository.rsplit("/", 1)[1]
    assert pulled_digest(cluster, 1, mirror, "one", login)[0] == layout.one
    assert pulled_digest(cluster, 2, mirror, "every", login)[0] == layout.index


def test_a_wrong_password_and_no_login_are_refused(cluster, layout, tmp_path):
    skopeo = Client("skopeo", tmp_path, None)
    for more in ([], ["--dest-creds", "admin:wrong"]):
        done = skopeo.try_run("copy", *more, "--dest-tls-verify=false", f"oci:{layout.path}:one",
                              f"docker://{host(cluster, 2)}/{fresh_repository('no')}:v1")
        assert done.returncode != 0, done
        assert "unauthorized" in done.stderr or "authentication required" in done.stderr, done


# --- buildah and podman ---------------------------------------------------------------------------

def test_buildah_builds_from_scratch_and_podman_pulls_it(place, client):
    if not os.path.exists(BUSYBOX):
        pytest.skip("busybox-static is not installed (scripts/setup does)")
    cluster, login = place
    buildah, podman = client("buildah"), client("podman")
    container = buildah.run("from", "scratch")
    buildah.run("copy", container, BUSYBOX, "/bin/busybox")
    buildah.run("config", "--cmd", "/bin/busybox", container)
    for form, media_type in (("oci", caisson.MANIFEST), ("docker", DOCKER)):
        buildah.run("commit", "--format", form, container, f"localhost/{form}")
        for push, pull in PAIRS:
            repository = fresh_repository(form)
            buildah.run("push", "--tls-verify=false", f"localhost/{form}",
                        f"docker://{host(cluster, push)}/{repository}:v1")
            assert pulled_digest(cluster, pull, repository, "v1", login)[1] == media_type
            name = f"{host(cluster, pull)}/{repository}:v1"
            podman.run("pull", "--tls-verify=false", name)
            assert podman.run("image", "inspect", "--format", "{{.Config.Cmd}}", name) == \
                "[/bin/busybox]"


def test_podman_pushes_and_pulls(place, client, layout):
    cluster, login = place
    podman = client("podman")
    image = podman.run("pull", f"oci:{layout.path}:one").splitlines()[-1]
    for push, pull in PAIRS:
        repository = fresh_repository("podman")
        podman.run("push", "--tls-verify=false", image,
                   f"docker://{host(cluster, push)}/{repository}:v1")
        pulled_digest(cluster, pull, repository, "v1", login)
        back = podman.run("pull", "--tls-verify=false",
                          f"{host(cluster, pull)}/{repository}:v1").splitlines()[-1]
        assert back == image
