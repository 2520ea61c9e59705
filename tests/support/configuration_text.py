"""Small configurations for tests: a line in its place, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rabbitry.balancer.configuration.model import (
    BackendSection,
    BindLine,
    Configuration,
    ConfigurationError,
    FrontendSection,
    Global,
    ServerLine,
)
from rabbitry.balancer.configuration.reader import parse

TIMEOUTS = "timeout connect 1s\ntimeout client 1s\ntimeout server 1s\n"
LISTEN = f"listen l\nbind 127.0.0.1:1\n{TIMEOUTS}server s 127.0.0.1:2\n"
NAME = "f.cfg"


def read(text: str, environment: Mapping[str, str] | None = None) -> Configuration:
    """Read a whole file."""
    return parse(text, NAME, environment)


def small(lines: str) -> Configuration:
    """Read lines at the end of a `listen` section."""
    return read(LISTEN + lines + "\n")


def mistakes(text: str) -> tuple[str, ...]:
    """The mistakes of a whole file, of which there must be some."""
    with pytest.raises(ConfigurationError) as raised:
        read(text)
    return raised.value.mistakes


def mistake(line: str) -> str:
    """The one mistake of a line at the end of a `listen` section."""
    (told,) = mistakes(LISTEN + line + "\n")
    assert told.startswith(f"{NAME}:7: '"), told
    return told


def front(lines: str) -> FrontendSection:
    """The frontend of a `listen` section with these lines."""
    return small(lines).frontends[0]


def back(lines: str) -> BackendSection:
    """The backend of a `listen` section with these lines."""
    return small(lines).backends[0]


def bind(words: str, before: str = "") -> BindLine:
    """The first address of a `bind` line, with lines of `global` before it."""
    text = f"global\n{before}\nlisten l\nbind {words}\n{TIMEOUTS}server s 127.0.0.1:2\n"
    return read(text).frontends[0].binds[0]


def server(words: str, lines: str = "", before: str = "") -> ServerLine:
    """The second server, t, of a `listen`; `lines` stand before it, `before` in `global`."""
    return read(f"global\n{before}\n{LISTEN}{lines}\nserver t {words}\n").backends[0].servers[1]


def process(lines: str) -> Global:
    """What `global` says with these lines."""
    return read(f"global\n{lines}\n{LISTEN}").process


def warnings(lines: str) -> list[str]:
    """The words that lines at the end of a `listen` section are warned of."""
    return [each.split("'")[1] for each in small(lines).warnings]
