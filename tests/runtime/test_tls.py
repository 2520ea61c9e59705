"""TLS of a client listener: whom certificates name, files that change, and links under it."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.certificates import Certificates

from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    Effect,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    Report,
    SendBytes,
)
from rabbitry.runtime.driver import Driver
from rabbitry.runtime.node_options import LoginFrom
from rabbitry.runtime.server_names import NamedCertificate
from rabbitry.runtime.tls import Tls, TlsFailed, TlsSettings, name_of

Run = Callable[[Coroutine[Any, Any, Any]], Any]
SUBJECT = {
    "subject": (
        (("countryName", "DE"),),
        (("organizationName", "Acme, Inc."), ("1.2.3.4", "x")),
        (("commonName", " #böse\\+"),),
        (("commonName", "second "),),
    ),
    "subjectAltName": (("email", "a@b"), ("DNS", "one.example"), ("DNS", "two.example")),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login_from", "name"),
    [
        (
            "distinguished_name",
            "CN=second\\ ,CN=\\ #b\\C3\\B6se\\\\\\+,O=Acme\\, Inc.+1.2.3.4=x,C=DE",
        ),
        ("common_name", " #böse\\+,second "),
        ("subject_alternative_name", "one.example"),
    ],
)
def test_whom_a_certificate_names(login_from: LoginFrom, name: str) -> None:
    assert name_of(SUBJECT, login_from) == name
    assert name_of({}, login_from) == ""


def test_a_name_counts_where_certificates_are_verified_and_asked_for_it(
    files: Certificates,
) -> None:
    def name(
        verify: bool,
        certificate: dict[str, Any] | None,
        login_from: LoginFrom | None = "common_name",
    ) -> str | None:
        settings = TlsSettings(
            cert=files.cert, key=files.key, ca=files.ca, verify=verify, login_from=login_from
        )
        return Tls(settings, lambda *report: None).peer_name(certificate)

    assert name(True, SUBJECT) == " #böse\\+,second "
    assert name(True, None) == ""
    assert name(False, SUBJECT) is None
    assert name(True, SUBJECT, None) is None


# --- files ----------------------------------------------------------------------------------------


def test_new_files_are_used_and_bad_ones_leave_the_old(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    told: list[tuple[str, dict[str, object]]] = []
    settings = TlsSettings(cert=files.cert, key=files.key)
    tls = Tls(settings, lambda level, what, details: told.append((level, details)))
    first = tls.context()
    assert tls.context() is first
    Path(files.cert).write_text("half of a")
    assert (tls.context(), tls.context()) == (first, first)
    ((level, details),) = told
    assert (level, "cannot use certificate" in str(details["reason"])) == ("error", True)
    os.remove(files.key)
    assert tls.context() is first
    assert len(told) == 2
    files.renew()
    assert tls.context() is not first
    assert told[2:] == [("info", {"cert": files.cert})]


def test_files_of_many_are_looked_at_now_and_then_or_when_told(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    named = (NamedCertificate(cert=files.cert, key=files.key, filters=()),)
    settings = TlsSettings(cert=files.cert, key=files.key, named=named)
    tls = Tls(settings, lambda *report: None)
    first = tls.context()
    files.renew()
    assert tls.context() is first
    tls.renew()
    assert tls.context() is not first


def test_what_cannot_be_used_at_the_start(files: Certificates, tmp_path: Path) -> None:
    def begin(**different: Any) -> None:
        settings = {"cert": files.cert, "key": files.key, **different}
        Tls(TlsSettings(**settings), lambda *report: None)

    other = Certificates(tmp_path)
    with pytest.raises(TlsFailed, match=f"{other.key}: key values mismatch"):
        begin(key=other.key)
    with pytest.raises(TlsFailed, match="cannot use CA file /none: No such file"):
        begin(ca="/none", verify=True)
    with pytest.raises(TlsFailed, match=f"CA file {other.key}: no certificate or crl found"):
        begin(ca=other.key, verify=True)


# --- links ----------------------------------------------------------------------------------------


class Echo:
    """Sends back what comes; after "bye" it says so and closes."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def step(self, event: Event, now: int) -> list[Effect]:
        self.events.append(event)
        if isinstance(event, BytesReceived):
            sent: list[Effect] = [SendBytes(event.link, event.data)]
            return [*sent, CloseLink(event.link)] if event.data.endswith(b"bye") else sent
        if isinstance(event, LinkFinished):
            return [CloseLink(event.link)]
        return []

    def names(self) -> list[str | None]:
        return [event.peer_name for event in self.events if isinstance(event, LinkOpened)]

    def closed(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, LinkClosed)]


async def talking(
    settings: TlsSettings, talk: Callable[[Address], Coroutine[Any, Any, None]]
) -> tuple[Echo, list[Report]]:
    """Have `talk` speak with an echo behind TLS."""
    machine, reports = Echo(), list[Report]()
    driver = Driver(machine, on_report=reports.append)
    driver.start()
    try:
        await talk(await driver.listen("amqps", "127.0.0.1", 0, settings))
    finally:
        await driver.close()
    return machine, reports


def verifying(files: Certificates, required: bool = False) -> TlsSettings:
    return TlsSettings(
        cert=files.cert,
        key=files.key,
        ca=files.ca,
        verify=True,
        fail_if_no_peer_cert=required,
        login_from="distinguished_name",
    )


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_go_there_and_back_and_the_end_is_in_order(
    run: Run, files: Certificates, version: ssl.TLSVersion
) -> None:
    many = os.urandom(3_000_000)

    async def talk(address: Address) -> None:
        for name in ("", "bunny"):
            context = files.client(name)
            context.minimum_version = context.maximum_version = version
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
            writer.write(many)
            assert await reader.readexactly(len(many)) == many
            writer.write(b"bye")
            assert await reader.read() == b"bye"  # and then the end, said by close_notify
            writer.close()
            await writer.wait_closed()

    machine, reports = run(talking(verifying(files), talk))
    assert machine.names() == ["", "CN=bunny,OU=Burrow 7,O=Warren"]
    assert set(machine.closed()) == {""}
    assert reports == []


def test_without_verification_nobody_has_a_name(run: Run, files: Certificates) -> None:
    async def talk(address: Address) -> None:
        _, writer = await asyncio.open_connection(
            address.host, address.port, ssl=files.client("bunny")
        )
        writer.close()
        await writer.wait_closed()

    machine, _ = run(talking(TlsSettings(cert=files.cert, key=files.key), talk))
    assert machine.names() == [None]


@pytest.mark.parametrize("stranger", [True, False])
def test_clients_without_a_good_certificate_do_not_get_in(
    run: Run, files: Certificates, stranger: bool
) -> None:
    context = files.client("bunny", trustme.CA()) if stranger else files.client()

    async def talk(address: Address) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            try:
                # With TLS 1.3 the client believes it is in until it hears the alert.
                writer.write(b"x")
                if await reader.read() == b"":
                    raise ConnectionError
            finally:
                writer.transport.abort()

    machine, reports = run(talking(verifying(files, required=True), talk))
    assert machine.names() == []
    (report,) = reports
    assert (report.level, report.what) == ("warning", "TLS handshake failed")
    assert str(report.details["peer"]).startswith("127.0.0.1:")


def test_bytes_that_are_no_tls_end_the_link_and_nothing_else(run: Run, files: Certificates) -> None:
    async def talk(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"AMQP\x00\x00\x09\x01")
        await reader.read()
        writer.close()
        # Looks whether the port is open are worth no line of the log.
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()
        await writer.wait_closed()
        reader, writer = await asyncio.open_connection(
            address.host, address.port, ssl=files.client()
        )
        writer.write(b"bye")
        assert await reader.read() == b"bye"
        writer.close()

    machine, reports = run(talking(verifying(files), talk))
    assert machine.names() == [""]
    assert [report.what for report in reports] == ["TLS handshake failed"]
