"""Files that are right and files that are not, beside HAProxy 2.6, and where the mistake is."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import Certificates
from support.configuration_verdicts import haproxy_says, lines_of, rabbitry_says

HEAD = """\
global
    maxconn 100
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
"""

RIGHT = {
    "listen": """
        listen front
            bind 127.0.0.1:20001
            server s1 127.0.0.1:20002 check
        """,
    "frontend_and_backend": """
        frontend front
            bind 127.0.0.1:20001
            default_backend back
        backend back
            balance leastconn
            server s1 127.0.0.1:20002 weight 10 maxconn 5 maxqueue 3 check inter 1s rise 2 fall 3
            server s2 127.0.0.1:20003 backup disabled
        """,
    "quotes_and_escapes": """
        listen "front"
            bind '127.0.0.1:20001' # a comment
            server s1 127.0.0.1:20002 # another
            description a\\ long\\ "story"
        """,
    "environment": """
        listen front
            bind "${RABBITRY_TEST_HOST}:20001"
            server s1 ${RABBITRY_TEST_HOST}:20002
        """,
    "units_of_time": """
        listen front
            bind 127.0.0.1:20001
            timeout client 1d
            timeout server 500us
            timeout connect 2m
            timeout queue 3h
            timeout tunnel 1000
            timeout client-fin 10s
            timeout server-fin 10000ms
            server s1 127.0.0.1:20002
        """,
    "options_on_and_off": """
        listen front
            bind 127.0.0.1:20001
            option tcplog
            no option dontlognull
            option redispatch 2
            option tcpka
            option clitcpka
            option srvtcpka
            option dontlognull
            option dontlog-normal
            option logasap
            option log-health-checks
            option allbackups
            option abortonclose
            retries 5
            fullconn 10
            server s1 127.0.0.1:20002
        """,
    "algorithms": "".join(
        f"""
        listen front{number}
            bind 127.0.0.1:{20001 + number}
            balance {words}
            server s1 127.0.0.1:20002
        """
        for number, words in enumerate(
            ("roundrobin", "static-rr", "leastconn", "first", "source", "random", "random(3)")
        )
    ),
    "checks": """
        listen front
            bind 127.0.0.1:20001
            option tcp-check
            tcp-check connect port 20009
            tcp-check send hello\\\\r\\\\n
            tcp-check send-binary 00ff
            tcp-check expect string hello
            tcp-check expect rstring ^h.*o$
            tcp-check expect binary 0001
            default-server inter 2s fastinter 1s downinter 3s rise 3 fall 2 slowstart 10s
            server s1 127.0.0.1:20002 check addr 127.0.0.1 port 20003
            server s2 127.0.0.1:20003 track s1
            server s3 127.0.0.1:20004 agent-check agent-port 20005 agent-inter 1s agent-send x
            server s4 127.0.0.1:20004 check on-marked-down shutdown-sessions on-error mark-down
        """,
    "statistics": """
        listen page
            bind 127.0.0.1:20001
            mode http
            stats enable
            stats uri /stats
            stats realm Some\\\\ realm
            stats auth me:secret
            stats refresh 10s
            stats show-legends
            stats show-node
            stats hide-version
            stats admin if TRUE
        """,
    "stats_socket": """
        global
            stats socket /tmp/rabbitry-test.sock mode 600 level admin
            stats timeout 30s
            pidfile /tmp/rabbitry-test.pid
            hard-stop-after 10s
            log 127.0.0.1:20514 local0 info
            log stdout format raw daemon
        listen front
            bind 127.0.0.1:20001
            log global
            server s1 127.0.0.1:20002
        """,
    "bind_options": """
        listen front
            bind 127.0.0.1:20001 accept-proxy name one maxconn 20 backlog 10
            bind unix@/tmp/rabbitry-test-front mode 600
            bind ::1:20003 v6only
            bind ipv4@127.0.0.1:20004-20006
            server s1 127.0.0.1:20002 send-proxy
            server s2 127.0.0.1:20003 send-proxy-v2 check-send-proxy check
            server s3 unix@/tmp/rabbitry-test-back
            server s4 ::1:20002
        """,
    "disabled_sections": """
        listen front
            disabled
            bind 127.0.0.1:20001
            server s1 127.0.0.1:20002
        listen side
            bind 127.0.0.1:20001
            server s1 127.0.0.1:20002
        """,
    "defaults_twice": """
        listen front
            bind 127.0.0.1:20001
            server s1 127.0.0.1:20002
        defaults other
            mode tcp
            timeout client 1s
            timeout connect 1s
            timeout server 1s
        listen side from other
            bind 127.0.0.1:20003
            server s1 127.0.0.1:20002
        """,
}

# By name: the lines, and the line of them (from 1) that is wrong.
WRONG = {
    "unknown_section": ("lissten front", 1),
    "unknown_keyword": ("listen front\n bind 127.0.0.1:20001\n blance roundrobin", 3),
    "unknown_algorithm": ("listen front\n bind 127.0.0.1:20001\n balance fairest", 3),
    "unknown_option": ("listen front\n bind 127.0.0.1:20001\n option tcplogg", 3),
    "unknown_server_word": ("listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1 chekc", 3),
    "unknown_bind_word": ("listen front\n bind 127.0.0.1:20001 sssl", 2),
    "unknown_mode": ("listen front\n bind 127.0.0.1:20001\n mode udp", 3),
    "unknown_timeout": ("listen front\n bind 127.0.0.1:20001\n timeout clint 1s", 3),
    "unknown_unit": ("listen front\n bind 127.0.0.1:20001\n timeout client 1y", 3),
    "time_missing": ("listen front\n bind 127.0.0.1:20001\n timeout client", 3),
    "time_too_long": ("listen front\n bind 127.0.0.1:20001\n timeout client 100d", 3),
    "weight_too_large": (
        "listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1 weight 257",
        3,
    ),
    "port_missing": ("listen front\n bind 127.0.0.1", 2),
    "port_too_large": ("listen front\n bind 127.0.0.1:70000", 2),
    "same_server_twice": (
        "listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1\n server s1 127.0.0.1:2",
        4,
    ),
    "same_section_twice": (
        "listen front\n bind 127.0.0.1:20001\nlisten front\n bind 127.0.0.1:20002",
        3,
    ),
    "no_such_backend": ("frontend front\n bind 127.0.0.1:20001\n default_backend nowhere", None),
    "track_of_nobody": (
        "listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1 track back/s9",
        3,
    ),
    "server_in_a_frontend": ("frontend front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1", 3),
    "defaults_of_servers_in_a_frontend": (
        "frontend front\n bind 127.0.0.1:20001\n default-server check",
        3,
    ),
    "quote_left_open": ('listen front\n bind "127.0.0.1:20001', 2),
    "name_missing": ("listen\n bind 127.0.0.1:20001", 1),
    "name_with_a_star": ("listen fr*nt\n bind 127.0.0.1:20001", 1),
    "certificate_missing": ("listen front\n bind 127.0.0.1:20001 ssl crt /nowhere/at/all.pem", 2),
    "authorities_missing": (
        "listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1 ssl ca-file /nowhere.pem",
        3,
    ),
    "expect_without_pattern": (
        "listen front\n bind 127.0.0.1:20001\n option tcp-check\n tcp-check expect string",
        4,
    ),
    "odd_binary": (
        "listen front\n bind 127.0.0.1:20001\n option tcp-check\n tcp-check send-binary 0ff",
        4,
    ),
    "inter_zero": ("listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1 check inter 0", 3),
    "rise_missing": ("listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1 check rise", 3),
    "slowstart_wrong": (
        "listen front\n bind 127.0.0.1:20001\n server s1 127.0.0.1:1 slowstart soon",
        3,
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_for_both(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITRY_TEST_HOST", "127.0.0.1")
    text = HEAD + lines_of(RIGHT[name])
    theirs, ours = haproxy_says(text, tmp_path), rabbitry_says(text, tmp_path)
    assert theirs.code == 0, theirs.said
    assert ours.code == 0, ours.said


@pytest.mark.parametrize("name", WRONG)
def test_wrong_for_both(name: str, tmp_path: Path) -> None:
    """Ours names the file, the line and a word, and ends with 2."""
    lines, wrong = WRONG[name]
    text = HEAD + lines + "\n"
    theirs, ours = haproxy_says(text, tmp_path), rabbitry_says(text, tmp_path)
    at = [] if wrong is None else [HEAD.count("\n") + wrong]
    assert (theirs.code, theirs.lines) == (1, at), theirs.said
    assert ours.code == 2, ours.said
    assert ours.lines == at if at else ours.lines, ours.said


# What is in the files that `bind` and `server` lines name: the line, and our word for it. {a} is a
# good certificate with its key, {alone} has no key, {mixed} another one's, {torn} is cut short,
# {ca} an authority, {text} no PEM, {list} names a certificate that is not there.
FILES = {
    "all_good": ("bind 127.0.0.1:20001 ssl crt {a} ca-file {ca} verify required", ""),
    "good_client": ("server s1 127.0.0.1:1 ssl crt {a} ca-file {ca}", ""),
    "good_list": ("bind 127.0.0.1:20001 ssl crt-list {good_list} strict-sni", ""),
    "revocation": ("bind 127.0.0.1:20001 ssl crt {a} crl-file {text} ca-file {ca}", "crl-file"),
    "no_key": ("bind 127.0.0.1:20001 ssl crt {alone}", "crt"),
    "key_of_another": ("bind 127.0.0.1:20001 ssl crt {mixed}", "crt"),
    "cut_short": ("bind 127.0.0.1:20001 ssl crt {torn}", "crt"),
    "no_pem": ("bind 127.0.0.1:20001 ssl crt {text}", "crt"),
    "second_missing": ("bind 127.0.0.1:20001 ssl crt {a} crt {nowhere}", "crt"),
    "no_authority": ("bind 127.0.0.1:20001 ssl crt {a} ca-file {text}", "ca-file"),
    "authority_missing": ("bind 127.0.0.1:20001 ssl crt {a} ca-file {nowhere}", "ca-file"),
    "server_certificate_missing": ("server s1 127.0.0.1:1 ssl verify none crt {nowhere}", "crt"),
    "server_key_of_another": ("server s1 127.0.0.1:1 ssl verify none crt {mixed}", "crt"),
    "server_authority": ("server s1 127.0.0.1:1 check-ssl check ca-file {text}", "ca-file"),
    "server_revocation": (
        "server s1 127.0.0.1:1 ssl ca-file {ca} crl-file {nowhere}",
        "crl-file",
    ),
    "list_missing": ("bind 127.0.0.1:20001 ssl crt {a} crt-list {nowhere}", "crt-list"),
    "list_of_nothing_known": ("bind 127.0.0.1:20001 ssl crt {a} crt-list {list}", "crt-list"),
    "no_cipher": ("bind 127.0.0.1:20001 ssl crt {a} ciphers NOBODYS", "ciphers"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("files")
    good, other = (Certificates(tmp_path_factory.mktemp(name)) for name in ("good", "other"))
    cert, key = Path(good.cert).read_text(), Path(good.key).read_text()
    for name, content in {
        "a": cert + key,
        "alone": cert,
        "mixed": cert + Path(other.key).read_text(),
        "torn": key + cert[: len(cert) // 2],
        "text": "neither a certificate nor anything else\n",
        "list": f"{directory}/a one.test\n{directory}/nowhere two.test\n",
        "good_list": f"{directory}/a one.test !two.test\n",
    }.items():
        (directory / name).write_text(content)
    names = ("a", "alone", "mixed", "torn", "text", "list", "good_list", "nowhere")
    return {"ca": good.ca} | {name: str(directory / name) for name in names}


@pytest.mark.parametrize("name", FILES)
def test_files_of_tls(name: str, files: dict[str, str], tmp_path: Path) -> None:
    line, word = FILES[name]
    before = "" if line.startswith("bind") else "    bind 127.0.0.1:20001\n"
    text = f"{HEAD}listen front\n{before}    {line.format(**files)}\n"
    theirs, ours = haproxy_says(text, tmp_path), rabbitry_says(text, tmp_path)
    if not word:
        assert (theirs.code, ours.code) == (0, 0), (theirs.said, ours.said)
        return
    at = text.count("\n")
    assert theirs.code == 1 and f"cfg:{at}]" in theirs.said, theirs.said
    assert (ours.code, ours.lines) == (2, [at])
    assert f": '{word}' " in ours.said
