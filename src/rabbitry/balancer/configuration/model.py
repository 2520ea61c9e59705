"""What a balancer's configuration says, as values: the result of reading HAProxy's language.

Owns the shapes and the error that carries every mistake of a file. Does not own the language:
`reader` reads it, `rendering` writes it.

A `frontend` is a `FrontendSection`, a `backend` a `BackendSection`, a `listen` is one of each
with the same name and the same number (HAProxy's proxy `id`), as in HAProxy itself, where one
struct has both capabilities.

Invariants: all values are frozen; times are integer microseconds, `None` where there is no limit;
defaults of HAProxy 2.6 are filled in, `defaults` sections and `default-server` lines are folded in,
so nobody downstream knows a default. Passwords are here and nowhere in a text that is shown
(`repr` leaves them out).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rabbitry.machine import Address

MAXCONN_DEFAULT = 20_000
"""What a frontend may hold where neither file nor caller says."""
REDISPATCH_ON_LAST_RETRY = -1
"""What `option redispatch` without a number means (configuration.txt 4.2, "option redispatch")."""


class ConfigurationError(ValueError):
    """A configuration that cannot be used. `mistakes`: a line for each, where, what, what to do.

    `str` joins them with newlines.
    """

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class LogTarget:
    """A `log` line. `address` is UDP host and port, or the path of a Unix socket; None: `stdout`
    or `stderr` is `stream`, or `fd@N`. `format` is one of `syslog_lines.FORMATS`, "" where none is
    given (configuration.txt 3.1, "log"); levels are syslog's words.
    """

    address: Address | None
    facility: str
    stream: str = ""
    format: str = ""
    level: str = "debug"
    minimum_level: str = "emerg"
    length_bytes: int = 1024


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP keepalive of a side (`option clitcpka`, `srvtcpka`, `tcpka`); None: the system's."""

    idle_s: int | None = None
    interval_s: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class CertificateList:
    """The file of a `crt-list`; what it names is in `folder` (`crt-base`) unless it says where."""

    path: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class BindTls:
    """TLS at the front: `certificates` are the files or directories of `crt` (key and chain in one
    PEM, or beside it as `.key`) and those of `crt-list`; the first one is the default. `strict_sni`
    refuses who asks for none of them. `verify` is none, optional or required; `ca_verify_file` is
    trusted beside `ca_file`, what `crl_file` has is not. `ciphersuites` are those of TLS 1.3,
    `ciphers` the others'; `tickets` is False for `no-tls-tickets`.
    """

    certificates: tuple[str | CertificateList, ...]
    ca_file: str | None = None
    verify: str = "none"
    ciphers: str | None = None
    ciphersuites: str | None = None
    minimum_version: str = "TLSv1.2"
    maximum_version: str | None = None
    alpn: tuple[str, ...] = ()
    tickets: bool = True
    strict_sni: bool = False
    ca_verify_file: str | None = None
    crl_file: str | None = None


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS towards a server (`ssl`). `verify` is none or required (then there is a `ca_file`);
    `sni` is a literal name, `certificate` the client's own; `reuse` is False for `no-ssl-reuse`.
    """

    verify: str = "required"
    ca_file: str | None = None
    certificate: str | None = None
    sni: str | None = None
    verify_host: str | None = None
    alpn: tuple[str, ...] = ()
    ciphers: str | None = None
    ciphersuites: str | None = None
    minimum_version: str | None = None
    maximum_version: str | None = None
    tickets: bool = True
    crl_file: str | None = None
    reuse: bool = True


@dataclass(frozen=True, slots=True)
class BindLine:
    """One address of a `bind` line. A Unix socket's `address.host` is its path, its port 0; see
    `addresses`. `user` and `group` own the file of such a socket: names, or numbers as digits.
    `id` is the number of the socket in the statistics (`option socket-stats`). `place` is where it
    is written, FILE:LINE.
    """

    address: Address
    name: str | None = None
    tls: BindTls | None = None
    accept_proxy: bool = False
    maxconn: int | None = None
    backlog: int | None = None
    v6only: bool = False
    v4v6: bool = False
    mode: int | None = None  # of a Unix socket's file
    user: str | None = None
    group: str | None = None
    tcp_user_timeout_us: int | None = None
    level: str = "operator"  # of a runtime socket: user, operator, admin
    id: int | None = None
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StatisticsPage:
    """The `stats` lines of a section. `refresh_us`: how often the page reloads (None: never).

    `users` has (name, password) of `stats auth`; nobody need log in where it is empty. `admin` says
    who may act on servers (`stats admin if ...`): "" nobody, "always" (TRUE) whoever sees the page,
    "localhost" (LOCALHOST) who comes from 127.0.0.0/8 or ::1. `show_node` is "" for the host's own
    name, None for none. `scope` are the names of the proxies that are shown, all where it is empty;
    "." is the page's own.
    """

    uri: str = "/haproxy?stats"
    refresh_us: int | None = None
    users: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    realm: str = "HAProxy Statistics"
    admin: str = ""
    hide_version: bool = False
    show_legends: bool = False
    show_node: str | None = None
    show_description: str | None = None
    scope: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsService:
    """`http-request use-service prometheus-exporter`: metrics at these `paths` (none: at every
    one), or at what begins with one of them (`is_prefix`).
    """

    paths: tuple[str, ...] = ()
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One `tcp-check` line. `kind` is connect, send, expect or comment.

    connect: `address`, `port`, `tls`, `send_proxy`, `linger`; None: the server's own. `default` is
    that of `connect default`: the server's own settings for TLS and PROXY protocol, too.
    send: `data`. expect: `match` is string, rstring, binary or rbinary, `data` what is looked for
    (for the r-kinds a regular expression), `negated` for `!`, `minimum_bytes` of `min-recv`
    (-1: none), and the statuses of `ok-status`, `error-status`, `tout-status`.
    """

    kind: str
    data: bytes = b""
    match: str = ""
    negated: bool = False
    minimum_bytes: int = -1
    address: Address | None = None
    port: int | None = None
    tls: bool = False
    send_proxy: bool = False
    linger: bool = False
    default: bool = False
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    comment: str = ""
    ok_status: str = "L7OK"
    error_status: str = "L7RSP"
    timeout_status: str = "L7TOUT"
    on_success: str = ""
    on_error: str = ""


@dataclass(frozen=True, slots=True)
class AmqpCheck:
    """`option amqp-check`: who logs in to judge a broker's health, and where; and whether a durable
    message asks for its disk, as it does without `no-disk`."""

    user: str = "guest"
    password: str = field(default="guest", repr=False)
    virtual_host: str = "/"
    asks_disk: bool = True


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One `server` line. Defaults as in HAProxy 2.6 (configuration.txt 5.2).

    `fastinter_us` and `downinter_us` are None where `inter_us` holds for those states too.
    `track` is "BACKEND/SERVER". `send_proxy` is 0, 1 or 2, the version of the PROXY protocol;
    `check_send_proxy` likewise for checks. `on_marked_down` is "" or shutdown-sessions,
    `on_marked_up` "" or shutdown-backup-sessions. `check_address` is where checks go, None where
    they go to `address`; `check_tls` and `check_send_proxy` hold for checks whatever holds for
    traffic: what HAProxy lets them take over from it is folded in. `script_tls` is how a `tcp-check
    connect ssl` encrypts; it is there if the script has one. `id` is HAProxy's `sid`; the
    reader always fills it in. `minconn` is below `maxconn`, or None: the limit is fixed. `place` is
    where it is written, FILE:LINE. `resolving` has the words on how HAProxy is to look up its name,
    each with its argument: they are not carried out here, and change nothing of the server.
    """

    name: str
    address: Address
    check: bool = False
    inter_us: int = 2_000_000
    fastinter_us: int | None = None
    downinter_us: int | None = None
    rise: int = 2
    fall: int = 3
    weight: int = 1
    backup: bool = False
    disabled: bool = False
    id: int | None = None
    maxconn: int | None = None
    minconn: int | None = None
    maxqueue: int | None = None
    slowstart_us: int | None = None
    check_address: Address | None = None  # `addr` and `port` folded with `address`
    check_tls: ServerTls | None = None
    script_tls: ServerTls | None = None
    track: str | None = None
    agent_check: bool = False
    agent_address: Address | None = None
    agent_inter_us: int = 2_000_000
    agent_send: bytes = b""
    send_proxy: int = 0
    check_send_proxy: int = 0
    tls: ServerTls | None = None
    source: Address | None = None
    on_marked_down: str = ""
    on_marked_up: str = ""
    on_error: str = "fail-check"
    error_limit: int = 10
    observe: str = ""
    tcp_user_timeout_us: int | None = None
    resolving: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Balance:
    """The algorithm: roundrobin, static-rr, leastconn, first, source or random.

    `draws` is n of `random(n)`. `hash_type` is map-based or consistent, `hash_function` sdbm, djb2,
    wt6 or crc32, `hash_modifier` "" or avalanche (`hash-type`); `balance_factor_percent` of
    `hash-balance-factor`, 0 for none.
    """

    algorithm: str = "roundrobin"
    draws: int = 2
    hash_type: str = "map-based"
    hash_function: str = "sdbm"
    hash_modifier: str = ""
    balance_factor_percent: int = 0


@dataclass(frozen=True, slots=True)
class FrontendSection:
    """Where clients come in. `mode` is "tcp", "amqp" or "http" (which serves `statistics` and
    `metrics` only).

    `default_backend` names a `BackendSection`; in a `listen` it is the section itself. `maxconn`
    is that of `global` where the section has none, `parse`'s `process_maxconn` where nobody has.
    `sessions_per_s` is `rate-limit sessions`. `log_targets` are those of the section, `log global`
    resolved. `tcplog`: sessions are told of in a line; `http_lines` is the format of requests in
    mode "http": "http" or "clf" (`option httplog`), else as of `option tcplog`.
    """

    name: str
    number: int
    mode: str
    binds: tuple[BindLine, ...]
    default_backend: str | None = None
    disabled: bool = False
    maxconn: int = MAXCONN_DEFAULT
    backlog: int | None = None
    sessions_per_s: int | None = None
    timeout_client_us: int | None = None
    timeout_client_fin_us: int | None = None
    keepalive: Keepalive | None = None
    tcplog: bool = False
    http_lines: str = ""
    dontlognull: bool = False
    dontlog_normal: bool = False
    logasap: bool = False
    log_separate_errors: bool = False
    independent_streams: bool = False
    nolinger: bool = False
    socket_stats: bool = False
    log_targets: tuple[LogTarget, ...] = ()
    log_tag: str | None = None
    statistics: StatisticsPage | None = None
    description: str | None = None
    metrics: MetricsService | None = None

    @property
    def has_pages(self) -> bool:
        """Whether pages are served at its addresses."""
        return self.mode == "http" and not self.disabled


@dataclass(frozen=True, slots=True)
class BackendSection:
    """The servers behind a `backend` or `listen`, and how they are chosen, checked and waited for.

    `redispatch` is None (off) or the number of `option redispatch`. `check` is "connect" (a TCP
    check), "tcp-check" (the script `check_steps`) or "amqp" (`amqp_check`). `timeout_queue_us` is
    the connect timeout where there is none; `fullconn` a tenth of what its frontends may hold.
    A `listen` or `backend` of mode "http" has no servers: it is there for its row.
    """

    name: str
    number: int
    mode: str
    servers: tuple[ServerLine, ...] = ()
    balance: Balance = field(default_factory=Balance)
    disabled: bool = False
    retries: int = 3
    redispatch: int | None = None
    all_backups: bool = False
    fullconn: int | None = None
    timeout_connect_us: int | None = None
    timeout_server_us: int | None = None
    timeout_server_fin_us: int | None = None
    timeout_queue_us: int | None = None
    timeout_check_us: int | None = None
    timeout_tunnel_us: int | None = None
    keepalive: Keepalive | None = None
    check: str = "connect"
    check_steps: tuple[CheckStep, ...] = ()
    amqp_check: AmqpCheck | None = None
    log_health_checks: bool = False
    independent_streams: bool = False
    nolinger: bool = False
    abortonclose: bool = False
    log_targets: tuple[LogTarget, ...] = ()
    log_tag: str | None = None
    statistics: StatisticsPage | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class RuntimeSocket:
    """A `stats socket` line: where it listens, and what it lets people do (`bind.level`)."""

    bind: BindLine


@dataclass(frozen=True, slots=True)
class Global:
    """The `global` section. `maxconn` caps the client links of all frontends together; where it is
    None, `maxconn_default` is what a frontend takes, and what is told of the process.

    `processes` is `nbthread` times `nbproc`. `user` and `group` are names, or numbers as digits;
    `user_place` and `group_place` are where they stand, for people.
    `log_send_hostname` is "" for the host's own name, None for none. `hard_stop_after_us`: how long
    sessions may outlive a soft stop. `spread_checks_percent` spreads checks in time.
    """

    maxconn: int | None = None
    maxconn_default: int = MAXCONN_DEFAULT
    connections_per_s: int | None = None
    sessions_per_s: int | None = None
    processes: int = 1
    daemon: bool = False
    user: str | None = None
    group: str | None = None
    pidfile: str | None = None
    node: str | None = None
    description: str | None = None
    hard_stop_after_us: int | None = None
    spread_checks_percent: int = 0
    max_spread_checks_us: int | None = None
    log_targets: tuple[LogTarget, ...] = ()
    log_tag: str = "haproxy"
    log_send_hostname: str | None = None
    runtime_sockets: tuple[RuntimeSocket, ...] = ()
    runtime_timeout_us: int = 10_000_000
    runtime_maxconn: int = 10
    user_place: str = field(default="", compare=False, repr=False)
    group_place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file, or several. `warnings` has a line for each thing that was read but is not
    carried out.

    `proxies` has the (frontend, backend) of each section in the order of the file: a `listen` has
    both, a `frontend` and a `backend` one of them. `resolvers` has the words of each line of such
    sections, which only `rendering` wants to know.
    """

    proxies: tuple[tuple[FrontendSection | None, BackendSection | None], ...]
    process: Global = field(default_factory=Global)
    warnings: tuple[str, ...] = ()
    resolvers: tuple[tuple[str, ...], ...] = ()

    @property
    def frontends(self) -> tuple[FrontendSection, ...]:
        """All frontends in order."""
        return tuple(front for front, _ in self.proxies if front is not None)

    @property
    def backends(self) -> tuple[BackendSection, ...]:
        """All backends in order."""
        return tuple(back for _, back in self.proxies if back is not None)
