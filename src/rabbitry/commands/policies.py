"""`rabbitry policies`: what governs queues and exchanges by their names."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from rabbitry.commands.asking import DataDir, VirtualHost, directory, table
from rabbitry.runtime.errors import UserError

app = App(
    name="policies",
    help="Policies and operator policies.\n\nExample: `rabbitry policies list`",
)
Operator = Annotated[
    bool, Parameter(negative="", help="It is an operator policy: where both say, the less holds.")
]


@app.command(name="list")
def list_policies(*, data_dir: DataDir = None) -> int:
    """List policies and operator policies.

    Example: `rabbitry policies list`
    """
    from rabbitry.runtime.operating import definitions

    found = definitions(directory(data_dir))
    policies = [("policy", one, one) for one in found["policies"]]
    policies += [
        ("operator", one, one["value"])
        for one in found["parameters"]
        if one["component"] == "operator_policy"
    ]
    rows = [
        (
            one["vhost"],
            one["name"],
            kind,
            said["pattern"],
            said["apply-to"],
            said["priority"],
            msgspec.json.encode(said["definition"]).decode(),
        )
        for kind, one, said in policies
    ]
    head = ("vhost", "name", "kind", "pattern", "apply-to", "priority", "definition")
    print(table(head, rows))
    return 0


@app.command(name="set")
def set_policy(
    name: str,
    pattern: Annotated[str, Parameter(allow_leading_hyphen=True)],
    definition: str,
    /,
    *,
    priority: int = 0,
    apply_to: Literal["queues", "exchanges", "all"] = "all",
    operator: Operator = False,
    vhost: VirtualHost = "/",
    data_dir: DataDir = None,
) -> int:
    """Set a policy: it governs at once what its pattern matches, and what is declared later.

    Example: `rabbitry policies set limits '^orders' '{"max-length": 1000}' --apply-to queues`

    Parameters
    ----------
    name
        Name of the policy.
    pattern
        Regular expression for names of queues or exchanges.
    definition
        A JSON object with RabbitMQ's keys: max-length, message-ttl, ha-mode, ...
    priority
        Of those that match a name, the policy of highest priority governs.
    apply_to
        What it governs.
    """
    from rabbitry.cluster.access_records import PolicyValue, SetPolicy
    from rabbitry.runtime.operating import operate

    try:
        said = msgspec.json.decode(definition, type=dict[str, PolicyValue])
    except msgspec.DecodeError as error:
        raise UserError(f'definition {definition}: {error}; as in {{"max-length": 5}}') from None
    operate(
        directory(data_dir),
        SetPolicy(vhost, name, operator, pattern, apply_to, priority, said),
    )
    print(f"set {_kind(operator)} {name} in {vhost}")
    return 0


@app.command
def delete(
    name: str,
    /,
    *,
    operator: Operator = False,
    vhost: VirtualHost = "/",
    data_dir: DataDir = None,
) -> int:
    """Delete a policy; what it governed follows the next one that matches, or none.

    Example: `rabbitry policies delete limits`

    Parameters
    ----------
    name
        Name of the policy.
    """
    from rabbitry.cluster.access_records import DeletePolicy
    from rabbitry.runtime.operating import operate

    operate(directory(data_dir), DeletePolicy(vhost, name, operator))
    print(f"deleted {_kind(operator)} {name} in {vhost}")
    return 0


def _kind(operator: bool) -> str:
    return "operator policy" if operator else "policy"
