"""Words about TLS that `bind` and `server` lines share: versions, ALPN, files.

Owns what they mean; `bind_words` and `server_words` say where they may stand. Sources:
configuration.txt 5.1 and 5.2, cfgparse-ssl.c. Opens no file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from rabbitry.balancer.configuration.lexer import Mistake, as_bytes, read_choice
from rabbitry.balancer.configuration.model import BindTls, ServerTls

VERSIONS = ("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_OF_WORDS = {"tlsv10": 0, "tlsv11": 1, "tlsv12": 2, "tlsv13": 3}

Tls = TypeVar("Tls", BindTls, ServerTls)

IGNORED_WORDS = {
    "allow-0rtt": 0, "curves": 1, "ecdhe": 1, "npn": 1, "tls-ticket-keys": 1,
    "prefer-client-ciphers": 0, "no-ca-names": 0, "no-sslv3": 0,
}  # fmt: skip
"""Words that only tune TLS, with how many words they take along."""

READ_IN_VAIN = {
    "ciphersuites": "TLS 1.3 has OpenSSL's own suites",
}
"""Words that are kept, for rendering, but that Python's ssl does not carry out."""

VERSION_WORDS = (
    *("ssl-min-ver", "ssl-max-ver", "tls-tickets", "no-tls-tickets"),
    *(f"{what}-{version}" for what in ("force", "no") for version in _OF_WORDS),
)
"""The words that `version_word` takes; the first two have an argument."""


def version_word(tls: Tls, word: str, value: str) -> Tls:
    """Carry out a word about versions or tickets; `value` is its argument, if it has one."""
    if word in ("ssl-min-ver", "ssl-max-ver"):
        version = read_version(value)
        if word == "ssl-min-ver":
            return replace(tls, minimum_version=version)
        return replace(tls, maximum_version=version)
    if word in ("tls-tickets", "no-tls-tickets"):
        return replace(tls, tickets=word == "tls-tickets")
    what, _, name = word.partition("-")
    index = _OF_WORDS[name]
    if what == "force":
        return replace(tls, minimum_version=VERSIONS[index], maximum_version=VERSIONS[index])
    return _without(tls, index)


def _without(tls: Tls, index: int) -> Tls:
    """Leave out one version; those that are left stay without a gap."""
    lowest = VERSIONS.index(tls.minimum_version or VERSIONS[0])
    highest = VERSIONS.index(tls.maximum_version or VERSIONS[-1])
    if index < lowest or index > highest:
        return tls
    if index == highest and index > lowest:
        return replace(tls, maximum_version=VERSIONS[index - 1])
    if index + 1 > highest:
        raise Mistake(f"no-{list(_OF_WORDS)[index]}", "leaves no version of TLS: remove it")
    return replace(tls, minimum_version=VERSIONS[index + 1])


def read_version(value: str) -> str:
    """Read `TLSv1.0` to `TLSv1.3`."""
    if value == "SSLv3":
        raise Mistake(value, "is not had any more: write TLSv1.2")
    return read_choice(value, VERSIONS)


def read_protocols(value: str) -> tuple[str, ...]:
    """Read the protocols of `alpn`, between commas."""
    protocols = tuple(value.split(","))
    if any(not 1 <= len(as_bytes(protocol)) <= 255 for protocol in protocols):
        raise Mistake(value, "has a protocol of no or too many bytes: write NAME,NAME")
    return protocols


def place_file(value: str, folder: str) -> str:
    """The path of a file of `crt` or `ca-file`, in the folder of `crt-base` or `ca-base`."""
    if value.startswith(("/", "@")) or not folder:
        return value
    return f"{folder.rstrip('/')}/{value}"


def versions_in_order(minimum: str | None, maximum: str | None) -> None:
    """Refuse a lowest version above the highest."""
    if minimum and maximum and VERSIONS.index(minimum) > VERSIONS.index(maximum):
        raise Mistake(minimum, f"is above {maximum}, the highest: lower it or raise ssl-max-ver")
