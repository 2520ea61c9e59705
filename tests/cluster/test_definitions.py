"""Definitions: RabbitMQ's own export comes in as it is, ours comes in again, mistakes say where.

`data/rabbitmq-3.10.8-definitions.json` is what `rabbitmqctl export_definitions` of RabbitMQ 3.10.8
wrote, as it wrote it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.coordination_catalogs import History, NodeComes, shape

from rabbitry.broker.passwords import is_password
from rabbitry.cluster.access_records import SetUser
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.definitions import (
    DefinitionsMistake,
    definitions_of,
    read_definitions,
)
from rabbitry.cluster.operator_desk import judge_all
from rabbitry.cluster.records import DeclareQueue, Refused

EXPORT = Path(__file__).parent / "data" / "rabbitmq-3.10.8-definitions.json"


def salt() -> bytes:
    return b"salt"


def imported(text: bytes, into: Catalog | None = None) -> Catalog:
    catalog = into or Catalog()
    requests = [entry.request for entry in read_definitions(text, salt)]
    changes, _ = judge_all(catalog, requests, 1)
    assert isinstance(changes, list), changes
    for change in changes:
        catalog.apply(change)
    return catalog


def written(catalog: Catalog) -> bytes:
    return msgspec.json.encode(definitions_of(catalog))


def test_what_rabbitmq_exports_comes_in_as_it_is() -> None:
    catalog = imported(EXPORT.read_bytes())
    alice = catalog.access.users["alice"]
    assert is_password(b"wonderland", alice.password_hash, alice.hashing_algorithm)
    assert alice.tags == ("management", "policymaker")
    assert alice.limits == {"max-connections": 10, "max-channels": 20}
    assert catalog.access.may("alice", "shop", "write", "alice.x")
    assert not catalog.access.may("alice", "shop", "write", "bob.x")
    assert catalog.access.users["nobody"].password_hash == b""
    host = catalog.virtual_hosts["shop"]
    assert (host.added.description, host.added.tags) == ("the shop", ["qa", "eu"])
    assert catalog.virtual_host_limit("shop", "max-connections") == 100
    queue = host.queues["alice.q"]
    assert queue.policy == {
        "max-length": 500,
        "expires": 3600000,
        "overflow": "reject-publish",
        "dead-letter-exchange": "dlx",
    }
    assert queue.settings.priority_max == 5
    assert host.queues["alice.quorum"].settings.kind == "quorum"
    assert sorted(source for source, _ in queue.bound_from) == ["alice.h", "alice.x"]
    assert host.exchanges["alice.h"].kind == "headers"
    assert ("", "", "mqtt_default_vhosts") in catalog.parameters


def test_what_comes_in_a_second_time_changes_nothing() -> None:
    catalog = imported(EXPORT.read_bytes())
    before = shape(catalog)
    requests = [entry.request for entry in read_definitions(EXPORT.read_bytes(), salt)]
    assert judge_all(catalog, requests, 100) == ([], 100)
    assert shape(imported(EXPORT.read_bytes(), catalog)) == before


def test_what_goes_out_comes_in_again() -> None:
    first = imported(EXPORT.read_bytes())
    second = imported(written(first))
    assert definitions_of(second) == definitions_of(first)
    # The numbers of queues are a cluster's own.
    assert shape(second)["permissions"] == shape(first)["permissions"]
    assert second.virtual_hosts["shop"].policies == first.virtual_hosts["shop"].policies


def test_exclusive_queues_stay_at_home() -> None:
    history = History()
    history.grant(NodeComes("a"))
    history.grant(DeclareQueue("/", "q", False, False, "a#1/1", b""))
    assert definitions_of(history.catalog)["queues"] == []


def test_limits_are_for_what_comes_later() -> None:
    whole: dict[str, Any] = {
        "parameters": [
            {
                "vhost": "/",
                "component": "vhost-limits",
                "name": "limits",
                "value": {"max-queues": 0},
            }
        ],
        "queues": [{"vhost": "/", "name": "q", "durable": True}],
    }
    catalog = imported(msgspec.json.encode(whole))
    assert catalog.find_queue("/", "q") is not None
    assert catalog.virtual_host_limit("/", "max-queues") == 0


@pytest.mark.parametrize(
    ("version", "algorithm"),
    [
        ("3.5.7", "rabbit_password_hashing_md5"),
        ("2.8.1", "rabbit_password_hashing_md5"),
        ("3.6.0", "rabbit_password_hashing_sha256"),
        ("3.12.1", "rabbit_password_hashing_sha256"),
    ],
)
def test_hashes_of_old_files_are_md5(version: str, algorithm: str) -> None:
    whole = {
        "rabbit_version": version,
        "users": [{"name": "u", "password_hash": "AAAA", "tags": "administrator"}],
    }
    (entry,) = read_definitions(msgspec.json.encode(whole), salt)
    assert entry.request == SetUser("u", b"\0\0\0", algorithm, ["administrator"], {})


def test_a_password_in_clear_is_hashed() -> None:
    whole = {"users": [{"name": "u", "password": "secret", "tags": []}]}
    catalog = imported(msgspec.json.encode(whole))
    user = catalog.access.users["u"]
    assert user.password_hash[:4] == b"salt"
    assert is_password(b"secret", user.password_hash, user.hashing_algorithm)


@pytest.mark.parametrize(
    ("whole", "says"),
    [
        ([], "a JSON object is wanted"),
        ({"users": {}}, "users: an array is wanted"),
        ({"users": ["u"]}, "users[0]: an object is wanted"),
        ({"users": [{"name": "u"}]}, "users[0] ('u'): 'password_hash' is missing"),
        ({"users": [{"name": "u", "password_hash": "?"}]}, "'password_hash' is not base64"),
        (
            {"users": [{"name": "u", "password_hash": "", "limits": {"a": "b"}}]},
            "'limits' are not numbers by name",
        ),
        ({"users": [{"name": "u", "password_hash": "", "tags": 1}]}, "'tags' are not texts"),
        ({"vhosts": [{"name": 1}]}, "vhosts[0]: 'name' is not a text"),
        ({"permissions": [{"user": "u", "vhost": "/"}]}, "('u'): 'configure' is missing"),
        (
            {"policies": [{"vhost": "/", "name": "p", "pattern": "", "priority": "1"}]},
            "policies[0] ('p'): 'priority' is not an integer",
        ),
        (
            {"policies": [{"vhost": "/", "name": "p", "definition": {"a": {}}}]},
            "'a' in 'definition' is of no type that policies have",
        ),
        (
            {"queues": [{"vhost": "/", "name": "q", "type": "stream"}]},
            "queues[0] ('q'): queues of type 'stream' are not to be had here",
        ),
        (
            {"queues": [{"vhost": "/", "name": "q", "arguments": {"x-max-length": -1}}]},
            "queues[0] ('q'): invalid arg 'x-max-length'",
        ),
        (
            {"queues": [{"vhost": "/", "name": "q", "durable": 1}]},
            "'durable' is neither true nor false",
        ),
        (
            {"exchanges": [{"vhost": "/", "name": "x", "type": "x-delayed-message"}]},
            "exchanges[0] ('x'): unknown exchange type 'x-delayed-message'",
        ),
        (
            {"bindings": [{"vhost": "/", "source": "x", "destination_type": "user"}]},
            "bindings[0] ('x'): 'destination_type' is neither",
        ),
    ],
)
def test_mistakes_say_where_they_are(whole: Any, says: str) -> None:
    with pytest.raises(DefinitionsMistake) as mistake:
        read_definitions(msgspec.json.encode(whole), salt)
    assert says in str(mistake.value)


def test_what_is_no_json() -> None:
    with pytest.raises(DefinitionsMistake, match="not JSON"):
        read_definitions(b"{", salt)


def test_a_refusal_leads_to_its_entry() -> None:
    whole = {
        "vhosts": [{"name": "v"}],
        "bindings": [
            {
                "vhost": "v",
                "source": "amq.topic",
                "destination_type": "queue",
                "destination": "q",
                "routing_key": "",
            }
        ],
    }
    entries = read_definitions(msgspec.json.encode(whole), salt)
    index, refusal = judge_all(Catalog(), [entry.request for entry in entries], 1)
    assert isinstance(index, int)
    assert isinstance(refusal, Refused)
    assert (entries[index].place, refusal.text) == (
        "bindings[0] ('amq.topic')",
        "no queue 'q' in vhost 'v'",
    )
