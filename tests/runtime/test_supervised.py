"""The child's side: settings without a byte too many, readiness told, gone when it should be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from rabbitry.runtime.supervised import read_settings_line, ready_file, tell_failed, tell_ready

WAITS = """
import asyncio, sys
from rabbitry.runtime.supervised import when_to_stop, tell_ready
async def main():
    stopping = asyncio.Event()
    when_to_stop(asyncio.get_running_loop(), stopping.set, supervised="supervised" in sys.argv)
    print("waiting", flush=True)
    await stopping.wait()
asyncio.run(main())
"""


def test_the_settings_are_one_line_and_no_byte_beyond() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b'{"name": "rabbit"}\nrest')
    assert read_settings_line(ours) == b'{"name": "rabbit"}'
    assert os.read(ours, 100) == b"rest"
    os.write(theirs, b"no end")
    os.close(theirs)
    assert read_settings_line(ours) == b"no end"
    os.close(ours)


def test_readiness_is_one_line_of_json_and_the_end() -> None:
    ours, theirs = os.pipe()
    assert ready_file(["--supervised", "--ready-fd", str(theirs)]) == theirs
    tell_ready(theirs, port=5672)
    assert os.read(ours, 100) == b'{"ready":{"port":5672}}\n'
    assert os.read(ours, 100) == b""
    os.close(ours)


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert ready_file(["--supervised"]) is None
    tell_ready(None, port=5672)
    tell_failed(None, "cannot listen")
    assert capsys.readouterr().err == "rabbitry: cannot listen\n"


def test_a_listener_that_is_gone_does_no_harm() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    tell_failed(theirs, "cannot listen")
    os.close(theirs)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None])
def test_it_stops_at_a_signal_or_when_the_supervisor_is_gone(how: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS, "supervised"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        if how is None:
            process.stdin.close()
        else:
            process.send_signal(how)
        assert process.wait(20) == 0


def test_alone_it_does_not_mind_standard_input() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_endless_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rabbitry.runtime.supervised.SETTINGS_BYTES_MAX", 3)
    ours, theirs = os.pipe()
    os.write(theirs, b"12345\n")
    with pytest.raises(ValueError, match="too long"):
        read_settings_line(ours)
    os.close(ours)
    os.close(theirs)
