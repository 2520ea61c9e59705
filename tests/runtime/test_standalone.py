"""`rabbitry node` serves alone: one line when it is ready, 0 at Ctrl-C, one line when it cannot."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.credentials import ExternalCredentials
from support.certificates import Certificates

from rabbitry.runtime.standalone import OneLine

PATIENCE_S = 20.0


@contextlib.contextmanager
def node(listen: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A node that ends with the test, also where the test fails and has not ended it.

    It has a data directory of its own, unless the options name one.
    """
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "rabbitry", "node", "--listen", listen, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "RABBITRY_DATA_DIR": home},
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


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


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_declared_is_there_again(tmp_path: Path, number: signal.Signals) -> None:
    for again in (False, True):
        with node("127.0.0.1:0", "--data-dir", str(tmp_path)) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
            with pika.BlockingConnection(pika.ConnectionParameters(port=port)) as connection:
                channel = connection.channel()
                channel.exchange_declare("kept", "topic", passive=again, durable=True)
                channel.queue_declare("kept", passive=again, durable=True)
            process.send_signal(number)


@pytest.mark.processes
def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    with (
        node("127.0.0.1:0", "--data-dir", str(tmp_path)) as first,
        node("127.0.0.1:0", "--data-dir", str(tmp_path), "--name", "other") as other,
    ):
        for process in (first, other):
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready: ")
        with node("127.0.0.1:0", "--data-dir", str(tmp_path)) as second:
            line = second.communicate(timeout=PATIENCE_S)[1]
        assert second.returncode == 2
        assert line.startswith(f"rabbitry: the store {tmp_path}/node-rabbit is in use by another")
        assert line.count("\n") == 1
    os.truncate(tmp_path / "node-rabbit" / "data.mdb", 5000)
    with node("127.0.0.1:0", "--data-dir", str(tmp_path)) as damaged:
        line = damaged.communicate(timeout=PATIENCE_S)[1]
    assert damaged.returncode == 2
    assert line.startswith(f"rabbitry: the store {tmp_path}/node-rabbit is damaged: ")
    assert line.count("\n") == 1


@pytest.mark.processes
def test_nobody_is_guest_where_definitions_name_other_users(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    user = '{"name": "alice", "password": "a", "tags": ""}'
    may = '{"user": "alice", "vhost": "/", "configure": "", "write": "", "read": ".*"}'
    file.write_text(f'{{"users": [{user}], "permissions": [{may}]}}')
    with node("127.0.0.1:0", "--definitions", str(file)) as process:
        assert process.stdout is not None
        found = re.fullmatch(r"ready: amqp://127\.0\.0\.1:(\d+)/\n", process.stdout.readline())
        assert found

        def connect(name: str, password: str) -> pika.BlockingConnection:
            credentials = pika.PlainCredentials(name, password)
            return pika.BlockingConnection(
                pika.ConnectionParameters("127.0.0.1", int(found[1]), credentials=credentials)
            )

        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            connect("guest", "guest")
        connect("alice", "a").close()


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
def test_clients_come_with_tls_and_are_known_by_their_certificates(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    options = ["--tls-listen", "127.0.0.1:0", "--tls-cert", files.cert, "--tls-key", files.key]
    options += ["--tls-ca", files.ca, "--tls-verify", "--tls-login-from", "common_name"]
    with node("127.0.0.1:0", *options) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = re.fullmatch(
            r"ready: amqps://guest:guest@127\.0\.0\.1:(\d+)/\n", process.stdout.readline()
        )
        assert found

        def connect(name: str, credentials: Any) -> pika.BlockingConnection:
            ssl_options = pika.SSLOptions(files.client(name), "127.0.0.1")
            return pika.BlockingConnection(
                pika.ConnectionParameters(
                    "127.0.0.1",
                    int(found[1]),
                    ssl_options=ssl_options,
                    credentials=credentials,
                )
            )

        by_certificate = connect("guest", ExternalCredentials())
        files.renew()
        by_password = connect("", pika.PlainCredentials("guest", "guest"))
        for connection, other in ((by_certificate, by_password), (by_password, by_certificate)):
            channel = connection.channel()
            channel.confirm_delivery()  # the other connection may ask before the message has come
            channel.queue_declare("q")
            channel.basic_publish("", "q", b"x" * 300_000)
            _, _, body = other.channel().basic_get("q", auto_ack=True)
            assert body == b"x" * 300_000
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            connect("stranger", ExternalCredentials())
        by_certificate.close()
        by_password.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (out, process.returncode) == ("", 0)
    (line,) = err.splitlines()
    assert "login refused" in line
    assert "user 'stranger' - invalid credentials" in line


@pytest.mark.processes
def test_under_an_alarm_publishers_are_told_and_others_go_on() -> None:
    with node("127.0.0.1:0", "--vm-memory-high-watermark", "0") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2].strip("/\n"))
        parameters = pika.ConnectionParameters("127.0.0.1", port)
        publisher, other = (pika.BlockingConnection(parameters) for _ in range(2))
        reasons: list[str] = []
        publisher.add_on_connection_blocked_callback(
            lambda _, frame: reasons.append(frame.method.reason)
        )
        channel = publisher.channel()
        channel.queue_declare("q")
        assert process.stderr is not None
        assert any("publishers are blocked" in line for line in iter(process.stderr.readline, ""))
        channel.basic_publish("", "q", b"x")
        while not reasons:
            publisher.process_data_events(None)
        assert reasons == ["low on memory"]
        assert other.channel().queue_declare("q", passive=True).method.message_count == 0
        other.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


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


@pytest.mark.processes
def test_definitions_are_for_the_first_start(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text('{"users": [{"name": "alice", "password": "a", "tags": ""}]}')
    options = ["--data-dir", str(tmp_path / "data"), "--definitions", str(file)]
    for again in (False, True):
        with node("127.0.0.1:0", *options) as process:
            assert process.stdout is not None
            assert "guest" not in process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            _, complaint = process.communicate(timeout=PATIENCE_S)
            assert ("is for a first start and not read now" in complaint) == again
            assert complaint.count("\n") == again
