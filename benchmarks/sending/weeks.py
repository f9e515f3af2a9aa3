"""A year of weekly campaigns under the rolling cap: whose week is lost, and who is late.

    python -m benchmarks.sending.weeks [--members 20000] [--weeks 52] [--outage WEEK]

Every Monday, 10:00 to 21:00 on the wall of each zone, `send` runs every hour, as by cron, under a
clock that the driver turns: a call takes 10 ms. In the week of the outage nothing runs
before 20:00. Prints a line a week. Exits with 1 where a week is lost.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from benchmarks.sending.shop import CAMPAIGN, COUPONS, Null, fill, make_plan, render
from campaigns.channels.contract import Answer
from campaigns.ledger.consent import Statement, record
from campaigns.ledger.ledger import Ledger, open_ledger
from campaigns.ledger.plans import UNLIMITED, Registered, register
from campaigns.ledger.purses import purses
from campaigns.message import Message
from campaigns.plan import Plan
from campaigns.send import SendReport, send
from campaigns.settings import CampaignSettings
from campaigns.verify import verify

MONDAY = date(2026, 3, 2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OPENS, CLOSES, BACK = time(10), time(21), time(20)
ZONES = ["Asia/Tokyo", "Asia/Kathmandu", "Europe/Berlin", "America/New_York", "America/Los_Angeles"]
CALL = timedelta(milliseconds=10)


class Clock(Null):
    """Time, and a channel that takes some for each call."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Now."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Passes at once."""
        self.now += timedelta(seconds=seconds)

    def deliver(self, message: Message, /, *, now: datetime) -> Answer:
        """Takes its time."""
        self.now += CALL
        return super().deliver(message, now=now)


@dataclass(frozen=True)
class Week:
    """What became of one Monday, over all zones."""

    number: int
    pushed: int
    lost: int
    """expired, or capped for longer than the window"""
    late: int
    """the most that a run of each zone reported, in sum"""
    last: timedelta
    """after the window opened, the last push"""


def weeks(
    url: str, folder: Path, *, members: int, number: int, outage: int | None = None
) -> Iterator[Week]:
    """One after the other; a breach in the ledger at the end is an AssertionError."""
    start = datetime(2026, 2, 28, tzinfo=UTC)
    clock, rng = Clock(start), np.random.default_rng(7)
    with open_ledger(url, folder / "ledger.key", clock="simulated", now=start) as ledger:
        whole = make_plan(members, ledger.identity)
        fill(ledger, whole, now=start - DAY)
        _spread(ledger, whole, start)
        for week in range(number):
            yield _week(ledger, clock, whole, week, rng, down=week == outage)
        report = verify(ledger)
        assert report.breaches == (), report.breaches[:3]


def _spread(ledger: Ledger, whole: Plan, now: datetime) -> None:
    ids = whole.rows["member_id"].to_list()
    for start in range(0, len(ids), 5_000):
        told = [
            Statement(one, "email", f"{one}@example.invalid", True, now, "import",
                      ZONES[(start + n) % len(ZONES)])
            for n, one in enumerate(ids[start : start + 5_000])
        ]  # fmt: skip
        record(ledger, told, now=now)


def _at(week: int, shown: time, zone: str) -> datetime:
    day = MONDAY + week * 7 * DAY
    return datetime.combine(day, shown, ZoneInfo(zone)).astimezone(UTC)


def _week(
    ledger: Ledger, clock: Clock, whole: Plan, week: int, rng: np.random.Generator, *, down: bool
) -> Week:
    plans = {zone: _plan(ledger, whole, week, zone, clock.now) for zone in ZONES}
    turns = sorted(
        (_at(week, OPENS, zone) + n * HOUR, zone)
        for zone in ZONES
        for n in range(CLOSES.hour - OPENS.hour + 1)
    )
    late, last, reports = dict.fromkeys(ZONES, 0), timedelta(0), dict[str, SendReport]()
    settings = CampaignSettings.model_validate({"quiet_until": f"{OPENS:%H:%M}"})
    for at, zone in turns:
        if down and at < _at(week, BACK, zone):
            continue
        clock.now = max(clock.now, at)
        report = send(
            plans[zone], ledger, clock, render=render, settings=settings, now=clock, rng=rng,
            sleep=clock.sleep,
        )  # fmt: skip
        reports[zone] = report
        late[zone] = max(late[zone], report.late)
        if report.made["accepted"]:
            last = max(last, clock.now - _at(week, OPENS, zone))
    ended = [one.outcomes for one in reports.values()]
    pushed = sum(one["accepted"] for one in ended)
    return Week(week + 1, pushed, len(whole.rows) - pushed, sum(late.values()), last)


def _plan(ledger: Ledger, whole: Plan, week: int, zone: str, now: datetime) -> Plan:
    opens, closes = _at(week, OPENS, zone), _at(week, CLOSES, zone)
    rows = whole.rows.gather_every(len(ZONES), ZONES.index(zone)).with_columns(
        send_not_before=pl.lit(opens).cast(whole.rows.schema["send_not_before"]),
        send_not_after=pl.lit(closes).cast(whole.rows.schema["send_not_after"]),
    )
    occasion = f"{CAMPAIGN}@{opens:%Y-%m-%dT%H:%M:%SZ} {zone}"
    plan_id = hashlib.sha256(occasion.encode()).hexdigest()[:24]
    limits = {name: UNLIMITED for n in range(COUPONS)
              for _, name, _ in purses(CAMPAIGN, f"c{n}", 0)}  # fmt: skip
    register(
        ledger, Registered(plan_id, occasion, CAMPAIGN, "live"), skipped={},
        planned_rows=len(rows), purses=limits, replaced_rows=[], now=now,
    )  # fmt: skip
    return replace(whole, plan_id=plan_id, occasion=occasion, rows=rows)


def shown(week: Week) -> str:
    """A line."""
    return (
        f"week {week.number:2}: {week.pushed:,} pushed, {week.lost:,} lost, {week.late:,} late;"
        f" the last {week.last / HOUR:.2f} h after the window opened"
    )


def main(words: Sequence[str] | None = None) -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--outage", type=int, default=None)
    asked = parser.parse_args(words)
    lost = 0
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{name}/ledger.db"
        for week in weeks(url, Path(name), members=asked.members, number=asked.weeks,
                          outage=None if asked.outage is None else asked.outage - 1):  # fmt: skip
            sys.stdout.write(shown(week) + "\n")
            sys.stdout.flush()
            lost += week.lost
    sys.exit(lost > 0)


if __name__ == "__main__":
    main()
