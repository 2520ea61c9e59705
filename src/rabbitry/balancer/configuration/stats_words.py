"""`stats` lines of proxies: the page of statistics (configuration.txt 4.2, uri_auth.c).

Owns their words. `stats socket` and its like are of `global` (`global_words`). A section that says
one of them begins with a page of its own: what `defaults` said of it is gone, as in HAProxy.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from rabbitry.balancer.configuration.lexer import Mistake, argument, hint, read_time_us
from rabbitry.balancer.configuration.model import StatisticsPage
from rabbitry.balancer.configuration.sections import Reading

_KNOWN = (
    *("enable", "uri", "refresh", "auth", "realm", "admin", "scope", "hide-version"),
    *("show-legends", "show-node", "show-desc", "show-modules"),
)
_ENTRIES_MAX = 1000
_Entry = TypeVar("_Entry")
_WHO = {"TRUE": "always", "LOCALHOST": "localhost", "FALSE": ""}


def stats(reading: Reading, words: list[str]) -> None:
    """A `stats` line of a proxy or of `defaults`."""
    section = reading.here
    what = argument(words, 1, "enable, uri or refresh")
    if what not in _KNOWN:
        if what == "http-request":
            raise Mistake(what, "is not carried out: write 'stats auth USER:PASSWORD'")
        raise Mistake(what, f"is not known after 'stats': {hint(what, _KNOWN)}")
    page = section.settings.page if section.own_page else None
    page = page or StatisticsPage()
    section.own_page = True
    if what == "admin":
        if section.keyword == "defaults":
            raise Mistake("stats admin", "cannot stand in 'defaults': write it in the section")
        page = replace(page, admin=_admin(words))
    else:
        page = _word(reading, page, what, words)
    section.set(page=page)


def _word(reading: Reading, page: StatisticsPage, what: str, words: list[str]) -> StatisticsPage:
    match what:
        case "uri":
            uri = argument(words, 2, "a path")
            if not uri.startswith("/"):
                raise Mistake(uri, "is not a path: begin it with '/'")
            return replace(page, uri=uri)
        case "refresh":
            refresh_us = read_time_us(argument(words, 2, "a time"), default_unit="s")
            return replace(page, refresh_us=refresh_us or None)
        case "realm":
            return replace(page, realm=argument(words, 2, "a text"))
        case "auth":
            return _with_user(reading, page, argument(words, 2, "USER:PASSWORD"))
        case "scope":
            scope = (*page.scope, argument(words, 2, "the name of a proxy"))
            return replace(page, scope=_few(scope))
        case "hide-version":
            return replace(page, hide_version=True)
        case "show-legends":
            return replace(page, show_legends=True)
        case "show-node":
            node = words[2] if len(words) > 2 else ""
            if not re.fullmatch(r"[A-Za-z0-9_.-]*", node):
                raise Mistake(node, "is not a name: use letters, digits, '-', '_' and '.'")
            return replace(page, show_node=node)
        case "show-desc":
            return replace(page, show_description=" ".join(words[2:]))
        case "show-modules":
            reading.ignore(words, "its columns are shown")
    return page


def _with_user(reading: Reading, page: StatisticsPage, account: str) -> StatisticsPage:
    user, colon, password = account.partition(":")
    if not colon:
        raise Mistake("stats auth", "has no password: write USER:PASSWORD")
    if any(user == other for other, _ in page.users):
        reading.warn("stats auth", f"has user {user} twice: the first counts")
        return page
    return replace(page, users=_few((*page.users, (user, password))))


def _admin(words: list[str]) -> str:
    if argument(words, 2, "'if' and a condition") not in ("if", "unless"):
        raise Mistake(words[2], "is no condition: write 'if TRUE' or 'if LOCALHOST'")
    condition = " ".join(words[3:])
    if words[2] == "unless":
        condition = {"TRUE": "FALSE", "FALSE": "TRUE"}.get(condition, condition)
        if condition == "LOCALHOST":
            condition = ""
    if condition not in _WHO:
        raise Mistake(" ".join(words[2:]), "is no condition known here: write if TRUE or LOCALHOST")
    return _WHO[condition]


def _few(entries: tuple[_Entry, ...]) -> tuple[_Entry, ...]:
    if len(entries) > _ENTRIES_MAX:
        raise Mistake("stats", f"has more than {_ENTRIES_MAX} of these: remove some")
    return entries
