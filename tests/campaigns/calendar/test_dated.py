import pytest

from campaigns.calendar.dated import Repeating, load_dated
from campaigns.calendar.schedule import Birthdays, Weekly
from campaigns.definition import Campaign, load_campaign
from recsys.errors import CampaignError

BODY = """\
campaign: friday
title: Your Friday
coupons: [c1]
budget: 100
audience: orders > 3
"""
WEEKLY = """\
schedule:
  every: week
  day: friday
  at: 10:30
  zone: Europe/Berlin
  hours: 36
"""
ONCE = "starts_at: 2026-11-27T10:00:00Z\nends_at: 2026-11-28T10:00:00Z\n"
FIELDS = ["orders", "spend"]


def load(tmp_path, text):
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    return load_dated(path, FIELDS)


def test_a_file_has_a_window_or_a_schedule(tmp_path):
    assert isinstance(load(tmp_path, BODY + ONCE), Campaign)
    weekly = load(tmp_path, BODY + WEEKLY)
    assert isinstance(weekly, Repeating)
    assert isinstance(weekly.schedule, Weekly)
    assert str(weekly.schedule.at) == "10:30:00"
    birthday = load(tmp_path, BODY + "schedule: {every: birthday}\n")
    assert birthday.schedule == Birthdays(every="birthday", leap="28-february")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("day: friday", "day: fryday", r"campaign.yaml:8: schedule.day: Input should be"),
        ("zone: Europe/Berlin", "zone: Berlin", r"campaign.yaml:10: schedule.zone: 'Berlin' is no"),
        ("  hours: 36\n", "", r"campaign.yaml:6: the key 'schedule.hours' is missing"),
        ("every: week", "every: month", r"campaign.yaml:6: the key 'schedule.nth' is missing"),
        ("every: week", "every: yaer", r"campaign.yaml:6: schedule: Input tag 'yaer'"),
        ("budget: 100", "budjet: 100", r"campaign.yaml:4: unknown key 'budjet'; did you mean"),
        ("orders > 3", "oders > 3", r"campaign.yaml:5: Unknown field 'oders'.*mean 'orders'"),
        ("budget: 100", "budget: 100\nends_at: x", r"campaign.yaml:5: 'ends_at' and 'schedule'"),
    ],
)
def test_a_slip_is_named_with_its_line_and_the_mend(tmp_path, old, new, says):
    text = BODY + WEEKLY
    assert old in text
    with pytest.raises(CampaignError, match=says):
        load(tmp_path, text.replace(old, new))


def test_planning_by_hand_sends_a_schedule_to_the_command_that_keeps_it(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(BODY + WEEKLY)
    with pytest.raises(CampaignError, match=r"campaign.yaml:6: .*`campaigns run`"):
        load_campaign(path)
