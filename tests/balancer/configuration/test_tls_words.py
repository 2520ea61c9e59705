"""Tests of words about TLS."""

from __future__ import annotations

import pytest

from rabbitry.balancer.configuration.lexer import Mistake
from rabbitry.balancer.configuration.model import BindTls, ServerTls
from rabbitry.balancer.configuration.tls_words import (
    place_file,
    read_protocols,
    read_version,
    version_word,
    versions_in_order,
)


@pytest.mark.parametrize(
    ("words", "versions"),
    [
        (["force-tlsv12"], ("TLSv1.2", "TLSv1.2")),
        (["no-tlsv10"], ("TLSv1.1", None)),
        (["no-tlsv10", "no-tlsv11"], ("TLSv1.2", None)),
        (["no-tlsv13"], (None, "TLSv1.2")),
        (["no-tlsv13", "no-tlsv12"], (None, "TLSv1.1")),
        (["no-tlsv11"], ("TLSv1.2", None)),
    ],
)
def test_versions(words: list[str], versions: tuple[str | None, str | None]) -> None:
    tls = ServerTls()
    for word in words:
        tls = version_word(tls, word, "")
    assert (tls.minimum_version, tls.maximum_version) == versions


def test_what_is_left_out_already_changes_nothing() -> None:
    assert version_word(BindTls(()), "no-tlsv10", "") == BindTls(())
    tls = version_word(BindTls(()), "ssl-max-ver", "TLSv1.2")
    with pytest.raises(Mistake, match="leaves no version"):
        version_word(tls, "no-tlsv12", "")


def test_tickets_can_be_switched() -> None:
    tls = version_word(BindTls(()), "no-tls-tickets", "")
    assert not tls.tickets
    assert version_word(tls, "tls-tickets", "").tickets


def test_wrong_versions() -> None:
    with pytest.raises(Mistake, match="not had any more"):
        read_version("SSLv3")
    with pytest.raises(Mistake, match="is above"):
        versions_in_order("TLSv1.3", "TLSv1.2")
    versions_in_order("TLSv1.2", None)


def test_protocols_and_files() -> None:
    assert read_protocols("a,b") == ("a", "b")
    for wrong in ("", "a,", "a" * 256):
        with pytest.raises(Mistake):
            read_protocols(wrong)
    assert place_file("x.pem", "/certs/") == "/certs/x.pem"
    assert place_file("/x.pem", "/certs") == "/x.pem"
    assert place_file("@system-ca", "/certs") == "@system-ca"
    assert place_file("x.pem", "") == "x.pem"
