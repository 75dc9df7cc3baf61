"""An ext4 file system of its own for a node, in a file: it can lose its power, fill up, run out of
inodes. close() unmounts and removes. Needs root, mount and mkfs.ext4."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2


def lacks():
    """What is missing; '' when such disks work here."""
    if os.geteuid() != 0:
        return "loop mounts need root"
    try:
        disk = Disk(16)
    except (AssertionError, OSError) as error:
        return f"no ext4 on a loop device here: {error}"
    with disk:
        with contextlib.suppress(OSError):
            disk.cut_power()
            return ""
        return "this kernel has no shutdown ioctl for ext4"


def _run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


class Disk:
    """path is where it is mounted."""

    def __init__(self, megabytes=96, inodes=4096):
        self.room = pathlib.Path(tempfile.mkdtemp(prefix="caisson-disk."))
        self.image = self.room / "image"
        self.path = self.room / "mount"
        self.is_mounted = False
        try:
            self.path.mkdir()
            with open(self.image, "wb") as file:
                file.truncate(megabytes << 20)
            _run("mkfs.ext4", "-q", "-N", inodes, "-m", "0", self.image)
            self.mount()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def mount(self):
        _run("mount", "-o", "loop", self.image, self.path)
        self.is_mounted = True

    def unmount(self):
        if self.is_mounted:
            _run("umount", self.path)
            self.is_mounted = False

    def cut_power(self):
        """What was not synced is gone; nothing can be read or written until repower()."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def repower(self):
        """After everybody let go of it: the journal is replayed."""
        self.unmount()
        self.mount()

    def fill(self, leave=0):
        """A balloon that leaves about so many bytes."""
        state = os.statvfs(self.path)
        size = state.f_bavail * state.f_frsize - leave
        if size > 0:
            with open(self.path / "balloon", "wb") as file, contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, size)

    def fill_inodes(self):
        (self.path / "inodes").mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            for i in range(100000):
                (self.path / "inodes" / str(i)).touch()

    def free(self):
        with contextlib.suppress(OSError):
            (self.path / "balloon").unlink()
        shutil.rmtree(self.path / "inodes", ignore_errors=True)

    def close(self):
        with contextlib.suppress(AssertionError):
            self.unmount()
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self.path)], check=False)
        shutil.rmtree(self.room, ignore_errors=True)
