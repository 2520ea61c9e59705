"""Which policies govern what is declared: the effective definition of each queue and exchange.

Worked out anew when a policy of the virtual host changes and when something is declared; the same
on the coordinator and on all nodes, since it follows from the catalog alone. What a queue makes of
its policy is its settings (`broker.queue_settings`); where its mirrors are is `cluster.placement`.

RabbitMQ: rabbit_policy.erl set/1, update_matched_objects/3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rabbitry.broker.policies import INAPPLICABLE, Definition, matching, merged

if TYPE_CHECKING:
    from rabbitry.cluster.catalog import VirtualHost


def effective_policy(
    host: VirtualHost, kind: Literal["queue", "exchange"], name: str, queue_type: str = ""
) -> Definition:
    """Return what the policies say of a queue (of this type) or of an exchange, there or not."""
    if not host.policies:
        return {}
    inapplicable = INAPPLICABLE.get(queue_type, ())
    found = [
        matching(
            (policy for key, policy in host.policies.items() if key[0] == operator),
            kind,
            name,
            inapplicable,
        )
        for operator in (False, True)
    ]
    return merged(*found)


def govern(host: VirtualHost) -> list[int]:
    """Let all queues and exchanges follow the policies as they are now.

    Return the numbers of the queues for which something has changed.
    """
    for exchange in host.exchanges.values():
        exchange.policy = effective_policy(host, "exchange", exchange.name)
    changed = []
    for entry in host.queues.values():
        policy = effective_policy(host, "queue", entry.declared.name, entry.settings.kind)
        if policy != entry.policy:
            entry.follow(policy)
            changed.append(entry.number)
    return changed
