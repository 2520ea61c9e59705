"""`rabbitry limits`: of virtual hosts and of users."""

from __future__ import annotations

from support.operated import Operated


def test_limits_of_a_virtual_host(operated: Operated) -> None:
    operated.run("limits", "set-vhost", "/", "--max-connections", "9", "--max-queues", "-1")
    assert operated.catalog.virtual_host_limit("/", "max-connections") == 9
    assert operated.catalog.virtual_host_limit("/", "max-queues") is None
    assert "vhost  /     max-connections  9" in operated.run("limits", "list")
    operated.run("limits", "set-vhost", "/")
    assert operated.catalog.parameters == {}


def test_limits_of_a_user(operated: Operated) -> None:
    operated.run("limits", "set-user", "guest", "--max-channels", "7")
    assert operated.catalog.access.users["guest"].limits == {"max-channels": 7}
    assert operated.catalog.access.users["guest"].tags == ("administrator",)
    assert "user  guest  max-channels  7" in operated.run("limits", "list")
    operated.run("limits", "set-user", "guest")
    assert operated.catalog.access.users["guest"].limits == {}


def test_what_cannot_be(operated: Operated) -> None:
    assert "'bob' does not exist" in operated.fails("limits", "set-user", "bob")
    assert "'shop' does not exist" in operated.fails("limits", "set-vhost", "shop")
    assert "--max-queues" in operated.fails("limits", "set-vhost", "/", "--max-queues", "-2")
