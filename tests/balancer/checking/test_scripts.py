"""Tests of tcp-check scripts; the texts are those of HAProxy 2.6.12 for the same configuration."""

from __future__ import annotations

from dataclasses import replace

from rabbitry.balancer.checking.results import Connect, Result, Send
from rabbitry.balancer.checking.scripts import BUFFER_SIZE_BYTES, PLAIN, ScriptRun, prepared
from rabbitry.balancer.configuration.model import CheckStep

CONNECT = CheckStep("connect")
REFUSED = "Connection refused"


def send(data: bytes) -> CheckStep:
    return CheckStep("send", data=data)


def expect(data: bytes, match: str = "string") -> CheckStep:
    return CheckStep("expect", data=data, match=match)


def comment(text: str) -> CheckStep:
    return CheckStep("comment", comment=text)


def opened(*lines: CheckStep) -> ScriptRun:
    """A run whose first link is open."""
    run = ScriptRun(prepared(lines))
    run.begin()
    run.opened()
    return run


def talk(run: ScriptRun, data: bytes = b"", end: bool = False) -> Result | None:
    """What the run concludes from these bytes, one by one, and perhaps the end behind them."""
    for byte in data:
        run.received(bytes((byte,)))
    if end and run.result is None:
        run.finished()
    return run.result


# --- connecting -----------------------------------------------------------------------------------


def test_a_plain_check_passes_when_it_is_connected() -> None:
    run = ScriptRun(PLAIN)
    assert run.begin() == [Connect()]
    assert run.result is None
    run.opened()
    assert run.result == Result("L4OK")


def test_a_plain_check_tells_no_step() -> None:
    run = ScriptRun(PLAIN)
    run.begin()
    run.broken(REFUSED, "L4CON")
    assert run.result == Result("L4CON", REFUSED)
    run = ScriptRun(PLAIN)
    run.begin()
    run.expired("L4TOUT")
    assert run.result == Result("L4TOUT")


def test_the_implicit_connect_of_a_script_has_a_name() -> None:
    run = ScriptRun(prepared(()))
    run.begin()
    run.broken(REFUSED, "L4CON")
    assert run.result == Result("L4CON", f"{REFUSED} at initial connection step of tcp-check")


def test_a_written_connect_is_told_with_number_port_and_comment() -> None:
    run = ScriptRun(prepared((comment("first"), CheckStep("connect", port=21998))))
    assert run.begin() == [Connect(port=21998, by_default=False)]
    run.broken(REFUSED, "L4CON")
    text = f"{REFUSED} at step 2 of tcp-check (connect port 21998) comment: 'first'"
    assert run.result == Result("L4CON", text)


def test_a_script_that_ends_with_a_connect_says_so() -> None:
    assert opened(CONNECT).result == Result("L4OK", "(tcp-check)")
    assert opened(replace(CONNECT, tls=True)).result == Result("L6OK", "(tcp-check)")


def test_a_second_connect_takes_the_place_of_the_first() -> None:
    run = opened(CheckStep("connect", port=1), expect(b"hello"), CheckStep("connect", port=2))
    assert run.received(b"hello") == [Connect(port=2, by_default=False)]
    run.broken(REFUSED, "L4CON")
    assert run.result == Result("L4CON", f"{REFUSED} at step 3 of tcp-check (connect port 2)")


def test_connect_default_is_by_the_means_of_the_server() -> None:
    run = ScriptRun(prepared((CheckStep("connect", default=True),)), tls=True)
    assert run.begin() == [Connect(by_default=True)]
    run.opened()
    assert run.result == Result("L6OK", "(tcp-check)")


# --- sending --------------------------------------------------------------------------------------


def test_a_script_that_ends_with_a_send_has_passed_when_it_is_sent() -> None:
    run = ScriptRun(prepared((CONNECT, send(b"hello"))))
    run.begin()
    assert run.opened() == [Send(b"hello")]
    assert run.result == Result("L7OK", "(tcp-check)")


def test_a_send_forgets_what_had_come() -> None:
    run = opened(expect(b"a"), send(b"x"), expect(b"a"))
    assert run.received(b"a") == [Send(b"x")]
    assert run.result is None
    assert talk(run, b"a") == Result("L7OK", "(tcp-check)")


# --- expecting ------------------------------------------------------------------------------------


def test_an_expected_string_may_come_in_pieces_and_behind_others() -> None:
    run = opened(expect(b"world"))
    assert talk(run, b"hello worl") is None
    assert talk(run, b"d") == Result("L7OK", "(tcp-check)")


def test_an_end_without_bytes() -> None:
    run = opened(CONNECT, replace(expect(b"hello"), comment="wanthello"))
    text = "TCPCHK got an empty response at step 2 comment: 'wanthello'"
    assert talk(run, end=True) == Result("L7RSP", text)


def test_an_end_without_what_was_expected() -> None:
    text = "TCPCHK did not match content 'xxxxxxx' at step 1"
    assert talk(opened(expect(b"xxxxxxx")), b"hello", end=True) == Result("L7RSP", text)


def test_a_full_buffer_decides() -> None:
    run = opened(expect(b"x"))
    run.received(b"y" * (BUFFER_SIZE_BYTES - 1))
    assert run.result is None
    run.received(b"yx")
    assert run.result == Result("L7RSP", "TCPCHK did not match content 'x' at step 1")


def test_silence_tells_what_was_expected() -> None:
    run = opened(expect(b"world"))
    run.expired("L4TOUT")
    assert run.result == Result("L7TOUT", " at step 1 of tcp-check (expect string 'world')")
    run = opened(CONNECT, replace(expect(b"."), match="rstring", timeout_status="L4TOUT"))
    run.expired("L4TOUT")
    assert run.result == Result("L4TOUT", " at step 2 of tcp-check (expect regex)")


def test_what_cannot_be_printed_breaks_no_line() -> None:
    run = opened(expect(b"a\nb\0c", "binary"))
    run.expired("L4TOUT")
    assert run.result == Result("L7TOUT", " at step 1 of tcp-check (expect binary 'a<0A>b')")


def test_a_reset_while_waiting_is_an_error_of_the_socket() -> None:
    run = opened(expect(b"hello", "binary"))
    run.broken("Connection reset by peer", "L4CON")
    text = "Connection reset by peer at step 1 of tcp-check (expect binary 'hello')"
    assert run.result == Result("SOCKERR", text)


def test_a_reset_behind_the_answer_is_judged_by_the_answer() -> None:
    run = opened(expect(b"hell"), expect(b"hello world"))
    run.received(b"hello")
    run.broken("Connection reset by peer", "L4CON")
    text = "TCPCHK did not match content 'hello world' at step 2"
    assert run.result == Result("L7RSP", text)


def test_unwanted_content() -> None:
    line = replace(expect(rb"^hel+o", "rstring"), negated=True)
    text = "TCPCHK matched unwanted content (regex) at step 1"
    run = opened(line)
    run.received(b"hello")
    assert run.result == Result("L7RSP", text)
    run = opened(replace(line, on_error="bad_hello", error_status="L7STS"))
    run.received(b"hello")
    assert run.result == Result("L7STS", "bad_hello")


def test_expects_in_a_row_look_at_the_same_bytes() -> None:
    second = replace(expect(b"^68656C", "rbinary"), on_success="fine", ok_status="L6OK")
    run = opened(send(b"hello"), expect(b"hello", "binary"), second)
    assert talk(run, b"hello") == Result("L6OK", "fine")


def test_an_expect_that_needs_more_lets_its_row_look_again() -> None:
    run = opened(expect(b"a"), expect(b"ab"))
    assert talk(run, b"a") is None
    assert talk(run, b"b") == Result("L7OK", "(tcp-check)")


def test_min_recv_is_waited_for_and_then_decides() -> None:
    run = opened(replace(expect(b"world"), minimum_bytes=8))
    assert talk(run, b"hello w") is None
    text = "TCPCHK did not match content 'world' at step 1"
    assert talk(run, b"o") == Result("L7RSP", text)


def test_comments_belong_to_the_row_behind_them() -> None:
    lines = (comment("one"), CONNECT, send(b"x"), comment("two"), expect(b"a"), expect(b"b"))
    script = prepared(lines)
    assert [step.comment for step in script.steps] == ["one", "", "two", "two"]
    assert [step.number for step in script.steps] == [2, 3, 5, 6]
