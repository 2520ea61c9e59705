"""A balancer between scripted clients and servers, with faults: one run of one seed.

Owns what a seed stands for: the configuration, who comes when and does what, which faults strike
and what operators do. What must be true then is `balancer_checkers`'.

Kinds of runs, by seed:
- "rough": every kind of client and server, limits, crashes, freezes, resets, cuts, servers taken
  out, drained and back, killed sessions;
- "gentle": clients and servers that behave, while servers are drained, get other weights and come
  back, and the configuration is loaded anew: no session may come to harm;
- "even": nothing happens but sessions; each server must get its share by weight.

Every run ends with calm, in which all must end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from rabbitry.balancer.balancer import Reload
from rabbitry.balancer.configuration.model import (
    BackendSection,
    Balance,
    BindLine,
    Configuration,
    FrontendSection,
    Global,
    ServerLine,
)
from rabbitry.balancer.servers import Admin, Server
from rabbitry.machine import Address, Entropy, Machine
from rabbitry.simulation.balancer_checkers import WatchedBalancer, Wrong, look_at_streams
from rabbitry.simulation.relayed_peers import (
    CLIENT_STYLES,
    SERVER_STYLES,
    ScriptedClients,
    ScriptedServer,
)
from rabbitry.simulation.world import SeedFailed, World

KINDS = ("rough", "gentle", "rough", "even")
"""What the seeds are, in turn."""

FRONT = Address("balancer", 5670)
CLIENTS = "10.0.0.1"
"""The host of all clients: an address, for `balance source` to hash."""

_MS = 1000
_ACT_UNTIL_US = 3_000_000
_CALM_UNTIL_US = 10_000_000
_GENTLE_SERVERS = ("answers", "answers", "greets", "long")


@dataclass(frozen=True, slots=True)
class BalancerRun:
    """What came of a run: `states` has how often each termination state was told."""

    kind: str
    states: dict[str, int]
    acts: dict[str, int]
    trace_hash: str


class BalancerWorld:
    """One run. Everything in it follows from the seed."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.kind = KINDS[seed % len(KINDS)]
        self.world = World(seed, keep_trace=keep_trace)
        self.acts: dict[str, int] = {}
        schedule = self.world.schedule
        self._random = schedule.random("acts")
        self.configuration = _configuration(self.kind, schedule.random("configuration"))
        self.watched = WatchedBalancer(self.configuration)
        plans = _plans(self.kind, schedule.random("plans"))
        self.clients = ScriptedClients(FRONT, plans, schedule.random("clients"))
        self.servers = self._servers(schedule.random("servers"))
        self._add_hosts()

    def _servers(self, random: Random) -> list[ScriptedServer]:
        styles = _GENTLE_SERVERS if self.kind != "rough" else SERVER_STYLES
        count = len(self.configuration.backends[0].servers)
        return [
            ScriptedServer(number, [random.choice(styles) for _ in range(7)])
            for number in range(count)
        ]

    def _add_hosts(self) -> None:
        world = self.world
        world.add_host("balancer", _always(self.watched), {FRONT.port: "front"})
        world.add_host(CLIENTS, _always(self.clients))
        for server in self.servers:
            # After a crash the same script goes on: what it heard before is looked at, too.
            world.add_host(f"s{server.number}", _always(server), {5672: "amqp"})
        for name in world.hosts:
            world.start(name)

    # --- the run --------------------------------------------------------------------------------

    def run(self) -> BalancerRun:
        """Play it. Raises SeedFailed."""
        if self.kind != "even":
            self._plan_acts()
        self.world.run_until(_ACT_UNTIL_US)
        self._heal()
        self.world.run_until(_CALM_UNTIL_US)
        try:
            self._look()
        except Wrong as wrong:
            raise self.world.failure(str(wrong)) from wrong
        return BalancerRun(self.kind, self._states(), self.acts, self.world.trace.hash)

    def _states(self) -> dict[str, int]:
        states: dict[str, int] = {}
        for details in self.watched.ended:
            state = str(details["state"])
            states[state] = states.get(state, 0) + 1
        return states

    def _look(self) -> None:
        balancer = self.watched.balancer
        rows = balancer.statistics(self.world.now)
        self.watched.look_at_end(rows)
        harmless = set(self._states()) <= {"--"}
        look_at_streams(self.clients.conversations, self.servers, complete=harmless)
        unharmed = harmless and len(self.watched.ended) == len(self.clients.plans)
        if self.kind != "rough" and not unharmed:
            raise Wrong(f"sessions came to harm: {self._states()}")
        if self.kind == "even":
            self._look_at_shares()

    def _look_at_shares(self) -> None:
        """Each server has its share of the sessions, give or take one round of the others."""
        backend = self.watched.balancer.proxies.backends[0]
        total = sum(server.weight for server in backend.servers)
        sessions = sum(server.counters.sessions_total for server in backend.servers)
        for server in backend.servers:
            share = sessions * server.weight / total
            if abs(server.counters.sessions_total - share) > len(backend.servers):
                raise Wrong(f"{server.key}: {server.counters.sessions_total} sessions, not {share}")

    # --- what happens ---------------------------------------------------------------------------

    def _plan_acts(self) -> None:
        gentle = [self._drain, self._make_ready, self._set_weight, self._reload]
        rough = [
            *gentle,
            self._crash,
            self._restart,
            self._freeze,
            self._thaw,
            self._reset,
            self._cut,
            self._maintain,
            self._kill,
        ]
        acts = gentle if self.kind == "gentle" else rough
        for _ in range(self._random.randint(6, 18)):
            at = self._random.randint(0, _ACT_UNTIL_US - 1)
            self.world.schedule.at(at, self._act, self._random.choice(acts))

    def _act(self, act: Callable[[], None]) -> None:
        name = act.__name__.strip("_")
        self.acts[name] = self.acts.get(name, 0) + 1
        self.world.note("world", name)
        act()
        # Commands come beside the machine's events; their effects come with the next one.
        self.world.ask("balancer", 0, "nothing")

    def _any_server(self) -> Server:
        return self._random.choice(self.watched.balancer.proxies.backends[0].servers)

    def _any_host(self) -> str:
        return f"s{self._random.choice(self.servers).number}"

    def _drain(self) -> None:
        balancer = self.watched.balancer
        if self.kind == "gentle" and len(balancer.proxies.backends[0].in_turn) < 2:
            return  # who comes while all are drained is turned away, as by HAProxy
        server = self._any_server()
        balancer.transitions.set_admin(server, Admin.FORCED_DRAIN, self.world.now)

    def _make_ready(self) -> None:
        server = self._any_server()
        for flag in (Admin.FORCED_DRAIN, Admin.FORCED_MAINT):
            self.watched.balancer.transitions.clear_admin(server, flag, self.world.now)

    def _maintain(self) -> None:
        transitions = self.watched.balancer.transitions
        transitions.set_admin(self._any_server(), Admin.FORCED_MAINT, self.world.now)

    def _set_weight(self) -> None:
        balancer = self.watched.balancer
        weight = self._random.randint(1, 10)
        if balancer.proxies.backends[0].weights_are_dynamic:
            balancer.transitions.set_weight(self._any_server(), weight, self.world.now)

    def _reload(self) -> None:
        backend = self.configuration.backends[0]
        servers = tuple(
            replace(line, weight=self._random.randint(1, 5)) for line in backend.servers
        )
        sections = (self.configuration.frontends[0], replace(backend, servers=servers))
        self.configuration = replace(self.configuration, proxies=(sections,))
        self.world.ask("balancer", 1, Reload(self.configuration))

    def _crash(self) -> None:
        self.world.crash(self._any_host(), silent=self._random.random() < 0.3)

    def _restart(self) -> None:
        self.world.start(self._any_host())

    def _freeze(self) -> None:
        self.world.freeze(self._any_host())

    def _thaw(self) -> None:
        self.world.thaw(self._any_host())

    def _reset(self) -> None:
        links = self.world.network.links()
        if links:
            self.world.network.reset(self._random.choice(links))

    def _cut(self) -> None:
        self.world.network.cut("balancer", self._any_host())

    def _kill(self) -> None:
        relay = self.watched.balancer.relay
        sessions = list(relay.table.by_timer.values())
        if sessions:
            relay.shut_down_session(self._random.choice(sessions), "K", self.world.now)

    def _heal(self) -> None:
        """Calm: all is up and ready again."""
        self.world.note("world", "calm")
        self.world.network.heal_all()
        for server in self.servers:
            self.world.thaw(f"s{server.number}")
            self.world.start(f"s{server.number}")
        balancer = self.watched.balancer
        for each in balancer.proxies.backends[0].servers:
            for flag in (Admin.FORCED_DRAIN, Admin.FORCED_MAINT):
                balancer.transitions.clear_admin(each, flag, self.world.now)
        self.world.ask("balancer", 0, "nothing")


def _always(machine: Machine) -> Callable[[int, Entropy], Machine]:
    def factory(incarnation: int, entropy: Entropy) -> Machine:
        return machine

    return factory


def _plans(kind: str, random: Random) -> list[tuple[int, str, int]]:
    styles = CLIENT_STYLES if kind == "rough" else ("polite",)
    count = random.randint(20, 45)
    spread_us = random.choice((20, 400, 2500)) * _MS
    sizes = (1, 40, 3000, 70_000)
    return [
        (random.randint(0, spread_us), random.choice(styles), random.choice(sizes))
        for _ in range(count)
    ]


def _configuration(kind: str, random: Random) -> Configuration:
    """What the file might say: `front` with one backend, two to four servers."""
    rough = kind == "rough"
    even = kind == "even"
    maxconn = None if even else random.choice((None, 1, 3, 6))
    servers = tuple(
        ServerLine(
            f"s{number}",
            Address(f"s{number}", 5672),
            check=not even,
            inter_us=500 * _MS,
            fall=2,
            weight=random.randint(1, 5),
            maxconn=maxconn,
            minconn=random.choice((maxconn, 1)) if maxconn else None,
            maxqueue=random.choice((None, None, 2)) if rough else None,
            backup=rough and number > 1 and random.random() < 0.3,
            slowstart_us=random.choice((None, 2_000_000)) if rough else None,
            on_marked_down="shutdown-sessions" if rough and random.random() < 0.4 else "",
            on_marked_up="shutdown-backup-sessions" if rough and random.random() < 0.4 else "",
        )
        for number in range(random.randint(2, 4))
    )
    patience_us = 700 * _MS if rough else 30_000_000
    algorithms = ("roundrobin", "static-rr", "leastconn", "first", "source")
    back = BackendSection(
        "back",
        3,
        "tcp",
        servers,
        balance=Balance("roundrobin" if even else random.choice(algorithms)),
        retries=random.choice((0, 1, 3)) if rough else 3,
        redispatch=random.choice((None, -1, 1)) if rough else -1,
        fullconn=10,
        timeout_connect_us=400 * _MS if rough else 30_000_000,
        timeout_server_us=random.choice((500, 1000)) * _MS if rough else patience_us,
        timeout_server_fin_us=random.choice((None, 300 * _MS)) if rough else None,
        timeout_tunnel_us=random.choice((None, None, 900 * _MS)) if rough else None,
        timeout_queue_us=random.choice((200, 2000)) * _MS if rough else patience_us,
        abortonclose=rough and random.random() < 0.3,
    )
    front = FrontendSection(
        "front",
        2,
        "tcp",
        (BindLine(FRONT, maxconn=random.choice((None, None, 9))),),
        default_backend="back",
        maxconn=random.choice((5, 30, 1000)),
        sessions_per_s=random.choice((None, None, 25)),
        timeout_client_us=random.choice((500, 1000)) * _MS if rough else patience_us,
        timeout_client_fin_us=random.choice((None, 300 * _MS)) if rough else None,
        tcplog=True,
    )
    process = Global(maxconn=random.choice((None, 20)))
    return Configuration(((front, back),), process)


__all__ = ["BalancerRun", "BalancerWorld", "SeedFailed"]
