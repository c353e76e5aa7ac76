"""Run code that nobody has read: its own processes, files, network and limits, and nothing of it left afterwards.

On Linux each run gets user, process, mount, network and IPC namespaces of its own where the kernel allows it: it sees a
root of its own (the Python installation read-only, a tree that the caller chooses, an empty /tmp), reaches no network, and
when its first process ends, or the grader does, the kernel ends all others. Where namespaces are forbidden (many
containers), processes are limited and hunted down through /proc instead, but files and network are open. Elsewhere
(`can_fork` is False) the caller starts a plain process with a time limit; `Isolation` says what holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None


can_fork = sys.platform.startswith("linux")  # forking a process that has imported PyTorch is not safe on macOS
SAID_LIMIT = 64 << 20  # bytes that a run may report
NOBODY = 65534

_NS_MOUNT, _NS_IPC, _NS_USER, _NS_PID, _NS_NET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_KEPT = 1 | 2 | 4 | 8 | 1024 | 2048  # mount flags that statvfs and mount number alike
_RELATIME_SEEN, _RELATIME = 4096, 1 << 21
_NO_NEW_PRIVS, _SUBREAPER, _DEATH_SIGNAL = 38, 36, 1
_ETC = ("ld.so.cache", "ld.so.conf", "localtime", "fonts", "passwd", "group", "nsswitch.conf", "hosts", "mime.types")


@dataclass(frozen=True)
class Limits:
    """What one run may use; whoever goes beyond it is ended."""

    seconds: float = 60.0  # of processor time; four times as much on the clock
    memory: int = 2048  # MB beyond what the process has at its start, all its processes together
    processes: int = 48
    file: int = 256  # MB, of one file and of /tmp

    @property
    def clock(self) -> float:
        return 4 * self.seconds + 5


@dataclass(frozen=True)
class View:
    """What a run sees in the place of a tree: another tree, some of its folders empty and writable."""

    tree: Path
    instead: Path
    root: Path  # an empty folder on which the run's own root is mounted
    writable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Isolation:
    """What keeps a run in its place on this machine."""

    namespaces: bool
    fork: bool = True

    def __str__(self) -> str:
        if self.namespaces:
            return "namespaces: own processes, files, no network"
        if self.fork:
            return (
                "no namespaces here: limits only; code of a hand-in can read and write your files and reach the network: grade "
                "in a container or a virtual machine"
            )
        return (
            "this system has no namespaces: a time limit only; code of a hand-in can read and write your files and reach the "
            "network: grade in a Linux container or virtual machine"
        )


@dataclass(frozen=True)
class Ended:
    """How a run ended: what it reported, and why it was ended if it was ("" if it ended by itself)."""

    said: bytes
    why: str  # "", "time", "memory", "processes" or "report" (too large a one)
    status: int = 0  # exit code of the first process, -N for signal N


def run(child: Callable[[int], None], limits: Limits, view: View | None, isolation: Isolation) -> Ended:
    """Call `child(fd)` in a process of its own and return what it wrote to `fd`, at most SAID_LIMIT bytes.

    The caller has one thread and no other children. When this returns, no process of the run is left.
    """
    said_r, said_w = os.pipe()
    ready_r, ready_w = os.pipe()
    mapped_r, mapped_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            end_with_parent()
            os.setsid()
            if isolation.namespaces:
                _unshare(ready_w, mapped_r)
                _build_root(view)
            first = os.fork()
            if first == 0:
                _enter(view, limits, isolation, keep=said_w)
                child(said_w)
                os._exit(0)
            os.close(said_w)
            status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
            os._exit(status if status >= 0 else 128 - status)
        except BaseException as error:
            with contextlib.suppress(BaseException):
                os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
            os._exit(70)
    for fd in (said_w, ready_w, mapped_r):
        os.close(fd)
    try:
        if isolation.namespaces:
            _map_users(pid, ready_r, mapped_w)
        return _watch(pid, said_r, limits)
    finally:
        _end_all()
        for fd in (said_r, ready_r, mapped_w):
            os.close(fd)


def isolation_here(view: View) -> Isolation:
    """What this machine allows, found out by trying; also makes this process the parent of its orphaned descendants."""
    if not can_fork:
        return Isolation(False, fork=False)
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    errors = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        tried = run(lambda fd: os.write(fd, b"works"), Limits(seconds=20), view, Isolation(True))
    except OSError:
        return Isolation(False)
    finally:
        os.dup2(errors, 2)
        os.close(errors)
        os.close(null)
    return Isolation(tried.said == b"works")


def run_plain(command: list[str], text: bytes, limits: Limits, env: dict[str, str]) -> Ended:
    """Where forking is no choice: a process of its own with a limit on the clock; returns what it printed."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(text, timeout=limits.clock)
            return Ended(said[:SAID_LIMIT], "", process.returncode)
        except subprocess.TimeoutExpired:
            return Ended(b"", "time")
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()


# -- watching, from outside


def _watch(pid: int, said_r: int, limits: Limits) -> Ended:
    """Read until the run is over or goes beyond a limit."""
    began, said, base = time.monotonic(), bytearray(), _resident(os.getpid())
    open_, why, looked = True, "", 0.0
    while True:
        if open_ and select.select([said_r], [], [], 0.05)[0]:
            block = os.read(said_r, 1 << 20)
            open_ = bool(block)
            said += block
        elif not open_:
            time.sleep(0.005)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            while len(said) <= SAID_LIMIT and select.select([said_r], [], [], 0)[0] and (block := os.read(said_r, 1 << 20)):
                said += block
            return Ended(b"", "report") if len(said) > SAID_LIMIT else Ended(bytes(said), "", os.waitstatus_to_exitcode(status))
        if len(said) > SAID_LIMIT:
            return Ended(b"", "report")
        if time.monotonic() < looked + 0.2:
            continue
        looked, family = time.monotonic(), _descendants(pid)
        seconds = sum(used for used, _ in family.values())
        excess = sum(max(0, size - base) for _, size in family.values()) + _held_in_files(family)
        if len(family) > limits.processes:
            why = "processes"
        elif excess > limits.memory << 20:
            why = "memory"
        elif seconds > limits.seconds or time.monotonic() - began > limits.clock:
            why = "time"
        if why:
            return Ended(b"", why)


def _held_in_files(family: Mapping[int, object]) -> int:
    """Bytes of memory that some processes hold in open files of no disk (memfd_create, deleted files of a tmpfs)."""
    held: dict[tuple[int, int], int] = {}
    for pid in family:
        with contextlib.suppress(OSError):
            for fd in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(fd.path).startswith(("/memfd:", "/dev/shm", "/tmp")):
                        found = os.stat(fd.path)
                        held[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(held.values())


def _stat(pid: str | int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def _resident(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[21]) * resource.getpagesize() if fields else 0


def _descendants(top: int) -> dict[int, tuple[float, int]]:
    """pid -> (seconds of processor time, resident bytes) of a process and all below it."""
    found = {int(name): fields for name in os.listdir("/proc") if name.isdigit() and (fields := _stat(name))}
    below: dict[int, list[int]] = {}
    for pid, fields in found.items():
        below.setdefault(int(fields[1]), []).append(pid)
    family, todo = {}, [top]
    tick, page = os.sysconf("SC_CLK_TCK"), resource.getpagesize()
    while todo:
        pid = todo.pop()
        if pid in found and pid not in family:
            fields = found[pid]
            family[pid] = (sum(int(n) for n in fields[11:15]) / tick, int(fields[21]) * page)
            todo += below.get(pid, [])
    return family


def _end_all() -> None:
    """End every descendant of this process: stopped first, so that none multiplies while the others are ended."""
    if not _has_children():  # orphans would be our children, too
        return
    own = os.getpid()
    for signal_ in (signal.SIGSTOP, signal.SIGKILL):
        seen: set[int] = set()
        for _ in range(200):
            new = set(_descendants(own)) - {own} - seen
            for pid in new:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal_)
            seen |= new
            if not new:
                break
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)  # all have been sent SIGKILL


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


# -- entering, from inside


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _done(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: Path | str, kind: str | None, flags: int, options: str | None = None) -> None:
    text = [None if value is None else os.fsencode(value) for value in (source, str(target), kind)]
    _done(_libc().mount(*text, ctypes.c_ulong(flags), options.encode() if options else None), f"mount {target}")


def _unshare(ready_w: int, mapped_r: int) -> None:
    """Enter new namespaces; the parent, outside of them, says which users exist inside."""
    _done(_libc().unshare(_NS_USER | _NS_MOUNT | _NS_PID | _NS_NET | _NS_IPC), "unshare")
    os.write(ready_w, b"x")
    if os.read(mapped_r, 1) != b"x":
        raise OSError(errno.EPERM, "no users")


def _map_users(pid: int, ready_r: int, mapped_w: int) -> None:
    if not select.select([ready_r], [], [], 20)[0] or os.read(ready_r, 1) != b"x":
        raise OSError(errno.EPERM, "no namespaces")
    root = os.geteuid() == 0
    if not root:
        Path(f"/proc/{pid}/setgroups").write_text("deny")
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        lines = f"0 0 1\n{NOBODY} {NOBODY} 1\n" if root else f"{own} {own} 1\n"
        with open(f"/proc/{pid}/{kind}_map", "w") as file:
            file.write(lines)
    os.write(mapped_w, b"x")


def _build_root(view: View) -> None:
    """Mount what the run may see below view.root."""
    _mount("none", "/", None, _REC | _PRIVATE)
    root = view.root
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "mode=755,size=16m")
    _scratch(root / "tmp")  # first: the tree may lie below /tmp
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            (root / name).symlink_to(os.readlink(path))
        elif path.is_dir():
            _bind(path, root)
    _bind(Path("/usr"), root)
    for name in _ETC:
        if (path := Path("/etc", name)).exists():
            _bind(path.resolve(), root, at=path)
    for name in ("null", "zero", "full", "random", "urandom"):
        _bind(Path("/dev", name), root, readonly=False)
    _bind(view.instead, root, at=view.tree)
    for path in python_folders():
        _bind(path, root)
    (root / "dev/shm").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("dev/shm", *(view.tree.relative_to("/") / name for name in view.writable))):
        (root / "tmp" / f".{number}").mkdir(mode=0o1777)  # all of one tmpfs, so that its size bounds what they hold together
        (root / "tmp" / f".{number}").chmod(0o1777)
        _mount(str(root / "tmp" / f".{number}"), root / name, None, _BIND)
    (root / "proc").mkdir()


def python_folders() -> list[Path]:
    """Where this Python, its packages and its libraries lie."""
    names = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.realpath(sys.executable))}
    names |= {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths = sorted({Path(name) for name in names} | {Path(name).resolve() for name in names})
    return [p for p in paths if p.is_dir() and not any(q in p.parents for q in paths) and Path("/usr") not in (p, *p.parents)]


def _bind(source: Path, root: Path, *, at: Path | None = None, readonly: bool = True) -> None:
    target = root / (at or source).relative_to("/")
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), target, None, _BIND | _REC)
    if readonly:
        seen = os.statvfs(target).f_flag
        kept = seen & _KEPT | (_RELATIME if seen & _RELATIME_SEEN else 0)
        _mount("none", target, None, _BIND | _REMOUNT | _RDONLY | _NOSUID | kept)


def _scratch(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, "mode=1777,size=256m")


def _enter(view: View | None, limits: Limits, isolation: Isolation, keep: int) -> None:
    """The last steps of the run's first process: its root, its user, its limits, no file open but `keep` and null."""
    if isolation.namespaces:
        _mount("proc", view.root / "proc", "proc", _NOSUID | _NODEV)
        _loopback()
        os.chroot(view.root)
        os.chdir("/")
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        _drop_privileges()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)
    address_space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, address_space + (limits.memory << 20))
    _limit(resource.RLIMIT_CPU, int(limits.seconds) + 1)
    _limit(resource.RLIMIT_FSIZE, limits.file << 20)
    end_with_parent()  # once more: changing the user has cleared it
    _limit(resource.RLIMIT_CORE, 0)
    if isolation.namespaces:  # elsewhere it counts all processes of the user, the teacher's too
        _limit(resource.RLIMIT_NPROC, limits.processes)


def end_with_parent() -> None:
    """Let the kernel end this process when its parent ends, however that ends."""
    if can_fork:
        _libc().prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _drop_privileges() -> None:
    libc = _libc()
    _done(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _done(libc.capset(header, nothing), "drop capabilities")


def _loopback() -> None:
    """A kernel of Jupyter talks to itself over 127.0.0.1, the only network there is."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        fcntl.ioctl(device, 0x8914, struct.pack("16sH14x", b"lo", 0x41))


@contextlib.contextmanager
def scratch_home(folder: Path) -> Iterator[dict[str, str]]:
    """Variables of an environment whose home and temporary folder lie in `folder`, and nothing of the teacher's."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    kept = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "FACEGEN_PRESET": "ci", "MPLBACKEND": "agg"}
    env |= {"USERPROFILE": env["HOME"], "TEMP": env["TMPDIR"], "TMP": env["TMPDIR"]}
    try:
        yield env
    finally:
        shutil.rmtree(folder, ignore_errors=True)
