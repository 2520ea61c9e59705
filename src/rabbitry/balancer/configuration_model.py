"""What a balancer's configuration says, as values: the result of reading HAProxy's language.

Owns the shapes (`Configuration`, `Listen`, `ServerLine`, `StatisticsPage`) and the error that
carries every mistake of a file. Does not own the language: `configuration` reads it.

Invariants: all values are frozen; times are integer microseconds, `None` where there is no limit;
defaults of HAProxy 2.6 are filled in, so nobody downstream knows a default.
"""

from __future__ import annotations

from dataclasses import dataclass

from rabbitry.machine import Address

REDISPATCH_ON_LAST_RETRY = -1
"""What `option redispatch` without a number means (configuration.txt 4.2, "option redispatch")."""


class ConfigurationError(ValueError):
    """A configuration that cannot be used. `mistakes`: a line for each, where, what, what to do.

    `str` joins them with newlines.
    """

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One `server` line. Defaults as in HAProxy 2.6 (configuration.txt 5.2).

    `fastinter_us` and `downinter_us` are None where `inter_us` holds for those states too.
    """

    name: str
    address: Address
    check: bool = False
    inter_us: int = 2_000_000
    fastinter_us: int | None = None
    downinter_us: int | None = None
    rise: int = 2
    fall: int = 3
    weight: int = 1
    backup: bool = False


@dataclass(frozen=True, slots=True)
class StatisticsPage:
    """The `stats` lines of a section: where the page is, and how often it reloads (None: never)."""

    uri: str = "/haproxy?stats"
    refresh_us: int | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """One `listen` section with the defaults before it filled in.

    `mode` is "tcp" (relays to `servers`) or "http" (serves `statistics`, has no servers).
    `redispatch` is None (off) or the number of `option redispatch`.
    """

    name: str
    mode: str
    binds: tuple[Address, ...]
    servers: tuple[ServerLine, ...] = ()
    retries: int = 3
    redispatch: int | None = None
    all_backups: bool = False
    maxconn: int = 2000
    timeout_connect_us: int | None = None
    timeout_client_us: int | None = None
    timeout_server_us: int | None = None
    timeout_check_us: int | None = None
    tcplog: bool = False
    dontlognull: bool = False
    statistics: StatisticsPage | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file. `warnings` has a line for each thing that was read but is not carried out.

    `maxconn` caps the client links of all sections together; None where `global` does not say.
    """

    listens: tuple[Listen, ...]
    maxconn: int | None = None
    warnings: tuple[str, ...] = ()
