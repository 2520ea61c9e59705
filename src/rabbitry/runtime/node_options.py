"""What a user can set of a node, whoever starts it: `rabbitry node`, or `rabbitry up` for each.

Owns the options' names, defaults and bounds, and how they become a machine's settings. The
supervisor hands them to node processes as JSON. Each bears the name that RabbitMQ gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rabbitry.runtime.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Options of a node.

    Parameters
    ----------
    consumer_timeout_ms
        How long a delivery may wait for its acknowledgement before its channel is closed; 0 for
        ever.
    """

    consumer_timeout_ms: int = 30 * 60 * 1000

    def check(self) -> None:
        """Raise `UserError` where an option is out of its bounds."""
        if self.consumer_timeout_ms < 0:
            raise UserError("--consumer-timeout-ms is less than 0; 0 stands for no timeout")

    def settings(self) -> dict[str, Any]:
        """Return what of this is a `rabbitry.node.NodeSettings`' business."""
        return {"consumer_timeout_ms": self.consumer_timeout_ms}


DEFAULTS: Final = NodeOptions()
