"""Birthday campaigns from the members' table to the message."""

from dataclasses import replace
from datetime import date, timedelta
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from campaigns.calendar.due import CLOSED
from campaigns.calendar.running import run_due
from campaigns.consent import import_consent
from campaigns.verify import verify
from recsys.dataset import Dataset
from tests.campaigns.kit import NOW

HOUR = timedelta(hours=1)
FIRST = date(1990, 12, 2)
ZONES = {
    "m0": "Pacific/Kiritimati",
    "m1": "Asia/Kathmandu",
    "m2": "Europe/Berlin",
    "m3": "America/Los_Angeles",
    "m4": "Pacific/Pago_Pago",
    "m5": "Europe/Berlin",
    "m6": "",
}
BORN = dict.fromkeys(ZONES, FIRST) | {"m5": date(1990, 12, 3)}
BIRTHDAY = "schedule: {every: birthday}\n"


def say(shop, zones, at):
    """The members' consent, from these zones."""
    rows = [f"{m},email,{m}@example.invalid,yes,{at.isoformat()},{z}" for m, z in zones.items()]
    file = shop.folder / "zones.csv"
    file.write_text("member_id,channel,address,consent,at,timezone\n" + "\n".join(rows) + "\n")
    with shop.open_ledger() as ledger:
        assert not import_consent(file, ledger, now=at).rejects


def say_born(shop, born):
    """The members' table, with these birthdays."""
    path = shop.folder / "dataset" / "members.parquet"
    members = pl.read_parquet(path)
    days = pl.Series("birthday", [born.get(one) for one in members["member_id"]], pl.Date)
    members.with_columns(days).write_parquet(path)


@pytest.fixture
def shop(shop):
    say_born(shop, BORN)
    say(shop, ZONES, NOW)
    return replace(shop, dataset=lambda: Dataset(shop.folder / "dataset"))


@pytest.fixture
def birthday(weekly):
    return weekly(schedule=BIRTHDAY, name="birthday")


def delivered(shop):
    """Member → when they got a message."""
    found = {}
    for file in (shop.folder / "outbox").glob("*.eml"):
        mail = message_from_bytes(file.read_bytes())
        found.setdefault(str(mail["To"]).partition("@")[0], []).append(
            parsedate_to_datetime(mail["Date"])
        )
    return found


def go_on(shop, clock, birthday, until, step=5 * HOUR):
    while clock() < until:
        assert run_due(shop, [birthday], by="ann").failed == []
        clock.turn(seconds=step.total_seconds())
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_each_member_is_congratulated_once_while_it_is_their_date(shop, clock, birthday):
    go_on(shop, clock, birthday, NOW + 66 * HOUR)
    found = delivered(shop)
    assert sorted(found) == sorted(ZONES)
    for member, times in found.items():
        (at,) = times
        local, born = at.astimezone(ZoneInfo(ZONES[member] or "UTC")), BORN[member]
        assert (local.month, local.day) == (born.month, born.day), member
        assert 9 <= local.hour < 21


def test_who_moves_is_not_congratulated_again(shop, clock, birthday):
    go_on(shop, clock, birthday, NOW + 26 * HOUR)
    assert "m2" in delivered(shop)
    say(shop, {"m2": "Pacific/Pago_Pago"}, clock())
    go_on(shop, clock, birthday, NOW + 50 * HOUR)
    found = delivered(shop)
    assert "m4" in found
    assert len(found["m2"]) == 1


def test_a_new_date_in_the_profile_brings_no_second_push_within_the_year(shop, clock, birthday):
    go_on(shop, clock, birthday, NOW + 26 * HOUR)
    assert {"m0", "m2"} <= delivered(shop).keys()
    say_born(shop, dict.fromkeys(ZONES, date(1990, 12, 15)))
    clock.turn(days=12)
    go_on(shop, clock, birthday, NOW + 15 * 24 * HOUR)
    found = delivered(shop)
    assert (len(found["m0"]), len(found["m2"])) == (1, 1)
    assert found["m5"][0].astimezone(ZoneInfo("Europe/Berlin")).day == 15


def test_after_a_break_only_birthdays_that_last_are_caught_up(shop, clock, birthday):
    clock.turn(hours=2)
    first = run_due(shop, [birthday], by="ann")
    assert [plan.rows["member_id"].to_list() for plan in first.planned] == [["m0"]]
    clock.turn(hours=52)  # 3 December, 15:00 UTC
    ran = run_due(shop, [birthday], by="ann")
    assert [plan.rows["member_id"].to_list() for plan in ran.planned] == [["m5"]]
    assert {one.occasion: one.reason for one in ran.missed} == dict.fromkeys(
        ["birthday@2017-12-01T18:15:00Z", "birthday@2017-12-01T23:00:00Z",
         "birthday@2017-12-02T00:00:00Z", "birthday@2017-12-02T08:00:00Z",
         "birthday@2017-12-02T11:00:00Z"],
        CLOSED,
    )  # fmt: skip
    assert run_due(shop, [birthday], by="ann").missed == []
