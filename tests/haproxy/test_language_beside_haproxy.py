"""The configuration language beside `haproxy -c`: what is right for one is right for the other.

Lines of every kind stand alone in an otherwise right file. Where the two differ, they do so by
decision (docs/decisions/0094): such lines are listed here, with who takes them.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.balancer_sides import HAPROXY
from support.certificates import Certificates
from support.configuration_lines import (
    BACK,
    BIND,
    BOTH,
    FRONT,
    GLOBAL,
    PAGE,
    SERVER,
    configuration_text,
)

from rabbitry.balancer.configuration.model import Configuration, ConfigurationError
from rabbitry.balancer.configuration.reader import parse
from rabbitry.balancer.configuration.rendering import render

Text = Callable[[str], str]
PLACES: dict[str, Text] = {
    "global": lambda line: configuration_text(of_global=[line]),
    "front": lambda line: configuration_text(front=[line]),
    "back": lambda line: configuration_text(back=[line]),
    "bind": lambda line: configuration_text(binds=[line]),
    "server": lambda line: configuration_text(servers=[line]),
    "page": lambda line: configuration_text(page=[line]),
}
TAKEN = [
    ("global", GLOBAL),
    ("front", (*BOTH, *FRONT)),
    ("back", BACK),
    ("bind", BIND),
    ("server", SERVER),
    ("page", PAGE),
]
REFUSED = {
    "global": """
maxconn
maxconn 1 2
nbthread 0
nbthread 65
node a/b
hard-stop-after x
spread-checks 51
stats
stats foo
stats socket
stats socket /tmp/s level god
stats socket /tmp/s foo
stats timeout 0
stats maxconn 0
log
log 127.0.0.1
log 127.0.0.1 foo
log 127.0.0.1 local0 loud
log 127.0.0.1 len 10 local0
log 127.0.0.1 format x local0
log global
log stdout local0 info err debug
log-tag
frob
no maxconn
ssl-server-verify x
ssl-default-bind-options x
setenv A
unix-bind x y
""",
    "front": """
bind
bind 127.0.0.1
bind 127.0.0.1:0
bind 127.0.0.1:70000
bind 127.0.0.1:5-3
bind ,127.0.0.1:21500
bind ipv6@127.0.0.1:21500
bind 127.0.0.1:21500 foo
bind 127.0.0.1:21500 ssl
bind 127.0.0.1:21500 ssl crt {pem} verify required
bind 127.0.0.1:21500 ssl crt {pem} verify maybe
bind 127.0.0.1:21500 ssl crt {pem} ssl-min-ver TLSv1
bind 127.0.0.1:21500 name
bind 127.0.0.1:21500 id 0
bind 127.0.0.1:21500 tcp-ut x
bind 127.0.0.1:21500 level god
maxconn
maxconn x y
rate-limit foo 5
rate-limit sessions x
timeout
timeout foo 5
timeout client x
timeout client 30d
timeout client 5s 6
option
option foo
option tcplog x
option dontlognull x
option forceclose
no option tcplog
no option tcpka
no
no mode tcp
mode
mode foo
mode health
mode tcp http
id 0
description
disabled x
log global x
default_backend
default_backend nosuch
default_backend l
use_backend
use_backend nosuch
use_backend l foo
grace 5
monitor-net 1.2.3.4
reqrep a b
frob
""",
    "back": """
balance foo
balance random(0)
balance random(x)
hash-type
hash-type foo
hash-type consistent foo
hash-type consistent sdbm foo
hash-balance-factor 50
retries
retries 1 2
option tcp-check x
no option tcp-check
tcp-check
tcp-check foo
tcp-check connect foo
tcp-check connect port 0
tcp-check send
tcp-check send a b
tcp-check send a comment
tcp-check send-binary zz
tcp-check send-binary abc
tcp-check expect
tcp-check expect foo
tcp-check expect string
tcp-check expect string a string b
tcp-check expect !
tcp-check expect ! min-recv 5 string a
tcp-check expect rstring (
tcp-check expect string a min-recv -2
tcp-check expect string a ok-status foo
tcp-check expect string a tout-status L7OK
tcp-check comment
default-server foo
default-server inter
server
server t
server t 127.0.0.1:x
server t 127.0.0.1:5-6
server s0 127.0.0.1:5
server t udp@127.0.0.1:5
timeout connect
timeout queue x
""",
    "server": """
foo
check foo
inter
inter 0
inter x
rise 0
fall 0
weight 257
weight -1
slowstart x
track
track s0 check
track nosuch
track s1
observe foo
on-error foo
on-marked-down foo
on-marked-up foo
error-limit 0
id 0
agent-check
agent-inter 0
agent-addr 127.0.0.1:5
ssl
ssl verify required
ssl verify foo
sni
check-sni
send-proxy foo
usesrc x
ssl verify none ssl-min-ver x
resolvers
""",
    "page": """
stats
stats foo
stats uri
stats refresh
stats refresh x
stats auth
stats realm
stats scope
stats show-node a/b
stats admin
stats admin if foo
""",
}
ONLY_HAPROXY = {
    # Numbers it cuts short, and words it does not look at.
    "global": "maxconn a\nuid x",
    "server": "weight 5x\nmaxconn x\nport 70000\nobserve layer7\nsocks4 127.0.0.1:5",
    "front": "option redispatch x\nmonitor-uri /x\ntcp-request inspect-delay 5s",
    # What decides, protects or is HTTP.
    "back": """
retries x
balance roundrobin x
balance uri
option httpchk
http-check expect status 200
option ssl-hello-chk
stick-table type ip size 1m
acl a src 1.2.3.4
tcp-request connection accept
http-request deny
filter trace
dispatch 127.0.0.1:5
server t 127.0.0.1
server t *:5
server-template t 3 127.0.0.1:5
""",
    "page": "stats auth u\nstats uri s\nstats http-request auth",
}
ONLY_WE = {
    # Spellings of old, and names, files and users that are looked up when they are needed.
    "global": "nbproc 2\nuser nosuchuser\ntune.bufsize",
    "front": "contimeout 5\nclitimeout 5\nsrvtimeout 5\nredispatch\nmode amqp\nlog-format a b",
    "back": "option amqp-check\ntcp-check connect ssl\nserver t nosuch.bad:5\nsource nosuch.bad",
    "bind": "ssl crt /none",
    "server": "resolvers nosuch\nssl ca-file /none",
}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with a certificate, its key and its authority."""
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    path = certificates.directory / "all.pem"
    parts = (certificates.cert, certificates.key, certificates.ca)
    path.write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    return str(path)


def haproxy_says(text: str, directory: Path) -> str:
    """What it has against a file; "" if nothing."""
    path = directory / "judged.cfg"
    path.write_text(text)
    command = [str(HAPROXY), "-c", "-f", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def we_say(text: str) -> str:
    """What we have against it; "" if nothing."""
    try:
        read(text)
    except ConfigurationError as error:
        return str(error)
    return ""


def read(text: str) -> Configuration:
    return parse(text, "judged.cfg", os.environ, process_maxconn=1000)


def cases(table: dict[str, str]) -> list[tuple[str, list[str]]]:
    return [(place, lines.strip().splitlines()) for place, lines in table.items()]


@pytest.mark.parametrize(("place", "lines"), TAKEN, ids=[place for place, _ in TAKEN])
def test_both_take_it_and_haproxy_takes_what_we_render(
    place: str, lines: tuple[str, ...], pem: str, tmp_path: Path
) -> None:
    for line in lines:
        text = PLACES[place](line).replace("{pem}", pem)
        assert not haproxy_says(text, tmp_path), line
        assert not we_say(text), line
        assert not haproxy_says(render(read(text)), tmp_path), line


@pytest.mark.parametrize(("place", "lines"), cases(REFUSED))
def test_both_refuse_it(place: str, lines: list[str], pem: str, tmp_path: Path) -> None:
    for line in lines:
        text = PLACES[place](line).replace("{pem}", pem)
        assert haproxy_says(text, tmp_path), line
        written = [at for at, each in enumerate(text.splitlines(), 1) if line.split()[0] in each]
        told = we_say(text)
        assert any(told.startswith(f"judged.cfg:{number}: ") for number in written), told


@pytest.mark.parametrize(("place", "lines"), cases(ONLY_HAPROXY))
def test_only_haproxy_takes_it(place: str, lines: list[str], tmp_path: Path) -> None:
    for line in lines:
        text = PLACES[place](line)
        assert not haproxy_says(text, tmp_path), line
        assert we_say(text), line


@pytest.mark.parametrize(("place", "lines"), cases(ONLY_WE))
def test_only_we_take_it(place: str, lines: list[str], tmp_path: Path) -> None:
    for line in lines:
        text = PLACES[place](line)
        assert haproxy_says(text, tmp_path), line
        assert not we_say(text), line


def test_haproxy_takes_names_that_it_need_not_find_when_it_starts(tmp_path: Path) -> None:
    text = """
resolvers docker
    nameserver dns 127.0.0.1:53
    hold valid 10s
listen l
    mode tcp
    bind 127.0.0.1:21000
    timeout client 1s
    timeout connect 1s
    timeout server 1s
    server one nosuch.invalid:5672 resolvers docker init-addr libc,none
"""
    assert not haproxy_says(text, tmp_path)
    assert not haproxy_says(render(read(text)), tmp_path)
    for words, refused in (
        ("resolvers docker", False),  # as if there were an `init-addr` with `none`
        ("init-addr libc,none", False),
        ("init-addr libc", True),
        ("", True),
    ):
        less = text.replace("resolvers docker init-addr libc,none", words)
        assert bool(haproxy_says(less, tmp_path)) is refused
        assert bool(haproxy_says(render(read(less)), tmp_path)) is refused


@pytest.mark.parametrize("seed", range(20))
def test_haproxy_takes_whole_files_that_we_render(seed: int, pem: str, tmp_path: Path) -> None:
    choose = random.Random(seed)
    back = [line for line in BACK if not line.startswith("tcp-check connect")]
    text = configuration_text(
        choose.sample(GLOBAL, 5),
        choose.sample((*BOTH, *FRONT, *back), 6),
        choose.sample((*BOTH, *FRONT), 6),
        choose.sample((*BOTH, *back), 8),
        choose.sample(BIND, 3),
        choose.sample(SERVER, 3),
        choose.sample(PAGE, 4),
        split=seed % 2 == 0,
    ).replace("{pem}", pem)
    rendered = render(read(text))
    assert not haproxy_says(rendered, tmp_path), rendered


QUOTING = r"""
description "a b" 'c d' e\ f
description a"b c"d
description "\x41\t\\"
description ^\d+\.x$
description $HOME
description # nothing
description "$HOME"
description "${NOSUCH-a b}"
description "${HOME"
description "$1"
description 'a
description \xg1
description a\
"""


@pytest.mark.parametrize("line", QUOTING.strip().splitlines())
def test_lines_are_split_alike(line: str, tmp_path: Path) -> None:
    text = configuration_text(front=[line])
    assert bool(haproxy_says(text, tmp_path)) == bool(we_say(text))
