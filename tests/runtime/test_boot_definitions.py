"""What a Rabbitry begins with: who may log in is settled first, and guest only stays if meant."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rabbitry.broker.passwords import hash_password
from rabbitry.cluster.access_records import DeleteUser, SetUser
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.definitions import definitions_of
from rabbitry.cluster.operator_desk import judge_all
from rabbitry.cluster.records import Refused
from rabbitry.runtime.boot_definitions import BootDefinitions, read_boot_definitions, url
from rabbitry.runtime.errors import UserError


class Coordinator:
    """One without nodes, as far as definitions are concerned."""

    def __init__(self) -> None:
        self.catalog = Catalog()

    async def ask(self, question: Any) -> Any:
        judged = judge_all(self.catalog, question[1], 1)
        if isinstance(judged[1], Refused):
            return judged
        for change in judged[0]:
            self.catalog.apply(change)
        return None


def boot(tmp_path: Path, **sections: Any) -> BootDefinitions:
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(sections))
    return read_boot_definitions(file)


ALICE = {"name": "alice", "password": "a", "tags": "administrator"}
MAY = {"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
QUEUE = {"name": "q", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}


def test_guest_goes_where_the_file_names_others_only(tmp_path: Path) -> None:
    read = boot(tmp_path, users=[ALICE], permissions=[{"user": "alice", **MAY}])
    coordinator = Coordinator()
    asyncio.run(read.secure(coordinator.ask))
    assert list(coordinator.catalog.access.users) == ["alice"]
    assert list(coordinator.catalog.access.permissions) == [("alice", "/")]
    assert url("amqp", "h:1", definitions_of(coordinator.catalog)) == "amqp://h:1/"


def test_guest_stays_where_the_file_names_no_users(tmp_path: Path) -> None:
    read = boot(tmp_path, queues=[QUEUE])
    coordinator = Coordinator()
    asyncio.run(read.secure(coordinator.ask))
    assert list(coordinator.catalog.access.users) == ["guest"]
    found = definitions_of(coordinator.catalog)
    assert url("amqps", "h:1", found) == "amqps://guest:guest@h:1/"


@pytest.mark.parametrize(("password", "shown"), [("guest", "guest:guest@"), ("other", "")])
def test_guests_password_is_shown_where_it_is_the_default(
    tmp_path: Path, password: str, shown: str
) -> None:
    read = boot(tmp_path, users=[ALICE, {"name": "guest", "password": password, "tags": []}])
    coordinator = Coordinator()
    asyncio.run(read.secure(coordinator.ask))
    assert sorted(coordinator.catalog.access.users) == ["alice", "guest"]
    found = definitions_of(coordinator.catalog)
    assert url("amqp", "h:1", found) == f"amqp://{shown}h:1/"


def test_access_is_settled_before_queues_are_declared_and_limits_come_last(tmp_path: Path) -> None:
    limits = {"vhost": "/", "component": "vhost-limits", "name": "limits"}
    read = boot(
        tmp_path,
        users=[ALICE],
        parameters=[{**limits, "value": {"max-queues": 0}}],
        queues=[QUEUE],
    )
    coordinator = Coordinator()
    asyncio.run(read.secure(coordinator.ask))
    assert not coordinator.catalog.queues
    assert "guest" not in coordinator.catalog.access.users
    assert [entry.place for entry in read.rest] == ["queues[0] ('q')", "parameters[0] ('limits')"]


def test_permissions_of_a_guest_who_goes_are_refused_by_their_place(tmp_path: Path) -> None:
    read = boot(tmp_path, users=[ALICE], permissions=[{"user": "guest", **MAY}])
    with pytest.raises(UserError, match=r"permissions\[0\] \('guest'\): user 'guest' does not"):
        asyncio.run(read.secure(Coordinator().ask))


def test_later_the_password_of_guest_is_what_it_was_changed_to() -> None:
    catalog = Catalog()
    assert url("amqp", "h:1", definitions_of(catalog)) == "amqp://guest:guest@h:1/"
    algorithm = "rabbit_password_hashing_sha256"
    other = SetUser("guest", hash_password(b"other", b"salt"), algorithm, [], {})
    for request in (other, DeleteUser("guest")):
        judged = judge_all(catalog, [request], 1)[0]
        assert isinstance(judged, list)
        for change in judged:
            catalog.apply(change)
        assert url("amqp", "h:1", definitions_of(catalog)) == "amqp://h:1/"
