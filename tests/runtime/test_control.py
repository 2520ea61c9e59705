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
