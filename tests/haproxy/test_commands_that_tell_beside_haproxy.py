"""What the runtime socket tells, beside HAProxy 2.6: statistics, states, sessions, levels."""

# ruff: noqa: E501 - answers are as long as they are
from __future__ import annotations

import re
import socket

from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play
from support.runtime_commands import PLAIN, TWO, said
from support.scripted_links import Link


def test_unknown_words_get_the_help() -> None:
    def script(side: Side) -> object:
        return [side.ask(word).splitlines()[0] for word in ("fly", "show fly", "set fly", "help")]

    assert play(PLAIN, script) == [
        "Unknown command, but maybe one of the following ones is a better match:",
        "Unknown command, but maybe one of the following ones is a better match:",
        "Unknown command, but maybe one of the following ones is a better match:",
        "The following commands are valid at this level:",
    ]


def test_show_sess_line() -> None:
    """Each session a line: its client, frontend, backend and server."""

    def script(side: Side) -> object:
        side.connect().line()
        line = next(each for each in side.ask("show sess").splitlines() if "fe=front" in each)
        words = line.split()
        assert re.match(r"0x[0-9a-f]+:$", words[0])
        names = [word.partition("=")[0].partition("[")[0] for word in words[1:]]
        return names, [word for word in words if re.match("(proto|fe|be|srv)=", word)]

    names, words = play(PLAIN, script)
    assert len(names) == 19
    assert words == ["proto=tcpv4", "fe=front", "be=front", "srv=s1"]


def test_show_sess_has_none_that_has_not_said_whom_it_is_for() -> None:
    def script(side: Side) -> object:
        side.connect()
        side.until(lambda: "CurrConns: 1\n" in side.ask("show info"), "let in")
        return [line for line in side.ask("show sess").splitlines() if "fe=front" in line]

    text = PLAIN.replace("{front}", "{front} accept-proxy")
    assert play(text, script) == []


def test_show_servers_state() -> None:
    def script(side: Side) -> object:
        side.ask("set server front/s1 state drain", "set server front/s2 weight 5")
        lines = side.ask("show servers state front").splitlines()
        header = lines[1].split()[1:]
        rows = [dict(zip(header, line.split(), strict=True)) for line in lines[2:]]
        for row in rows:
            del row["srv_time_since_last_change"]
        return lines[0], header, rows

    assert len(play(TWO % ("", "weight 9", "backup"), script)) == 3


def test_show_servers_state_of_a_checked_server() -> None:
    def script(side: Side) -> object:
        side.notices(1, "s1 is DOWN")
        side.figures_when(lambda rows: rows["s2"] == ["L4OK"], "check_status")
        rows: list[dict[str, str]] = []

        def nobody_is_being_checked() -> bool:
            lines = side.ask("show servers state front").splitlines()
            header = lines[1].split()[1:]
            rows[:] = [dict(zip(header, line.split(), strict=True)) for line in lines[2:]]
            return all(row["srv_check_state"] == "6" for row in rows)

        side.until(nobody_is_being_checked, "without a check under way")
        return [{key: row[key] for key in row if "state" in key or "check" in key} for row in rows]

    text = TWO % ("", "check inter 300", "check inter 300")
    assert play(text, script, {"s1": None}) == [
        {
            "srv_op_state": "0",
            "srv_admin_state": "0",
            "srv_check_status": "8",
            "srv_check_result": "2",
            "srv_check_health": "0",
            "srv_check_state": "6",
            "srv_agent_state": "0",
            "srv_check_port": "0",
            "srv_check_addr": "-",
        },
        {
            "srv_op_state": "2",
            "srv_admin_state": "0",
            "srv_check_status": "6",
            "srv_check_result": "3",
            "srv_check_health": "4",
            "srv_check_state": "6",
            "srv_agent_state": "0",
            "srv_check_port": "0",
            "srv_check_addr": "-",
        },
    ]


def test_show_servers_conn() -> None:
    def script(side: Side) -> object:
        side.connect().line()
        return [line.split()[:6] for line in side.ask("show servers conn front").splitlines()]

    assert play(PLAIN, script) == [
        ["#", "bkname/svname", "bkid/svid", "addr", "port", "-"],
        ["front/s1", "3/1", "127.0.0.1", "{s1}", "-", "5000"],
        ["front/s2", "3/2", "127.0.0.1", "{s2}", "-", "5000"],
    ]


def test_show_backend() -> None:
    text = PLAIN + "backend other\n    server s3 127.0.0.1:{s3}\n"
    assert said("show backend", text=text) == ["# name\npage\nfront\nother"]


def test_clear_counters() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        for link in links:
            link.line()
        links[0].close()
        side.sessions(1)
        columns = ("scur", "smax", "stot", "lbtot", "rate_max")
        answers = [side.ask("clear counters")]
        some = side.figures(*columns)
        answers.append(side.ask("clear counters all"))
        return answers, some, side.figures(*columns)

    assert play(PLAIN, script) == (
        ["", ""],
        {
            "FRONTEND": ["2", "0", "3", "", "0"],
            "s1": ["1", "0", "2", "2", "0"],
            "s2": ["1", "0", "1", "1", "0"],
            "BACKEND": ["2", "0", "3", "3", "0"],
        },
        {
            "FRONTEND": ["2", "0", "0", "", "0"],
            "s1": ["1", "0", "0", "0", "0"],
            "s2": ["1", "0", "0", "0", "0"],
            "BACKEND": ["2", "0", "0", "0", "0"],
        },
    )


def test_show_info_names() -> None:
    def script(side: Side) -> object:
        return [line.partition(":")[0] for line in side.ask("show info").splitlines()]

    assert len(play(PLAIN, script)) == 69


def test_show_info_figures() -> None:
    def script(side: Side) -> object:
        side.reach()
        side.connect().line()
        shown = dict(
            line.split(": ", 1) for line in side.ask("show info").splitlines() if ": " in line
        )
        names = ("Maxconn", "CurrConns", "Nbproc", "Process_num", "Hard_maxconn", "Stopping")
        return {name: shown[name] for name in names}

    assert play(PLAIN, script) == {
        "Maxconn": "1000",
        "CurrConns": "1",
        "Nbproc": "1",
        "Process_num": "1",
        "Hard_maxconn": "1000",
        "Stopping": "0",
    }


def test_the_limit_of_a_process_that_has_none_of_its_own() -> None:
    """It is what each frontend takes: what the open files suffice for."""

    def script(side: Side) -> object:
        info = dict(
            line.split(": ", 1) for line in side.ask("show info").splitlines() if ": " in line
        )
        ((taken,),) = [row for name, row in side.figures("slim").items() if name == "FRONTEND"]
        assert int(taken) > 0
        return info["Maxconn"] == info["Hard_maxconn"] == taken

    preamble = PREAMBLE.replace("    maxconn 1000\n", "")
    assert preamble != PREAMBLE
    assert play(PLAIN, script, preamble=preamble)


def test_show_info_typed_and_described() -> None:
    def script(side: Side) -> object:
        typed = [line.rsplit(":", 1)[0] for line in side.ask("show info typed").splitlines()]
        names = [each["field"]["name"] for each in side.ask_json("show info json")]
        return typed, names

    assert len(play(PLAIN, script)) == 2


def test_show_stat_is_the_csv_of_the_page() -> None:
    def script(side: Side) -> object:
        side.reach()
        lines = side.ask("show stat").splitlines()
        return (
            lines[0],
            [line.split(",")[:2] for line in lines[1:]],
            lines[0] == side.get("/stats;csv")[1].decode().splitlines()[0],
        )

    assert play(PLAIN, script) == (
        "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,-,ssl_sess,ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,h2_data_rcvd,h2_settings_rcvd,h2_rst_stream_rcvd,h2_goaway_rcvd,h2_detected_conn_protocol_errors,h2_detected_strm_protocol_errors,h2_rst_stream_resp,h2_goaway_resp,h2_open_connections,h2_backend_open_streams,h2_total_connections,h2_backend_total_streams,h1_open_connections,h1_open_streams,h1_total_connections,h1_total_streams,h1_bytes_in,h1_bytes_out,h1_spliced_bytes_in,h1_spliced_bytes_out,",
        [
            ["page", "FRONTEND"],
            ["page", "BACKEND"],
            ["front", "FRONTEND"],
            ["front", "s1"],
            ["front", "s2"],
            ["front", "BACKEND"],
        ],
        True,
    )


def test_show_stat_of_some() -> None:
    def script(side: Side) -> object:
        def rows(command: str) -> list[list[str]]:
            return [line.split(",")[:2] for line in side.ask(command).splitlines()[1:]]

        commands = (
            "show stat front 1 -1",
            "show stat front 2 -1",
            "show stat front 4 2",
            "show stat -1 4 -1",
            "show stat 3 7 -1",
            "show stat nowhere 7 -1",
        )
        return [rows(command) for command in commands]

    assert play(PLAIN, script) == [
        [["front", "FRONTEND"]],
        [["front", "BACKEND"]],
        [["front", "s2"]],
        [["front", "s1"], ["front", "s2"]],
        [["front", "FRONTEND"], ["front", "s1"], ["front", "s2"], ["front", "BACKEND"]],
        [],
    ]


def test_show_stat_typed() -> None:
    def script(side: Side) -> object:
        side.reach()
        lines = side.ask("show stat front 7 -1 typed").splitlines()
        return [line.rsplit(":", 1)[0] for line in lines]

    assert len(play(PLAIN, script)) == 241


def test_show_stat_json() -> None:
    def script(side: Side) -> object:
        side.reach()
        objects = side.ask_json("show stat front 7 -1 json")
        return [
            [
                (each["objType"], each["field"]["name"], each["tags"], each["value"]["type"])
                for each in row
            ]
            for row in objects
        ]

    assert len(play(PLAIN, script)) == 4


def test_several_commands_in_a_line() -> None:
    def script(side: Side) -> object:
        return side.ask(
            "get weight front/s1", "disable server front/s1", "get weight front/s2"
        ), side.figures("status")

    assert play(PLAIN, script) == (
        "1 (initial 1)\n\n\n1 (initial 1)",
        {"FRONTEND": ["OPEN"], "s1": ["MAINT"], "s2": ["no check"], "BACKEND": ["UP"]},
    )


def test_prompt_keeps_the_connection() -> None:
    def script(side: Side) -> object:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(side.names["socket"]))
        link = Link(sock)
        link.send(b"prompt\n")
        greeting = link.exactly(3)
        link.send(b"get weight front/s1\n")
        weight = link.exactly(17)
        link.send(b"quit\n")
        return greeting, weight, link.rest()

    assert play(PLAIN, script) == (b"\n> ", b"1 (initial 1)\n\n> ", (b"", "fin"))


def test_only_one_line_without_a_prompt() -> None:
    def script(side: Side) -> object:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(side.names["socket"]))
        link = Link(sock)
        link.send(b"get weight front/s1\nget weight front/s2\n")
        return link.rest()

    assert play(PLAIN, script) == (b"1 (initial 1)\n\n1 (initial 1)\n\n", "fin")


def test_level_user_may_look_only() -> None:
    text = PREAMBLE.replace("level admin", "level user")

    def script(side: Side) -> object:
        commands = (
            "show cli level",
            "disable server front/s1",
            "set weight front/s1 2",
            "get weight front/s1",
            "show sess",
            "clear counters all",
            "clear counters",
            "shutdown sessions server front/s1",
            "set server front/s1 state maint",
            "disable frontend front",
        )
        return [side.ask(command) for command in commands], len(side.ask("show stat").splitlines())

    assert play(PLAIN, script, preamble=text) == (
        [
            "user",
            "Permission denied",
            "Permission denied",
            "1 (initial 1)",
            "Permission denied",
            "Permission denied",
            "Permission denied",
            "Permission denied",
            "Permission denied",
            "Permission denied",
        ],
        7,
    )


def test_level_operator_is_what_holds_unless_told() -> None:
    text = PREAMBLE.replace(" level admin", "")

    def script(side: Side) -> object:
        commands = (
            "show cli level",
            "clear counters",
            "disable server front/s1",
            "clear counters all",
        )
        return [side.ask(command) for command in commands]

    assert play(PLAIN, script, preamble=text) == [
        "operator",
        "",
        "Permission denied",
        "Permission denied",
    ]


def test_level_can_be_lowered() -> None:
    def script(side: Side) -> object:
        return side.ask(
            "show cli level",
            "operator",
            "show cli level",
            "disable server front/s1",
            "user",
            "show cli level",
        )

    assert play(PLAIN, script) == "admin\n\n\noperator\n\nPermission denied\n\n\nuser"


def test_show_version_env_and_the_like() -> None:
    def script(side: Side) -> object:
        return side.ask("show cli sockets").replace(str(side.directory), ""), side.ask(
            "show errors"
        ).splitlines()[0][:12]

    assert play(PLAIN, script) == (
        "# socket lvl processes\nunix@{socket} admin all",
        "Total events",
    )
