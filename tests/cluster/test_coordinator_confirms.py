"""Whatever dies, and in whatever order it comes back: who leads has all that was confirmed."""

from __future__ import annotations

from random import Random

import pytest
from support.coordination_confirming import FORSAKEN, Confirming

STEPS = 150


@pytest.mark.parametrize("seed", range(60))
def test_who_leads_has_all_that_was_confirmed(seed: int) -> None:
    random = Random(seed)
    stage = Confirming()
    for _ in range(STEPS):
        stage.play(random.randrange(1 << 30))
    stage.finish()


def test_the_model_confirms_fails_over_and_loses() -> None:
    """Or the test above would show little."""
    confirms = beginnings = forsaken = 0
    for seed in range(30):
        random = Random(seed)
        stage = Confirming()
        for _ in range(STEPS):
            stage.play(random.randrange(1 << 30))
        confirms += stage.confirms
        beginnings += len(stage.began)
        forsaken += len(stage.stage.reported(FORSAKEN))
    assert confirms > 100
    assert beginnings > 100
    assert forsaken > 0
