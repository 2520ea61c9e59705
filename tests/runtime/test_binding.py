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
from rabbitry.runtime.binding import certificate_files, listen_options, tls_settings
from rabbitry.runtime.listeners import BACKLOG, ListenOptions
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
def test_tls(verify: str, verified: bool, required: bool) -> None:
    tls = BindTls(("/c.pem",), ca_file="/ca.pem", verify=verify, ciphers="HIGH", alpn=("amqp",))
    assert tls_settings(BindLine(HERE, tls=tls)) == TlsSettings(
        cert="/c.pem",
        key="/c.pem",
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


def test_where_the_key_is(tmp_path: Path) -> None:
    both, alone = tmp_path / "a.pem", tmp_path / "b.pem"
    for path in (both, alone, tmp_path / "b.pem.key", tmp_path / "a.pem.ocsp"):
        path.touch()
    assert certificate_files(str(both)) == (str(both), str(both))
    assert certificate_files(str(alone)) == (str(alone), str(alone) + ".key")
    assert certificate_files(str(tmp_path)) == (str(both), str(both))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TlsFailed, match="there are none"):
        certificate_files(str(empty))
