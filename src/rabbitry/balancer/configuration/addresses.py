"""Addresses of HAProxy's language: of `bind`, `server`, `source`, `log` and the like.

Owns prefixes (`ipv4@`, `ipv6@`, `tcp@`, `unix@`, `abns@`, ...), ports and ranges of ports
(configuration.txt 11, `str2sa_range` of tools.c). Looks nothing up: a host name stays a name.

A Unix socket is an `Address` of port 0 whose host is its path, which begins with "/", or "@" and a
name of the abstract namespace (`machine.Address`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from rabbitry.balancer.configuration.lexer import Mistake, as_bytes, expand
from rabbitry.machine import Address

ADDRESSES_MAX = 10_000
"""How many sockets a configuration may have, and as many runtime sockets."""

_UNIX_PATH_MAX = 97  # 107 less what HAProxy needs for ".PID.bak"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_FAMILIES = {
    "ip@": 0, "tcp@": 0, "ipv4@": 4, "tcp4@": 4, "ipv6@": 6, "tcp6@": 6,
    "udp@": 0, "udp4@": 4, "udp6@": 6,
}  # fmt: skip
_UNIX = ("unix@", "uxst@", "uxdg@", "abns@")
_REFUSED = {
    "fd@": "is an open file of the process that started HAProxy: write an address",
    "sockpair@": "is a pair of sockets inside HAProxy: write an address",
    "quic4@": "is QUIC: write a TCP address",
    "quic6@": "is QUIC: write a TCP address",
    "ring@": "is a ring in HAProxy's memory: write HOST:PORT of a syslog server",
}
_OF_DATAGRAMS = ("uxdg@", "udp@", "udp4@", "udp6@", "dgram+")
_OF_STREAMS = ("uxst@", "tcp@", "tcp4@", "tcp6@", "stream+")


def is_unix(address: Address) -> bool:
    """Whether the address is of a Unix socket."""
    return address.host[:1] in ("/", "@")


def read_bind_addresses(
    word: str, environment: Mapping[str, str], most: int = ADDRESSES_MAX
) -> list[Address]:
    """Read where to listen: addresses between commas, each with a port or a range of ports; `most`
    of them, for ranges are quickly written.

    `:PORT` and `*:PORT` are all addresses of IPv4, as in HAProxy, `:::PORT` all of IPv6.
    """
    addresses: list[Address] = []
    for part in expand(word, environment).removesuffix(",").split(","):
        host, port = _split(part, datagrams=False)
        if _has_no_port(host):
            addresses.append(Address(host, 0))
            continue
        low, dash, high = port.partition("-")
        first = _port(low, part)
        last = _port(high, part) if dash else first
        if first > last:
            raise Mistake(part, "is a range from a port down to a lower one: turn it round")
        if len(addresses) + last - first >= most:
            raise Mistake(part, f"makes more than {ADDRESSES_MAX} sockets: write fewer ports")
        addresses += [Address(host or "0.0.0.0", each) for each in range(first, last + 1)]
    if not addresses:
        raise Mistake(word, "is no address: write HOST:PORT")
    return addresses


def read_server_address(word: str, environment: Mapping[str, str]) -> Address:
    """Read where a server is: `HOST:PORT` or a Unix socket."""
    part = expand(word, environment)
    host, port = _split(part, datagrams=False)
    if _has_no_port(host):
        return Address(host, 0)
    if not host:
        raise Mistake(part, "has no host: write HOST:PORT")
    if port == "" or port[0] in "+-":
        raise Mistake(part, "takes its port from the client's: write HOST:PORT")
    return Address(host, _port(port, part))


def read_host(word: str, environment: Mapping[str, str]) -> Address:
    """Read `HOST` or `HOST:PORT`, as of `source` and `addr`; the port is 0 where there is none."""
    part = expand(word, environment)
    host, port = _split(part, datagrams=False)
    if _has_no_port(host) or port in ("", "0"):
        return Address(host or "0.0.0.0", 0)
    return Address(host or "0.0.0.0", _port(port, part))


def read_log_address(word: str, environment: Mapping[str, str]) -> Address:
    """Read where a `log` line goes: UDP, of port 514 unless told, or a Unix socket."""
    part = expand(word, environment)
    host, port = _split(part, datagrams=True)
    if _has_no_port(host):
        return Address(host, 0)
    return Address(host or "0.0.0.0", _port(port, part) if port else 514)


def _split(part: str, datagrams: bool) -> tuple[str, str]:
    """Return host and port as texts; a Unix socket is the host, its port ""."""
    word = part
    for refused, why in _REFUSED.items():
        if word.startswith(refused):
            raise Mistake(part, why)
    for prefix in _OF_STREAMS if datagrams else _OF_DATAGRAMS:
        if word.startswith(prefix):
            raise Mistake(part, f"is not of use here: leave out '{prefix}'")
    for kind in ("stream+", "dgram+"):
        word = word.removeprefix(kind)
    for prefix in _UNIX:
        if word.startswith(prefix):
            return _unix(word[len(prefix) :], part, abstract=prefix == "abns@"), ""
    if word.startswith("/"):
        return _unix(word, part, abstract=False), ""
    family = 0
    for prefix, number in _FAMILIES.items():
        if word.startswith(prefix):
            word, family = word[len(prefix) :], number
            break
    host, port = word, ""
    if max(word.rfind("]"), word.rfind(":")) == word.rfind(":") >= 0:
        host, _, port = word.rpartition(":")
    return _host(host, part, family), port


def _unix(path: str, part: str, abstract: bool) -> str:
    if not path or "\0" in path or len(as_bytes(path)) > _UNIX_PATH_MAX:
        raise Mistake(part, f"is no path of a Unix socket: write 1 to {_UNIX_PATH_MAX} bytes")
    if abstract:
        return "@" + path
    if not path.startswith("/"):
        raise Mistake(part, "is not a whole path: write one that begins with '/'")
    return path


def _host(host: str, part: str, family: int) -> str:
    """Check a host; "" and "*" are all addresses: "" of IPv4, "::" of IPv6."""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if host in ("", "*"):
        return "::" if family == 6 else ""
    version = 0
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            raise Mistake(part, "is not a TCP address: write HOST:PORT") from None
    elif not _HOST.fullmatch(host):
        raise Mistake(part, "is not a TCP address: write HOST:PORT")
    if version and family and version != family:
        raise Mistake(part, f"is not of IPv{family}: take another prefix or another address")
    return host


def _port(port: str, part: str) -> int:
    if port == "":
        raise Mistake(part, "has no port: write HOST:PORT")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise Mistake(part, "needs a port from 1 to 65535 after the last ':': write HOST:PORT")
    return int(port)


def _has_no_port(host: str) -> bool:
    return host[:1] in ("/", "@")
