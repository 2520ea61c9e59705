"""The directory of one running Rabbitry: its lock, its secret, its logs, its control socket.

Owns where things lie and who may use them. Never two supervisors in one directory: the first holds
a lock on `rabbitry.lock` that the kernel takes back however the process ends, so nothing left
behind by a crash keeps the next start from working. Its children have the locked file open too: the
lock ends with the last of them, so that no node of a supervisor that was killed is there any more
when the next one starts its own. The file also tells the commands who is there and where its
control socket is; they take no lock, or they could keep a supervisor from starting.

A directory is one cluster's or nodes alone have it, never both, and none lies among the stores of
another: a backup is of one or the other,
and who finds no messages would look for them in the wrong store. Nodes alone share the lock that
a supervisor has for itself.

Invariants: a directory that is made here is 0700, one that was there is the user's own and only
the user writes in it; files are 0600; the secret is made once and never shown.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

import msgspec

from rabbitry.runtime.errors import EXIT_NOT_SO, UserError

SOCKET_PATH_BYTES_MAX = 107
"""Longest path of a unix socket: `sun_path` has 108 bytes and ends with a zero, see unix(7)."""

ASIDE_BYTES = len(".4194304.tmp")
"""A runtime socket is made under a longer name first, with its process's PID."""

SECRET_BYTES = 32

ORPHANS_S = 15.0
"""How long to wait for the children of a supervisor that was killed: they end in order."""

LOOK_S = 0.05


class Holder(msgspec.Struct):
    """Who holds a data directory: the supervisor's PID and its control socket."""

    pid: int
    socket: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the data directory `path`."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "rabbitry.lock"

    @property
    def secret(self) -> Path:
        return self.path / "secret"

    @property
    def begun(self) -> Path:
        """It is there once a first start has succeeded: definitions are for the first."""
        return self.path / "begun"

    @property
    def balancer_configuration(self) -> Path:
        return self.path / "balancer.cfg"

    def store(self, name: str) -> Path:
        """Return the store of the process `name` of `rabbitry up`."""
        return self.path / "store" / name

    def store_of_node_alone(self, name: str) -> Path:
        """Return the store of a `rabbitry node` of this name, which may be any text."""
        return self.path / f"node-{quote(name, safe='')}"

    def log(self, name: str) -> Path:
        """Return the log of the process `name`."""
        return self.path / "log" / f"{name}.log"


def default_path() -> Path:
    """Return $RABBITRY_DATA_DIR, else rabbitry in the user's state directory (XDG)."""
    if chosen := os.environ.get("RABBITRY_DATA_DIR"):
        return Path(chosen)
    # XDG says that a path which is not absolute is to be ignored.
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        return state / "rabbitry"
    try:
        return Path.home() / ".local" / "state" / "rabbitry"
    except RuntimeError:
        raise UserError(
            "there is no home directory; say --data-dir DIR, or set RABBITRY_DATA_DIR"
        ) from None


def holder_of(path: Path) -> Holder:
    """Return who holds the data directory, or held it when it was killed.

    Raises `UserError` if nobody does.
    """
    try:
        return msgspec.json.decode(Layout(path).lock.read_bytes(), type=Holder)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        raise not_running(path) from None
    except OSError as error:
        raise UserError(f"cannot read the data directory {path}: {error.strerror}") from None


def not_running(path: Path) -> UserError:
    """Return what to tell a user who wants something of a Rabbitry that is not there."""
    return UserError(
        f"no Rabbitry is running in {path}; start one with `rabbitry up`, or say --data-dir",
        EXIT_NOT_SO,
    )


class DataDirectory:
    """A data directory held by this process, from `hold` to `release`."""

    def __init__(self, layout: Layout, lock: int, socket: Path, socket_home: Path | None) -> None:
        self.layout = layout
        self.socket = socket
        self.lock = lock
        self._socket_home = socket_home

    @classmethod
    def hold(cls, path: Path, tell: Callable[[str], None] = lambda line: None) -> DataDirectory:
        """Make the directory if it is not there, and take its lock.

        Where it is waited for children of one that was killed, `tell` is called with a line. Raises
        `UserError` if another supervisor holds it, if nodes alone are there or have been, or if it
        cannot be written.
        """
        layout = Layout(path.absolute())
        try:
            refuse_among_stores(layout.path)
            make_private(layout.path)
            lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_use(layout.path, error) from None
        try:
            _take(lock, layout, tell)
            _refuse_nodes_alone(layout)
            (layout.path / "log").mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            os.close(lock)
            raise _cannot_use(layout.path, error) from None
        except BaseException:
            os.close(lock)
            raise
        control, socket_home = _socket_path(layout.path)
        holder = msgspec.json.encode(Holder(os.getpid(), str(control)))
        os.ftruncate(lock, 0)
        os.pwrite(lock, holder, 0)
        return cls(layout, lock, control, socket_home)

    @property
    def balancer_socket(self) -> Path:
        """The balancer's runtime socket: beside the control socket, and as private."""
        return self.socket.with_name("balancer.sock")

    def secret(self) -> bytes:
        """Return the secret by which nodes and coordinator know each other; made on first use."""
        path = self.layout.secret
        try:
            secret = path.read_bytes()
            if len(secret) == SECRET_BYTES:
                return secret
        except FileNotFoundError:
            pass
        secret = os.urandom(SECRET_BYTES)
        # Written aside and renamed: a crash leaves the whole secret or none.
        aside = path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, secret)
        finally:
            os.close(file)
        aside.replace(path)
        return secret

    def release(self) -> None:
        """Remove what only a running Rabbitry needs, and let go of the lock."""
        self.socket.unlink(missing_ok=True)
        self.balancer_socket.unlink(missing_ok=True)
        if self._socket_home is not None:
            shutil.rmtree(self._socket_home, ignore_errors=True)
        os.ftruncate(self.lock, 0)
        os.close(self.lock)


def _take(lock: int, layout: Layout, tell: Callable[[str], None]) -> None:
    """Take the lock, waiting for children whose supervisor is gone; raises `UserError`."""
    until = None
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            written = os.pread(lock, 4096, 0)
        if _is_shared(lock):
            raise _no_cluster(f"a `rabbitry node` is running in {layout.path}")
        if _alive(written, layout.lock):
            raise _held(layout.path, written)
        if until is None:
            until = monotonic() + ORPHANS_S
            tell(f"waiting for processes of the Rabbitry that was killed in {layout.path} to end")
            for pid in _users_of(layout.lock):  # one that was stopped cannot even notice
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGCONT)
        elif monotonic() > until:
            orphans = " ".join(map(str, _users_of(layout.lock)))
            raise UserError(
                f"processes of a Rabbitry that was killed are still there in {layout.path}; "
                f"`kill -9 {orphans}` ends them"
            )
        sleep(LOOK_S)


def _is_shared(lock: int) -> bool:
    """Whether those who keep us from having it alone are nodes alone."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True


def _refuse_nodes_alone(layout: Layout) -> None:
    """Raise `UserError` if nodes alone have something here, and no cluster was here before it."""
    stores = sorted(path.parent.name for path in layout.path.glob("node-*/data.mdb"))
    if stores and not layout.begun.exists():
        raise _no_cluster(f"{layout.path} has {stores[0]}, the store of a `rabbitry node`")


def _no_cluster(why: str) -> UserError:
    return UserError(f"{why}; choose another directory for `rabbitry up` with --data-dir")


def _alive(written: bytes, lock: Path) -> bool:
    """Whether the supervisor that wrote this into its lock is there, and not only its children."""
    try:
        pid = msgspec.json.decode(written, type=Holder).pid
        os.kill(pid, 0)
    except msgspec.DecodeError:  # it has only just taken the lock
        return True
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # its number is another's by now
    return pid == os.getpid() or not Path("/proc/self/fd").exists() or pid in _users_of(lock)


def _users_of(path: Path) -> list[int]:
    """Return the other processes that have a file open; none where there is no procfs."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.path.samefile(entry, path):
                found.add(int(entry.parts[2]))
    return sorted(found - {os.getpid()})


def refuse_among_stores(path: Path) -> None:
    """Raise `UserError` for a directory that is, or lies in, a store or where a cluster has them.

    What is put there would be lost with the store, and be in the way of whoever looks after it.
    """
    real = Path(os.path.realpath(path))
    for place in (real, *real.parents):
        stores = Layout(place.parent).store("coordinator").parent
        of_cluster = place == stores and (stores / "coordinator.lock").exists()
        if of_cluster or ((place / "data.mdb").exists() and (place / "format").exists()):
            what = "where a `rabbitry up` has its stores" if of_cluster else "a store"
            where = "is" if place == real else f"lies in {place},"
            raise UserError(f"{path} {where} {what}; choose another directory with --data-dir")


def make_private(path: Path) -> None:
    """Make the directory if it is not there. Raises `UserError`, OSError if it cannot be made.

    Refuses one in which others could put files in place of ours (/tmp, say).
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UserError(
            f"the data directory {path} is another's, or others may write in it; "
            "choose another with --data-dir"
        )


@contextlib.contextmanager
def node_alone(path: Path, name: str) -> Iterator[Path]:
    """Make the data directory if it is not there; give the place of a node's store in it.

    While the block lasts no supervisor comes. Raises `UserError` if one is there, or was, or if the
    directory cannot be used.
    """
    layout = Layout(path.absolute())
    store = layout.store_of_node_alone(name)
    try:
        refuse_among_stores(layout.path)
        make_private(layout.path)
        lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot_use(layout.path, error) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _no_node(f"a `rabbitry up` is running in {layout.path}") from None
        if layout.begun.exists():
            mended = f", and move {store.name}* there to keep what it has" if store.exists() else ""
            raise _no_node(f"{layout.path} has the stores of a `rabbitry up`", mended)
        yield store
    finally:
        os.close(lock)


def _no_node(why: str, mended: str = "") -> UserError:
    return UserError(f"{why}; choose another directory for a node alone with --data-dir{mended}")


def _cannot_use(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot use the data directory {path}: {error.strerror}; choose another with --data-dir"
    )


def _held(path: Path, written: bytes) -> UserError:
    try:
        who = f" (pid {msgspec.json.decode(written, type=Holder).pid})"
    except msgspec.DecodeError:  # it has only just taken the lock
        who = ""
    return UserError(
        f"a Rabbitry is already running in {path}{who}; use --data-dir or `rabbitry stop`"
    )


def _socket_path(path: Path) -> tuple[Path, Path | None]:
    """Return where the control socket goes, and the directory made for it if one was needed."""
    control = path / "control.sock"
    if len(os.fsencode(path / "balancer.sock")) + ASIDE_BYTES <= SOCKET_PATH_BYTES_MAX:
        control.unlink(missing_ok=True)  # of a supervisor that was killed; we hold the lock
        return control, None
    home = Path(tempfile.mkdtemp(prefix="rabbitry-", dir="/tmp"))
    return home / "control.sock", home
