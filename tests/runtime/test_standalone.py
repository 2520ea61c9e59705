"""`rabbitry node` serves alone: one line when it is ready, 0 at Ctrl-C, one line when it cannot."""

from __future__ import annotations

import logging
import re
import signal
import socket
import subprocess
import sys

import pytest

from rabbitry.runtime.standalone import OneLine

PATIENCE_S = 20.0


def node(listen: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rabbitry", "node", "--listen", listen],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_serves_and_ends_in_order(number: signal.Signals) -> None:
    with node("127.0.0.1:0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"ready: amqp://guest:guest@127\.0\.0\.1:(\d+)/\n", line)
        assert found
        socket.create_connection(("127.0.0.1", int(found[1]))).close()
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE_S) == ("", "")
        assert process.returncode == 0


@pytest.mark.parametrize("shown", ["", "1"])
def test_a_bug_of_ours_is_one_line_unless_its_traceback_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    monkeypatch.setenv("RABBITRY_TRACEBACK", shown)
    try:
        raise KeyError("bug")
    except KeyError as error:
        record = logging.makeLogRecord(
            {"msg": "the machine failed", "exc_info": (KeyError, error, error.__traceback__)}
        )
    line = OneLine("%(message)s").format(record)
    if shown:
        assert "Traceback" in line
    else:
        assert line == "the machine failed: KeyError: 'bug'; RABBITRY_TRACEBACK=1 shows where"


@pytest.mark.processes
def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with node(f"127.0.0.1:{port}") as process:
            out, err = process.communicate(timeout=PATIENCE_S)
    assert out == ""
    assert err == (
        f"rabbitry: cannot listen on 127.0.0.1:{port} (amqp): Address already in use; "
        "choose another with --listen\n"
    )
    assert process.returncode == 2
