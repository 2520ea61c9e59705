"""Unpredictable bytes from the operating system, for machines that run in the real world.

Owns nothing else. The simulation has its own `Entropy`, drawn from its seed.
"""

from __future__ import annotations

import os


class SystemEntropy:
    """`rabbitry.machine.Entropy` from the operating system's generator."""

    __slots__ = ()

    def token_bytes(self, count: int) -> bytes:
        """Return `count` bytes nobody can guess."""
        return os.urandom(count)
