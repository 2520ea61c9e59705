"""What operators ask for, on its way from a command to the coordinator.

Commands send requests of the catalog (`rabbitry.cluster.records`) over the control socket; the
supervisor hands them to the coordinator, which carries out all of them or none. Also reads files of
definitions, which say the same in RabbitMQ's JSON. Passwords are hashed here, on the asking side:
no other process sees them.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rabbitry.broker.passwords import SALT_BYTES, hash_password
from rabbitry.cluster.definitions import DefinitionsMistake, Entry, read_definitions
from rabbitry.cluster.records import Refused, Request
from rabbitry.runtime import control
from rabbitry.runtime.errors import UserError

Ask = Callable[[object], Awaitable[Any]]

_requests: msgspec.json.Decoder[list[Request]] = msgspec.json.Decoder(list[Request])


def new_salt() -> bytes:
    """Return the salt of one password."""
    return os.urandom(SALT_BYTES)


def hashed(password: str) -> bytes:
    """Return the salted hash of a password that a user has typed."""
    return hash_password(password.encode(), new_salt())


def read_file(path: Path) -> list[Entry]:
    """Return what a file of definitions asks for; raises `UserError` if it is none."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read definitions {path}: {error.strerror}") from None
    try:
        return read_definitions(text, new_salt)
    except DefinitionsMistake as mistake:
        raise UserError(f"definitions {path}: {mistake}") from None


def operate(data_dir: Path, *requests: Request) -> None:
    """Have the Rabbitry that runs in `data_dir` carry out all requests or none."""
    _operate(data_dir, requests, "", ())


def import_definitions(data_dir: Path, file: Path) -> int:
    """Have it carry out a file of definitions, all or nothing; return how many entries it has."""
    entries = read_file(file)
    requests = [entry.request for entry in entries]
    _operate(data_dir, requests, f"definitions {file}: ", [entry.place for entry in entries])
    return len(entries)


def definitions(data_dir: Path) -> dict[str, Any]:
    """Return the definitions of the Rabbitry that runs in `data_dir`."""
    return control.ask(data_dir, control.Definitions())


def _operate(
    data_dir: Path, requests: Sequence[Request], prefix: str, places: Sequence[str]
) -> None:
    done = control.ask(data_dir, control.Operate(msgspec.Raw(msgspec.json.encode(requests))))
    if "refusal" in done:
        place = f"{places[done['index']]}: " if places else ""
        raise UserError(f"{prefix}{place}{done['refusal']}")


async def carry_out(ask: Ask, request: control.Operate) -> dict[str, Any]:
    """Hand requests to the coordinator, which `ask` asks; return the result for the command."""
    try:
        requests = _requests.decode(request.requests)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"not understood: {error}") from None
    answer = await ask(("change", requests))
    if answer is None:
        return {}
    index, refused = answer
    assert isinstance(refused, Refused)
    return {"index": index, "refusal": refused.text}


async def carry_out_file(ask: Ask, file: Path, entries: list[Entry]) -> None:
    """Have the coordinator carry out a file that was read; raises `UserError` if it refuses."""
    answer = await ask(("change", [entry.request for entry in entries]))
    if answer is not None:
        index, refused = answer
        raise UserError(f"definitions {file}: {entries[index].place}: {refused.text}")
