"""Lines of every kind that HAProxy and we take, and how a configuration is made of some of them.

`{pem}` stands for a file with a certificate and its key.
"""

from __future__ import annotations

from collections.abc import Sequence

GLOBAL = (
    *("maxconn 900", "maxconnrate 800", "maxsessrate 700", "nbthread 2", "node n", "daemon"),
    *("user root", "pidfile /tmp/p", "description d e", "hard-stop-after 5s", "uid 0"),
    *("spread-checks 4", "max-spread-checks 3s", "log-tag t", "log-send-hostname"),
    *("log-send-hostname h", "stats timeout 2m", "stats maxconn 20", "tune.bufsize 32768"),
    *("stats socket /tmp/s.sock mode 660 level admin", "stats socket ipv4@127.0.0.1:9999"),
    *("log 127.0.0.1 local0", "log /dev/log len 4096 local1 notice err", "no log"),
    *("log stdout format raw daemon", "log [::1]:5 format rfc5424 user info"),
    *("ssl-default-bind-options ssl-min-ver TLSv1.3", "ssl-server-verify none"),
    *("ssl-default-server-options no-tls-tickets", "ssl-default-bind-ciphers AES128-SHA"),
)
BOTH = (
    *("option nolinger", "option independent-streams", "no option nolinger", "log global"),
    *("log stderr format short local2", "no log", "log-tag tag", "timeout tarpit 5s"),
    *("option tcpka", "timeout http-request 5s"),
)
FRONT = (
    *("maxconn 50", "backlog 60", "rate-limit sessions 70", "option tcplog", "option dontlognull"),
    *("option dontlog-normal", "option logasap", "option log-separate-errors"),
    *("option socket-stats", "option clitcpka", "no option clitcpka", "clitcpka-idle 10s"),
    *("clitcpka-cnt 3", "clitcpka-intvl 1m", "timeout client 1h", "timeout client-fin 500"),
    *("option splice-auto", "option tcp-smart-accept", "option contstats", "maxconn 0"),
)
BACK = (
    *("balance leastconn", "balance source", "balance first", "balance static-rr"),
    *("balance random(4)", "balance random", "balance roundrobin", "hash-type consistent"),
    *("hash-type map-based djb2 avalanche", "hash-type consistent wt6", "retries 9"),
    *("hash-balance-factor 150", "option redispatch", "option redispatch 2", "fullconn 77"),
    *("no option redispatch", "option allbackups", "option log-health-checks"),
    *("option abortonclose", "option srvtcpka", "srvtcpka-idle 5", "timeout connect 5s"),
    *("timeout server 1m", "timeout queue 30s", "timeout check 1500", "timeout tunnel 1d"),
    *("timeout server-fin 100ms", "option tcp-check", "tcp-check connect port 5672 linger"),
    *("tcp-check send PING\\r\\n", "tcp-check send-binary 414D5150 comment c"),
    *("tcp-check expect string +PONG", "tcp-check comment some\\ text", "source 127.0.0.1"),
    *("tcp-check expect ! rstring ^(a|b)$ min-recv 5 ok-status L7OKC on-error bad",),
    *("tcp-check expect binary 01 tout-status L6TOUT", "default-server check inter 3s fall 9"),
    *("default-server backup weight 7 on-marked-down shutdown-sessions",),
)
BIND = (
    *("accept-proxy", "name n", "id 700", "maxconn 9", "backlog 10", "tcp-ut 30s", "v4v6"),
    *("ssl crt {pem}", "ssl crt {pem} ca-file {pem} verify required alpn a,b no-tls-tickets"),
    *("ssl crt {pem} ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.3", "mode 660", "level admin"),
)
SERVER = (
    *("check", "check inter 1s fastinter 200 downinter 5s", "rise 4 fall 5", "weight 0"),
    *("weight 256", "backup", "disabled", "maxconn 10", "maxconn 10 minconn 2", "minconn 3"),
    *("maxqueue 3", "slowstart 1500ms", "observe layer4 on-error mark-down error-limit 3"),
    *("on-marked-up shutdown-backup-sessions", "tcp-ut 8s", "source 127.0.0.1:77"),
    *("send-proxy", "send-proxy-v2", "check-send-proxy", "check port 99", "check addr 127.0.0.9"),
    *("agent-check agent-port 9 agent-send hi\\n agent-inter 7s", "ssl verify none", "no-check"),
    *("ssl ca-file {pem} sni str(rabbit) verifyhost h alpn a", "check ssl verify none port 9"),
    *("check check-ssl verify none check-sni x", "ssl verify none no-check-ssl", "no-backup"),
    *("ssl verify none crt {pem} force-tlsv12 check-alpn a", "addr [::1] port 5"),
    *("init-addr last,libc,none", "init-addr none init-addr 127.0.0.1 resolve-prefer ipv4"),
)
PAGE = (
    *("stats enable", "stats uri /s", "stats refresh 7", "stats auth u:p\\ w", "stats scope ."),
    *("stats realm My\\ Rabbits", "stats hide-version", "stats show-legends"),
    *("stats show-node n", "stats show-node", "stats show-desc all of it", "stats refresh 1h"),
)


def configuration_text(
    of_global: Sequence[str] = (),
    defaults: Sequence[str] = (),
    front: Sequence[str] = (),
    back: Sequence[str] = (),
    binds: Sequence[str] = (),
    servers: Sequence[str] = (),
    page: Sequence[str] = (),
    split: bool = False,
) -> str:
    """A file with these lines in their places: one `listen`, or (`split`) a frontend and a backend,
    and a page.
    """
    lines = ["global", *of_global, "defaults", *defaults]
    fronts = [f"bind 127.0.0.1:{21000 + at} {words}" for at, words in enumerate(["", *binds])]
    backs = [f"server s{at} 127.0.0.1:2 {words}" for at, words in enumerate(["check", *servers])]
    if split:
        lines += ["frontend f", *fronts, *front, "default_backend b", "backend b", *back, *backs]
    else:
        lines += ["listen l", *fronts, *front, *back, *backs]
    lines += ["listen p", "mode http", "bind 127.0.0.1:20999", "stats enable", *page]
    return "\n".join(lines) + "\n"
