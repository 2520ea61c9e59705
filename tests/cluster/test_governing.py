"""Which policies govern what is declared: whatever came first, the policy or the queue."""

from __future__ import annotations

from hypothesis import given
from support.coordination_catalogs import History, NodeComes, Wish, made_of, wishes

from rabbitry.cluster.access_records import DeletePolicy, SetPolicy
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.governing import effective_policy, govern
from rabbitry.cluster.records import DeclareExchange, DeclareQueue
from rabbitry.wire.values import encode_table

QUEUE = DeclareQueue("/", "q", True, False, "", b"")
EXCHANGE = DeclareExchange("/", "q.x", "fanout", True, False, False, b"")
LIMIT = SetPolicy("/", "p", False, "^q", "all", 0, {"max-length": 5})
OPERATORS = SetPolicy("/", "o", True, "^q", "queues", 0, {"max-length": 3, "expires": 9})


def history(*requests: Wish) -> History:
    made = History()
    for request in (NodeComes("a"), *requests):
        assert made.grant(request), request
    return made


def policies_of(catalog: Catalog) -> dict[str, object]:
    host = catalog.virtual_hosts["/"]
    found: dict[str, object] = {
        name: entry.policy for name, entry in host.queues.items() if entry.policy
    }
    return found | {one.name: one.policy for one in host.exchanges.values() if one.policy}


def test_what_is_there_follows_a_policy_and_so_does_what_comes() -> None:
    first = history(LIMIT, OPERATORS, QUEUE, EXCHANGE)
    later = history(QUEUE, EXCHANGE, OPERATORS, LIMIT)
    expected = {"q": {"max-length": 3, "expires": 9}, "q.x": {"max-length": 5}}
    assert policies_of(first.catalog) == policies_of(later.catalog) == expected
    settings = later.catalog.virtual_hosts["/"].queues["q"].settings
    assert (settings.length_max, settings.expires_ms) == (3, 9)


def test_a_policy_that_goes_lets_the_next_govern() -> None:
    made = history(QUEUE, LIMIT, SetPolicy("/", "r", False, "^q", "all", 1, {"expires": 7}))
    assert policies_of(made.catalog) == {"q": {"expires": 7}}
    made.grant(DeletePolicy("/", "r", False))
    assert policies_of(made.catalog) == {"q": {"max-length": 5}}
    made.grant(DeletePolicy("/", "p", False))
    assert policies_of(made.catalog) == {}


def test_an_argument_and_a_policy_together() -> None:
    arguments = encode_table({"x-max-length": 2, "x-overflow": "reject-publish"})
    made = history(DeclareQueue("/", "q", True, False, "", arguments), LIMIT)
    settings = made.catalog.virtual_hosts["/"].queues["q"].settings
    assert (settings.length_max, settings.overflow) == (2, "reject-publish")


def test_those_who_follow_are_told_once() -> None:
    made = history(QUEUE, DeclareQueue("/", "r", True, False, "", b""), LIMIT, OPERATORS)
    assert [entry.declared.name for entry in made.catalog.take_governed()] == ["q"]
    assert made.catalog.take_governed() == []
    assert govern(made.catalog.virtual_hosts["/"]) == []


def test_a_quorum_queue_is_not_governed_by_what_it_cannot_do() -> None:
    made = history(SetPolicy("/", "p", False, "", "all", 0, {"ha-mode": "all"}))
    host = made.catalog.virtual_hosts["/"]
    assert effective_policy(host, "queue", "q", "classic") == {"ha-mode": "all"}
    assert effective_policy(host, "queue", "q", "quorum") == {}
    assert effective_policy(host, "exchange", "x") == {"ha-mode": "all"}


@given(wishes)
def test_it_follows_from_the_catalog_alone(drawn: list[Wish]) -> None:
    made = History()
    for wish in drawn:
        made.grant(wish)
    if "/" in made.catalog.virtual_hosts:
        assert policies_of(made_of(made.catalog.as_changes())) == policies_of(made.catalog)
