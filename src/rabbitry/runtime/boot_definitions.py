"""The file of definitions that a Rabbitry begins with: `--definitions FILE` of `up` and `node`.

Who may log in is settled before anybody can: `secure` carries out what comes before the first
exchange, queue or binding (virtual hosts, users, permissions, policies) and is for a coordinator
that has no nodes yet; `declare` carries out the rest when there are nodes to hold queues. Whichever
of the two is refused ends the boot, so that still all of the file is carried out or nothing runs.

As a broker that is given its users needs no published password, `guest` is deleted if the file
names users and `guest` is not among them. RabbitMQ 3.10 makes neither `guest` nor "/" where it is
given any definitions (rabbit.erl maybe_insert_default_data/0).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

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

    def url(self, scheme: str, address: object) -> str:
        """Return where clients connect, with guest's password where that is still the default."""
        return f"{scheme}://{'guest:guest@' if self._has_default_user() else ''}{address}/"

    def _has_default_user(self) -> bool:
        default = True
        for _, request in self.access:
            if isinstance(request, DeleteUser):
                default = False
            elif isinstance(request, SetUser) and request.name == DEFAULT_USER:
                default = is_password(
                    DEFAULT_USER.encode(), request.password_hash or b"", request.hashing_algorithm
                )
        return default


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
