"""The operator's desk: many requests as one, and status from the figures that nodes tell."""

from __future__ import annotations

from typing import Any

from support.coordination_catalogs import History, NodeComes, shape

from rabbitry.cluster.access_records import AddVirtualHost, SetPermissions, SetUser
from rabbitry.cluster.members import Member
from rabbitry.cluster.operator_desk import STATISTICS_TIMEOUT_US, StatusDesk, judge_all, who_leads
from rabbitry.cluster.records import DeclareQueue, QueueDeclared, Refused, StatisticsTold

HOST = AddVirtualHost("v", "", [], b"")


def queue(name: str, host: str = "v") -> DeclareQueue:
    return DeclareQueue(host, name, True, False, "", b"")


def test_later_requests_build_on_earlier_ones() -> None:
    history = History()
    history.grant(NodeComes("a"))
    requests = [HOST, SetUser("u"), SetPermissions("u", "v", "", "", ""), queue("q"), queue("r")]
    before = shape(history.catalog)
    changes, next_queue = judge_all(history.catalog, requests, 5)
    assert shape(history.catalog) == before
    assert isinstance(changes, list)
    assert next_queue == 7
    assert [one.queue for one in changes if isinstance(one, QueueDeclared)] == [5, 6]
    for change in changes:
        history.catalog.apply(change)
    assert list(history.catalog.virtual_hosts["v"].queues) == ["q", "r"]
    assert judge_all(history.catalog, requests, next_queue) == ([], next_queue)


def test_one_refusal_refuses_all_and_says_which() -> None:
    history = History()
    before = shape(history.catalog)
    index, refusal = judge_all(history.catalog, [HOST, queue("q"), queue("q", "nowhere")], 1)
    assert index == 2
    assert isinstance(refusal, Refused)
    assert refusal.text == "vhost nowhere not found"
    assert shape(history.catalog) == before


class Desk:
    def __init__(self) -> None:
        self.answers: dict[int, Any] = {}
        self.history = history = History()
        history.grant(NodeComes("a"))
        history.grant(queue("q", "/"))
        member = Member("1")
        member.state = "running"
        member.low_on(("disk",))
        self.desk = StatusDesk(
            history.catalog,
            {"a": member},
            lambda entry: f"{entry.declared.name} waits",
            lambda: "disk full",
            self.answers.__setitem__,
        )


def test_status_waits_for_all_figures() -> None:
    stage = Desk()
    stage.desk.ask(1, ("a", "b"), 0)
    stage.desk.told("a", StatisticsTold(1, [(1, 5, 2)]))
    assert stage.answers == {}
    stage.desk.left("b")
    assert stage.answers[1]["queues"][0]["messages"] == 5
    assert stage.answers[1]["nodes"] == [{"name": "a", "state": "running", "alarms": ["disk"]}]


def test_status_does_not_wait_for_ever() -> None:
    stage = Desk()
    stage.desk.ask(1, ("a",), 0)
    stage.desk.tick(STATISTICS_TIMEOUT_US - 1)
    assert stage.answers == {}
    stage.desk.tick(STATISTICS_TIMEOUT_US)
    assert stage.answers[1]["queues"][0]["messages"] is None
    stage.desk.told("a", StatisticsTold(1, [(1, 5, 2)]))
    assert stage.answers[1]["queues"][0]["messages"] is None


def test_status_where_nobody_is() -> None:
    stage = Desk()
    stage.desk.ask(1, (), 0)
    assert stage.answers[1]["queues"][0]["waits"] == "q waits"
    assert stage.answers[1]["catalog_trouble"] == "disk full"


def test_status_tells_what_goes_with_its_node_or_its_connection() -> None:
    stage = Desk()
    stage.history.grant(DeclareQueue("/", "transient", False, False, "", b""))
    stage.history.grant(DeclareQueue("/", "exclusive", False, False, "a#1/1", b""))
    stage.desk.ask(1, (), 0)
    told = [(one["durable"], one["exclusive"]) for one in stage.answers[1]["queues"]]
    assert told == [(True, False), (False, False), (False, True)]


def test_who_leads_is_plain_data() -> None:
    history = History()
    history.grant(NodeComes("a"))
    history.grant(queue("q", "/"))
    place = {"epoch": 1, "leader": "a", "in_sync": ["a"], "stored": [], "durable": True}
    assert who_leads(history.catalog, durable=True) == {"q": place}
