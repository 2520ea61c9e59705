"""The balancer beside HAProxy: the same file, backend and load, in turns, as ratios.

Owns what is compared (`ROWS`), what is to be reached, and the turns. The file names one port, so
one balancer runs at a time: it is started, loaded, ended, and the next one takes its place; the
order changes from round to round. What is loaded is `bench.balancer_loads`, what is run
`bench.balancers`, the report `bench.balancer_report`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from bench import balancer_loads as loads
from bench import balancers
from bench.balancer_loads import Measure, Ready
from bench.balancers import DIRECT, HAPROXY, Nothing
from bench.connection import LoadError
from bench.frames import PeerFault
from bench.processes import SideError
from bench.scenarios import RABBITRY

SIDES = (RABBITRY, HAPROXY)
ALL = "balancer"
"""On the command line: every scenario of this module."""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the comparison. `threads`: values of `nbthread`; 0 is a file without it.

    `goal`: what our figure divided by HAProxy's has to be at least. `amount`: for how much of the
    load the CPU is told. `second`: what a measure's second figure is. `direct`: whether the load
    can go without a balancer. `extra`: left out by `--no-extras`.
    """

    scenario: str
    name: str
    prepare: Callable[[], AbstractContextManager[Ready]]
    unit: str
    amount: str
    threads: tuple[int, ...] = (0,)
    goal: float | None = None
    less_is_better: bool = False
    second: str = ""
    direct: bool = True
    extra: bool = False
    rounds_max: int = 9


@dataclasses.dataclass
class Result:
    """All runs of a row with one file on one side.

    `error` is the line of a failure, `left_out` says why the side did not take part.
    """

    row: Row
    threads: int
    side: str
    runs: list[Measure] = dataclasses.field(default_factory=list)
    error: str = ""
    left_out: str = ""

    @property
    def name(self) -> str:
        """What lines of output call it."""
        text = f"{self.row.scenario}: {self.row.name}"
        return text if self.side == DIRECT else f"{text}, {threads_text(self.threads)}"


def threads_text(threads: int) -> str:
    """How a file's `nbthread` is told."""
    return f"nbthread {threads}" if threads else "no nbthread"


_bulk = functools.partial(Row, unit="MB/s", amount="GB")
_amqp = functools.partial(Row, "balancer-amqp", unit="msgs/s", amount="million msgs")
_shakes = functools.partial(Row, "balancer-handshakes", unit="conns/s", amount="1000 conns")
WRITE_BYTES, SMALL_BYTES = 262144, 4096

ROWS = (
    _bulk(
        "balancer-bulk",
        "256 KiB writes, one way",
        functools.partial(loads.bulk, WRITE_BYTES, False),
        threads=(0, 1, 2),
        goal=1.0,
    ),
    _bulk(
        "balancer-bulk",
        "256 KiB writes, both ways",
        functools.partial(loads.bulk, WRITE_BYTES, True),
        extra=True,
        goal=1.0,
    ),
    _bulk(
        "balancer-small",
        "4 KiB writes, one way",
        functools.partial(loads.bulk, SMALL_BYTES, False),
        threads=(0, 1, 2),
        goal=1.0,
    ),
    _amqp(
        "16 B, a Rabbitry node",
        functools.partial(loads.messages, 16, 1_000_000),
        threads=(0, 1),
        goal=0.9,
    ),
    _amqp("1 kB, a Rabbitry node", functools.partial(loads.messages, 1024, 400_000), goal=0.9),
    _amqp(
        "16 B, RabbitMQ",
        functools.partial(loads.messages, 16, 150_000, of_rabbitmq=True),
        extra=True,
        goal=0.9,
    ),
    _shakes(
        "a Rabbitry node",
        functools.partial(loads.new_connections, prepared=False),
        threads=(0, 1),
        goal=0.7,
    ),
    _shakes(
        "prepared answers",
        functools.partial(loads.new_connections, prepared=True),
        threads=(0, 1),
        goal=0.7,
    ),
    Row(
        "balancer-latency",
        "64 B there and back, 1000/s",
        loads.latency,
        unit="us p50",
        amount="1000 trips",
        less_is_better=True,
        second="us p99",
    ),
    Row(
        "balancer-idle",
        f"{balancers.SESSIONS} idle sessions",
        loads.idle_sessions,
        unit="MiB PSS",
        amount="1000 conns",
        less_is_better=True,
        second="KiB each",
        direct=False,
        rounds_max=1,
    ),
)

SCENARIOS = tuple(dict.fromkeys(row.scenario for row in ROWS))


def chosen(names: Sequence[str], extras: bool) -> list[Row]:
    """The rows of the scenarios `names`, any of which may be `ALL`."""
    named = [row for row in ROWS if ALL in names or row.scenario in names]
    return [row for row in named if extras or not row.extra]


def compare(
    names: Sequence[str], sides: Sequence[str], rounds: int, extras: bool, say: Say
) -> list[Result]:
    """Run the rows on the sides; what fails is kept in the results, one line each."""
    wanted = [side for side in SIDES if side in sides]
    if HAPROXY in wanted:
        try:
            balancers.haproxy_command()
        except SideError as error:
            say(f"HAProxy's side is left out: {error}")
            wanted.remove(HAPROXY)
    results: list[Result] = []
    for row in chosen(names, extras) if wanted else []:
        of_row = [Result(row, row.threads[0], DIRECT)] if row.direct else []
        of_row += [Result(row, threads, side) for threads in row.threads for side in wanted]
        results += of_row
        try:
            with row.prepare() as ready:
                run_row(of_row, ready, min(rounds, row.rounds_max), say)
        except loads.Missing as error:
            for result in of_row:
                _leave_out(result, str(error), say)
        except (SideError, LoadError, PeerFault) as error:
            _fail([result for result in of_row if not result.runs], str(error), say)
    return results


def run_row(results: list[Result], ready: Ready, rounds: int, say: Say) -> None:
    """Load the backend through each side, file by file, in turns.

    Without a balancer it is loaded before that and after it.
    """
    _go_direct(results, ready, say)
    through = [result for result in results if result.side != DIRECT]
    for threads in dict.fromkeys(result.threads for result in through):
        of_file = [result for result in through if result.threads == threads]
        with balancers.configuration_file(ready.port, threads) as (file, port):
            for number in range(rounds):
                for result in of_file if number % 2 == 0 else reversed(of_file):
                    if not (result.error or result.left_out):
                        _take_turn(result, ready, file, port, say)
    _go_direct(results, ready, say)


def _go_direct(results: list[Result], ready: Ready, say: Say) -> None:
    for result in results:
        if result.side == DIRECT and not result.error:
            _take_turn(result, ready, "", ready.port, say)


def _take_turn(result: Result, ready: Ready, file: str, port: int, say: Say) -> None:
    try:
        with contextlib.ExitStack() as stack:
            watched: balancers.Watched = Nothing()
            if file:
                watched = stack.enter_context(balancers.running(result.side, file, port))
            result.runs.append(ready.measure(port, watched))
    except (SideError, LoadError, PeerFault) as error:
        if result.threads and "'nbthread'" in str(error):
            _leave_out(result, "this balancer does not take nbthread", say)
        else:
            _fail([result], str(error), say)
        return
    run = result.runs[-1]
    cpu = f", CPU {run.cpu_s:.2f} s" if file else ""
    say(f"{result.name}: {result.side}: {run.value:,.0f} {result.row.unit}{cpu}")


def _leave_out(result: Result, reason: str, say: Say) -> None:
    result.left_out = reason
    say(f"{result.name}: {result.side} is left out: {reason}")


def _fail(results: list[Result], error: str, say: Say) -> None:
    for result in results:
        result.error = error
        say(f"{result.name}: {result.side} failed: {error}")
