"""What channels ask: answered from the replica where it is clear, asked of the coordinator else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.coordination_catalogs import History

from rabbitry.broker.exchanges import Exchange
from rabbitry.broker.message import Routes
from rabbitry.broker.ports import BrokerPort, Refusal
from rabbitry.cluster.administration import Administration
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.records import (
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteOwned,
    Refused,
    Request,
    Unbind,
)
from rabbitry.cluster.replies import Replies


class FakeHosting:
    """Proxies are the entries themselves."""

    def __init__(self) -> None:
        self.routes = Routes()

    def proxy(self, entry: QueueEntry) -> QueueEntry:
        return entry


class Stage:
    def __init__(self, *requests: Request) -> None:
        self.asked: list[Request] = []
        self.callbacks: list[Callable[[Refused | None], None]] = []
        self.answers: list[Refusal | None] = []
        hosting: Any = FakeHosting()
        nobody: Any = None
        replies = Replies("a#1", nobody, hosting.routes)
        self.administration = Administration("a#1", hosting, self.ask, replies)
        history = History()
        for request in requests:
            history.grant(request)
        self.administration.set_catalog(history.catalog)

    def ask(self, request: Request, on_answer: Callable[[Refused | None], None]) -> None:
        self.asked.append(request)
        self.callbacks.append(on_answer)

    def declare_queue(self, name: str, owner: str = "", durable: bool = True) -> None:
        self.administration.declare_queue(
            "/", name, durable, False, owner, b"", self.answers.append
        )

    def declare_exchange(self, name: str, kind: str = "fanout") -> None:
        self.administration.declare_exchange(
            "/", name, kind, True, False, False, b"", self.answers.append
        )

    def bind(self, destination: str, *, unbind: bool = False, owner: str = "") -> None:
        self.administration.bind(
            unbind, "/", "x", "queue", destination, "k", b"", owner, self.answers.append
        )


QUEUE = DeclareQueue("/", "q", True, False, "", b"")
EXCHANGE = DeclareExchange("/", "x", "fanout", True, False, False, b"")
BIND = Bind("/", "x", "queue", "q", "k", b"")


def test_what_is_new_is_asked_of_the_coordinator() -> None:
    stage = Stage()
    stage.declare_queue("q")
    stage.declare_exchange("x")
    stage.bind("q")
    stage.bind("q", unbind=True)
    stage.administration.delete_exchange("/", "x", True, stage.answers.append)
    unbind = Unbind("/", "x", "queue", "q", "k", b"")
    assert stage.asked == [QUEUE, EXCHANGE, BIND, unbind, DeleteExchange("/", "x", True)]
    assert stage.answers == []
    stage.callbacks[0](None)
    stage.callbacks[1](Refused(406, "differs", hard=True))
    assert stage.answers == [None, Refusal(406, "differs", hard=True)]


def test_what_is_there_in_the_same_form_is_answered_at_once() -> None:
    stage = Stage(QUEUE, EXCHANGE, BIND)
    stage.declare_queue("q")
    stage.declare_exchange("x")
    stage.bind("q")
    assert stage.answers == [None, None, None]
    assert stage.asked == []


def test_what_is_there_in_another_form_is_refused_at_once() -> None:
    stage = Stage(QUEUE, EXCHANGE)
    stage.declare_queue("q", durable=False)
    stage.declare_exchange("x", "topic")
    assert [refusal and refusal.reply_code for refusal in stage.answers] == [406, 406]
    assert stage.asked == []


def test_a_locked_queue_is_asked_for_since_its_connection_may_have_ended() -> None:
    locked = DeclareQueue("/", "q", True, False, "a#1/1", b"")
    stage = Stage(locked)
    stage.declare_queue("q", "a#1/2")
    assert stage.answers == []
    assert stage.asked == [DeclareQueue("/", "q", True, False, "a#1/2", b"")]
    stage.declare_queue("q", "a#1/1")
    assert stage.answers == [None]


def test_unbinding_is_always_asked_for() -> None:
    stage = Stage(QUEUE, EXCHANGE, BIND)
    stage.bind("q", unbind=True)
    assert len(stage.asked) == 1


def test_a_connection_that_ends_takes_its_queues_though_they_are_still_on_their_way() -> None:
    stage = Stage()
    stage.declare_queue("mine", "a#1/5")
    gone: list[str] = []
    stage.administration.delete_owned("a#1/5", lambda: gone.append("first"))
    assert stage.asked[1:] == [DeleteOwned("a#1/5")]
    assert gone == []
    stage.administration.delete_owned("a#1/5", lambda: gone.append("nothing left"))
    stage.callbacks[1](None)
    assert stage.asked[2:] == []
    assert gone == ["nothing left", "first"]


def test_a_connection_without_exclusive_queues_costs_the_coordinator_nothing() -> None:
    stage = Stage()
    stage.declare_queue("q")
    gone: list[bool] = []
    stage.administration.delete_owned("a#1/5", lambda: gone.append(True))
    assert (stage.asked, gone) == ([QUEUE], [True])


def test_looking_up() -> None:
    stage = Stage(QUEUE, EXCHANGE, BIND)
    administration = stage.administration
    entry = administration.catalog.find_queue("/", "q")
    exchange = administration.find_exchange("/", "x")
    assert isinstance(exchange, Exchange)
    assert administration.find_exchange("/", "y") is None
    assert administration.find_queue("/", "q") is entry
    assert administration.find_queue("/", "r") is None
    assert administration.route("/", exchange, ["anything"]) == [entry]
    route = administration.intern_route(b"x", b"k", 0)
    assert administration.intern_route(b"x", b"k", 0) is route


def test_routing_version_never_comes_twice() -> None:
    stage = Stage(QUEUE, EXCHANGE, BIND)
    port: BrokerPort = stage.administration
    versions = [port.routing_version]
    stage.administration.set_catalog(Catalog())  # whose own count is smaller
    versions.append(port.routing_version)
    stage.administration.set_catalog(Catalog())
    versions.append(port.routing_version)
    assert versions == sorted(set(versions))
    assert len(versions) == 3
    with pytest.raises(AttributeError):
        stage.administration.routing_version = 5  # type: ignore[misc]
