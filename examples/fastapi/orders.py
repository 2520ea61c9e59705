"""A FastAPI application that takes orders over HTTP and handles them in a queue, by FastStream.

    uvicorn orders:app

POST /orders puts an order into the queue `orders` and answers when the broker has it (a publisher
confirm); a subscriber in the same process bills it; GET /bills lists what was billed. GET
/price/{item} asks a second subscriber over the broker and waits for its answer: a request with
direct reply-to. AMQP_URL says where the broker is; without it, the balancer of `rabbitry up`.
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from faststream.rabbit import RabbitQueue
from faststream.rabbit.fastapi import RabbitRouter
from pydantic import BaseModel

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5670/")
ORDERS = RabbitQueue("orders", durable=True)
PRICES = {"carrot": 2, "lettuce": 3}


class Order(BaseModel):
    item: str
    count: int


router = RabbitRouter(URL)
bills: list[str] = []


@router.subscriber(ORDERS)
async def bill(order: Order) -> None:
    bills.append(f"{order.count} x {order.item}: {order.count * PRICES[order.item]}")


@router.subscriber("prices")
async def tell_price(item: str) -> int:
    return PRICES[item]


@router.post("/orders", status_code=202)
async def take_order(order: Order) -> dict[str, str]:
    await router.broker.publish(order, ORDERS, persist=True)
    return {"status": "accepted"}


@router.get("/price/{item}")
async def ask_price(item: str) -> dict[str, int]:
    answer = await router.broker.request(item, "prices", timeout=5.0)
    return {"price": int(await answer.decode())}


@router.get("/bills")
async def list_bills() -> list[str]:
    return bills


app = FastAPI()
app.include_router(router)
