"""What agents of servers say, beside HAProxy 2.6."""

# ruff: noqa: E501 - lines of the log are as long as they are
from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.health_states import TWO
from support.scripted_servers import answers, says


def asked(rows: dict[str, list[str]]) -> bool:
    """Whether s1's agent, whose status stands first, has been asked and is not just being asked."""
    return rows["s1"][0] not in ("", "INI") and not rows["s1"][0].startswith("*")


def test_agent_sets_the_weight() -> None:
    def script(side: Side) -> object:
        columns = ("agent_status", "weight", "uweight", "status", "agent_code", "agent_desc")
        return side.figures_when(
            asked, *columns, "last_agt", "agent_health", "agent_rise", "agent_fall"
        )

    text = TWO % ("", "weight 64 agent-check agent-port {agent} agent-inter 200", "weight 64")
    assert play(text, script, {"agent": says(b"50%\n")}) == {
        "FRONTEND": ["", "", "", "OPEN", "", "", "", "", "", ""],
        "s1": ["CHECKED", "32", "32", "no check", "", "No status change", "", "1", "1", "1"],
        "s2": ["", "64", "64", "no check", "", "", "", "", "", ""],
        "BACKEND": ["", "96", "96", "UP", "", "", "", "", "", ""],
    }


def test_agent_takes_a_server_out() -> None:
    def script(side: Side) -> object:
        side.notices(1, "front/s1")
        columns = ("agent_status", "status", "agent_desc", "last_agt", "chkdown")
        return (
            side.figures_when(asked, *columns),
            side.notices(1, "front/s1"),
            side.reach(),
            side.reach(),
        )

    text = TWO % ("", "check agent-check agent-port {agent} agent-inter 200", "")
    assert play(text, script, {"agent": says(b"down # too hot\n")}) == (
        {
            "FRONTEND": ["", "OPEN", "", "", ""],
            "s1": [
                "L7STS",
                "DOWN (agent)",
                "Layer7 wrong status",
                "via agent : down (too hot)",
                "1",
            ],
            "s2": ["", "no check", "", "", ""],
            "BACKEND": ["", "UP", "", "", "0"],
        },
        [
            'Server front/s1 is DOWN, reason: Layer7 wrong status, code: 0, info: "via agent : down (too hot)", check duration: Nms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.'
        ],
        "s2",
        "s2",
    )


def test_agent_drains_and_makes_ready() -> None:
    def script(side: Side) -> object:
        side.figures_when(lambda rows: "DRAIN" in rows["s1"][0], "status")
        drained = side.figures("status", "weight", "act"), side.reach(), side.reach()
        side.servers["agent"].behaviour = says(b"ready\n")
        side.figures_when(lambda rows: "DRAIN" not in rows["s1"][0], "status")
        return drained, side.figures("status", "weight", "act"), side.notices(2, "front/s1")

    text = TWO % ("", "check agent-check agent-port {agent} agent-inter 200", "")
    assert play(text, script, {"agent": says(b"drain\n")}) == (
        (
            {
                "FRONTEND": ["OPEN", "", ""],
                "s1": ["DRAIN (agent)", "1", "1"],
                "s2": ["no check", "1", "1"],
                "BACKEND": ["UP", "1", "1"],
            },
            "s2",
            "s2",
        ),
        {
            "FRONTEND": ["OPEN", "", ""],
            "s1": ["UP", "1", "1"],
            "s2": ["no check", "1", "1"],
            "BACKEND": ["UP", "2", "2"],
        },
        [
            "Server front/s1 enters drain state. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
            "Server front/s1 is UP (leaving forced drain).",
        ],
    )


def test_agent_puts_into_maintenance() -> None:
    def script(side: Side) -> object:
        side.figures_when(lambda rows: rows["s1"][0].startswith("MAINT"), "status")
        return side.figures("status", "weight", "act"), side.notices(1, "front/s1")

    text = TWO % ("", "check agent-check agent-port {agent} agent-inter 200", "")
    assert play(text, script, {"agent": says(b"maint\n")}) == (
        {
            "FRONTEND": ["OPEN", "", ""],
            "s1": ["MAINT", "1", "1"],
            "s2": ["no check", "1", "1"],
            "BACKEND": ["UP", "1", "1"],
        },
        [
            "Server front/s1 is going DOWN for maintenance. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        ],
    )


def test_agent_limits_connections() -> None:
    def script(side: Side) -> object:
        return side.figures_when(asked, "agent_status", "slim", "status")

    text = TWO % ("", "maxconn 20 agent-check agent-port {agent} agent-inter 200", "")
    assert play(text, script, {"agent": says(b"up maxconn:7\n")}) == {
        "FRONTEND": ["", "1000", "OPEN"],
        "s1": ["L7OK", "7", "no check"],
        "s2": ["", "", "no check"],
        "BACKEND": ["", "100", "UP"],
    }


def test_agent_gets_a_line_when_told_to() -> None:
    def script(side: Side) -> object:
        return side.servers["agent"].arrival(0).wait()[0]

    text = TWO % ("", "agent-check agent-port {agent} agent-inter 200 agent-send load?\\n", "")
    assert play(text, script, {"agent": answers({b"load?": b"up\n"})}) == b"load?\n"


def test_agent_that_is_not_there_changes_nothing() -> None:
    def script(side: Side) -> object:
        found = side.figures_when(asked, "agent_status", "status", "agent_desc", "weight")
        return found["s1"], side.reach()

    text = TWO % ("", "check agent-check agent-port {agent} agent-inter 200", "")
    assert play(text, script, {"agent": None}) == (
        ["L4CON", "UP", "Layer4 connection problem", "1"],
        "s1",
    )
