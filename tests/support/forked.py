"""What a forked copy of this process does, as its exit code: it ends surely, and never as a test.

A copy that raised would go on as a second pytest, with the first one's files; one that waits for a
lock that another thread had at the fork would never end, and whoever waits for it neither.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

PATIENCE_S = 60


def exit_code_in_a_fork(work: Callable[[], None]) -> int:
    """Do it in a fork: 0 where it returns, 1 where it raises, -SIGALRM where it does not end."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE_S)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
