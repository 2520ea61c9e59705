"""The names and ports of `rabbitry up` are those of the classic walk-through."""

from __future__ import annotations

from pathlib import Path

import pytest

from rabbitry.machine import Address
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.node_options import NodeOptions
from rabbitry.runtime.up_settings import UpSettings, check_ports


def test_nodes_have_the_names_and_ports_of_the_classic_walk_through() -> None:
    settings = UpSettings(Path("/tmp/x"))
    assert settings.places == [
        ("rabbit", Address("127.0.0.1", 5672)),
        ("rabbit_1", Address("127.0.0.1", 5673)),
        ("rabbit_2", Address("127.0.0.1", 5674)),
    ]
    assert settings.front == Address("127.0.0.1", 5670)
    assert settings.statistics == Address("127.0.0.1", 8100)


def test_with_a_certificate_each_has_a_port_for_tls() -> None:
    assert UpSettings(Path("/tmp/x")).tls_places == []
    settings = UpSettings(Path("/tmp/x"), nodes=2, options=NodeOptions(tls_cert="a.pem"))
    assert settings.tls_places == [
        ("rabbit", Address("127.0.0.1", 5691)),
        ("rabbit_1", Address("127.0.0.1", 5692)),
    ]
    assert settings.tls_front == Address("127.0.0.1", 5671)


def test_a_port_is_for_one_thing() -> None:
    tls = NodeOptions(tls_cert="a.pem")
    check_ports(UpSettings(Path("/tmp/x"), options=tls))
    with pytest.raises(UserError, match=r"5671 is wanted for node rabbit \(TLS\) and for the bal"):
        check_ports(UpSettings(Path("/tmp/x"), options=tls, tls_port=5671, nodes=1))
    check_ports(UpSettings(Path("/tmp/x"), tls_port=5671))
