"""A shop over either database, and campaigns that come round in it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from campaigns.calendar.dated import Repeating, load_dated
from campaigns.consent import import_consent
from campaigns.run import Composition
from tests.campaigns.kit import MEMBERS, Clock, composition, write_consent

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
    made = composition(tmp_path, clock)
    made = replace(made, settings=made.settings.model_copy(update={"ledger_url": ledger_url}))
    with made.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "all.csv", MEMBERS[:-1]), ledger, now=clock())
    return made


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
