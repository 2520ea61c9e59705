"""The files of a balancer's configuration: finding, reading, checking, as `haproxy -f` does.

Owns what of it touches the world: directories (their `*.cfg` in order), the environment, how many
sessions the limit of open files allows, whether certificates can be used, and whether there are
such users. The language is
`balancer.configuration`'s.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rabbitry.balancer.configuration.model import Configuration, ConfigurationError
from rabbitry.balancer.configuration.reader import parse_files
from rabbitry.runtime.privileges import is_unknown
from rabbitry.runtime.tls_files import TlsFiles

_OTHER_FILES = 200
"""Open files of the process that are no sessions."""
_SIZE_BYTES_MAX = 16 << 20


def read_configuration(*paths: Path) -> Configuration:
    """Read files, and the `*.cfg` of directories, as one configuration.

    Raises `ConfigurationError`, also where one cannot be read.
    """
    mistakes: list[str] = []
    files: list[tuple[str, str]] = []
    for path in paths:
        try:
            files += [(str(file), _text(file)) for file in _files(path)]
        except _Unreadable as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError(tuple(mistakes))
    return parse_files(files, os.environ, _sessions_of_process())


class Files:
    """The files that a balancer serves by, read at its start and at each reload."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._tls = TlsFiles()

    def read(self) -> Configuration:
        """Read them, and look at the users and certificates that they name.

        Raises `ConfigurationError`, also where one of those is unknown or cannot be used.
        """
        configuration = read_configuration(*self._paths)
        mistakes = [*_unknown(configuration), *self._tls.mistakes(configuration)]
        if mistakes:
            raise ConfigurationError(tuple(mistakes))
        warnings = (*configuration.warnings, *self._tls.warnings)
        return replace(configuration, warnings=warnings)


def verdict(paths: Sequence[Path]) -> str:
    """What `--check` says of files that are right: one line, and one for each warning before it.

    Raises `ConfigurationError` where they are wrong, or name a certificate that cannot be used.
    """
    configuration = Files(*paths).read()
    lines = [f"warning: {warning}" for warning in configuration.warnings]
    names = ", ".join(map(str, paths))
    servers = sum(len(backend.servers) for backend in configuration.backends)
    counts = f"frontends: {len(configuration.frontends)}, servers: {servers}"
    return "\n".join([*lines, f"{names}: valid ({counts}, warnings: {len(lines)})"])


def _unknown(configuration: Configuration) -> list[str]:
    """A line for `user` and `group` of `global` each, where this system has none of that name."""
    process = configuration.process
    words = (
        ("user", process.user, process.user_place),
        ("group", process.group, process.group_place),
    )
    return [
        f"{place}: '{name}' is no {word} of this system: write another for '{word}'"
        for word, name, place in words
        if is_unknown(word, name)
    ]


class _Unreadable(Exception):
    """A file cannot be read: FILE: why."""


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = sorted(each for each in path.iterdir() if each.name.endswith(".cfg"))
    except OSError as error:
        raise _Unreadable(f"{path}: cannot be read: {_why(error)}") from None
    found = [each for each in found if not each.name.startswith(".") and each.is_file()]
    if not found:
        raise _Unreadable(f"{path}: has no *.cfg: name a file, or another directory")
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_BYTES_MAX + 1)
        if len(data) > _SIZE_BYTES_MAX:
            raise _Unreadable(f"{path}: is larger than {_SIZE_BYTES_MAX >> 20} MiB: split it")
        # HAProxy takes any bytes; those that are no UTF-8 come out again as they were.
        return data.decode("utf-8", "surrogateescape")
    except OSError as error:
        raise _Unreadable(f"{path}: cannot be read: {_why(error)}") from None


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _sessions_of_process() -> int:
    """How many sessions the open files suffice for: two each, as HAProxy reckons its maxconn."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        most = 1 << 20
    return max(100, (most - _OTHER_FILES) // 2)
