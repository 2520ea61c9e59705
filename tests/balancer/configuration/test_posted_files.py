"""Files as people run HAProxy with before RabbitMQ, by the patterns of those that are posted.

None is a copy. Most load, with warnings for what they ask in vain; what does not is refused at the
lines that would change who comes in or what is judged.
"""

from __future__ import annotations

import pytest
from support.configuration_text import mistakes, read

DEBIAN = """
global
    log /dev/log local0
    log /dev/log local1 notice
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user haproxy
    group haproxy
    daemon
    ca-base /etc/ssl/certs
    crt-base /etc/ssl/private
    ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 5000
    timeout client 50000
    timeout server 50000
    errorfile 400 /etc/haproxy/errors/400.http
    errorfile 503 /etc/haproxy/errors/503.http
"""
CENTOS = """
global
    log 127.0.0.1 local2
    chroot /var/lib/haproxy
    pidfile /var/run/haproxy.pid
    maxconn 4000
    user haproxy
    group haproxy
    daemon
    stats socket /var/lib/haproxy/stats
defaults
    mode http
    log global
    option httplog
    option dontlognull
    option http-server-close
    option forwardfor except 127.0.0.0/8
    option redispatch
    retries 3
    timeout http-request 10s
    timeout queue 1m
    timeout connect 10s
    timeout client 1m
    timeout server 1m
    timeout http-keep-alive 10s
    timeout check 10s
    maxconn 3000
"""
PLAIN = """
global
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 50s
    timeout server 50s
"""
NODES = """
    server rabbit1 rabbit1:5672 check inter 5s rise 2 fall 3
    server rabbit2 rabbit2:5672 check inter 5s rise 2 fall 3
    server rabbit3 rabbit3:5672 check inter 5s rise 2 fall 3
"""
PAGE = """
listen stats
    bind *:1936
    mode http
    stats enable
    stats hide-version
    stats realm HAProxy\\ Statistics
    stats uri /
    stats refresh 5s
    stats show-node
    stats auth admin:secret
"""
LOADS = {
    "debian": DEBIAN
    + "listen rabbitmq\n    bind *:5672\n    mode tcp\n    balance roundrobin"
    + NODES,
    "centos": CENTOS
    + "listen rabbitmq\n    bind *:5672\n    mode tcp\n    balance source\n    option tcplog"
    + NODES
    + PAGE,
    "long sessions": PLAIN
    + "listen rabbitmq\n    bind *:5672\n    option clitcpka\n    timeout client 3h\n"
    + "    timeout server 3h"
    + NODES
    + PAGE,
    "front and back": PLAIN
    + "frontend amqp\n    bind *:5672\n    default_backend nodes\nbackend nodes\n"
    + "    option clitcpka"
    + "\n    option tcp-check\n    balance leastconn"
    + NODES,
    "two fronts": PLAIN
    + "frontend amqp\n    bind *:5672\n    default_backend nodes\nfrontend ui\n    bind *:15672"
    + "\n    default_backend uis\nbackend nodes"
    + NODES
    + "backend uis\n    balance source"
    + NODES.replace("5672", "15672"),
    "of the first year": """
global
    log 127.0.0.1 local0 info
    maxconn 5120
    chroot /usr/local/haproxy
    uid 99
    gid 99
    daemon
    quiet
    nbproc 2
    pidfile /var/run/haproxy.pid
defaults
    log global
    mode tcp
    option tcplog
    option dontlognull
    retries 3
    option redispatch
    maxconn 2000
    contimeout 5s
    clitimeout 60s
    srvtimeout 15s
listen rabbitmq_cluster *:5672
    mode tcp
    balance roundrobin"""
    + NODES,
    "one and its backups": PLAIN
    + """
listen rabbitmq
    bind 192.168.33.100:5672
    stats enable
    option forwardfor
    option tcpka
    server one 192.168.33.101:5672 check inter 5000 downinter 500
    server two 192.168.33.102:5672 check inter 5000 backup
    server three 192.168.33.103:5672 check inter 5000 backup on-marked-up shutdown-backup-sessions
""",
    "greeting as a check": PLAIN
    + """
backend nodes
    option tcp-check
    tcp-check send-binary 414d515000000901
    tcp-check expect binary 01
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions slowstart 60s maxconn 500
    server one 10.0.0.1:5672 check
    server two 10.0.0.2:5672 check
frontend amqp
    bind :5672
    default_backend nodes
""",
    "tls at the front": DEBIAN
    + "frontend amqps\n    mode tcp\n    bind :5671 ssl crt rabbit.pem\n    option tcplog"
    + "\n    default_backend nodes\nbackend nodes\n    mode tcp"
    + NODES,
    "tls passed through": PLAIN + "listen amqps\n    bind :5671" + NODES.replace("5672", "5671"),
    "docker": PLAIN
    + """
resolvers docker
    nameserver dns 127.0.0.11:53
    hold valid 10s
listen rabbitmq
    bind :5672
    log stdout format raw local0
    server one rabbit1:5672 check resolvers docker init-addr libc,none
""",
    "environment": PLAIN
    + 'listen rabbitmq\n    bind ":${PORT-5672}"\n    server one "$NODE":5672 check\n',
    "proxy protocol": PLAIN
    + "listen rabbitmq\n    bind :5672 accept-proxy\n"
    + "    server one 10.0.0.1:5672 check send-proxy-v2\n",
    "metrics": PLAIN
    + "frontend prometheus\n    bind :8405\n    mode http\n"
    + "    http-request use-service prometheus-exporter if { path /metrics }\n"
    + "    stats enable\n    stats uri /stats\n",
    "log lines": PLAIN
    + "listen rabbitmq\n    bind :5672\n    log /dev/log local0\n    option log-health-checks\n"
    + '    log-format "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts"\n    option dontlog-normal'
    + NODES,
    "agent": PLAIN + "listen rabbitmq\n    bind :5672\n    server one 10.0.0.1:5672 check "
    "agent-check agent-port 9999 "
    "agent-inter 5s weight 100\n",
}
REFUSED = {
    "console over http": (
        PLAIN + "listen ui\n    bind :15672\n    mode http\n    server one 10.0.0.1:15672 check\n",
        ["mode http and servers"],
    ),
    "checked over http": (
        PLAIN
        + "listen rabbitmq\n    bind :5672\n    option httpchk GET /api/health/checks/alarms\n"
        + "    http-check expect status 200\n    server one 10.0.0.1:5672 check port 15672\n",
        ["'httpchk'", "'http-check'"],
    ),
    "who may come": (
        PLAIN
        + "listen rabbitmq\n    bind :5672\n    acl inside src 10.0.0.0/8\n"
        + "    tcp-request connection reject if !inside\n    server one 10.0.0.1:5672\n",
        ["'acl'", "'tcp-request'"],
    ),
    "who goes where": (
        PLAIN
        + "frontend amqp\n    bind :5672\n    use_backend one if { src 10.0.0.1 }\n"
        + "    default_backend two\nbackend one\n    server a 10.0.0.1:5672\n"
        + "backend two\n    server a 10.0.0.1:5672\n",
        ["'if {'"],
    ),
    "sticky": (
        PLAIN
        + "listen rabbitmq\n    bind :5672\n    stick-table type ip size 200k expire 30m\n"
        + "    stick on src\n    server one 10.0.0.1:5672\n",
        ["'stick-table'", "'stick'"],
    ),
    "kubernetes": (
        PLAIN
        + "listen rabbitmq\n    bind :5672\n"
        + "    server-template rabbit 3 rabbit.default.svc:5672 check resolvers dns\n",
        ["'server-template'"],
    ),
}


@pytest.mark.parametrize("name", LOADS)
def test_it_loads(name: str) -> None:
    configuration = read(LOADS[name], {"NODE": "10.0.0.1"})
    assert any(front.mode == "tcp" and front.binds for front in configuration.frontends) or (
        name == "metrics"
    )
    assert all("did you mean" not in warning for warning in configuration.warnings)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_where_it_would_change(name: str) -> None:
    text, told = REFUSED[name]
    lines = mistakes(text)
    assert len(lines) == len(told), lines
    for line, word in zip(lines, told, strict=True):
        assert word in line
