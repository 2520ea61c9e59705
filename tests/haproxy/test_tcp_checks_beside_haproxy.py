"""Scripts of `option tcp-check`, beside HAProxy 2.6."""

# ruff: noqa: E501 - lines of the log are as long as they are
from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.health_states import CHECK, COUNTS, ONE, QUICK, checked, when
from support.scripted_servers import answers, listens, says


def test_tcp_check_script() -> None:
    def script(side: Side) -> object:
        found = checked(side, *CHECK, *COUNTS)
        return found, side.servers["s1"].arrival(0).wait()[0]

    checks = r"""
    option tcp-check
    tcp-check connect
    tcp-check send hello\r\n
    tcp-check expect string good
    tcp-check send bye\r\n
    tcp-check expect rstring ^b[aeiou]i
    """
    known = {b"hello\r": b"good day\n", b"bye\r": b"bai\n"}
    assert play(ONE % (checks, QUICK), script, {"s1": answers(known)}) == (
        ["UP", "L7OK", "0", "(tcp-check)", "Layer7 check passed", "0", "0", "2", "2", "3", ""],
        b"hello\r\nbye\r\n",
    )


def test_tcp_check_in_binary() -> None:
    def script(side: Side) -> object:
        return checked(side, *CHECK), side.servers["s1"].arrival(0).wait()[0]

    checks = """
    option tcp-check
    tcp-check send-binary 68690a
    tcp-check expect binary 00ff
    """
    assert play(ONE % (checks, QUICK), script, {"s1": answers({b"hi": b"\x00\xff"})}) == (
        ["UP", "L7OK", "0", "(tcp-check)", "Layer7 check passed"],
        b"hi\n",
    )


def test_tcp_check_that_is_answered_otherwise() -> None:
    def script(side: Side) -> object:
        return when(side, "DOWN", *CHECK[1:]), side.notices(1, "Server")

    checks = """
    option tcp-check
    tcp-check expect string good comment greeting
    """
    assert play(ONE % (checks, QUICK), script, {"s1": says(b"bad day\n")}) == (
        [
            "L7RSP",
            "",
            "TCPCHK did not match content 'good' at step 1 comment: greeting",
            "Layer7 invalid response",
        ],
        [
            "Server front/s1 is DOWN, reason: Layer7 invalid response, info: \"TCPCHK did not match content 'good' at step 1 comment: greeting\", check duration: Nms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        ],
    )


def test_tcp_check_that_is_not_answered() -> None:
    def script(side: Side) -> object:
        return when(side, "DOWN", *CHECK[1:]), side.notices(1, "Server")

    checks = """
    timeout check 100
    option tcp-check
    tcp-check expect string good
    """
    assert play(ONE % (checks, QUICK), script, {"s1": listens}) == (
        ["L7TOUT", "", " at step 1 of tcp-check (expect string 'good')", "Layer7 timeout"],
        [
            "Server front/s1 is DOWN, reason: Layer7 timeout, info: \" at step 1 of tcp-check (expect string 'good')\", check duration: Nms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        ],
    )


def test_tcp_check_of_what_is_not_to_be_said() -> None:
    def script(side: Side) -> object:
        return when(side, "DOWN", *CHECK[1:])

    checks = """
    option tcp-check
    tcp-check expect ! string loading
    """
    assert play(ONE % (checks, QUICK), script, {"s1": says(b"still loading\n")}) == [
        "L7RSP",
        "",
        "TCPCHK matched unwanted content 'loading' at step 1",
        "Layer7 invalid response",
    ]


def test_tcp_check_says_more_where_told_to() -> None:
    def script(side: Side) -> object:
        return when(side, "DOWN", *CHECK[1:])

    checks = """
    option tcp-check
    tcp-check expect string good error-status L7STS on-error "it is not good"
    """
    assert play(ONE % (checks, QUICK), script, {"s1": says(b"bad\n")}) == [
        "L7STS",
        "0",
        "it is not good",
        "Layer7 wrong status",
    ]


def test_tcp_check_at_several_ports() -> None:
    def script(side: Side) -> object:
        return when(side, "DOWN", *CHECK[1:]), side.notices(1, "Server")

    checks = """
    option tcp-check
    tcp-check connect
    tcp-check expect string s1
    tcp-check connect port {judge}
    """
    assert play(ONE % (checks, QUICK), script, {"judge": None}) == (
        [
            "L4CON",
            "",
            "Connection refused at step 3 of tcp-check (connect port {judge})",
            "Layer4 connection problem",
        ],
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused at step 3 of tcp-check (connect port {judge})", check duration: Nms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.'
        ],
    )
