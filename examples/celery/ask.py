"""Gives the worker of tasks.py something to do and prints what comes back."""

from __future__ import annotations

from celery import chain, group
from tasks import add, app, divide, succeed_on_third_try

PATIENCE_S = 20.0


def main() -> None:
    print("add:", add.delay(2, 3).get(timeout=PATIENCE_S))
    many = group(add.s(number, number) for number in range(10))()
    print("group:", many.get(timeout=PATIENCE_S))
    print("chain:", chain(add.s(1, 2), add.s(10))().get(timeout=PATIENCE_S))
    later = add.apply_async((4, 4), countdown=1, expires=60, priority=5)
    print("countdown:", later.get(timeout=PATIENCE_S))
    print("retries:", succeed_on_third_try.delay().get(timeout=PATIENCE_S))
    try:
        divide.delay(1, 0).get(timeout=PATIENCE_S)
    except ZeroDivisionError as error:
        print("divide:", type(error).__name__)
    answers = app.control.ping(timeout=2.0)
    print("workers that answer:", len(answers))


if __name__ == "__main__":
    main()
