"""Tests of `bind` lines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.configuration_text import bind, front, mistake, mistakes, warnings

from rabbitry.balancer.configuration.addresses import ADDRESSES_MAX
from rabbitry.balancer.configuration.model import BindLine, BindTls, CertificateList
from rabbitry.machine import Address

PLAIN = Address("127.0.0.1", 1)


def test_words_of_a_plain_address() -> None:
    line = bind(
        "127.0.0.1:1 accept-proxy name n id 7 maxconn 9 backlog 10 tcp-ut 30s v4v6 level admin"
    )
    assert line == BindLine(
        PLAIN,
        name="n",
        accept_proxy=True,
        maxconn=9,
        backlog=10,
        v4v6=True,
        tcp_user_timeout_us=30_000_000,
        level="admin",
        id=7,
    )
    assert bind(":::1 v4v6 v6only").v6only


def test_every_address_has_all_words() -> None:
    binds = front("bind 127.0.0.1:3-4,[::1]:5 accept-proxy name n id 20").binds[1:]
    assert [each.address.port for each in binds] == [3, 4, 5]
    assert all(each.accept_proxy and each.name == "n" for each in binds)
    assert [each.id for each in binds] == [20, 21, 22]


def test_files_of_unix_sockets() -> None:
    line = bind("/run/x mode 660 user u gid 5")
    assert (line.address, line.mode) == (Address("/run/x", 0), 0o660)
    assert (line.user, line.group) == ("u", "5")
    assert bind("127.0.0.1:1 mode 660").mode is None
    before = "unix-bind prefix /run mode 600 user u"
    line = bind("/x mode 660", before)
    assert (line.address.host, line.mode, line.user) == ("/run/x", 0o660, "u")
    assert bind("abns@x", before).address.host == "@x"


def test_tls() -> None:
    words = "ssl crt a.pem crt /b ca-file c verify required alpn h2,amqp ciphers X ciphersuites Y"
    before = "crt-base /certs\nca-base /cas"
    line = bind(f"127.0.0.1:1 {words} ssl-min-ver TLSv1.3 no-tls-tickets", before)
    assert line.tls == BindTls(
        ("/certs/a.pem", "/b"),
        "/cas/c",
        "required",
        "X",
        "Y",
        "TLSv1.3",
        None,
        ("h2", "amqp"),
        tickets=False,
    )


def test_tls_begins_with_what_global_says() -> None:
    before = (
        "ssl-default-bind-ciphers A\nssl-default-bind-ciphersuites B\n"
        "ssl-default-bind-options ssl-min-ver TLSv1.1 ssl-max-ver TLSv1.2 no-tls-tickets"
    )
    tls = bind("127.0.0.1:1 ssl crt x", before).tls
    assert tls is not None
    assert (tls.ciphers, tls.ciphersuites, tls.tickets) == ("A", "B", False)
    assert (tls.minimum_version, tls.maximum_version) == ("TLSv1.1", "TLSv1.2")
    assert bind("127.0.0.1:1 ssl crt x").tls == BindTls(("x",))


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("127.0.0.1:3 ssl", "no certificate"),
        ("127.0.0.1:3 ssl crt x verify required", "nobody to trust"),
        ("127.0.0.1:3 ssl crt x ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.2", "above"),
        ("127.0.0.1:3 ssl crt x ssl-min-ver TLSv1", "did you mean"),
        ("127.0.0.1:3 ssl crt x verify maybe", "use one of"),
        ("127.0.0.1:3 ssl crt x alpn h2,,a", "NAME,NAME"),
        ("127.0.0.1:3 ssl crt", "needs a file"),
        ("127.0.0.1:3 ca-ignore-err all", "checked or not"),
        ("127.0.0.1:3 interface eth0", "address of that interface"),
        ("127.0.0.1:3 maxcon 5", "did you mean 'maxconn'"),
        ("127.0.0.1:3 maxconn -1", "from 0"),
        ("127.0.0.1:3 mode 999", "octal"),
        ("127.0.0.1:3 name", "needs a name"),
        ("127.0.0.1:3 nice", "needs an argument"),
        ("", "needs HOST:PORT"),
        ("127.0.0.1:1-20000", f"more than {ADDRESSES_MAX}"),
    ],
)
def test_mistakes(words: str, advice: str) -> None:
    assert advice in mistake(f"bind {words}")


def test_more_words_of_tls() -> None:
    words = "ssl crt-list l crt b strict-sni ca-verify-file v crl-file r"
    line = bind(f"127.0.0.1:1 {words}", "crt-base /certs\nca-base /cas")
    assert line.tls == BindTls(
        (CertificateList("l", "/certs"), "/certs/b"),
        strict_sni=True,
        ca_verify_file="/cas/v",
        crl_file="/cas/r",
    )


def test_a_line_knows_where_it_stands() -> None:
    assert bind("127.0.0.1:1").place == "f.cfg:4"
    assert bind("127.0.0.1:1") == replace(bind("127.0.0.1:1"), place="elsewhere")


def test_what_tunes_is_ignored_with_a_warning() -> None:
    assert warnings("bind 127.0.0.1:3 tfo nice 5 thread 1 defer-accept") == [
        *("tfo", "nice", "thread", "defer-accept")
    ]
    assert warnings("bind 127.0.0.1:3 crt x") == ["crt"]
    words = "ssl crt x no-tls-tickets ciphersuites A"
    assert warnings(f"bind 127.0.0.1:3 {words}") == ["ciphersuites"]
    assert warnings("bind :3,*:4,:::5") == []  # all addresses: who writes that means it
    assert warnings("bind 127.0.0.1:3 uid haproxy") == ["haproxy"]


def test_bind_is_of_fronts() -> None:
    assert "cannot stand in 'defaults'" in mistakes("defaults\nbind 127.0.0.1:1\nbackend b\n")[0]
