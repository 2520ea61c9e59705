"""Tests of what a form of the page does. Codes as HAProxy 2.6.12 gave them on 2026-11-23."""

from __future__ import annotations

import pytest
from support.balancer_conversation import reports
from support.runtime_terminal import RuntimeTalk

from rabbitry.balancer.balancer import PageForm
from rabbitry.balancer.servers import Admin, Operating, Server
from rabbitry.machine import Answer, Asked, Effect

TEXT = """
listen front
    bind 127.0.0.1:1
    timeout connect 1s
    server a 127.0.0.1:28011 check inter 1s
    server b 127.0.0.1:28012
"""


class Form(RuntimeTalk):
    """Somebody at the page of a balancer."""

    def __init__(self) -> None:
        super().__init__(TEXT)
        self.number = self.balancer.statistics(0)[0].iid

    def post(self, form: str) -> str:
        """The code of what came of it."""
        effects: list[Effect] = self.take(Asked(8, PageForm(form.encode())))
        (answer,) = (each for each in effects if isinstance(each, Answer))
        self.effects = [each for each in effects if each is not answer]
        code: str = answer.answer
        return code

    def server(self, name: str) -> Server:
        """A server of the balancer."""
        (backend,) = self.balancer.proxies.backends
        return next(each for each in backend.servers if each.name == name)


@pytest.fixture
def page() -> Form:
    return Form()


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("s=a&action=drain&b=front", "DONE"),
        ("b=front&action=drain&s=a", "DONE"),
        ("s=a&s=b&action=drain&b=front", "DONE"),
        ("s=z&action=drain&b=front", "ERRP"),
        ("s=a&s=z&action=drain&b=front", "PART"),
        ("s=a&action=foo&b=front", "ERRP"),
        ("s=a&action=&b=front", "ERRP"),
        ("s=a&action=ready&b=nix", "ERRP"),
        ("s=a&action=ready", "NONE"),
        ("s=a&b=front", "NONE"),
        ("action=ready&b=front", "NONE"),
        ("", "NONE"),
        ("&&=&%%%&x", "NONE"),
        ("s=" + "a" * 3000 + "&action=ready&b=front", "ERRP"),
        ("action=foo&action=drain&b=nix&b=front&s=a", "DONE"),
    ],
)
def test_codes(page: Form, form: str, code: str) -> None:
    assert page.post(form) == code


def test_a_backend_by_its_number(page: Form) -> None:
    assert page.post(f"s=%61&action=maint&b=%23{page.number}") == "DONE"
    assert page.server("a").admin & Admin.FORCED_MAINT
    assert not page.server("b").admin


def test_states(page: Form) -> None:
    page.post("s=a&s=b&action=drain&b=front")
    assert page.server("b").admin & Admin.FORCED_DRAIN
    page.post("s=b&action=ready&b=front")
    assert not page.server("b").admin
    assert page.server("a").admin & Admin.FORCED_DRAIN


def test_health(page: Form) -> None:
    assert page.post("s=a&action=hdown&b=front") == "DONE"
    assert page.server("a").operating is Operating.STOPPED
    (down,) = (each for each in reports(page.effects) if each.what == "server is down")
    assert down.details["explanation"] == "changed from Web interface"
    page.post("s=a&action=hrunn&b=front")
    assert page.server("a").operating is Operating.RUNNING
    page.post("s=a&action=hnolb&b=front")
    assert page.server("a").operating is Operating.STOPPING


def test_checks_are_of_servers_that_have_some(page: Form) -> None:
    assert page.post("s=a&s=b&action=dhlth&b=front") == "DONE"
    assert not page.server("a").health.enabled
    assert page.post("s=b&action=dhlth&b=front") == "NONE"
    assert page.post("s=a&action=ehlth&b=front") == "DONE"
    assert page.server("a").health.enabled
    for action in ("dagent", "eagent", "arunn", "adown"):
        assert page.post(f"s=a&action={action}&b=front") == "NONE"


def test_kill_sessions(page: Form) -> None:
    assert page.post("s=a&action=shutdown&b=front") == "DONE"


def test_the_old_actions_count_changes_only(page: Form) -> None:
    for on, off, flag in (
        ("disable", "enable", Admin.FORCED_MAINT),
        ("stop", "start", Admin.FORCED_DRAIN),
    ):
        assert page.post(f"s=a&action={off}&b=front") == "NONE"
        assert page.post(f"s=a&action={on}&b=front") == "DONE"
        assert page.server("a").admin & flag
        assert page.post(f"s=a&action={on}&b=front") == "NONE"
        assert page.post(f"s=a&action={off}&b=front") == "DONE"
        assert not page.server("a").admin
