"""What happens to a session, beside HAProxy 2.6: bytes, endings, timeouts, termination states."""

from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.scripted_servers import (
    closes_after,
    finishes,
    holds_on,
    listens,
    reads_nothing,
    reads_slowly,
    resets_after,
    says,
)

ONE = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1}
    %s
"""
TWO = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1}
    server s2 127.0.0.1:{s2}
    %s
"""


def test_client_that_goes_in_order() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        link.send(b"hello")
        link.exactly(5)
        link.close()
        return side.told(1), side.servers["s1"].arrival(0).wait()

    assert play(ONE % "", script) == (["front front/s1 N/N 8 -- 1/1/0/0/0 0/0"], (b"hello", "fin"))


def test_server_that_goes_in_order() -> None:
    def script(side: Side) -> object:
        return side.connect().ends(), side.told(1)

    assert play(ONE % "", script, {"s1": says(b"good bye")}) == (
        (b"good bye", "fin"),
        ["front front/s1 N/N 8 -- 1/1/0/0/0 0/0"],
    )


def test_server_that_resets() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        link.send(b"go")
        return (
            link.ends(),
            side.told(1),
            side.figures("cli_abrt", "srv_abrt", "eresp", "bin", "bout"),
        )

    assert play(ONE % "", script, {"s1": resets_after(2)}) == (
        (b"", "fin"),
        ["front front/s1 N/N 3 SD 1/1/0/0/0 0/0"],
        {
            "FRONTEND": ["", "", "", "2", "3"],
            "s1": ["0", "1", "1", "2", "3"],
            "BACKEND": ["0", "1", "1", "2", "3"],
        },
    )


def test_half_close_of_the_client_is_passed_on() -> None:
    """The server learns of it, and can still answer."""

    def answers_after_all(arrival):  # type: ignore[no-untyped-def]
        data, ending = arrival.rest()
        arrival.send(f"{len(data)} {ending}".encode())

    def script(side: Side) -> object:
        link = side.connect()
        link.send(b"all of it")
        link.finish()
        return link.ends(), side.told(1)

    assert play(ONE % "", script, {"s1": answers_after_all}) == (
        (b"9 fin", "fin"),
        ["front front/s1 N/N 5 -- 1/1/0/0/0 0/0"],
    )


def test_half_close_of_the_server_is_passed_on() -> None:
    """The client learns of it, and can still send."""

    def script(side: Side) -> object:
        link = side.connect()
        greeting = link.rest()
        link.send(b"still here")
        link.close()
        return greeting, side.servers["s1"].arrival(0).wait(), side.told(1)

    assert play(ONE % "", script, {"s1": finishes}) == (
        (b"s1\n", "fin"),
        (b"still here", "fin"),
        ["front front/s1 N/N 3 -- 1/1/0/0/0 0/0"],
    )


def test_idle_client() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        return link.ends(), side.told(1), side.figures("cli_abrt", "srv_abrt")

    assert play(ONE % "timeout client 300", script) == (
        (b"s1\n", "fin"),
        ["front front/s1 N/N 3 cD 1/1/0/0/0 0/0"],
        {"FRONTEND": ["", ""], "s1": ["1", "0"], "BACKEND": ["1", "0"]},
    )


def test_idle_server() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        return link.ends(), side.told(1), side.figures("cli_abrt", "srv_abrt")

    assert play(ONE % "timeout server 300", script) == (
        (b"s1\n", "fin"),
        ["front front/s1 N/N 3 sD 1/1/0/0/0 0/0"],
        {"FRONTEND": ["", ""], "s1": ["0", "1"], "BACKEND": ["0", "1"]},
    )


def test_idle_on_both_sides() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        link.send(b"x")
        return link.ends(), side.told(1)

    text = ONE % "timeout client 400\n    timeout server 400"
    assert play(text, script, {"s1": listens}) == (
        (b"", "fin"),
        ["front front/s1 N/N 0 cD 1/1/0/0/0 0/0"],
    )


def test_client_that_talks_is_not_idle() -> None:
    """What a client sends counts for the server's side too, while the answers come."""

    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        for _ in range(8):
            link.send(b"x")
            link.exactly(1)
            side.pause(0.1)
        return link.ends(), side.told(1)

    assert play(ONE % "timeout client 400\n    timeout server 400", script) == (
        (b"", "fin"),
        ["front front/s1 N/N 11 cD 1/1/0/0/0 0/0"],
    )


def test_tunnel_timeout_takes_the_place_of_both() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        return link.ends(), side.told(1)

    assert play(ONE % "timeout tunnel 300", script) == (
        (b"s1\n", "fin"),
        ["front front/s1 N/N 3 cD 1/1/0/0/0 0/0"],
    )


def test_tunnel_timeout_may_be_longer_than_the_others() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        side.pause(0.6)
        link.send(b"x")
        answer = link.exactly(1)
        link.close()
        return answer, side.told(1)

    text = ONE % "timeout client 300\n    timeout server 300\n    timeout tunnel 4s"
    assert play(text, script) == (b"x", ["front front/s1 N/N 4 -- 1/1/0/0/0 0/0"])


def test_client_that_says_it_is_done_has_less_time() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.send(b"x")
        link.finish()
        return link.ends(), side.told(1)

    assert play(ONE % "timeout server-fin 300", script, {"s1": holds_on}) == (
        (b"", "fin"),
        ["front front/s1 N/N 0 sD 1/1/0/0/0 0/0"],
    )


def test_server_that_says_it_is_done_has_less_time() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        return link.rest(), side.servers["s1"].arrival(0).wait(), side.told(1)

    assert play(ONE % "timeout client-fin 300", script, {"s1": finishes}) == (
        (b"s1\n", "fin"),
        (b"", "fin"),
        ["front front/s1 N/N 3 cD 1/1/0/0/0 0/0"],
    )


def test_bytes_are_untouched_both_ways() -> None:
    payload = bytes(range(256)) * 4096

    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        for offset in range(0, len(payload), 65536):
            link.send(payload[offset : offset + 65536])
        back = link.exactly(len(payload))
        link.close()
        return back == payload, side.told(1), side.figures("bin", "bout")

    assert play(ONE % "", script) == (
        True,
        ["front front/s1 N/N 1048579 -- 1/1/0/0/0 0/0"],
        {
            "FRONTEND": ["1048576", "1048579"],
            "s1": ["1048576", "1048579"],
            "BACKEND": ["1048576", "1048579"],
        },
    )


def test_slow_server_gets_all_of_it() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        for _ in range(64):
            link.send(bytes(65536))
        link.finish()
        return link.ends(), side.told(1), side.figures("bin", "bout")

    assert play(ONE % "", script, {"s1": reads_slowly}) == (
        (b"4194304\n", "fin"),
        ["front front/s1 N/N 8 -- 1/1/0/0/0 0/0"],
        {"FRONTEND": ["4194304", "8"], "s1": ["4194304", "8"], "BACKEND": ["4194304", "8"]},
    )


def test_server_that_does_not_read() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        link.sock.settimeout(0.2)
        try:
            for _ in range(1000):
                link.sock.send(bytes(65536))
        except TimeoutError:
            link.sock.settimeout(6)
        return side.sessions(1)[0].state, link.ends()[1]

    assert play(ONE % "timeout server 400", script, {"s1": reads_nothing}) == ("sD", "fin")


def test_client_that_sends_nothing_is_not_logged() -> None:
    def script(side: Side) -> object:
        for _ in range(2):
            side.connect().ends()
        link = side.connect()
        link.send(b"x")
        link.ends()
        return side.told(1), side.figures("stot")

    text = ONE % "option dontlognull\n    timeout client 200"
    assert play(text, script, {"s1": listens}) == (
        ["front front/s1 N/N 0 cD 1/1/0/0/0 0/0"],
        {"FRONTEND": ["3"], "s1": ["3"], "BACKEND": ["3"]},
    )


def test_probe_is_not_logged() -> None:
    """A client that connects and goes at once, as a monitor does."""

    def script(side: Side) -> object:
        for _ in range(2):
            side.connect().reset()
        side.figures_when(lambda found: found["FRONTEND"] == ["2"], "stot")
        link = side.connect()
        link.send(b"x")
        link.finish()
        link.ends()
        return side.told(1)

    assert play(ONE % "option dontlognull", script, {"s1": listens}) == [
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0"
    ]


def test_sessions_that_went_well_are_not_logged() -> None:
    def script(side: Side) -> object:
        side.connect().ends()
        side.servers["s1"].go()
        side.connect().ends()
        return side.told(1)

    text = ONE % "option dontlog-normal\n    retries 0"
    assert play(text, script, {"s1": says(b"good bye")}) == [
        "front front/s1 N/-1 0 SC 1/1/0/0/0 0/0"
    ]


def test_sessions_that_went_badly_are_errors() -> None:
    def script(side: Side) -> object:
        side.connect().ends()
        side.servers["s1"].go()
        side.connect().ends()
        broken = side.connect("proxied")
        broken.send(b"no header at all\r\n")
        broken.ends()
        side.sessions(2)
        side.log.wait(lambda lines: any("header" in line for line in lines), "a refusal")
        of_clients = [each for each in side.log.packets if "]: 127.0.0.1:" in each]
        return [packet.partition(">")[0] for packet in of_clients]

    text = ONE % "option log-separate-errors\n    retries 0"
    text += "    bind 127.0.0.1:{proxied} accept-proxy\n"
    assert play(text, script, {"s1": says(b"good bye")}) == ["<134", "<131", "<131"]


def test_session_is_logged_when_it_begins() -> None:
    def script(side: Side) -> object:
        side.connect()
        line = side.sessions(1)[0]
        return line.told, "+" in line.text

    assert play(ONE % "option logasap", script, {"s1": listens}) == (
        "front front/s1 N/N 0 -- 1/1/1/1/0 0/0",
        True,
    )


def test_no_more_than_maxconn_at_a_time() -> None:
    """The others wait in the kernel's queue, and come in as one leaves."""

    def script(side: Side) -> object:
        links = [side.connect() for _ in range(2)]
        names = [link.line() for link in links]
        third = side.connect()
        before = side.figures("scur", "smax", "slim", "stot")["FRONTEND"]
        links[0].close()
        names.append(third.line())
        third.close()
        told = side.told(2)
        return names, before, told, side.figures("smax", "slim", "stot")

    assert play(ONE % "maxconn 2", script) == (
        ["s1", "s1", "s1"],
        ["2", "2", "2", "2"],
        ["front front/s1 N/N 3 -- 2/2/1/1/0 0/0", "front front/s1 N/N 3 -- 2/2/1/1/0 0/0"],
        {"FRONTEND": ["2", "2", "3"], "s1": ["2", "", "3"], "BACKEND": ["2", "1", "3"]},
    )


def test_ipv6_on_both_sides() -> None:
    def script(side: Side) -> object:
        link = side.connect("front", host="::1")
        name = link.line()
        link.close()
        line = side.sessions(1)[0]
        return name, line.told, line.client.rpartition(":")[0]

    text = """
    listen front
        bind ::1:{front}
        server s1 ::1:{s1}
    """
    assert play(text, script) == ("s1", "front front/s1 N/N 3 -- 1/1/0/0/0 0/0", "::1")


def test_unix_sockets_on_both_sides() -> None:
    def script(side: Side) -> object:
        link = side.connect("unix_front")
        link.send(b"over files")
        answer = link.line(), link.exactly(10)
        link.close()
        return answer, side.told(1), side.sessions(1)[0].client

    text = """
    listen front
        bind unix@{unix_front} mode 600
        server there unix@{unix_s1}
    """
    assert play(text, script) == (
        ("unix_s1", b"over files"),
        ["front front/there N/N 18 -- 1/1/0/0/0 0/0"],
        "unix:1",
    )


def test_log_line_has_the_counts_of_open_sessions() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(4)]
        for link in links:
            link.line()
        for count, link in enumerate(links, start=1):
            link.close()
            side.sessions(count)
        return side.told(4)

    assert play(TWO % "", script) == [
        "front front/s1 N/N 3 -- 4/4/3/1/0 0/0",
        "front front/s2 N/N 3 -- 3/3/2/1/0 0/0",
        "front front/s1 N/N 3 -- 2/2/1/0/0 0/0",
        "front front/s2 N/N 3 -- 1/1/0/0/0 0/0",
    ]


def test_server_that_closes_while_the_client_sends() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        link.send(b"12345")
        return link.ends(), side.told(1), side.figures("bin", "bout", "srv_abrt")

    assert play(ONE % "", script, {"s1": closes_after(5)}) == (
        (b"", "fin"),
        ["front front/s1 N/N 3 -- 1/1/0/0/0 0/0"],
        {"FRONTEND": ["5", "3", ""], "s1": ["5", "3", "0"], "BACKEND": ["5", "3", "0"]},
    )


def test_client_that_resets() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        link.reset()
        return (
            side.told(1),
            side.servers["s1"].arrival(0).wait(),
            side.figures("cli_abrt", "srv_abrt"),
        )

    assert play(ONE % "", script) == (
        ["front front/s1 N/N 3 CD 1/1/0/0/0 0/0"],
        (b"", "rst"),
        {"FRONTEND": ["", ""], "s1": ["1", "0"], "BACKEND": ["1", "0"]},
    )
