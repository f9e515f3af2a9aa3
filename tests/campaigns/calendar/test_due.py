"""Every occasion is planned while it is open, or missed: whenever runs come, and however rarely."""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.calendar.dated import Repeating
from campaigns.calendar.due import CLOSED, OVERTAKEN, Present, agenda
from campaigns.calendar.schedule import Weekly
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.occasions import Missed, known_occasions, record_missed
from campaigns.ledger.plans import Registered, register
from campaigns.settings import CampaignSettings
from recsys.dataset import Dataset
from tests.campaigns.kit import NOW, open_test_ledger

HOUR = timedelta(hours=1)
KEYS = {"campaign": "friday", "title": "Friday", "coupons": ["c1"], "budget": 1.0}


def repeating(hours: float) -> Repeating:
    facts = {"every": "week", "day": "friday", "at": "09:00", "zone": "Europe/Berlin"}
    return Repeating(Weekly.model_validate(facts | {"hours": hours}), KEYS)


def look(one: Repeating, ledger: Ledger, folder: Path, now: datetime) -> list[Missed]:
    """One run that plans and tells of what it missed."""
    at = Present(ledger, Dataset(folder), CampaignSettings(), folder, now)
    found = agenda(one, at)
    for due in found.due:
        campaign = due.campaign
        assert campaign.starts_at <= now < campaign.ends_at
        plan = Registered(f"plan-{campaign.occasion}", campaign.occasion, "friday", "live")
        assert register(ledger, plan, skipped={}, planned_rows=0, purses={}, replaced_rows=[],
                        now=now, replace=False)  # fmt: skip
    return record_missed(ledger, found.missed, now=now)


@settings(max_examples=40, deadline=None)
@given(
    hours=st.sampled_from([0.5, 12, 48, 167, 168]),
    waits=st.lists(st.sampled_from([0.1, 1, 20, 100, 168, 400, 1000]), min_size=1, max_size=12),
)
def test_each_occasion_is_planned_or_missed_and_never_both(
    hours: float, waits: list[float]
) -> None:
    one, now, told = repeating(hours), NOW, list[Missed]()
    with tempfile.TemporaryDirectory() as name, open_test_ledger(
        f"sqlite:///{name}/ledger.db", Path(name)
    ) as ledger:  # fmt: skip
        for wait in waits:
            now += wait * HOUR
            told += look(one, ledger, Path(name), now)
        assert look(one, ledger, Path(name), now) == []
        known = known_occasions(ledger, "friday")
    missed = {miss.occasion for miss in told}
    assert len(missed) == len(told)
    assert missed <= known
    assert {miss.reason for miss in told} <= {CLOSED, OVERTAKEN}
    planned = known - missed
    if planned:
        first = min(planned)  # as texts, and so by their instants
        assert isinstance(one.schedule, Weekly)
        windows = one.schedule.windows(NOW - 200 * HOUR, now)
        ever = {one.within(window).occasion for window in windows}
        assert known == {occasion for occasion in ever if occasion >= first}
    else:
        assert missed == set()
