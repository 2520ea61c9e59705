"""Limits on connections and channels, counted over all nodes."""

from __future__ import annotations

from dataclasses import dataclass

from support.coordination_catalogs import History

from rabbitry.cluster.access_records import ConnectionsTold, SetParameter, SetUser
from rabbitry.cluster.tracking import ConnectionTracking


@dataclass
class Connection:
    user: str = "guest"
    virtual_host: str = "/"
    channel_count: int = 0


class Stage:
    def __init__(self, *connections: Connection) -> None:
        self.history = History()
        self.connections = list(connections)
        self.tracking = ConnectionTracking(lambda: self.history.catalog, lambda: self.connections)

    def limit_host(self, limits: bytes) -> None:
        self.history.grant(SetParameter("/", "vhost-limits", "limits", limits))

    def limit_user(self, **limits: int) -> None:
        named = {name.replace("_", "-"): limit for name, limit in limits.items()}
        self.history.grant(SetUser("guest", limits=named))

    def refusal(self) -> str:
        return self.tracking.connection_refusal("guest", "/")


def test_without_limits_nothing_is_refused_and_nothing_told() -> None:
    stage = Stage(Connection(channel_count=9))
    assert stage.refusal() == ""
    assert stage.tracking.channel_refusal("guest") == ""
    assert stage.tracking.changed
    assert stage.tracking.take_news() is None
    assert not stage.tracking.changed


def test_a_limit_of_a_virtual_host() -> None:
    stage = Stage(Connection(), Connection(virtual_host=""))
    stage.limit_host(b'{"max-connections":2}')
    assert stage.refusal() == ""
    stage.connections.append(Connection("another"))
    assert stage.refusal() == (
        "access to vhost '/' refused for user 'guest': connection limit (2) is reached"
    )
    assert stage.tracking.connection_refusal("guest", "another") == ""


def test_a_limit_of_nought_lets_nobody_in_and_a_negative_one_everybody() -> None:
    stage = Stage()
    stage.limit_host(b'{"max-connections":0}')
    assert "connection limit (0) is reached" in stage.refusal()
    stage.limit_host(b'{"max-connections":-1}')
    assert stage.refusal() == ""


def test_limits_of_a_user() -> None:
    stage = Stage(Connection(channel_count=2), Connection("another", channel_count=5))
    stage.limit_user(max_connections=1, max_channels=3)
    assert stage.refusal() == (
        "connection refused for user 'guest': user connection limit (1) is reached"
    )
    assert stage.tracking.channel_refusal("guest") == ""
    stage.connections[0].channel_count = 3
    assert stage.tracking.channel_refusal("guest") == (
        "number of channels opened for user 'guest' has reached the maximum allowed user limit "
        "of (3)"
    )


def test_what_other_nodes_tell_counts_until_they_are_gone() -> None:
    stage = Stage()
    stage.limit_host(b'{"max-connections":1}')
    stage.tracking.told("b", ConnectionsTold({"/": 1}, {"guest": 1}, {"guest": 0}))
    assert stage.refusal()
    stage.tracking.forget("b")
    assert stage.refusal() == ""


def test_news_are_told_once_or_to_one_that_is_new() -> None:
    stage = Stage(Connection(channel_count=2))
    stage.limit_host(b'{"max-connections":1}')
    news = stage.tracking.take_news()
    assert news == ConnectionsTold({"/": 1}, {"guest": 1}, {"guest": 2})
    assert stage.tracking.take_news() is None
    assert stage.tracking.take_news(again=True) == news
    stage.connections.clear()
    assert stage.tracking.take_news() == ConnectionsTold({}, {}, {})


def test_who_may_log_in_is_the_catalogs() -> None:
    stage = Stage()
    assert stage.tracking.access is stage.history.catalog.access
    assert stage.tracking.has_virtual_host("/")
    assert not stage.tracking.has_virtual_host("v")
