"""Looks at the files of TLS before a configuration is used, as HAProxy does while it reads them.

Owns the lines that say which word of which line names a file that is missing, broken, or does not
fit the others. What is loaded here is dropped: who serves loads it again.

Invariants: a file that could be read once, and may not be any more (a balancer that has become
another user), is no mistake as long as the line that names it is the same, and the file too. Where
even that cannot be seen, it is a warning. (docs/decisions/0149)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from stat import S_ISDIR

from rabbitry.balancer.configuration.model import (
    BindLine,
    CertificateList,
    Configuration,
    ServerTls,
)
from rabbitry.balancer.link_options import tls_of
from rabbitry.runtime.binding import tls_settings
from rabbitry.runtime.tls import Tls, TlsFailed, client_context

_MEND = "mend the file, or name another"
_ADVICE = {"ciphers": "write others"}
_LET_READ = "let the user of this process read it, or restart"

_State = tuple[object, ...] | None
"""What tells a file from another one at its place; None: that may not be seen."""


class TlsFiles:
    """Looks at files; remembers of which lines they were good, and which files those were.

    `warnings` has a line for each place whose files may have changed, as far as could be seen when
    they were looked at last.
    """

    def __init__(self) -> None:
        self._good: dict[object, dict[str, _State]] = {}
        self.warnings: list[str] = []

    def mistakes(self, configuration: Configuration) -> list[str]:
        """Return a line `FILE:LINE: 'WORD' ...` for each `bind` and `server` with such a file."""
        mistakes: list[str] = []
        self.warnings = []
        looked: dict[object, tuple[bool, str] | None] = {}
        for place, key, files, load in _loads(configuration):
            if key not in looked:
                looked[key] = self._look(key, files, load)
            if (found := looked[key]) is not None:
                lines, text = (mistakes if found[0] else self.warnings), found[1]
                lines.append(f"{place}: {text}")
        return mistakes

    def _look(
        self, key: object, files: Callable[[], list[str]], load: Callable[[], object]
    ) -> tuple[bool, str] | None:
        """Return whether it is a mistake, and a text; None if all is good."""
        try:
            states = {file: _state_of(file) for file in files()}  # before they are loaded
            load()
        except TlsFailed as failure:
            said = f"'{failure.word}' {failure}"
            if not failure.is_forbidden or key not in self._good:
                return True, f"{said}: {_ADVICE.get(failure.word, _MEND)}"
            return self._forbidden(self._good[key], said)
        self._good[key] = states
        return None

    def _forbidden(self, before: dict[str, _State], said: str) -> tuple[bool, str] | None:
        now = {file: _state_of(file) for file in before}
        for file, state in now.items():
            if state is not None and state != before[file]:
                return True, f"{said}, and {file} has changed since it was loaded: {_LET_READ}"
        if None in now.values():
            doubt = "whether it has changed since it was loaded cannot be seen"
            return False, f"{said}, and {doubt}: if it has, {_LET_READ}"
        return None


def _state_of(file: str) -> _State:
    try:
        found = os.stat(file)
        if S_ISDIR(found.st_mode):
            return tuple(sorted(name for name in os.listdir(file) if not name.startswith(".")))
    except PermissionError:
        return None
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _loads(
    configuration: Configuration,
) -> Iterator[tuple[str, object, Callable[[], list[str]], Callable[[], None]]]:
    """What is to be loaded: where it is written, what is alike, out of which files, how."""
    for front in configuration.frontends:
        for bind in front.binds:
            if bind.tls is not None:
                yield bind.place, bind.tls, partial(_files_of, bind), partial(_load_bind, bind)
    for back in configuration.backends:
        for line in back.servers:
            for tls in dict.fromkeys((line.tls, line.check_tls, line.script_tls)):
                if tls is not None:
                    yield line.place, tls, partial(_server_files, tls), partial(_load_server, tls)


def _files_of(bind: BindLine) -> list[str]:
    """The files of a `bind` line, with the directories and lists that name them."""
    settings = tls_settings(bind)
    assert settings is not None and bind.tls is not None
    files = [settings.cert, settings.key, *_authorities(settings.ca, settings.ca_verify)]
    entries = bind.tls.certificates
    files += [each.path if isinstance(each, CertificateList) else each for each in entries]
    for each in settings.named:
        files += (each.cert, each.key)
    return [file for file in (*files, settings.crl) if file]


def _server_files(tls: ServerTls) -> list[str]:
    settings = tls_of(tls)
    files = [*_authorities(settings.ca_file), settings.crl_file]
    if settings.crt:
        files += (settings.crt, settings.crt + ".key")
    return [file for file in files if file]


def _authorities(*paths: str) -> Iterator[str]:
    for path in paths:
        yield path
        with contextlib.suppress(OSError):  # a file, or what cannot be used: who loads it tells
            yield from sorted(os.path.join(path, name) for name in os.listdir(path))


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
