"""What checks say and find, beside HAProxy 2.6: scripts, agents, `timeout check`, `observe`."""

# ruff: noqa: E501 - lines of the log are as long as they are
from __future__ import annotations

import time

from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play
from support.scripted_servers import Arrival, Behaviour, closes, echoes, listens, says

CHECKED = "check inter 300 fall 1"
SILENCE = "timeout check 1s"


def hello(arrival: Arrival) -> None:
    """Says hello and stays."""
    arrival.send(b"hello world\r\n")
    arrival.rest()


def hangs_up(arrival: Arrival) -> None:
    """Is gone, without a word, once it has been spoken to."""
    arrival.exactly(1)


def resets(arrival: Arrival) -> None:
    """Stays silent for a moment and resets."""
    time.sleep(0.05)
    arrival.reset()


PEERS: dict[str, Behaviour | str | None] = {
    "silent": listens,
    "closing": closes,
    "hanging_up": hangs_up,
    "hello": hello,
    "goodbye": says(b"hello"),
    "resetting": resets,
    "echoing": echoes,
    "refused": None,
}


def script_of(steps: str, *places: str) -> str:
    """A backend whose servers are checked by these steps, and a front nobody goes to."""
    lines = ["backend front", "    option tcp-check", "    option log-health-checks"]
    lines.append(f"    {SILENCE}")
    lines += [f"    tcp-check {step}" for step in steps.split("; ") if step]
    lines += [f"    server {place} 127.0.0.1:{{{place}}} {CHECKED}" for place in places]
    return "\n" + "\n".join(lines) + "\n"


def found(text: str, count: int, kind: str = "Health") -> list[str]:
    """What both tell of the first checks of so many servers, in the order of their names."""

    def script(side: Side) -> object:
        lines = side.notices(count, f"{kind} check for")
        first = {line.split(" server ")[1].split(" ")[0]: line for line in reversed(lines)}
        prefix = f"{kind} check for server front/"
        return [first[name].removeprefix(prefix) for name in sorted(first)]

    places = {place: PEERS[place] for place in PEERS if f"{{{place}}}" in text}
    told = play(text, script, places)
    assert isinstance(told, list)
    return told


def test_script_without_steps() -> None:
    assert found(script_of("", "refused", "silent"), 2) == [
        'refused failed, reason: Layer4 connection problem, info: "Connection refused at initial connection step of tcp-check", check duration: Nms, status: 0/2 DOWN.',
        "silent succeeded, reason: Layer4 check passed, check duration: Nms, status: 1/1 UP.",
    ]


def test_expected_string_behind_a_connect() -> None:
    places = ("silent", "closing", "hello", "goodbye", "resetting", "refused")
    text = script_of("connect; expect comment greeting string hello", *places)
    assert found(text, 6) == [
        "closing failed, reason: Layer7 invalid response, info: \"TCPCHK got an empty response at step 2 comment: 'greeting'\", check duration: Nms, status: 0/2 DOWN.",
        'goodbye succeeded, reason: Layer7 check passed, code: 0, info: "(tcp-check)", check duration: Nms, status: 1/1 UP.',
        'hello succeeded, reason: Layer7 check passed, code: 0, info: "(tcp-check)", check duration: Nms, status: 1/1 UP.',
        'refused failed, reason: Layer4 connection problem, info: "Connection refused at step 1 of tcp-check (connect)", check duration: Nms, status: 0/2 DOWN.',
        "resetting failed, reason: Socket error, info: \"Connection reset by peer at step 2 of tcp-check (expect string 'hello') comment: 'greeting'\", check duration: Nms, status: 0/2 DOWN.",
        "silent failed, reason: Layer7 timeout, info: \" at step 2 of tcp-check (expect string 'hello') comment: 'greeting'\", check duration: Nms, status: 0/2 DOWN.",
    ]


def test_expected_string_that_does_not_come() -> None:
    assert found(script_of("expect string xxxxxxx", "goodbye", "hello"), 2) == [
        "goodbye failed, reason: Layer7 invalid response, info: \"TCPCHK did not match content 'xxxxxxx' at step 1\", check duration: Nms, status: 0/2 DOWN.",
        "hello failed, reason: Layer7 timeout, info: \" at step 1 of tcp-check (expect string 'xxxxxxx')\", check duration: Nms, status: 0/2 DOWN.",
    ]


def test_unwanted_content_with_words_of_its_own() -> None:
    steps = "send hello\\r\\n; expect ! rstring ^hel+o on-error bad error-status L7STS"
    assert found(script_of(steps, "echoing", "silent"), 2) == [
        'echoing failed, reason: Layer7 wrong status, code: 0, info: "bad", check duration: Nms, status: 0/2 DOWN.',
        'silent failed, reason: Layer7 timeout, info: " at step 2 of tcp-check (expect regex)", check duration: Nms, status: 0/2 DOWN.',
    ]


def test_binary_and_a_success_with_words_of_its_own() -> None:
    steps = (
        "send-binary 68656c6c6f; expect binary 68656C6c6f; "
        "expect rbinary ^68656C on-success fine ok-status L6OK"
    )
    assert found(script_of(steps, "echoing", "silent"), 2) == [
        'echoing succeeded, reason: Layer6 check passed, info: "fine", check duration: Nms, status: 1/1 UP.',
        "silent failed, reason: Layer7 timeout, info: \" at step 2 of tcp-check (expect binary 'hello')\", check duration: Nms, status: 0/2 DOWN.",
    ]


def test_bytes_that_cannot_be_printed() -> None:
    assert found(script_of("expect binary 780a790079", "silent"), 1) == [
        "silent failed, reason: Layer7 timeout, info: \" at step 1 of tcp-check (expect binary 'x<0A>y')\", check duration: Nms, status: 0/2 DOWN.",
    ]


def test_min_recv_and_a_timeout_with_a_status_of_its_own() -> None:
    steps = "expect min-recv 13 tout-status L4TOUT string hello"
    assert found(script_of(steps, "goodbye", "hello", "silent"), 3) == [
        'goodbye succeeded, reason: Layer7 check passed, code: 0, info: "(tcp-check)", check duration: Nms, status: 1/1 UP.',
        'hello succeeded, reason: Layer7 check passed, code: 0, info: "(tcp-check)", check duration: Nms, status: 1/1 UP.',
        "silent failed, reason: Layer4 timeout, info: \" at step 1 of tcp-check (expect string 'hello')\", check duration: Nms, status: 0/2 DOWN.",
    ]


def test_two_connects() -> None:
    steps = "comment first; connect port {hello}; expect string hello; connect port {refused}"
    assert found(script_of(steps, "silent"), 1) == [
        'silent failed, reason: Layer4 connection problem, info: "Connection refused at step 4 of tcp-check (connect port {refused})", check duration: Nms, status: 0/2 DOWN.',
    ]
    steps = "connect port {hello}; expect string hello; connect port {silent} linger; send x"
    assert found(script_of(steps, "silent"), 1) == [
        'silent succeeded, reason: Layer7 check passed, code: 0, info: "(tcp-check)", check duration: Nms, status: 1/1 UP.',
    ]


AGENTS = {
    "up": b"up\n",
    "down": b"down # ill\r\n",
    "stopped": b"stopped, 20%\n",
    "half": b"up 50% maxconn:30\n",
    "heavy": b"UP 900%\n",
    "odd": b"up foo\n",
    "wrong": b"up maxconn:abc\n",
    "incomplete": b"up",
}


def test_agents_and_what_becomes_of_their_servers() -> None:
    lines = ["backend front", "    option log-health-checks", f"    {SILENCE}"]
    lines += [
        f"    server {name} 127.0.0.1:{{server}} weight 100 "
        f"agent-check agent-inter 300 agent-port {{agent_{name}}}"
        for name in AGENTS
    ]
    behaviours = {f"agent_{name}": says(line) for name, line in AGENTS.items()}

    def script(side: Side) -> object:
        notices = side.notices(len(AGENTS), "Agent check for")
        prefix = "Agent check for server front/"
        told = sorted({line.removeprefix(prefix) for line in notices})
        return told, side.figures("status", "weight", "slim")

    told, figures = play("\n" + "\n".join(lines) + "\n", script, {**behaviours, "server": echoes})
    assert told == [
        'down failed, reason: Layer7 wrong status, code: 0, info: "via agent : down (ill)", check duration: Nms, status: 0/1 DOWN.',
        'half succeeded, reason: Layer7 check passed, code: 0, info: "via agent : up", check duration: Nms, status: 1/1 UP.',
        'heavy succeeded, reason: Layer7 check passed, code: 0, info: "via agent : UP", check duration: Nms, status: 1/1 UP.',
        "incomplete failed, reason: Layer7 timeout, check duration: Nms, status: 1/1 UP.",
        'odd succeeded, reason: Layer7 check passed, code: 0, info: "via agent : up (foo)", check duration: Nms, status: 1/1 UP.',
        'stopped failed, reason: Layer7 wrong status, code: 0, info: "via agent : stopped", check duration: Nms, status: 0/1 DOWN.',
        'up succeeded, reason: Layer7 check passed, code: 0, info: "via agent : up", check duration: Nms, status: 1/1 UP.',
        'wrong succeeded, reason: Layer7 check passed, code: 0, info: "via agent : up (maxconn string empty or preceded by garbage)", check duration: Nms, status: 1/1 UP.',
    ]
    assert figures["down"][0] == "DOWN (agent)"
    assert figures["half"] == ["no check", "50", "30"]


def test_timeout_check_begins_when_connected() -> None:
    text = script_of("expect string x", "silent").replace("inter 300", "inter 100")
    text = text.replace(SILENCE, "timeout check 600")

    def script(side: Side) -> object:
        (line,) = side.notices(1, "failed")
        return line

    assert play(text, script, {"silent": listens}) == (
        "Health check for server front/silent failed, reason: Layer7 timeout, info: \" at step 1 of tcp-check (expect string 'x')\", check duration: Nms, status: 0/2 DOWN."
    )


def test_without_timeout_check_the_interval_is_the_limit() -> None:
    text = script_of("expect string x", "silent").replace(SILENCE, "")
    without = PREAMBLE.replace("timeout check 3s", "")
    told = play(
        text, lambda side: side.notices(1, "failed")[0], {"silent": listens}, preamble=without
    )
    assert "silent failed, reason: Layer7 timeout" in told


def test_checks_under_tls() -> None:
    text = """
backend front
    option log-health-checks
    timeout check 1s
    default-server ssl verify none check inter 1s fall 1
    server plain 127.0.0.1:{hello}
    server closing 127.0.0.1:{hanging_up}
    server refused 127.0.0.1:{refused}
    server silent 127.0.0.1:{silent}
    server elsewhere 127.0.0.1:{silent} port {silent}
"""
    assert found(text, 5) == [
        'closing failed, reason: Layer6 invalid response, info: "SSL handshake failure", check duration: Nms, status: 0/2 DOWN.',
        "elsewhere succeeded, reason: Layer4 check passed, check duration: Nms, status: 1/1 UP.",
        'plain failed, reason: Layer6 invalid response, info: "SSL handshake failure", check duration: Nms, status: 0/2 DOWN.',
        'refused failed, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms, status: 0/2 DOWN.',
        "silent failed, reason: Layer6 timeout, check duration: Nms, status: 0/2 DOWN.",
    ]


def test_observe_marks_down_what_sessions_cannot_reach() -> None:
    text = """
listen front
    bind 127.0.0.1:{front}
    option log-health-checks
    retries 0
    server s1 127.0.0.1:{s1} check port {checks} inter 60s observe layer4 error-limit 3 on-error mark-down
"""

    def script(side: Side) -> object:
        side.notices(1, "succeeded")
        side.servers["s1"].go()
        for _ in range(3):
            side.connect().close()
        return side.notices(1, "failed"), side.notices(1, "is DOWN")[0].partition(".")[0]

    failed, down = play(text, script, {"checks": echoes})
    assert failed == [
        'Health check for server front/s1 failed, reason: Health analyze, info: "Detected 3 consecutive errors, last one was: L4 unsuccessful connection", status: 0/2 DOWN.'
    ]
    assert down == "Server front/s1 is DOWN"
