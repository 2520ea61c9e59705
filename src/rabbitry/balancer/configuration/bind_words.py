"""`bind` lines, and `stats socket` lines, which take the same words (configuration.txt 5.1).

Owns their words. What merely tunes HAProxy's sockets is ignored with a warning; what limits who
comes in (`interface`, `ca-ignore-err`, ...) is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rabbitry.balancer.configuration import tls_words
from rabbitry.balancer.configuration.addresses import ADDRESSES_MAX, is_unix, read_bind_addresses
from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    hint,
    read_choice,
    read_number,
    read_time_us,
)
from rabbitry.balancer.configuration.model import BindLine, BindTls, CertificateList
from rabbitry.balancer.configuration.sections import Reading, changed
from rabbitry.machine import Address

_IGNORED = {
    "defer-accept": 0, "tfo": 0, "mss": 1, "nice": 1, "process": 1, "thread": 1, "shards": 1,
    "severity-output": 1, "expose-fd": 1,
}  # fmt: skip
_REFUSED = {
    "accept-netscaler-cip": "is not understood: use accept-proxy",
    "interface": "is not carried out: write the address of that interface before it",
    "namespace": "is not carried out: start the balancer in that network namespace",
    "transparent": "is not carried out: write an address of this machine",
    "proto": "is about HTTP: remove it",
    "ca-sign-file": "is not carried out: certificates are not made here",
    "ca-sign-pass": "is not carried out: certificates are not made here",
    "generate-certificates": "is not carried out: certificates are not made here",
    "ca-ignore-err": "is not carried out: certificates are checked or not, see 'verify'",
    "crt-ignore-err": "is not carried out: certificates are checked or not, see 'verify'",
    "force-sslv3": "is not had any more: remove it",
}
_ARGUMENTS = {
    "name": "a name", "id": "a number", "maxconn": "a number", "backlog": "a number",
    "mode": "an octal number", "uid": "a number", "user": "a name", "gid": "a number",
    "group": "a name", "tcp-ut": "a time", "level": "user, operator or admin",
    "crt": "a file", "crt-list": "a file", "ca-file": "a file", "ca-verify-file": "a file",
    "crl-file": "a file", "verify": "none, optional or required",
    "ciphers": "ciphers", "ciphersuites": "ciphersuites", "alpn": "protocols",
    "ssl-min-ver": "a version", "ssl-max-ver": "a version",
}  # fmt: skip
_FLAGS = ("ssl", "strict-sni", "accept-proxy", "v6only", "v4v6")
_OF_TLS = (
    *("crt", "crt-list", "strict-sni", "ca-file", "ca-verify-file", "crl-file", "verify"),
    *("ciphers", "ciphersuites", "alpn"),
)
_OF_FILES = ("mode", "uid", "user", "gid", "group")
KNOWN = (*_FLAGS, *_ARGUMENTS, *tls_words.VERSION_WORDS)


def bind(reading: Reading, words: list[str]) -> None:
    """A `bind` line: its addresses, each with all of its words."""
    section = reading.here
    section.told_where = True
    where = argument(words, 1, "HOST:PORT")
    prefix = reading.process.unix_prefix
    addresses = [
        Address(prefix + each.host, 0) if is_unix(each) and each.host[0] != "@" else each
        for each in read_bind_addresses(
            where, reading.environment, ADDRESSES_MAX - reading.process.sockets
        )
    ]
    reading.process.sockets += len(addresses)
    line = read_words(reading, words, 2, reading.process.unix)
    line = replace(line, place=reading.where(reading.place))
    for index, address in enumerate(addresses):
        first = index == 0
        number = line.id if line.id is None or first else line.id + index
        section.binds.append(_of_address(replace(line, id=number), address))


def read_words(reading: Reading, words: list[str], start: int, line: BindLine) -> BindLine:
    """Read the words from `start` on, onto `line`."""
    tls, encrypted = reading.process.bind_tls, False
    at = start
    while at < len(words):
        word = words[at]
        if word in _REFUSED:
            raise Mistake(word, _REFUSED[word])
        ignored = _IGNORED.get(word, tls_words.IGNORED_WORDS.get(word, -1))
        if ignored >= 0:
            if ignored:
                argument(words, at + 1, f"an argument (of '{word}')")
            reading.warn(word, "is ignored: it tunes HAProxy's sockets")
            at += 1 + ignored
            continue
        value = ""
        if word in _ARGUMENTS:
            value = argument(words, at + 1, _ARGUMENTS[word])
            at += 1
        elif word not in KNOWN:
            raise Mistake(word, f"is not known on a 'bind' line: {hint(word, KNOWN)}")
        at += 1
        if word in tls_words.READ_IN_VAIN:
            reading.warn(word, f"is ignored: {tls_words.READ_IN_VAIN[word]}")
        if word == "ssl":
            encrypted = True
        elif word in tls_words.VERSION_WORDS:
            tls = tls_words.version_word(tls, word, value)
        elif word in _OF_TLS:
            tls = _tls_word(reading, tls, word, value)
        elif word in ("uid", "gid") and not value.isdigit():
            # HAProxy reads 0 there, and so does a listing that goes round in guides.
            reading.warn(value, f"is ignored: '{word}' is a number, a name is for 'user', 'group'")
        else:
            line = _word(line, word, value)
    if encrypted:
        return replace(line, tls=_checked(tls))
    if tls.certificates:
        reading.warn("crt", "is ignored: there is no 'ssl' on this line")
    return line


def _word(line: BindLine, word: str, value: str) -> BindLine:
    """Carry out a word that is not about TLS."""
    match word:
        case "accept-proxy":
            return replace(line, accept_proxy=True)
        case "v6only":
            return replace(line, v6only=True, v4v6=False)
        case "v4v6":
            return replace(line, v4v6=True, v6only=False)
        case "name":
            return replace(line, name=value)
        case "id":
            return replace(line, id=read_number(value, 1, 2**31 - 1))
        case "maxconn":
            return replace(line, maxconn=read_number(value, 0, 2**31 - 1) or None)
        case "backlog":
            return replace(line, backlog=read_number(value, 0, 2**31 - 1) or None)
        case "tcp-ut":
            return replace(line, tcp_user_timeout_us=read_time_us(value) or None)
        case "level":
            return replace(line, level=read_choice(value, ("user", "operator", "admin")))
        case _:
            return file_word(line, word, value)


def file_word(line: BindLine, word: str, value: str) -> BindLine:
    """Carry out a word about the file of a Unix socket; `unix-bind` has them, too."""
    if word == "mode":
        if not re.fullmatch(r"0?[0-7]{1,4}", value):
            raise Mistake(value, "is no mode of a file: write an octal number such as 660")
        return replace(line, mode=int(value, 8))
    if word in ("uid", "gid"):
        value = str(read_number(value, 0, 2**31 - 1))
    return changed(line, **{"user" if word in ("uid", "user") else "group": value})


def _tls_word(reading: Reading, tls: BindTls, word: str, value: str) -> BindTls:
    process = reading.process
    match word:
        case "crt":
            path = tls_words.place_file(value, process.certificates_in)
            return replace(tls, certificates=(*tls.certificates, path))
        case "crt-list":  # the one word that `crt-base` is not for
            listed = CertificateList(value, process.certificates_in)
            return replace(tls, certificates=(*tls.certificates, listed))
        case "strict-sni":
            return replace(tls, strict_sni=True)
        case "ca-file" | "ca-verify-file" | "crl-file":
            path = tls_words.place_file(value, process.authorities_in)
            return changed(tls, **{word.replace("-", "_"): path})
        case "verify":
            return replace(tls, verify=read_choice(value, ("none", "optional", "required")))
        case "ciphers":
            return replace(tls, ciphers=value)
        case "ciphersuites":
            return replace(tls, ciphersuites=value)
        case _:
            return replace(tls, alpn=tls_words.read_protocols(value))


def _checked(tls: BindTls) -> BindTls:
    if not tls.certificates:
        raise Mistake("ssl", "has no certificate: write 'crt FILE' behind it")
    if tls.verify != "none" and tls.ca_file is None:
        raise Mistake(f"verify {tls.verify}", "has nobody to trust: write 'ca-file FILE' behind it")
    tls_words.versions_in_order(tls.minimum_version, tls.maximum_version)
    return tls


def _of_address(line: BindLine, address: Address) -> BindLine:
    """The line of one address: what is about files is left out where there is none."""
    if is_unix(address):
        return replace(line, address=address)
    return replace(line, address=address, mode=None, user=None, group=None)
