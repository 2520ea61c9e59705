"""`rabbitry vhosts`: added, listed, deleted."""

from __future__ import annotations

from support.operated import Operated


def test_a_virtual_hosts_life(operated: Operated) -> None:
    operated.run("vhosts", "add", "shop", "--description", "orders and invoices")
    assert "shop   orders and invoices" in operated.run("vhosts", "list")
    assert "exists already" in operated.fails("vhosts", "add", "shop")
    operated.run("vhosts", "delete", "shop")
    assert list(operated.catalog.virtual_hosts) == ["/"]
    assert "'shop' does not exist" in operated.fails("vhosts", "delete", "shop")
