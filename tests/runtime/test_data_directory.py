"""A data directory belongs to one supervisor at a time, and to one user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rabbitry.runtime import control, data_directory
from rabbitry.runtime.data_directory import (
    SOCKET_PATH_BYTES_MAX,
    DataDirectory,
    Layout,
    default_path,
    holder_of,
    node_alone,
)
from rabbitry.runtime.errors import UserError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_for_its_user_alone(tmp_path: Path) -> None:
    directory = DataDirectory.hold(tmp_path / "some" / "where")
    secret = directory.secret()
    assert len(secret) == 32
    assert mode(directory.layout.path) == 0o700
    assert mode(directory.layout.secret) == 0o600
    assert mode(directory.layout.lock) == 0o600
    assert directory.secret() == secret
    directory.release()


def test_the_secret_stays_and_a_broken_one_is_made_anew(tmp_path: Path) -> None:
    directory = DataDirectory.hold(tmp_path)
    secret = directory.secret()
    directory.release()
    directory = DataDirectory.hold(tmp_path)
    assert directory.secret() == secret
    directory.layout.secret.write_bytes(b"half")
    assert len(directory.secret()) == 32
    assert directory.secret() != secret
    directory.release()


def test_two_never_share_it(tmp_path: Path) -> None:
    directory = DataDirectory.hold(tmp_path)
    with pytest.raises(UserError) as caught:
        DataDirectory.hold(tmp_path)
    assert str(caught.value) == (
        f"a Rabbitry is already running in {tmp_path} (pid {os.getpid()}); "
        "use --data-dir or `rabbitry stop`"
    )
    assert caught.value.exit_code == 2
    directory.release()
    DataDirectory.hold(tmp_path).release()


def test_what_a_killed_supervisor_left_does_not_matter(tmp_path: Path) -> None:
    Layout(tmp_path).lock.write_text('{"pid": 1, "socket": "/nowhere"}')
    (tmp_path / "control.sock").touch()
    (tmp_path / "secret.new").touch()
    directory = DataDirectory.hold(tmp_path)
    assert not directory.socket.exists()
    assert len(directory.secret()) == 32
    assert holder_of(tmp_path).pid == os.getpid()
    directory.release()


ORPHAN = """
import os, signal, sys
print(os.getpid(), flush=True)
if sys.argv[1:] == ["stopped"]:
    os.kill(os.getpid(), signal.SIGSTOP)
sys.stdin.read()
"""


def orphan(path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Return what a supervisor that was killed has left: a child that has its lock."""
    directory = DataDirectory.hold(path)
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", ORPHAN, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[directory.lock],
    )
    assert child.stdout is not None
    child.stdout.readline()
    if arguments:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)  # else it may be told to go on before that
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    directory.layout.lock.write_text(f'{{"pid": {ended.pid}, "socket": "/nowhere"}}')
    os.close(directory.lock)
    return child


@pytest.mark.parametrize("arguments", [[], ["stopped"]])
def test_the_children_of_one_that_was_killed_are_waited_for(
    tmp_path: Path, arguments: list[str]
) -> None:
    child = orphan(tmp_path, *arguments)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        assert child.stdin is not None
        child.stdin.close()  # the supervisor's end

    DataDirectory.hold(tmp_path, tell).release()
    assert lines == [f"waiting for processes of the Rabbitry that was killed in {tmp_path} to end"]
    assert child.wait(20) == 0
    assert child.stdout is not None
    child.stdout.close()


def test_children_that_do_not_end_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_directory, "ORPHANS_S", 0.01)
    child = orphan(tmp_path)
    try:
        with pytest.raises(UserError, match=f"`kill -9 {child.pid}` ends them"):
            DataDirectory.hold(tmp_path)
    finally:
        child.communicate()
    DataDirectory.hold(tmp_path).release()


def test_who_holds_it_is_told_until_it_is_released(tmp_path: Path) -> None:
    directory = DataDirectory.hold(tmp_path)
    assert holder_of(tmp_path).socket == str(directory.socket) == str(tmp_path / "control.sock")
    directory.release()
    for path in (tmp_path, tmp_path / "none", tmp_path / "secret" / "x"):
        with pytest.raises(UserError, match="no Rabbitry is running in") as caught:
            holder_of(path)
        assert caught.value.exit_code == 1


def test_a_path_too_long_for_a_socket_gets_one_elsewhere(tmp_path: Path) -> None:
    directory = DataDirectory.hold(tmp_path / ("long" * 30))
    home = directory.socket.parent
    assert len(os.fsencode(directory.socket)) <= SOCKET_PATH_BYTES_MAX
    assert mode(home) == 0o700
    assert holder_of(directory.layout.path).socket == str(directory.socket)
    directory.release()
    assert not home.exists()


def test_one_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Not a directory; choose another with --data-dir"):
        DataDirectory.hold(tmp_path / "file" / "below")


def test_one_that_others_write_in_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(UserError, match="others may write in it; choose another with --data-dir"):
        DataDirectory.hold(shared)
    assert mode(shared) == 0o1777 & 0o7777
    assert list(shared.iterdir()) == []
    shared.chmod(0o755)
    DataDirectory.hold(shared).release()
    assert mode(shared) == 0o755


def test_where_it_is_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RABBITRY_DATA_DIR", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_path() == tmp_path / "chosen"
    monkeypatch.delenv("RABBITRY_DATA_DIR")
    assert default_path() == tmp_path / "state" / "rabbitry"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_path() == tmp_path / "home" / ".local" / "state" / "rabbitry"


def test_without_a_home_it_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RABBITRY_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UserError, match="say --data-dir DIR"):
        default_path()


def test_each_process_has_a_store_of_its_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    names = ["..", "a/b", "rabbit", "rabbit@host", "."]
    places = [layout.store(name) for name in ("coordinator", "rabbit", "rabbit_1")]
    places += [layout.store_of_node_alone(name) for name in names]
    assert len(set(places)) == len(places)
    assert {place.parent.resolve() for place in places[3:]} == {tmp_path.resolve()}


def test_a_node_alone_makes_its_data_directory(tmp_path: Path) -> None:
    with node_alone(tmp_path / "some" / "where", "rabbit") as place:
        assert place == tmp_path / "some" / "where" / "node-rabbit"
        assert mode(place.parent) == 0o700
        assert mode(Layout(place.parent).lock) == 0o600
        with node_alone(place.parent, "other") as other:
            assert other != place
    (tmp_path / "file").touch()
    below = node_alone(tmp_path / "file" / "below", "rabbit")
    with pytest.raises(UserError, match="Not a directory; choose another with --data-dir"), below:
        pass
    place.parent.chmod(0o777)
    with pytest.raises(UserError, match="others may write in it"), node_alone(place.parent, "a"):
        pass


# --- a cluster, or nodes alone --------------------------------------------------------------------


def refused_node(path: Path) -> str:
    """Return why a node alone may not be in this directory."""
    with pytest.raises(UserError) as caught, node_alone(path, "rabbit"):
        pass
    assert caught.value.exit_code == 2
    return str(caught.value)


def refused_cluster(path: Path) -> str:
    """Return why a cluster may not be in this directory."""
    with pytest.raises(UserError) as caught:
        DataDirectory.hold(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


def store_made(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").touch()


def test_a_node_alone_stays_out_where_a_supervisor_runs(tmp_path: Path) -> None:
    directory = DataDirectory.hold(tmp_path)
    assert refused_node(tmp_path) == (
        f"a `rabbitry up` is running in {tmp_path}; "
        "choose another directory for a node alone with --data-dir"
    )
    directory.release()
    with node_alone(tmp_path, "rabbit"):
        pass  # nothing had begun there


def test_a_node_alone_stays_out_where_a_cluster_has_its_stores(tmp_path: Path) -> None:
    Layout(tmp_path).begun.touch()
    why = (
        f"{tmp_path} has the stores of a `rabbitry up`; "
        "choose another directory for a node alone with --data-dir"
    )
    assert refused_node(tmp_path) == why
    store_made(tmp_path / "node-rabbit")  # of a version that let it
    assert refused_node(tmp_path) == f"{why}, and move node-rabbit* there to keep what it has"
    DataDirectory.hold(tmp_path).release()


def test_nobody_is_let_in_among_the_stores_of_a_cluster(tmp_path: Path) -> None:
    stores = Layout(tmp_path).store("rabbit").parent
    store_made(stores)
    (stores / "data.mdb").unlink()
    assert not refused_cluster_of(stores), "no cluster has anything here"
    (stores / "coordinator.lock").touch()
    store_made(stores / "rabbit")
    (stores / "rabbit" / "format").touch()
    link = tmp_path / "elsewhere"
    link.symlink_to(stores)
    whole = "where a `rabbitry up` has its stores; choose another directory with --data-dir"
    assert refused_node(stores) == f"{stores} is {whole}"
    assert refused_node(stores / "new") == f"{stores / 'new'} lies in {stores}, {whole}"
    assert refused_node(link) == f"{link} is {whole}"
    assert refused_cluster_of(stores) == f"{stores} is {whole}"
    within = stores / "rabbit"
    why = "a store; choose another directory with --data-dir"
    assert refused_node(within) == f"{within} is {why}"
    assert refused_node(within / "new") == f"{within / 'new'} lies in {within}, {why}"
    assert sorted(path.name for path in stores.rglob("*")) == [
        "coordinator.lock",
        "data.mdb",
        "format",
        "log",
        "rabbit",
        "rabbitry.lock",
    ], "nothing was made, but by the one that was let in"
    with node_alone(tmp_path / "other", "rabbit"):
        pass  # beside them is no harm


def refused_cluster_of(path: Path) -> str:
    """Return why a cluster may not be in this directory; empty: it may."""
    try:
        DataDirectory.hold(path).release()
    except UserError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("left", ["", '{"pid": 4194303, "socket": "/nowhere"}'])
def test_a_supervisor_stays_out_where_a_node_alone_runs(tmp_path: Path, left: str) -> None:
    """Also where a supervisor that was killed has left its name in the lock."""
    Layout(tmp_path).lock.write_text(left)
    with node_alone(tmp_path, "rabbit"):
        assert refused_cluster(tmp_path) == (
            f"a `rabbitry node` is running in {tmp_path}; "
            "choose another directory for `rabbitry up` with --data-dir"
        )
        with pytest.raises(UserError, match="no Rabbitry is running in"):
            control.ask(tmp_path, control.Status())
    DataDirectory.hold(tmp_path).release()


def test_a_supervisor_stays_out_where_a_node_alone_has_its_store(tmp_path: Path) -> None:
    store_made(tmp_path / "node-rabbit")
    assert refused_cluster(tmp_path) == (
        f"{tmp_path} has node-rabbit, the store of a `rabbitry node`; "
        "choose another directory for `rabbitry up` with --data-dir"
    )
    with node_alone(tmp_path, "rabbit"):
        pass
