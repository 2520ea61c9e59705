"""`rabbitry policies`: set, listed, deleted, for operators too."""

from __future__ import annotations

from support.operated import Operated

SET = ("policies", "set", "limits", "^q")


def test_a_policys_life(operated: Operated) -> None:
    operated.run(*SET, '{"max-length": 5}', "--priority", "3", "--apply-to", "queues")
    operated.run(*SET, '{"max-length": 3}', "--operator")
    policies = operated.catalog.virtual_hosts["/"].policies
    assert policies[False, "limits"].priority == 3
    assert policies[True, "limits"].definition == {"max-length": 3}
    lines = [line.split() for line in operated.run("policies", "list").splitlines()]
    assert ["/", "limits", "policy", "^q", "queues", "3", '{"max-length":5}'] in lines
    assert ["/", "limits", "operator", "^q", "all", "0", '{"max-length":3}'] in lines
    operated.run("policies", "delete", "limits", "--operator")
    assert list(policies) == [(False, "limits")]
    operated.run("policies", "delete", "limits")
    assert policies == {}


def test_what_cannot_be(operated: Operated) -> None:
    assert 'as in {"max-length": 5}' in operated.fails(*SET, "max-length=5")
    assert "'surprise' is not a recognised" in operated.fails(*SET, '{"surprise": 1}')
    assert "does not exist in vhost '/'" in operated.fails("policies", "delete", "limits")
    assert "'shop' does not exist" in operated.fails(*SET, '{"expires": 1}', "-p", "shop")
