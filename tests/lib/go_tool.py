"""Clients that Debian does not have and that are Go modules: a pinned version, built once into
build/tools by Go's own means. Where there is no Go or no module proxy, CannotRun says so."""
import os
import pathlib
import shutil
import subprocess
import tempfile

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "build" / "tools"


class CannotRun(Exception):
    """Why the tool is not to be had here."""


def _is_there(go, path, module, version):
    done = subprocess.run([go, "version", "-m", str(path)], capture_output=True, text=True,
                          check=False)
    return f"\t{module}\t{version}\t" in done.stdout


def install(module, version, package):
    """The path of the program that module/package builds."""
    go = shutil.which("go")
    if go is None:
        raise CannotRun("Go is not installed (1.24 or newer)")
    path = TOOLS / package.rsplit("/", 1)[-1]
    if path.exists() and _is_there(go, path, module, version):
        return path
    TOOLS.mkdir(parents=True, exist_ok=True)
    # Outside of any module; only what the module proxy serves.
    done = subprocess.run([go, "install", f"{module}/{package}@{version}"], capture_output=True,
                          text=True, check=False, timeout=600, cwd=tempfile.gettempdir(),
                          env={**os.environ, "GOBIN": str(TOOLS)})
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotRun(f"go install {module}/{package}@{version}: {last}")
    return path
