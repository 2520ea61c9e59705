"""The names and ports of `rabbitry up` are those of the classic walk-through."""

from __future__ import annotations

from pathlib import Path

from rabbitry.machine import Address
from rabbitry.runtime.node_options import NodeOptions
from rabbitry.runtime.up_settings import UpSettings


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
