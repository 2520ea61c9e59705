"""`rabbitry kill`, `start`, `restart`, `rebalance`: what is done to nodes that run.

Owns the options and the lines; the supervisor does it (`runtime.command_desk`).
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from rabbitry.commands.asking import DataDir, directory
from rabbitry.runtime.control import SignalName
from rabbitry.runtime.errors import UserError


def kill(
    node: str,
    /,
    *,
    signal: SignalName = "KILL",
    data_dir: DataDir = None,
) -> int:
    """Send a signal to a node, SIGKILL unless told otherwise, to see what its clients will see.

    A node that was ended so stays down until `rabbitry start`; one that dies by itself is started
    again. STOP makes it hang, CONT lets it go on.

    Example: `rabbitry kill rabbit_1 --signal STOP`

    Parameters
    ----------
    node
        Name of the node, as `rabbitry status` shows it.
    signal
        KILL, STOP, CONT or TERM.
    """
    from rabbitry.runtime import control

    done = control.ask(directory(data_dir), control.Kill(node, signal))
    print(f"sent SIG{signal} to {done['node']} (pid {done['pid']})")
    return 0


def start(node: str, /, *, data_dir: DataDir = None) -> int:
    """Start a node that is down; returns when it has joined the cluster.

    Example: `rabbitry start rabbit_1`

    Parameters
    ----------
    node
        Name of the node, as `rabbitry status` shows it.
    """
    from rabbitry.runtime import control

    done = control.ask(directory(data_dir), control.Start(node))
    print(f"started {done['node']} (pid {done['pid']})")
    return 0


def restart(
    *nodes: str,
    all: Annotated[bool, Parameter(negative="", help="All nodes, one after another.")] = False,
    timeout_s: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 600,
    data_dir: DataDir = None,
) -> int:
    """Restart nodes, one after another, while the others serve their queues.

    Each hands over what it leads, ends in order, starts, joins and catches up before the next is
    touched. With --all, who leads is evened out at the end, as by `rabbitry rebalance`. Ctrl-C:
    the node at hand is finished, no other begun; exit code 130, and a line that says which.

    Example: `rabbitry restart --all`

    Parameters
    ----------
    nodes
        Names of nodes, as `rabbitry status` shows them.
    timeout_s
        How long each may take to start, and its queues to be in sync.
    """
    from rabbitry.runtime import control

    if all and nodes:
        raise UserError("name the nodes to restart or say --all, not both")
    if not all and not nodes:
        raise UserError(
            "name the nodes to restart, or say --all; `rabbitry status` has their names"
        )
    request = control.Restart(list(nodes), timeout_s)
    done = control.ask(directory(data_dir), request, lambda line: print(line, flush=True))
    print(f"restarted {', '.join(done['nodes'])}")
    return 0


def rebalance(*, data_dir: DataDir = None) -> int:
    """Even out which node leads how many queues, as `rabbitmq-queues rebalance all` does.

    After restarts a node may lead everything and another nothing. Queues move to nodes that have
    all of them and lead at least two fewer; nothing is lost or comes twice, consumers go on.
    Exclusive queues stay with their connections: they do not move and do not count. A node that is
    not in the cluster takes no part; a line says so.

    Ctrl-C ends the waiting only: what was begun is finished, no queue is left half moved.

    Exit codes: 0 as even as it can be now, also if a node is away; 1 it cannot be now, nothing
    runs or a restart is under way; 130 Ctrl-C.

    Example: `rabbitry rebalance`
    """
    from rabbitry.runtime import control

    control.ask(directory(data_dir), control.Rebalance(), lambda line: print(line, flush=True))
    return 0
