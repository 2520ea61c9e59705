"""Tasks for a Celery worker, with results over rpc://, all settings as Celery has them.

    celery -A tasks worker

AMQP_URL says where the broker is; without it, the balancer of `rabbitry up`.
"""

from __future__ import annotations

import os

from celery import Celery

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5670/")
app = Celery("tasks", broker=URL, backend="rpc://")


@app.task
def add(left: int, right: int) -> int:
    return left + right


@app.task
def divide(left: int, right: int) -> float:
    return left / right


@app.task(bind=True, max_retries=3)
def succeed_on_third_try(self) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries
