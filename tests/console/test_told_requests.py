"""Tests of the clock of a connection's requests, and of what is noted beside an answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from rabbitry.balancer.page_requests import NOSRV, STATS, PageRequest
from rabbitry.console.told_requests import Answer, ToldRequests, answer_of

SCOPE = {"method": "GET", "raw_path": b"/a", "query_string": b"", "http_version": "1.0"}


def connection(**scope: Any) -> Any:
    return SimpleNamespace(scope={**SCOPE, **scope}, client=("::1", 7), server=("/run/page", 0))


def test_an_answer_is_found_again() -> None:
    scope: dict[str, Any] = {}
    answer_of(scope).server = STATS
    assert answer_of(scope) == Answer(STATS)
    assert (answer_of(scope).state, Answer().state) == ("LR", "SC")


def test_times_run_from_the_first_byte_and_from_the_answer_before() -> None:
    told: list[PageRequest] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        now = [100.0]
        loop.time = lambda: now[0]  # type: ignore[method-assign]
        requests = ToldRequests(told.append, 2, is_tls=True)
        now[0] += 1
        requests.came()
        now[0] += 0.2
        requests.came()
        requests.whole()
        now[0] += 0.03
        requests.whole()
        assert (requests.is_first, requests.has_begun) == (True, True)
        requests.answered(connection(), 5)
        assert (requests.is_first, requests.has_begun) == (False, False)
        now[0] += 4
        requests.unanswered(connection(), 408, "cR", 5)
        now[0] += 1
        requests.answered(connection(query_string=b"x"), 5, "CD")

    asyncio.run(main())
    first, second, third = told
    assert (first.receive_ms, first.total_ms, first.since_ms) == (200, 230, 1230)
    assert (first.line, first.status, first.state) == (b"GET /a HTTP/1.0", 500, "SC")
    assert (first.client, first.local, first.listener) == ("::1:7", "", 2)
    assert (second.receive_ms, second.total_ms, second.since_ms) == (None, 4000, 4000)
    assert (second.line, second.status, second.state, second.server) == (b"", 408, "cR", NOSRV)
    assert (third.line, third.state, third.receive_ms) == (b"GET /a?x HTTP/1.0", "CD", 0)
