"""`observe layer4`: what sessions find out about a server counts beside its checks.

Owns the count of errors in a row and what `on-error` makes of too many (src/check.c,
`__health_adjust`). Does not own sessions: they tell when a connect succeeded or failed.

Invariants: the count starts again after `error-limit` errors, any success, and any passed check.
"""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checking.results import result
from rabbitry.balancer.checking.verdicts import Verdicts
from rabbitry.balancer.servers import Server


class Observing:
    """Carries out `observe` for all servers."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts

    def observed(self, backend: Backend, server: Server, connected: bool, now: int) -> int | None:
        """A connect has succeeded or failed. Returns when the next check is to begin at the
        latest, None where it keeps its time."""
        health = server.health
        line = server.line
        if connected:
            health.errors_in_row = 0
            return None
        health.errors_in_row += 1
        if health.errors_in_row < line.error_limit:
            return None
        text = f"Detected {health.errors_in_row} consecutive errors, last one was: "
        found = result("HANA", text + "L4 unsuccessful connection")
        health.errors_in_row = 0
        health.observed_failures += 1
        if line.on_error == "sudden-death" and health.value > health.rise:
            health.value = health.rise + 1
        if line.on_error != "fastinter":
            final = line.on_error == "mark-down"
            self._verdicts.health(backend, server, found, None, now, final=final)
        return now + line.fastinter_us if line.fastinter_us else None
