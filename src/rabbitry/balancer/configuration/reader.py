"""Reads HAProxy's configuration language into `Configuration`, as far as it concerns TCP.

Owns sections: where they begin, what they take from which `defaults`, which room reads their
lines (`global_words`, `proxy_words`); and that all mistakes of all files are found in one reading.
Words and values are `lexer`'s and `addresses`', the result is `assembling`'s and `model`'s.
Sources: configuration.txt of HAProxy 2.6, sections 2 to 5; `readcfgfile` of cfgparse.c.

Choices
- `listen NAME ADDR:PORT` (the spelling of HAProxy 1.x, which 2.x refuses) is read as a `bind` line,
  and `contimeout`, `clitimeout`, `srvtimeout`, `redispatch`, `nbproc` as today's words, with a
  warning.
- `:8100` and `*:8100` listen on all IPv4 addresses, as HAProxy's users expect: whoever writes that
  has told us to leave loopback. A warning says so. `rabbitry up` itself writes 127.0.0.1.
- What merely tunes HAProxy is ignored with a warning. A word that protects something or decides
  (`acl`, `tcp-request`, ...) is never ignored but refused. HAProxy's `-c` takes it, ours does not.
- What HAProxy reads as something else than is written (`weight 5x` as 5, words behind an empty one
  as none) is refused.

Invariants: pure, the environment is handed in; all mistakes are told in the order of their lines; a
section's settings are those of its `defaults`, changed by its own lines; no text makes this raise
anything but `ConfigurationError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rabbitry.balancer.configuration.assembling import assemble
from rabbitry.balancer.configuration.global_words import (
    ignored,
    read_global,
)
from rabbitry.balancer.configuration.lexer import (
    Mistake,
    argument,
    at_most,
    read_name,
    split_words,
)
from rabbitry.balancer.configuration.log_words import no_log, no_log_of_process
from rabbitry.balancer.configuration.model import (
    MAXCONN_DEFAULT,
    Configuration,
    ConfigurationError,
)
from rabbitry.balancer.configuration.option_words import no_option
from rabbitry.balancer.configuration.proxy_words import read_proxy
from rabbitry.balancer.configuration.sections import Place, Reading, Section

__all__ = ["Configuration", "ConfigurationError", "parse", "parse_files"]

SECTIONS_MAX = 10_000

_PROXIES = ("frontend", "backend", "listen")
_IGNORED_SECTIONS = {
    "peers": "nothing is shared with other balancers",
    "resolvers": "names are looked up by the system at each connect",
    "mailers": "no mails are sent",
    "userlist": "only 'stats auth' asks for users",
    "cache": "it is about HTTP",
    "http-errors": "it is about HTTP",
    "fcgi-app": "it is about HTTP",
    "ring": "log lines are not kept in memory",
}
_REFUSED_SECTIONS = {
    "program": "is not carried out: start the program by itself",
    "log-forward": "is not carried out: log lines of others are not passed on",
}
_OF_PLACES = ("bind", "source", "crt-base", "ca-base", "unix-bind")
"""Lines whose words are places: all processes tell each other of these, as text."""
_NOT_SECTIONS = "begin with global, defaults, frontend, backend or listen"


def parse(
    text: str,
    name: str,
    environment: Mapping[str, str] | None = None,
    process_maxconn: int = MAXCONN_DEFAULT,
) -> Configuration:
    """Read the configuration `text` of the file `name` (used only to say where something stands).

    Raises `ConfigurationError` with a line `FILE:LINE: 'WORD' ...: what to do` for every mistake.
    What is read but not carried out stands in the result's `warnings`, in the same form.
    """
    return parse_files([(name, text)], environment, process_maxconn)


def parse_files(
    files: Sequence[tuple[str, str]],
    environment: Mapping[str, str] | None = None,
    process_maxconn: int = MAXCONN_DEFAULT,
) -> Configuration:
    """Read several files, (name, text) each, as one: a section may use what an earlier file said.

    `environment` is for `"${NAME}"`; `process_maxconn` is how many sessions a frontend takes where
    no `maxconn` says so. Raises as `parse` does.
    """
    reader = _Reader(environment or {})
    for name, text in files:
        reader.read_file(name, text)
    return reader.finish(process_maxconn)


class _Reader:
    """Reads line by line; collects mistakes and warnings instead of stopping at the first."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._reading = Reading(environment)
        self._defaults: Section | None = None
        self._named: dict[str, Section | None] = {}  # None: two of that name
        self._skipping = True  # until a section has opened without a mistake
        self._keeping = False  # the lines of a section that is for HAProxy only

    def read_file(self, name: str, text: str) -> None:
        """Read one file; a section does not go on from one to the next."""
        reading = self._reading
        reading.open_file(name)
        reading.section = None
        self._skipping = self._keeping = False
        for number, line in enumerate(text.split("\n"), start=1):
            reading.place = Place(reading.place.file, number)
            self._read_line(line)

    def _read_line(self, line: str) -> None:
        try:
            if "\0" in line:
                raise Mistake("\\0", "is no text: remove that byte")
            words = split_words(line, self._reading.environment)
            if words:
                self._read_words(words)
        except Mistake as mistake:
            self._reading.refuse(mistake)
            if line.split(maxsplit=1)[:1] == ["bind"] and self._reading.section is not None:
                self._reading.section.told_where = True  # one mistake is enough

    def _read_words(self, words: list[str]) -> None:
        while words and words[-1] == "":
            words.pop()
        if not words:
            return
        if "" in words:
            before = words[words.index("") - 1] if words[0] else ""
            raise Mistake(before, "is followed by an empty word: HAProxy reads no further there")
        if words[0] in _OF_PLACES and any(_has_bytes(word) for word in words):
            raise Mistake("\\x", "is a byte that is no text: write the text itself")
        if words[0].startswith((".", "[")):
            raise Mistake(words[0], "is a condition for HAProxy's reader: write what shall hold")
        if words[0] == "no":
            self._read_no(words)
        elif words[0] == "default":
            raise Mistake("default", "cannot take an option back here: use 'no', or remove it")
        elif self._is_section(words[0]):
            self._skipping = True
            self._reading.section = None
            self._keeping = words[0] == "resolvers"
            self._open_section(words)
        else:
            self._read_keyword(words)
        if self._keeping:
            self._reading.resolvers.append(tuple(words))

    def _is_section(self, word: str) -> bool:
        sections = ("global", "defaults", *_PROXIES, *_IGNORED_SECTIONS, *_REFUSED_SECTIONS)
        return word in sections

    def _read_keyword(self, words: list[str]) -> None:
        reading = self._reading
        if reading.section is None:
            if not self._skipping:
                raise Mistake(words[0], f"stands in no section: {_NOT_SECTIONS}")
        elif reading.section.keyword == "global":
            read_global(reading, words)
        else:
            read_proxy(reading, words)

    def _read_no(self, words: list[str]) -> None:
        reading = self._reading
        section = reading.section
        what = argument(words, 1, "'option'")
        if section is None:
            self._read_keyword(words)
        elif section.keyword == "global":
            if what == "log":
                no_log_of_process(reading, words[1:])
            elif ignored(what) is None:
                raise Mistake(what, "cannot follow 'no' in 'global': remove the line")
        elif what == "option":
            no_option(reading, words[1:])
        elif what == "log":
            no_log(reading, words[1:])
        else:
            raise Mistake(what, "cannot follow 'no': only 'no option NAME' and 'no log' are known")

    def _open_section(self, words: list[str]) -> None:
        reading, keyword = self._reading, words[0]
        if keyword in _REFUSED_SECTIONS:
            raise Mistake(keyword, _REFUSED_SECTIONS[keyword])
        if keyword in _IGNORED_SECTIONS:
            reading.warn(keyword, f"is ignored: {_IGNORED_SECTIONS[keyword]}")
            return
        if keyword == "global":
            at_most(words, 0)
            reading.section = Section(keyword, "", reading.place)
        elif keyword == "defaults":
            reading.section = self._open_defaults(words)
        else:
            self._open_proxy(words)
        self._skipping = False

    def _open_defaults(self, words: list[str]) -> Section:
        """`defaults [NAME] [from NAME]`: without `from`, what was set before is forgotten."""
        name, base = "", None
        rest = words[1:]
        if rest and not (rest[0] == "from" and len(rest) == 2):
            name = read_name(rest.pop(0))
        if rest:
            if rest[0] != "from" or len(rest) != 2:
                raise Mistake(rest[0], "is not known here: write 'defaults NAME from NAME'")
            base = self._find_defaults(rest[1])
        section = Section("defaults", name, self._reading.place)
        if base is not None:
            section.settings = base.settings
        if name:
            self._named[name] = section if name not in self._named else None
        self._defaults = section
        return section

    def _find_defaults(self, name: str) -> Section:
        if name not in self._named:
            raise Mistake(name, "is not the name of a 'defaults' section before this: correct it")
        section = self._named[name]
        if section is None:
            raise Mistake(name, "is the name of two 'defaults' sections: rename one")
        return section

    def _open_proxy(self, words: list[str]) -> None:
        reading, keyword = self._reading, words[0]
        name = read_name(argument(words, 1, "a name"))
        if len(reading.sections) >= SECTIONS_MAX:
            raise Mistake(name, f"is one section too many: {SECTIONS_MAX} are the most")
        base, bind = self._defaults, words[2:]
        if len(words) == 4 and words[2] == "from":
            base, bind = self._find_defaults(words[3]), []
        section = Section(keyword, name, reading.place)
        if base is not None:
            section.settings = base.settings
        reading.open_proxy(section)
        if bind:
            self._bind_of_old(keyword, bind)

    def _bind_of_old(self, keyword: str, bind: list[str]) -> None:
        """`listen NAME ADDR:PORT` of HAProxy 1.x."""
        if keyword == "backend":
            raise Mistake(bind[0], "stands behind the name of a backend: remove it")
        self._reading.warn(bind[0], f"is the old spelling: write 'bind {bind[0]}' below")
        self._skipping = False
        read_proxy(self._reading, ["bind", *bind])

    def finish(self, process_maxconn: int) -> Configuration:
        """Return the whole, or raise with all that is wrong."""
        reading = self._reading
        configuration = assemble(reading, process_maxconn)
        if reading.mistakes:
            raise ConfigurationError(reading.mistakes)
        return configuration


def _has_bytes(word: str) -> bool:
    return any(0xDC80 <= ord(char) <= 0xDCFF for char in word)
