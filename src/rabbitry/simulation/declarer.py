"""A client that declares more than the others need, and looks at the end whether it is still there.

Owns what is declared: exchanges, queues and bindings, durable ones that are to survive whatever
happens, and one queue and one exchange that are not and must be gone once all nodes have died at
once. Each is declared, one after another over the time of the faults, until the broker says that it
is; only then it counts. At the end it asks for each by name, and publishes to each binding.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from rabbitry.simulation.client import CHANNEL, Client, ClientSettings
from rabbitry.simulation.history import History, MessageKey, make_body
from rabbitry.wire.errors import NOT_FOUND
from rabbitry.wire.methods import (
    BasicAck,
    BasicNack,
    BasicProperties,
    BasicPublish,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)

_OKS = (ExchangeDeclareOk, ExchangeBindOk, QueueDeclareOk, QueueBindOk, QueueDeleteOk)


@dataclass(frozen=True, slots=True)
class _Step:
    """Something to declare, and how to look for it later. `lasts`: it is there after all died."""

    what: str
    declare: Method
    look: Method
    lasts: bool = True


def _exchange(name: str, *, kind: str = "direct", durable: bool = True) -> _Step:
    return _Step(
        f"exchange {name}",
        ExchangeDeclare(exchange=name, type=kind, durable=durable),
        ExchangeDeclare(exchange=name, passive=True),
        durable,
    )


def _queue(name: str, *, durable: bool = True) -> _Step:
    return _Step(
        f"queue {name}",
        QueueDeclare(queue=name, durable=durable),
        QueueDeclare(queue=name, passive=True),
        durable,
    )


TRANSIENT_QUEUE = "t0"

# In this order: what a binding needs comes before it, and what is deleted was there.
_STEPS = (
    _exchange("x0"),
    _queue("k0"),
    _Step(
        "binding x0 -> k0",
        QueueBind(queue="k0", exchange="x0", routing_key="a"),
        BasicPublish(exchange="x0", routing_key="a", mandatory=True),
    ),
    _queue(TRANSIENT_QUEUE, durable=False),
    _queue("k1"),
    _exchange("x1", kind="topic"),
    _exchange("t1", durable=False),
    _Step(
        "binding x1 -> x0",
        ExchangeBind(destination="x0", source="x1", routing_key="a.#"),
        BasicPublish(exchange="x1", routing_key="a", mandatory=True),
    ),
    _Step("deletion of queue k1", QueueDelete(queue="k1"), QueueDeclare(queue="k1", passive=True)),
    _Step(
        "binding x0 -> k0 again",
        QueueBind(queue="k0", exchange="x0", routing_key="b"),
        BasicPublish(exchange="x0", routing_key="b", mandatory=True),
    ),
)
_DELETED = "queue k1"


class Declarer(Client):
    """See the module. Declares every `interval_us`; looks from `look_at` on.

    `all_died`: by then all nodes have died at once, so that what does not last is gone.
    """

    def __init__(
        self,
        client: ClientSettings,
        history: History,
        random: Random,
        *,
        interval_us: int,
        look_at: int,
        all_died: bool,
    ) -> None:
        super().__init__(client, history, random)
        self._interval_us = interval_us
        self._look_at = look_at
        self._all_died = all_died
        self._declared_count = 0
        self._looked_count = 0
        self._waiting = False  # for an answer
        self._returned = False

    @property
    def done(self) -> bool:
        """Whether everything has been looked for."""
        return self._looked_count == len(_STEPS)

    @property
    def progress(self) -> str:
        """How far it is, for people."""
        return f"declared {self._declared_count}, found {self._looked_count} of {len(_STEPS)}"

    def on_queue_ready(self) -> None:
        """Ask for confirms: they follow what is returned."""
        self._waiting = self._returned = False
        self.endpoint.send_method(CHANNEL, ConfirmSelect())

    def on_timer(self, timer: str) -> None:
        """Declare the next, or look for it."""
        if timer != "next" or not self.ready or self._waiting or self.done:
            return
        if self._declared_count < len(_STEPS):
            self._send(_STEPS[self._declared_count].declare)
        elif self.now < self._look_at:
            self.set_timer("next", self._look_at - self.now)
        else:
            self._look()

    def on_command(self, method: Method, contents: list[bytes]) -> None:
        """Take an answer."""
        if isinstance(method, ConfirmSelectOk):
            self.set_timer("next", self.random.randint(0, self._interval_us))
        elif isinstance(method, BasicReturn):
            self._returned = True
        elif isinstance(method, BasicAck | BasicNack):
            self._found(not self._returned)
        elif isinstance(method, _OKS):
            if self._declared_count == len(_STEPS):
                self._found(True)
            else:
                self.history.declare(self.now, _STEPS[self._declared_count].what)
                self._declared_count += 1
                self._go_on()

    def on_channel_closed(self, method: ChannelClose) -> None:
        """Something is not there."""
        if self._waiting and method.reply_code == NOT_FOUND:
            if self._declared_count == len(_STEPS):
                self._found(False)
            else:
                # Deleting is no fault, and says so; a binding misses what was there before it.
                self.history.miss(f"{_STEPS[self._declared_count].what}: {method.reply_text}")
                self._declared_count += 1

    def _look(self) -> None:
        step = _STEPS[self._looked_count]
        if isinstance(step.look, BasicPublish):
            self._waiting, self._returned = True, False
            key = MessageKey(self.client_settings.name, self._looked_count, self.now)
            properties = BasicProperties(delivery_mode=2)
            self.endpoint.send_content(CHANNEL, step.look, properties, make_body(key))
        else:
            self._send(step.look)

    def _send(self, method: Method) -> None:
        self._waiting = True
        self.endpoint.send_method(CHANNEL, method)

    def _found(self, there: bool) -> None:
        step = _STEPS[self._looked_count]
        expected = self._expected(step)
        if expected is not None and expected != there:
            self.history.miss(f"{step.what} ({'there' if there else 'not there'})")
        self._looked_count += 1
        self._go_on()

    def _expected(self, step: _Step) -> bool | None:
        """Tell whether a step's thing has to be there; None where nobody can know."""
        if step.what == _DELETED or isinstance(step.declare, QueueDelete):
            return False
        if not step.lasts:
            return False if self._all_died else None
        return True

    def _go_on(self) -> None:
        self._waiting = self._returned = False
        self.set_timer("next", 1_000 if self.now >= self._look_at else self._interval_us)
