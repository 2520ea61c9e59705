"""A `bind` line becomes a socket's options and its TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from rabbitry.balancer.configuration.model import (
    MAXCONN_DEFAULT,
    BindLine,
    BindTls,
    FrontendSection,
    Keepalive,
)
from rabbitry.machine import Address, LinkOptions
from rabbitry.runtime.binding import listen_options, tls_settings
from rabbitry.runtime.listeners import BACKLOG, ListenOptions
from rabbitry.runtime.server_names import NamedCertificate
from rabbitry.runtime.tls import TlsFailed, TlsSettings

HERE = Address("127.0.0.1", 1)


def section(bind: BindLine, **different: object) -> FrontendSection:
    return FrontendSection("front", 2, "tcp", (bind,), **different)  # type: ignore[arg-type]


def test_what_is_not_said_is_as_the_system_has_it() -> None:
    options = listen_options(BindLine(HERE), section(BindLine(HERE)))
    assert options == ListenOptions(backlog=MAXCONN_DEFAULT)
    assert listen_options(BindLine(HERE), None).backlog == BACKLOG
    assert tls_settings(BindLine(HERE)) is None


def test_options_of_the_line_and_of_its_section() -> None:
    bind = BindLine(HERE, v6only=True, mode=0o660, user="amqp", group="amqp")
    options = listen_options(bind, section(bind, backlog=7, keepalive=Keepalive(idle_s=9)))
    assert options == ListenOptions(
        backlog=7,
        v6only=True,
        unix_mode=0o660,
        unix_user="amqp",
        unix_group="amqp",
        links=LinkOptions(keepalive=True, keepalive_idle_s=9),
    )
    bind = BindLine(HERE, backlog=8, v4v6=True)
    options = listen_options(bind, section(bind, backlog=7))
    assert (options.backlog, options.v6only) == (8, False)


def test_as_many_may_wait_as_may_come_in() -> None:
    bind = BindLine(HERE)
    assert listen_options(bind, section(bind, maxconn=3000)).backlog == 3000
    assert listen_options(BindLine(HERE, maxconn=2000), section(bind)).backlog == 2000
    assert listen_options(bind, section(bind, maxconn=10)).backlog == BACKLOG


@pytest.mark.parametrize(
    ("verify", "verified", "required"),
    [("none", False, False), ("optional", True, False), ("required", True, True)],
)
def test_tls(verify: str, verified: bool, required: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----")
    tls = BindTls((str(path),), ca_file="/ca.pem", verify=verify, ciphers="HIGH", alpn=("amqp",))
    assert tls_settings(BindLine(HERE, tls=tls)) == TlsSettings(
        cert=str(path),
        key=str(path),
        ca="/ca.pem",
        verify=verified,
        fail_if_no_peer_cert=required,
        ciphers="HIGH",
        minimum_version="TLSv1.2",
        alpn=("amqp",),
    )
    greeted = tls_settings(BindLine(HERE, tls=tls, accept_proxy=True))
    assert greeted is not None and greeted.after_proxy_header
    with pytest.raises(TlsFailed, match="needs a certificate"):
        tls_settings(BindLine(HERE, tls=BindTls(())))


def test_several_certificates_are_chosen_by_name(tmp_path: Path) -> None:
    path = str(tmp_path / "c.pem")
    Path(path).write_text("-----BEGIN PRIVATE KEY-----")
    named = NamedCertificate(cert=path, key=path)
    settings = tls_settings(BindLine(HERE, tls=BindTls((path, path), crl_file="/crl")))
    assert settings is not None
    assert (settings.named, settings.strict_sni, settings.crl) == ((named, named), False, "/crl")
    settings = tls_settings(BindLine(HERE, tls=BindTls((path,), strict_sni=True, tickets=False)))
    assert settings is not None
    assert (settings.named, settings.strict_sni, settings.tickets) == ((named,), True, False)
