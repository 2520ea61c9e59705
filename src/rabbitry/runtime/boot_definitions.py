"""The file of definitions that a Rabbitry begins with: `--definitions FILE` of `up` and `node`.

It is for the first start of a data directory only: what was changed since then stays.

Who may log in is settled before anybody can: `secure` carries out what comes before the first
exchange, queue or binding (virtual hosts, users, permissions, policies) and is for a coordinator
that has no nodes yet; `declare` carries out the rest when there are nodes to hold queues. Whichever
of the two is refused ends the boot, so that still all of the file is carried out or nothing runs.

As a broker that is given its users needs no published password, `guest` is deleted if the file
names users and `guest` is not among them. RabbitMQ 3.10 makes neither `guest` nor "/" where it is
given any definitions (rabbit.erl maybe_insert_default_data/0).
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from rabbitry.broker.passwords import is_password
from rabbitry.cluster.access import DEFAULT_USER
from rabbitry.cluster.access_records import DeleteUser, SetUser
from rabbitry.cluster.definitions import Entry
from rabbitry.cluster.records import Bind, DeclareExchange, DeclareQueue
from rabbitry.runtime.operating import Ask, carry_out_file, read_file

_DECLARING: Final = (DeclareExchange, DeclareQueue, Bind)


@dataclass(frozen=True, slots=True)
class BootDefinitions:
    """See the module. Without a file there are no entries, and guest stays as it is."""

    file: Path | None
    access: list[Entry]
    rest: list[Entry]

    async def secure(self, ask: Ask) -> None:
        """Settle who may do what; raises `UserError` if the coordinator refuses."""
        if self.file is not None:
            await carry_out_file(ask, self.file, self.access)

    async def declare(self, ask: Ask) -> None:
        """Carry out what `secure` leaves; raises `UserError` if the coordinator refuses."""
        if self.file is not None and self.rest:
            await carry_out_file(ask, self.file, self.rest)


def url(scheme: str, address: object, found: dict[str, Any]) -> str:
    """Return where clients connect, with guest's password where that is still the default.

    `found` are the coordinator's definitions.
    """
    return f"{scheme}://{'guest:guest@' if _has_default_user(found) else ''}{address}/"


def _has_default_user(found: dict[str, Any]) -> bool:
    return any(
        user["name"] == DEFAULT_USER
        and is_password(
            DEFAULT_USER.encode(), b64decode(user["password_hash"]), user["hashing_algorithm"]
        )
        for user in found["users"]
    )


def read_boot_definitions(file: Path | None) -> BootDefinitions:
    """Return what a file asks for; raises `UserError` if it cannot be read."""
    entries = read_file(file) if file is not None else []
    access = list(takewhile(lambda entry: not isinstance(entry.request, _DECLARING), entries))
    rest = entries[len(access) :]
    users = [entry.request.name for entry in access if isinstance(entry.request, SetUser)]
    if users and DEFAULT_USER not in users:
        # First, so that permissions which the file still gives to guest are refused by place.
        access.insert(0, Entry("users", DeleteUser(DEFAULT_USER)))
    return BootDefinitions(file, access, rest)
