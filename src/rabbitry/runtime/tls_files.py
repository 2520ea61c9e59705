"""Looks at the files of TLS before a configuration is used, as HAProxy does while it reads them.

Owns the lines that say which word of which line names a file that is missing, broken, or does not
fit the others. What is loaded here is dropped: who serves loads it again.

Invariants: a file that could be read once, and may not be any more (a balancer that has become
another user), is no mistake as long as the line that names it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from rabbitry.balancer.configuration.model import BindLine, Configuration, ServerTls
from rabbitry.balancer.link_options import tls_of
from rabbitry.runtime.binding import tls_settings
from rabbitry.runtime.tls import Tls, TlsFailed, client_context

_MEND = "mend the file, or name another"
_ADVICE = {"ciphers": "write others"}


class TlsFiles:
    """Looks at files; remembers of which lines they were good."""

    def __init__(self) -> None:
        self._good: set[object] = set()

    def mistakes(self, configuration: Configuration) -> list[str]:
        """Return a line `FILE:LINE: 'WORD' ...` for each `bind` and `server` with such a file."""
        found: list[str] = []
        looked: dict[object, str | None] = {}
        for place, key, load in _loads(configuration):
            if key not in looked:
                looked[key] = self._look(key, load)
            if (text := looked[key]) is not None:
                found.append(f"{place}: {text}")
        return found

    def _look(self, key: object, load: Callable[[], object]) -> str | None:
        try:
            load()
        except TlsFailed as failure:
            if failure.is_forbidden and key in self._good:
                return None
            return f"'{failure.word}' {failure}: {_ADVICE.get(failure.word, _MEND)}"
        self._good.add(key)
        return None


def _loads(configuration: Configuration) -> Iterator[tuple[str, object, Callable[[], None]]]:
    """What is to be loaded: where it is written, what is alike, how."""
    for front in configuration.frontends:
        for bind in front.binds:
            if bind.tls is not None:
                yield bind.place, bind.tls, partial(_load_bind, bind)
    for back in configuration.backends:
        for line in back.servers:
            for tls in dict.fromkeys((line.tls, line.check_tls, line.script_tls)):
                if tls is not None:
                    yield line.place, tls, partial(_load_server, tls)


# Authorities are read even where nobody is verified, as HAProxy does.


def _load_bind(bind: BindLine) -> None:
    settings = tls_settings(bind)
    assert settings is not None
    verify = settings.verify or bool(settings.ca)
    Tls(replace(settings, verify=verify), lambda level, what, details: None)


def _load_server(tls: ServerTls) -> None:
    settings = tls_of(tls)
    verify = settings.verify or bool(settings.ca_file or settings.crl_file)
    client_context(replace(settings, verify=verify))
