"""Publishers and consumers against the toy broker: what they do, and what they write down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulation.recorder import always
from simulation.toy_broker import Flaws, ToyBroker

from rabbitry import machine as m
from rabbitry.simulation import checkers
from rabbitry.simulation.client import ClientSettings
from rabbitry.simulation.history import History
from rabbitry.simulation.pipe import LinkWeather
from rabbitry.simulation.workload import (
    Consumer,
    ConsumerSettings,
    Publisher,
    PublisherSettings,
)
from rabbitry.simulation.world import World

SECOND = 1_000_000
TOY = (m.Address("toy", 5672),)
PUBLISHER = PublisherSettings(60, 10, 2 * SECOND, 10_000, 4, 10, True, True, 50, 0.02)
CONSUMER = ConsumerSettings(5, 2_000, False, 0.0, 0.0, 5 * SECOND)


class Bench:
    """A toy broker with one publisher and two consumers."""

    def __init__(
        self,
        seed: int = 1,
        publisher: PublisherSettings = PUBLISHER,
        consumer: ConsumerSettings = CONSUMER,
        flaws: Flaws | None = None,
        weather: LinkWeather | None = None,
    ) -> None:
        self.world = World(seed, weather=weather)
        self.history = History()
        self.broker = ToyBroker(flaws)
        random = self.world.schedule.random
        client = ClientSettings("p", "q", TOY)
        self.publisher = Publisher(client, publisher, self.history, random("p"))
        self.consumers = [
            Consumer(replace(client, name=name), consumer, self.history, random(name))
            for name in ("c", "d")
        ]
        self.world.add_host("toy", always(self.broker), {5672: "amqp"})
        self.world.add_host("p", always(self.publisher))
        for each in self.consumers:
            self.world.add_host(each.client_settings.name, always(each))
        for name in list(self.world.hosts):
            self.world.start(name)


def test_everything_is_published_confirmed_delivered_and_settled() -> None:
    bench = Bench()
    bench.world.run_until(20 * SECOND)
    history = bench.history
    assert len(history.published) == len(history.confirmed) == len(history.deliveries) == 60
    assert checkers.check_history(history) == []
    assert bench.publisher.done and all(consumer.idle for consumer in bench.consumers)
    assert bench.broker.inspect()["q"]["messages"] == []
    assert {delivery.consumer for delivery in history.deliveries} == {"c", "d"}


def test_the_last_messages_wait_for_their_time() -> None:
    bench = Bench()
    bench.world.run_until(2 * SECOND - 1)
    assert len(bench.history.published) == 50 and not bench.publisher.done


def test_the_window_bounds_what_is_unconfirmed() -> None:
    bench = Bench(publisher=replace(PUBLISHER, window=3, burst_max=50))
    bench.world.run_until(150_000)
    bench.world.freeze("toy")
    bench.world.run_until(1_000_000)
    unconfirmed = len(bench.history.published) - len(bench.history.confirmed)
    assert 0 < unconfirmed <= 3


def test_a_publisher_stops_while_its_link_is_full() -> None:
    settings = replace(PUBLISHER, window=1000, burst_max=1, large_probability=1.0)
    bench = Bench(publisher=settings)
    bench.world.run_until(300_000)
    bench.world.freeze("toy")
    before = len(bench.history.published)
    bench.world.run_until(SECOND)
    assert len(bench.history.published) - before <= 2
    bench.world.thaw("toy")
    bench.world.run_until(20 * SECOND)
    assert bench.publisher.done and len(bench.history.confirmed) == 60


@pytest.mark.parametrize("publish_again", [True, False])
def test_what_a_reset_leaves_unconfirmed_is_published_again_or_given_up(
    publish_again: bool,
) -> None:
    settings = replace(PUBLISHER, publish_again=publish_again, interval_us=20_000, burst_max=2)
    slow = LinkWeather(latency_us_min=5_000, latency_us_max=6_000)
    bench = Bench(publisher=settings, weather=slow)
    for _ in range(10):
        bench.world.run_until(bench.world.now + 250_000)
        for link in bench.world.network.links():
            bench.world.network.reset(link)
    bench.world.run_until(30 * SECOND)
    history = bench.history
    assert history.given_up, "no reset hit an unconfirmed message: the test shows nothing"
    assert checkers.check_history(history) == []
    assert bench.publisher.done
    again = [key for key in history.published if key.attempt > 1]
    assert bool(again) == publish_again
    if publish_again:
        assert {key.sequence for key in history.confirmed} == set(range(1, 61))


def test_consumers_requeue_and_vanish_until_they_are_calm() -> None:
    consumer = replace(CONSUMER, requeue_probability=0.3, vanish_probability=0.1)
    bench = Bench(consumer=consumer)
    bench.world.run_until(30 * SECOND)
    redelivered = [each for each in bench.history.deliveries if each.redelivered]
    assert redelivered
    assert sum(each.connections_count for each in bench.consumers) > 2
    assert checkers.check_history(bench.history) == []
    assert bench.broker.inspect()["q"]["messages"] == []


def test_acknowledging_several_at_once_settles_them_all() -> None:
    bench = Bench(consumer=replace(CONSUMER, multiple_ack=True, work_us=50_000))
    bench.world.run_until(20 * SECOND)
    assert len(bench.history.deliveries) == 60
    assert bench.broker.inspect()["q"]["messages"] == []


@pytest.mark.parametrize(
    ("flaws", "checker"),
    [
        (Flaws(loses_one_in=20), checkers.check_confirmed_delivered),
        (Flaws(forgets_redelivered=True), checkers.check_redelivered),
        (Flaws(swaps_one_in=7), checkers.check_order),
    ],
)
def test_a_broker_that_breaks_a_promise_is_caught(flaws: Flaws, checker: object) -> None:
    publisher = replace(PUBLISHER, burst_max=30, window=50)
    consumer = replace(CONSUMER, requeue_probability=0.2, work_us=20_000)
    bench = Bench(publisher=publisher, consumer=consumer, flaws=flaws)
    bench.world.run_until(20 * SECOND)
    assert callable(checker)
    assert checker(bench.history)
