"""Ctrl-C at any moment of a command: 130, and no traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rabbitry import __main__ as entry
from rabbitry.runtime.data_directory import Holder, Layout
from rabbitry.runtime.errors import EXIT_INTERRUPTED

IMPORTING = [sys.executable, "-X", "importtime", "-m", "rabbitry"]  # tells each import, when done


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose Rabbitry never answers: what asks it is there when it is interrupted.

    Yields the directory.
    """
    Layout(tmp_path).lock.write_bytes(
        msgspec.json.encode(Holder(os.getpid(), str(tmp_path / "control.sock")))
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        yield tmp_path


@pytest.mark.parametrize(
    "imported",
    [
        "pathlib",
        "cyclopts.core",
        "rabbitry.commands.asking",
        "rabbitry.runtime.control",
        "rabbitry.cli",
        "rabbitry.runtime.status",
    ],
)
def test_interrupted_when_this_was_imported(imported: str, silent: Path) -> None:
    command = [*IMPORTING, "start", "rabbit", "--data-dir", str(silent)]
    if imported == "rabbitry.runtime.status":
        command[5:7] = ["status"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while process.stderr.readline().rpartition("|")[2].strip() != imported:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert "Traceback" not in rest
    assert "rabbitry: " not in rest
    # Python ends itself by SIGINT where it was raised in a class that is made from text: a shell
    # shows 130 for both.
    assert process.returncode in (EXIT_INTERRUPTED, -signal.SIGINT)


def test_where_it_is_ignored_it_stays_so(silent: Path) -> None:
    """As by a shell for what it starts with `&`."""
    command = [*IMPORTING, "kill", "rabbit", "--signal", "HUP", "--data-dir", str(silent)]
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    with process:
        assert process.stderr is not None
        while process.stderr.readline().rpartition("|")[2].strip() != "cyclopts.core":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert "HUP" in rest, "it went on, and said what is wrong"
    assert process.returncode == 2


def test_the_command_that_is_installed_begins_there() -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    module, _, name = tomllib.loads(text)["project"]["scripts"]["rabbitry"].partition(":")
    assert (module, getattr(entry, name)) == (entry.__name__, entry.main)
    assert entry.EXIT_INTERRUPTED == EXIT_INTERRUPTED
