"""Asking a Rabbitry that is not there, or does not answer as it should, is one line."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import msgspec
import pytest

from rabbitry.runtime import control
from rabbitry.runtime.data_directory import Holder, Layout
from rabbitry.runtime.errors import UserError


def claim(path: Path, at: Path) -> None:
    """Leave what a supervisor with the control socket `at` leaves."""
    Layout(path).lock.write_bytes(msgspec.json.encode(Holder(os.getpid(), str(at))))


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Rabbitry is running in") as caught:
        control.ask(tmp_path, control.Status())
    assert caught.value.exit_code == 1


def test_one_that_was_killed_is_not_there(tmp_path: Path) -> None:
    claim(tmp_path, tmp_path / "control.sock")
    with pytest.raises(UserError, match="no Rabbitry is running in"):
        control.ask(tmp_path, control.Status())
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "control.sock"))
    with pytest.raises(UserError, match="no Rabbitry is running in"):
        control.ask(tmp_path, control.Status())


@pytest.mark.parametrize("answer", [b"", b"{", b"what?\n", b"[]\n"])
def test_one_that_answers_badly(tmp_path: Path, answer: bytes) -> None:
    claim(tmp_path, tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(UserError, match=f"pid {os.getpid()}. does not answer") as caught:
            control.ask(tmp_path, control.Status())
        assert caught.value.exit_code == 1
        thread.join()


def test_one_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_S", 0.01)
    monkeypatch.setattr(control, "STATUS_S", 0.01)
    claim(tmp_path, tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        for request in (control.Status(), control.Start("rabbit")):
            with pytest.raises(UserError, match="does not answer; if it was stopped") as caught:
                control.ask(tmp_path, request)
            assert f"`kill -CONT {os.getpid()}`" in str(caught.value)


def interrupted(
    tmp_path: Path, request: control.Request, answers: bytes
) -> tuple[list[str], BaseException]:
    """Ask, and be interrupted by the first line of progress; what is said after we leave is heard.

    Return the lines of progress, and what was raised.
    """
    claim(tmp_path, tmp_path / "control.sock")
    lines: list[str] = []

    def progress(line: str) -> None:
        lines.append(line)
        raise KeyboardInterrupt

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as received:
                received.readline()
                connection.sendall(b'{"progress": "one"}\n')
                received.read()  # until it leaves
                if answers:
                    connection.sendall(answers)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises((UserError, KeyboardInterrupt)) as caught:
            control.ask(tmp_path, request, progress)
        thread.join()
    return lines, caught.value


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (b'{"progress": "two"}\n{"left": "b is untouched"}\n', "b is untouched"),
        (b'{"result": {"nodes": []}}\n', "all of it was done already"),
        (b'{"error": "disk full", "exit_code": 1}\n', "disk full"),
        (b"", "what was begun is finished; `rabbitry status` shows how it goes"),
        (b"what?\n", "what was begun is finished; `rabbitry status` shows how it goes"),
    ],
)
@pytest.mark.parametrize("request_", [control.Restart([], 1.0), control.Rebalance()])
def test_who_is_interrupted_while_nodes_are_at_work_says_what_goes_on(
    tmp_path: Path, answers: bytes, said: str, request_: control.Request
) -> None:
    lines, error = interrupted(tmp_path, request_, answers)
    assert lines == ["one"]
    assert isinstance(error, UserError)
    assert (str(error), error.exit_code) == (f"interrupted: {said}", 130)


def test_who_is_interrupted_elsewhere_has_nothing_to_say(tmp_path: Path) -> None:
    _, error = interrupted(tmp_path, control.Start("rabbit"), b"")
    assert isinstance(error, KeyboardInterrupt)
