"""A shop over either database, and campaigns that come round in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.calendar.dated import Repeating, load_dated
from campaigns.run import Composition
from tests.campaigns.kit import Clock, composition, over

WEEKLY = "schedule: {every: week, day: friday, at: '09:00', zone: UTC, hours: 48}\n"
BODY = """\
campaign: NAME
title: Your week
coupons: {from_campaign: "24"}
budget: 100
holdout: 0
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shop(tmp_path: Path, clock: Clock, ledger_url: str) -> Composition:
    return over(composition(tmp_path, clock), ledger_url)


@pytest.fixture
def weekly(tmp_path: Path) -> Callable[..., Repeating]:
    """A campaign file that comes round on Fridays, with other keys on request."""

    def made(more: str = "", *, name: str = "friday", schedule: str = WEEKLY) -> Repeating:
        path = tmp_path / f"{name}.yaml"
        path.write_text(BODY.replace("NAME", name) + schedule + more)
        loaded = load_dated(path)
        assert isinstance(loaded, Repeating)
        return loaded

    return made
