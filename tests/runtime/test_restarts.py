"""A process that dies is started at once; one that keeps dying, ever later."""

from rabbitry.runtime.restarts import DELAY_FIRST_US, DELAY_MAX_US, SETTLED_US, Restarts


def test_the_first_death_is_answered_at_once_and_a_row_of_them_ever_later() -> None:
    restarts = Restarts()
    delays = [restarts.died(started_at=0, now=SETTLED_US - 1) for _ in range(30)]
    assert delays[:4] == [0, DELAY_FIRST_US, 2 * DELAY_FIRST_US, 4 * DELAY_FIRST_US]
    assert delays == sorted(delays)
    assert delays[-1] == DELAY_MAX_US
    assert restarts.total == 30


def test_a_process_that_had_settled_begins_a_new_row() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.died(started_at=100, now=200)
    assert restarts.died(started_at=100, now=100 + SETTLED_US) == 0
    assert restarts.died(started_at=100, now=200) == DELAY_FIRST_US
