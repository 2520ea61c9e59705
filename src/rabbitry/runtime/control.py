"""The control protocol between commands (`rabbitry status`, `kill`, ...) and the supervisor.

Owns the messages and the asking side. JSON, one object a line, over a unix socket that only the
user can open: a request, one reply (before it lines of progress, for what takes long), and the
connection ends; after `stop` it ends with the supervisor. Who is interrupted while nodes are at
work ends its side of the connection, and is told what goes on without it. The asking side is plain
blocking sockets, so that a command starts quickly. The answering side is in `control_server`.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from rabbitry.runtime.data_directory import Holder, holder_of, not_running
from rabbitry.runtime.errors import EXIT_INTERRUPTED, EXIT_NOT_SO, UserError

LINE_BYTES_MAX = 16 * 1024 * 1024
"""Longest line of the protocol: a status with very many queues."""

ANSWER_S = 60.0
"""How long a command waits for its answer, or the next line of progress.

The slowest is `start`, until the node has joined.
"""

STATUS_S = 5.0
"""How long `status` waits: its answer takes two seconds at most."""

LEFT_S = 2.0
"""How long one who was interrupted waits to be told what goes on."""

GONE_S = 5.0
"""How long `stop` waits for the supervisor to be gone once all its children are."""

SignalName = Literal["KILL", "STOP", "CONT", "TERM"]


class Status(msgspec.Struct, tag="status", tag_field="ask"):
    """How is everything? Replies with what `status.Status` has."""


class Kill(msgspec.Struct, tag="kill", tag_field="ask"):
    """Send a signal to a node; KILL and TERM reply when it is gone, and keep it down."""

    name: str
    signal: SignalName = "KILL"


class Start(msgspec.Struct, tag="start", tag_field="ask"):
    """Start a node that is down; replies when it has joined the cluster."""

    name: str


class Restart(msgspec.Struct, tag="restart", tag_field="ask"):
    """Restart these nodes one after another, all if none is named; see `rolling_restart`.

    Tells its progress. `timeout_s` is how long each may take to be in sync again.
    """

    names: list[str]
    timeout_s: float


class Rebalance(msgspec.Struct, tag="rebalance", tag_field="ask"):
    """Even out who leads queues; see `rebalancing`. Tells what was done in lines of progress."""


class Stop(msgspec.Struct, tag="stop", tag_field="ask"):
    """End everything; replies when all children are gone."""


class Definitions(msgspec.Struct, tag="definitions", tag_field="ask"):
    """What is declared? Replies with definitions in RabbitMQ's form."""


class Operate(msgspec.Struct, tag="operate", tag_field="ask"):
    """Carry out all of these requests or none (see `operating`).

    Replies with nothing; or with the `index` of the one that cannot be, and its `refusal`.
    """

    requests: msgspec.Raw


Request = Status | Kill | Start | Restart | Rebalance | Stop | Definitions | Operate


class Reply(msgspec.Struct, omit_defaults=True):
    """`error` is empty when it was done; else one line for the user, and the exit code.

    With `progress`, a line for the user, it is not the last: more will come. With `left`, a line
    too, it is the answer to one who does not wait any more.
    """

    progress: str = ""
    left: str = ""
    error: str = ""
    exit_code: int = 0
    result: dict[str, Any] = msgspec.field(default_factory=dict)


def ask(
    path: Path, request: Request, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Ask the Rabbitry that runs in the data directory `path`; return the result of its reply.

    `progress` is called with each line that comes before. Raises `UserError` if none is running
    there, if it does not answer, with what it replies, or when Ctrl-C ends the waiting for nodes
    that are at work.
    """
    holder = holder_of(path)
    with contextlib.ExitStack() as leaving:
        connection = leaving.enter_context(socket.socket(socket.AF_UNIX))
        process = _watch(leaving, holder)
        connection.settimeout(STATUS_S if isinstance(request, Status) else ANSWER_S)
        try:
            connection.connect(holder.socket)
        except (FileNotFoundError, ConnectionRefusedError):  # it was killed, and left its file
            raise not_running(path) from None
        except OSError as error:
            raise UserError(f"cannot reach the Rabbitry in {path}: {error.strerror}") from None
        try:
            received = leaving.enter_context(connection.makefile("rb"))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            while (reply := _reply(received)).progress:
                progress(reply.progress)
        except KeyboardInterrupt:
            if not isinstance(request, Restart | Rebalance):
                raise
            raise UserError(_left(connection, received), EXIT_INTERRUPTED) from None
        except TimeoutError:
            raise UserError(
                f"the Rabbitry in {path} (pid {holder.pid}) does not answer; if it was stopped "
                f"(Ctrl-Z), `kill -CONT {holder.pid}` lets it go on; its log is in {path}/log",
                EXIT_NOT_SO,
            ) from None
        except (OSError, msgspec.DecodeError) as error:
            raise UserError(
                f"the Rabbitry in {path} (pid {holder.pid}) does not answer: {error}; "
                f"see its log in {path}/log",
                EXIT_NOT_SO,
            ) from None
        if reply.error:
            raise UserError(reply.error, reply.exit_code or EXIT_NOT_SO)
        if isinstance(request, Stop):
            with contextlib.suppress(OSError):
                connection.recv(1)  # ends with the supervisor
            if process is not None:
                select.select([process], [], [], GONE_S)
        return reply.result


def _watch(leaving: contextlib.ExitStack, holder: Holder) -> int | None:
    """Return a file that becomes readable when the supervisor is gone, where the system has it."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        process = os.pidfd_open(holder.pid)
    except OSError:
        return None
    leaving.callback(os.close, process)
    return process


def _left(connection: socket.socket, received: IO[bytes]) -> str:
    """Say that we leave, and return what goes on without us."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LEFT_S)
        while (reply := _reply(received)).progress:
            pass
        return f"interrupted: {reply.left or reply.error or 'all of it was done already'}"
    return "interrupted: what was begun is finished; `rabbitry status` shows how it goes"


def _reply(received: IO[bytes]) -> Reply:
    line = received.readline(LINE_BYTES_MAX)
    if not line.endswith(b"\n"):
        long = len(line) >= LINE_BYTES_MAX
        raise ConnectionError(
            "its answer is too long" if long else "it ended the connection without an answer"
        )
    return msgspec.json.decode(line, type=Reply)
