"""The files of a balancer's configuration: finding, reading, checking, as `haproxy -f` does.

Owns what of it touches the world: directories (their `*.cfg` in order), the environment, and how
many sessions the limit of open files allows. The language is `balancer.configuration`'s.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

from rabbitry.balancer.configuration.model import Configuration, ConfigurationError
from rabbitry.balancer.configuration.reader import parse_files

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


def verdict(paths: Sequence[Path]) -> str:
    """What `--check` says of files that are right: one line, and one for each warning before it.

    Raises `ConfigurationError` where they are wrong, or name a certificate that cannot be read.
    """
    configuration = read_configuration(*paths)
    if unreadable := tuple(_unreadable_files(configuration)):
        raise ConfigurationError(unreadable)
    lines = [f"warning: {warning}" for warning in configuration.warnings]
    names = ", ".join(map(str, paths))
    servers = sum(len(backend.servers) for backend in configuration.backends)
    counts = f"frontends: {len(configuration.frontends)}, servers: {servers}"
    return "\n".join([*lines, f"{names}: valid ({counts}, warnings: {len(lines)})"])


def _unreadable_files(configuration: Configuration) -> Iterator[str]:
    """A line for each file of a certificate or authority that cannot be read."""
    named: dict[str, str] = {}
    for front in configuration.frontends:
        for bind in front.binds:
            for path in (*bind.tls.certificates, bind.tls.ca_file) if bind.tls else ():
                named.setdefault(path or "", f"bind {bind.address} of '{front.name}'")
    for back in configuration.backends:
        for line in back.servers:
            for tls in (line.tls, line.check_tls, line.script_tls):
                for path in (tls.ca_file, tls.certificate) if tls else ():
                    named.setdefault(path or "", f"server {line.name} of '{back.name}'")
    for path, where in named.items():
        if path and not path.startswith("@") and not os.access(path, os.R_OK):
            yield f"{path}: cannot be read: make it readable, or correct its name in {where}"


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
        return data.decode("utf-8")
    except OSError as error:
        raise _Unreadable(f"{path}: cannot be read: {_why(error)}") from None
    except UnicodeDecodeError:
        raise _Unreadable(f"{path}: is not a text in UTF-8: save it as one") from None


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _sessions_of_process() -> int:
    """How many sessions the open files suffice for: two each, as HAProxy reckons its maxconn."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        most = 1 << 20
    return max(100, (most - _OTHER_FILES) // 2)
