"""Clients that are not of skopeo's family, at every node: containerd's ctr, umoci, oras, helm."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

import caisson
from clients import (BUSYBOX, PAIRS, Client, ImageLayout, Layout, fresh_repository, host, need,
                     pulled_digest, tar_of)

sys.path.insert(0, str(caisson.ROOT / "tests" / "lib"))
import go_tool  # noqa: E402

ORAS = ("oras.land/oras", "v1.3.2", "cmd/oras")
HELM = ("helm.sh/helm/v3", "v3.18.6")


@pytest.fixture
def place():
    path = pathlib.Path(tempfile.mkdtemp(prefix="c."))  # Sockets want a short path.
    yield path
    shutil.rmtree(path, ignore_errors=True)


def call(*command, home, timeout=120, text_in=None):
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home),
                   "XDG_CACHE_HOME": str(home), "XDG_DATA_HOME": str(home)}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        environment.pop(name, None)
    return subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=timeout, env=environment, input=text_in, check=False)


def must(*command, **options):
    done = call(*command, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def skopeo_client(cluster, place):
    home = place / "skopeo"
    home.mkdir()
    made = Client("skopeo", home, cluster.admin)
    for node in (1, 2, 3):
        made.log_in(cluster, node)
    return made


# --- containerd -----------------------------------------------------------------------------------

class Containerd:
    """A daemon with root, state and socket of its own; nothing of the machine's is touched."""

    def __init__(self, place, login):
        if os.geteuid() != 0:
            pytest.skip("containerd wants root")
        self.ctr_program, daemon = need("ctr"), need("containerd")
        self.place, self.user = place, ":".join(login)
        config = place / "containerd.toml"
        config.write_text(f'version = 2\nroot = "{place}/root"\nstate = "{place}/state"\n'
                          'disabled_plugins = ["io.containerd.grpc.v1.cri", '
                          '"io.containerd.internal.v1.opt"]\n'
                          f'[grpc]\n  address = "{place}/s"\n'
                          f'[ttrpc]\n  address = "{place}/t"\n')
        self.log = (place / "containerd.log").open("w")
        self.daemon = subprocess.Popen([daemon, "--config", str(config)], stdout=self.log,
                                       stderr=subprocess.STDOUT)
        try:
            caisson.wait_until(lambda: self.try_ctr("version").returncode == 0, 20,
                               "containerd answers")
        except AssertionError:
            self.close()
            raise

    def try_ctr(self, *arguments):
        return call(self.ctr_program, "--address", self.place / "s", *arguments, home=self.place)

    def ctr(self, *arguments):
        done = self.try_ctr(*arguments)
        assert done.returncode == 0, f"ctr {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def pull(self, name):
        return self.ctr("images", "pull", "--plain-http", "--user", self.user, "--snapshotter",
                        "native", name)

    def forget(self, name):
        """So that the next pull has to fetch every byte."""
        self.ctr("images", "rm", "--sync", name)

    def close(self):
        self.daemon.terminate()
        self.daemon.wait(30)
        self.log.close()


@pytest.fixture
def containerd(cluster, place):
    made = Containerd(place, cluster.admin)
    yield made
    made.close()


def test_ctr_pushes_and_pulls(cluster, place, containerd):
    layout = Layout(place / "layout")
    archive = place / "layout.tar"
    must("tar", "-cf", archive, "-C", layout.path, ".", home=place)
    containerd.ctr("images", "import", "--no-unpack", "--all-platforms", "--base-name",
                   "example.org/made", archive)
    for push, pull in PAIRS:
        repository = fresh_repository("ctr")
        for name, digest in (("all", layout.index), ("one", layout.one)):
            target = f"{host(cluster, push)}/{repository}:{name}"
            containerd.ctr("images", "push", "--plain-http", "--user", containerd.user, target,
                           f"example.org/made:{name}")
            assert pulled_digest(cluster, pull, repository, name, cluster.admin)[0] == digest
    # Now nothing is left here: what is pulled comes from the registry.
    for name in ("all", "one"):
        containerd.forget(f"example.org/made:{name}")
    assert containerd.ctr("content", "ls", "-q").split() == []
    containerd.pull(f"{host(cluster, pull)}/{repository}:all")
    held = set(containerd.ctr("content", "ls", "-q").split())
    assert layout.index in held and layout.one in held
    containerd.forget(f"{host(cluster, pull)}/{repository}:all")
    containerd.pull(f"{host(cluster, push)}/{repository}@{layout.one}")


def test_ctr_runs_what_it_pulled(cluster, place, containerd):
    if not os.path.exists(BUSYBOX):
        pytest.skip("busybox-static is not installed (scripts/setup does)")
    layout = ImageLayout(place / "layout")
    layout.name("run", layout.add_image(
        [tar_of({"bin/busybox": pathlib.Path(BUSYBOX).read_bytes()}, {"bin/busybox": 0o755})],
        command=["/bin/busybox", "echo", "from the registry"]))
    repository = fresh_repository("ctr-run")
    skopeo_client(cluster, place).run("copy", "--dest-tls-verify=false", f"oci:{layout.path}:run",
                                      f"docker://{host(cluster, 3)}/{repository}:v1")
    name = f"{host(cluster, 1)}/{repository}:v1"
    containerd.pull(name)
    done = containerd.try_ctr("run", "--rm", "--snapshotter", "native", name, "one")
    if "from the registry" not in done.stdout:
        pytest.skip(f"containerd cannot run a container here: {done.stderr.strip()[-200:]}")


# --- umoci ----------------------------------------------------------------------------------------

def test_umoci_changes_an_image_on_its_way(cluster, place):
    umoci = need("umoci")
    layout = Layout(place / "layout")
    skopeo = skopeo_client(cluster, place)
    for push, pull in PAIRS:
        repository = fresh_repository("umoci")
        here, work = place / f"umoci-{push}", place / f"bundle-{push}"
        skopeo.run("copy", "--dest-tls-verify=false", f"oci:{layout.path}:one",
                   f"docker://{host(cluster, push)}/{repository}:v1")
        skopeo.run("copy", "--src-tls-verify=false",
                   f"docker://{host(cluster, pull)}/{repository}:v1", f"oci:{here}:v1")
        must(umoci, "unpack", "--rootless", "--image", f"{here}:v1", work, home=place)
        assert (work / "rootfs" / "amd64-0").read_bytes() == b"0" * 3000
        (work / "rootfs" / "added").write_text("by umoci\n")
        must(umoci, "repack", "--image", f"{here}:v2", work, home=place)
        skopeo.run("copy", "--dest-tls-verify=false", f"oci:{here}:v2",
                   f"docker://{host(cluster, pull)}/{repository}:v2")
        back, again = place / f"back-{push}", place / f"again-{push}"
        skopeo.run("copy", "--src-tls-verify=false",
                   f"docker://{host(cluster, push)}/{repository}:v2", f"oci:{back}:v2")
        must(umoci, "unpack", "--rootless", "--image", f"{back}:v2", again, home=place)
        assert (again / "rootfs" / "added").read_text() == "by umoci\n"


# --- oras and helm --------------------------------------------------------------------------------

@pytest.fixture
def oras(cluster, place):
    """oras("push", ...) with a login at every node."""
    try:
        program = go_tool.install(*ORAS)
    except go_tool.CannotRun as why:
        pytest.skip(str(why))
    for node in (1, 2, 3):
        must(program, "login", "--plain-http", "--username", cluster.admin[0], "--password-stdin",
             host(cluster, node), home=place, text_in=cluster.admin[1])
    return lambda *arguments: must(program, *arguments, home=place)


def test_oras_pushes_attaches_discovers_and_pulls(cluster, place, oras):
    content = os.urandom(300_000)
    (place / "chart.bin").write_bytes(content)
    (place / "sbom.json").write_text("{}")
    for push, pull in PAIRS:
        repository = fresh_repository("oras")
        there, other = (f"{host(cluster, node)}/{repository}" for node in (push, pull))
        oras("push", "--plain-http", "--disable-path-validation", "--artifact-type",
             "application/vnd.example.chart", f"{there}:v1",
             f"{place}/chart.bin:application/octet-stream")
        oras("attach", "--plain-http", "--disable-path-validation", "--artifact-type",
             "application/vnd.example.sbom", f"{other}:v1", f"{place}/sbom.json")
        seen = json.loads(oras("discover", "--plain-http", "--format", "json", f"{there}:v1"))
        assert [one["artifactType"] for one in seen["referrers"]] == \
            ["application/vnd.example.sbom"]
        oras("tag", "--plain-http", f"{other}:v1", "v2")
        assert oras("repo", "tags", "--plain-http", there).split() == ["v1", "v2"]
        out = place / f"out-{push}"
        oras("pull", "--plain-http", "--allow-path-traversal", "--output", out, f"{other}:v2")
        oras("copy", "--from-plain-http", "--to-plain-http", "--recursive", f"{there}:v1",
             f"{other}-copy:v1")
        copied = json.loads(oras("discover", "--plain-http", "--format", "json",
                                 f"{there}-copy:v1"))
        assert len(copied["referrers"]) == 1
        blob = oras("blob", "fetch", "--plain-http", "--output", "-",
                    f"{other}@{caisson.digest_of(b'{}')}")
        assert blob == "{}"
        oras("manifest", "delete", "--plain-http", "--force", f"{there}:v2")
        assert cluster.call(pull, f"/v2/{repository}/manifests/v1").status == 404


def test_helm_pushes_and_pulls_charts(cluster, place):
    # Built, it takes minutes: only where somebody did.
    program = go_tool.TOOLS / "helm"
    program = str(program) if program.exists() else shutil.which("helm")
    if program is None:
        pytest.skip(f"helm is not here (GOBIN=build/tools go install {HELM[0]}/cmd/helm@{HELM[1]})")
    must(program, "create", place / "shop", home=place)
    must(program, "package", place / "shop", "--destination", place, home=place)
    chart = place / "shop-0.1.0.tgz"
    for node in (1, 2, 3):
        must(program, "registry", "login", "--plain-http", "--username", cluster.admin[0],
             "--password-stdin", host(cluster, node), home=place, text_in=cluster.admin[1])
    for push, pull in PAIRS:
        repository = fresh_repository("helm")
        must(program, "push", "--plain-http", chart, f"oci://{host(cluster, push)}/{repository}",
             home=place)
        out = place / f"out-{push}"
        out.mkdir()
        must(program, "pull", "--plain-http", "--version", "0.1.0", "--destination", out,
             f"oci://{host(cluster, pull)}/{repository}/shop", home=place)
        assert (out / "shop-0.1.0.tgz").read_bytes() == chart.read_bytes()
