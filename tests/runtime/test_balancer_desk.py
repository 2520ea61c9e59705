"""Tests of the desk at a running balancer."""

from __future__ import annotations

import asyncio

from rabbitry.balancer.balancer import Balancer
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.configuration.reader import parse
from rabbitry.console.http_connection import now_us
from rabbitry.runtime.balancer_desk import BalancerDesk
from rabbitry.runtime.balancer_log import BalancerLog
from rabbitry.runtime.driver import Driver
from rabbitry.runtime.joining_hand import JoiningHand

TEXT = """
listen front
    bind 127.0.0.1:1
    server s1 127.0.0.1:2
listen page
    bind 127.0.0.1:3
    mode http
    stats enable
"""


def test_numbers_forms_and_lines() -> None:
    configuration = parse(TEXT, "test.cfg")

    async def main() -> None:
        log = BalancerLog(configuration)
        driver = Driver(Balancer(configuration), hand=JoiningHand(), on_report=log.take)
        driver.start()
        desk = BalancerDesk(driver, log, configuration, lambda: 0)
        page_section = configuration.frontends[1]
        desk.use_of(page_section).opened(now_us())

        rows, info = await desk.numbers()
        assert [row.svname for row in rows[:3]] == ["FRONTEND", "s1", "BACKEND"]
        page = next(row for row in rows if row.pxname == "page")
        assert (page.scur, info["CurrConns"], info["CumConns"]) == (1, 1, 1)

        assert await desk.hand_in(b"s=s1&action=maint&b=front") == "DONE"
        rows, _ = await desk.numbers()
        assert rows[1].status == "MAINT"

        text = await desk.run_line(Terminal("user", 1_000_000), "show stat")
        assert "front,s1," in text
        assert "page,FRONTEND,,,1,1," in text

        # A new file: the page that stays is counted on, another one begins anew.
        desk.know(parse(TEXT, "test.cfg"))
        assert desk.use_of(page_section).open_now == 1
        desk.know(parse(TEXT.replace("listen page", "listen other"), "test.cfg"))
        assert desk.use_of(page_section).open_now == 0
        assert desk.descriptions == {}
        desk.know(parse(TEXT.replace("mode http", "mode http\n description d"), "test.cfg"))
        assert desk.descriptions == {"page": "d"}
        await driver.close(1)
        log.close()

    asyncio.run(main())
