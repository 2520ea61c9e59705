"""Every message between the processes of a balancer comes out as it went in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import pytest

from rabbitry.machine import Address, LinkOptions, LinkTls, Measure
from rabbitry.runtime import hand_messages as m
from rabbitry.runtime.listeners import ListenOptions
from rabbitry.runtime.server_names import NamedCertificate
from rabbitry.runtime.tls import TlsSettings, settings_of

HERE = Address("127.0.0.1", 5672)
OPTIONS = LinkOptions(tls=LinkTls(sni="x", verify=False), keepalive=True, source=HERE)
TLS = asdict(TlsSettings(cert="c", key="k"))

WANTED: list[Any] = [
    m.Listen("front", None, ListenOptions(), True),
    m.Listen(
        "front",
        dict(TLS, alpn=[], named=[]),
        ListenOptions(backlog=9, unix_mode=0o600, links=OPTIONS),
        True,
    ),
    *[m.StopListening("front"), m.Pause("front"), m.Resume("front")],
    *[m.Open(-1, HERE, None), m.Open(-2, HERE, OPTIONS), m.Send(3, b"\0\xff"), m.Finish(3)],
    *[m.Close(3, True), m.PauseLink(3), m.ResumeLink(3), m.Join(3, -1, 2**40, 0)],
    *[m.MeasureThem([3, -1], 4), m.End(False), m.Ping()],
    m.Become(None, 12, "group b"),
    m.Renew(),
]
HAPPENED: list[Any] = [
    m.Opened(3, "front", HERE, "bunny", HERE, True),
    m.Opened(-1, "", HERE, None, None, None),
    *[m.Received(3, b"abc"), m.Finished(3), m.Closed(3, "why", True), m.WritingPaces(3, True)],
    m.Measured([Measure(3, 2**50, 4, 5)], 6),
    m.Told("error", "what", {"reason": "why", "links": 4, "share": 0.5, "none": None}),
    m.Alive(),
    m.Became("why not"),
    m.Renewed(),
]


@pytest.mark.parametrize(
    ("batch", "decoder", "kinds"),
    [
        (WANTED, m.wanted_decoder, m.Wanted),
        (HAPPENED, m.happened_decoder, m.Happened),
    ],
)
def test_all_of_them(batch: list[Any], decoder: Any, kinds: Any) -> None:
    assert {type(message) for message in batch} == set(get_args(kinds))
    data = m.encode(batch)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert decoder.decode(data[4:]) == batch


def test_settings_of_tls_can_be_sent() -> None:
    named = NamedCertificate(cert="c", key="k", filters=("a", "b"))
    settings = TlsSettings(cert="c", key="k", alpn=("amqp",), named=(named, named))
    told = m.Listen("a", asdict(settings), ListenOptions(), True)
    (listen,) = m.wanted_decoder.decode(m.encode([told])[4:])
    assert isinstance(listen, m.Listen) and listen.tls is not None
    assert settings_of(listen.tls) == settings
