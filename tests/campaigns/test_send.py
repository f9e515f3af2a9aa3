import errno
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from campaigns.channels.contract import Answer, Delivery
from campaigns.ledger.consent import Statement, record, suppress
from campaigns.plan import read_plan
from campaigns.run import plan_campaign, plan_renderer, send_plan
from campaigns.send import send
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from recsys.errors import CampaignError
from tests.campaigns.kit import MEMBERS, NOW, WEEK, Clock, TableOffers, composition, definition


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock)


@pytest.fixture
def plan(shop):
    return plan_campaign(shop, definition())[0]


def mails(shop):
    files = sorted((shop.folder / "outbox").glob("*.eml"))
    return {
        mail["To"]: mail
        for mail in (message_from_bytes(f.read_bytes(), policy=policy.default) for f in files)
    }


def breaches(shop):
    with shop.open_ledger() as ledger:
        return verify(ledger).breaches


@dataclass
class Faulty:
    """A channel that fails as told, and counts what it was called with."""

    script: list[object]
    idempotent: bool = False
    lanes: int = 1
    seconds: float = 0.0
    calls: list[str] = field(default_factory=list)
    after: Clock | None = None
    lasting: float = 3600
    """seconds that each call takes of that clock"""

    def deliver(self, message, /, *, now):
        self.calls.append(message.to)
        if self.after is not None:
            self.after.turn(seconds=self.lasting)
        answer = self.script.pop(0) if self.script else Delivery.ACCEPTED
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer)

    def close(self):
        pass


def send_by(shop, plan, channel):
    with shop.open_ledger() as ledger:
        return send(
            plan,
            ledger,
            channel,
            render=plan_renderer(shop, plan, ledger),
            settings=shop.settings,
            now=shop.now,
            rng=np.random.default_rng(1),
        )


def test_every_consenting_member_gets_one_message_with_their_coupon(shop, plan):
    report = send_plan(shop, plan.plan_id)
    assert report.done
    assert report.outcomes == {"accepted": 7, "skipped: no_consent": 1}
    sent = mails(shop)
    assert sorted(sent) == [f"{m}@example.invalid" for m in MEMBERS[:-1]]
    mail = sent["m2@example.invalid"]
    assert "1 € off drinks" in mail["Subject"]
    text = mail.get_body(("plain",)).get_content()
    assert text.index("Green tea") < text.index("No more of these")
    assert "Bread" not in text
    assert "Green tea" in mail.get_body(("html",)).get_content()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"].startswith("<http://127.0.0.1:8000/u/")
    assert "Bread" in sent["m1@example.invalid"].get_body(("plain",)).get_content()
    assert breaches(shop) == ()


def test_sending_again_sends_nothing(shop, plan, clock):
    send_plan(shop, plan.plan_id)
    before = {f: f.stat().st_mtime_ns for f in (shop.folder / "outbox").iterdir()}
    clock.turn(hours=1)
    assert send_plan(shop, plan.plan_id).made == {}
    assert {f: f.stat().st_mtime_ns for f in (shop.folder / "outbox").iterdir()} == before


def test_a_changed_campaign_of_the_same_window_does_not_send_twice(shop, plan):
    send_plan(shop, plan.plan_id)
    again, new = plan_campaign(shop, definition(title="Another title"))
    assert new
    assert again.counts() == {"already_sent": 7, "no_consent": 1}
    assert send_plan(shop, again.plan_id).made == {}
    assert breaches(shop) == ()


def test_planning_again_replaces_the_plan_and_cancels_its_rows(shop, plan):
    again, _ = plan_campaign(shop, definition(title="Another title"))
    with pytest.raises(CampaignError, match="was replaced"):
        send_plan(shop, plan.plan_id)
    send_plan(shop, again.plan_id)
    assert len(mails(shop)) == 7
    assert breaches(shop) == ()


def test_the_same_plan_made_again_changes_nothing(shop, plan):
    again, new = plan_campaign(shop, definition())
    assert (again.plan_id, new) == (plan.plan_id, False)


def test_another_campaign_within_the_week_is_capped_and_waits_for_its_window(shop, plan, clock):
    send_plan(shop, plan.plan_id)
    clock.turn(days=1)
    short = definition(campaign="25", starts_at=clock.instant, ends_at=NOW + timedelta(days=3))
    assert plan_campaign(shop, short)[0].counts()["capped"] == 7
    long = definition(campaign="26", starts_at=clock.instant, ends_at=NOW + 2 * WEEK)
    waits = plan_campaign(shop, long)[0]
    report = send_plan(shop, waits.plan_id)
    assert (report.made, report.waiting) == ({}, 7)
    assert report.next_at == NOW + WEEK
    clock.instant = NOW + WEEK
    assert send_plan(shop, waits.plan_id).made == {"accepted": 7}
    assert breaches(shop) == ()


def test_consent_withdrawn_between_plan_and_send_stops_the_send(shop, plan, clock):
    clock.turn(minutes=1)
    with shop.open_ledger() as ledger:
        no = Statement("m0", "email", "m0@example.invalid", False, clock(), "page", "UTC")
        record(ledger, [no], now=clock())
        suppress(ledger, [ledger.identity.person("m1")], reason="complaint", now=clock())
    report = send_plan(shop, plan.plan_id)
    assert report.outcomes == {
        "accepted": 5,
        "skipped: no_consent": 2,
        "skipped: suppressed": 1,
    }
    assert not {"m0@example.invalid", "m1@example.invalid"} & set(mails(shop))
    assert breaches(shop) == ()


def test_a_plan_is_not_sent_before_its_window_and_expires_after_it(shop, clock):
    later = definition(starts_at=NOW + timedelta(hours=1), ends_at=NOW + timedelta(hours=2))
    plan = plan_campaign(shop, later)[0]
    report = send_plan(shop, plan.plan_id)
    assert (report.made, report.next_at) == ({}, NOW + timedelta(hours=1))
    clock.turn(hours=3)
    report = send_plan(shop, plan.plan_id)
    assert report.outcomes == {"expired": 7, "skipped: no_consent": 1}
    assert report.done
    assert mails(shop) == {}


def test_an_unknown_call_keeps_its_slot_and_is_not_repeated_on_a_plain_channel(shop, plan, clock):
    channel = Faulty([Delivery.UNKNOWN])
    report = send_by(shop, plan, channel)
    assert report.outcomes == {"unknown": 1, "accepted": 6, "skipped: no_consent": 1}
    assert report.done
    clock.turn(hours=1)
    send_by(shop, plan, channel)
    assert set(Counter(channel.calls).values()) == {1}
    assert breaches(shop) == ()


def test_an_unknown_call_is_repeated_under_the_same_key_where_that_is_safe(shop, plan):
    channel = Faulty([Delivery.UNKNOWN], idempotent=True)
    report = send_by(shop, plan, channel)
    assert report.outcomes == {"accepted": 7, "skipped: no_consent": 1}
    assert sorted(Counter(channel.calls).values()) == [1] * 6 + [2]
    assert breaches(shop) == ()


def test_a_plan_whose_window_is_over_ends_with_its_calls_in_doubt(shop, plan, clock):
    channel = Faulty([Delivery.UNKNOWN] * 14, idempotent=True)
    report = send_by(shop, plan, channel)
    assert (report.done, len(channel.calls)) == (False, 14)
    clock.turn(days=8)
    report = send_by(shop, plan, channel)
    assert (report.done, len(channel.calls)) == (True, 14)
    assert report.outcomes == {"unknown": 7, "skipped: no_consent": 1}
    assert breaches(shop) == ()


def test_a_full_disk_gives_back_what_was_not_sent_and_the_next_run_sends_it(shop, plan):
    full = OSError(errno.ENOSPC, "No space left on device")
    channel = Faulty([Delivery.ACCEPTED, full])
    with pytest.raises(OSError, match="No space"):
        send_by(shop, plan, channel)
    assert breaches(shop) == ()
    report = send_by(shop, plan, channel)
    assert report.made == {"accepted": 6}
    assert sorted(Counter(channel.calls).values()) == [1] * 6 + [2]
    assert report.done


def test_a_refusal_waits_for_the_next_run_and_a_rejection_ends_the_row(shop, plan):
    channel = Faulty([Delivery.REFUSED, Delivery.REJECTED])
    report = send_by(shop, plan, channel)
    assert (report.made, report.waiting) == ({"accepted": 5}, 1)
    assert report.outcomes["skipped: undeliverable"] == 1
    report = send_by(shop, plan, channel)
    assert (report.made, report.done) == ({"accepted": 1}, True)
    assert breaches(shop) == ()


def test_a_call_that_breaks_in_an_unforeseen_way_may_have_been_delivered(shop, plan):
    channel = Faulty([Delivery.ACCEPTED, RuntimeError("what is this?")])
    with pytest.raises(RuntimeError, match="what is this"):
        send_by(shop, plan, channel)
    report = send_by(shop, plan, channel)
    assert report.outcomes == {"accepted": 6, "unknown": 1, "skipped: no_consent": 1}
    assert breaches(shop) == ()


def test_a_sender_that_overslept_its_claim_does_not_call(shop, plan, clock):
    channel = Faulty([], after=clock)
    report = send_by(shop, plan, channel)
    assert report.made["accepted"] == 1
    assert report.waiting == 6
    assert breaches(shop) == ()


def test_no_call_begins_that_could_outlast_its_slot(shop, plan, clock):
    channel = Faulty([], after=clock, seconds=30, lasting=20)
    report = send_by(shop, plan, channel)
    # Slots of a minute: calls begin at 0 and 20 seconds, and at 40 one might end at 70.
    assert (report.made, report.waiting) == ({"accepted": 2}, 5)
    assert breaches(shop) == ()


def test_a_budget_spent_elsewhere_meanwhile_is_not_overspent(shop, clock):
    plan = plan_campaign(shop, definition(budget=1.0))[0]
    # m1 takes the free coupon; 1.00 pays two at 0.50.
    assert plan.counts() == {"push": 3, "budget": 4, "no_consent": 1}
    assert send_plan(shop, plan.plan_id).made == {"accepted": 3}
    assert breaches(shop) == ()


@pytest.mark.parametrize("file", ["parquet", "json"])
def test_a_plan_that_was_changed_or_lost_is_refused(shop, plan, file):
    path = shop.plans / f"{plan.plan_id}.{file}"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"Your week", b"Our month").replace(b"member_id", b"member_ID"))
    assert path.read_bytes() != whole
    with pytest.raises(CampaignError, match="changed"):
        send_plan(shop, plan.plan_id)
    path.unlink()
    with pytest.raises(CampaignError, match=r"plan again|no plan"):
        send_plan(shop, plan.plan_id)


def test_a_plan_that_the_ledger_does_not_know_is_not_sent(shop, plan, tmp_path):
    other = composition(tmp_path / "other", Clock())
    shutil.copytree(shop.plans, other.plans)
    with pytest.raises(CampaignError, match="not in the ledger"):
        send_plan(other, plan.plan_id)


def test_the_plan_file_has_the_agreed_columns_and_its_content_as_its_name(shop, plan):
    read = read_plan(plan.plan_id, shop.plans)
    assert read.rows.equals(plan.rows)
    assert read.occasion == plan.occasion
    assert read.rows.columns == [
        "member_id", "campaign_id", "coupon_id", "channel", "send_not_before", "send_not_after",
        "expected_value", "cost", "probability", "discount", "most_off", "arm", "decision",
        "reason", "campaign_hash", "template_hash",
    ]  # fmt: skip


def test_a_window_that_is_over_cannot_be_planned(shop):
    with pytest.raises(CampaignError, match="ended"):
        plan_campaign(shop, definition(starts_at=NOW - WEEK, ends_at=NOW))


def test_a_template_that_does_not_render_stops_the_plan(shop):
    with pytest.raises(CampaignError, match="'surname' is undefined"):
        plan_campaign(shop, definition(template={"text": "Dear {{ surname }}"}))


def test_members_with_no_worthy_offer_get_none_and_that_is_said(tmp_path, clock):
    offers = TableOffers(["c1"], {("m0", "c1"): 0.0, ("m1", "c1"): -1.0, ("m2", "c1"): 0.1})
    plan = plan_campaign(composition(tmp_path, clock, offers), definition(coupons=["c1"]))[0]
    assert plan.counts() == {"push": 1, "no_offer_worth_it": 6, "no_consent": 1}


ZONES = ["Asia/Tokyo", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "UTC", ""]


@pytest.fixture
def abroad(shop, clock):
    """The first six members live in six zones; the last of these is not known."""
    said = NOW - timedelta(days=1)
    with shop.open_ledger() as ledger:
        for member, zone in zip(MEMBERS, ZONES, strict=False):
            moved = Statement(
                member, "email", f"{member}@example.invalid", True, said, "page", zone or None
            )
            record(ledger, [moved], now=clock())
    return shop


@dataclass
class Watched:
    """Takes everything, and remembers when."""

    idempotent: bool = False
    lanes: int = 1
    seconds: float = 0.0
    calls: dict[str, datetime] = field(default_factory=dict)

    def deliver(self, message, /, *, now):
        self.calls[message.to] = now
        return Answer(Delivery.ACCEPTED)

    def close(self):
        pass


@pytest.mark.parametrize("minutes", [0, 7, 31])
def test_everybody_is_sent_to_once_and_while_their_wall_shows_day(abroad, clock, minutes):
    plan = plan_campaign(abroad, definition())[0]
    channel = Watched()
    clock.turn(hours=13, minutes=minutes)
    for _ in range(25):
        report = send_by(abroad, plan, channel)
        clock.turn(hours=1)
    assert report.done
    assert len(channel.calls) == 7
    for member, zone in zip(MEMBERS, ZONES, strict=False):
        wall = channel.calls[f"{member}@example.invalid"].astimezone(ZoneInfo(zone or "UTC"))
        early, late = (9, 21) if zone else (11, 19)
        assert early <= wall.hour < late, (member, wall)
    assert breaches(abroad) == ()


def test_rows_in_quiet_hours_wait_and_the_report_tells_how_many_and_until_when(abroad, clock):
    plan = plan_campaign(abroad, definition())[0]
    clock.instant = NOW.replace(hour=22)
    report = send_by(abroad, plan, Watched())
    # New York has 17:00 and Auckland 11:00. Tokyo wakes first.
    assert (report.made, report.waiting, report.quiet) == ({"accepted": 2}, 5, 5)
    assert report.next_at == NOW.replace(day=2, hour=0)
    assert report.unknown_zones == 1


def test_a_window_that_ends_in_quiet_hours_says_so(abroad, clock):
    plan = plan_campaign(abroad, definition(ends_at=NOW.replace(hour=23)))[0]
    clock.instant = NOW.replace(hour=22)
    outcomes = send_by(abroad, plan, Watched()).outcomes
    assert outcomes == {"accepted": 2, "skipped: quiet_hours": 5, "skipped: no_consent": 1}
    assert breaches(abroad) == ()


def test_no_message_is_rendered_for_who_is_in_quiet_hours(abroad, clock):
    plan = plan_campaign(abroad, definition())[0]
    clock.instant = NOW.replace(hour=22)
    rendered = []
    with abroad.open_ledger() as ledger:
        render = plan_renderer(abroad, plan, ledger)

        def watched(member, *rest):
            rendered.append(member)
            return render(member, *rest)

        send(
            plan, ledger, Watched(), render=watched, settings=abroad.settings, now=clock,
            rng=np.random.default_rng(1),
        )  # fmt: skip
    assert sorted(rendered) == ["m2", "m3"]


@pytest.mark.parametrize("idempotent", [False, True])
def test_the_settings_hours_count_at_the_claim_and_at_the_take_over(abroad, clock, idempotent):
    plan = plan_campaign(abroad, definition())[0]
    clock.instant = NOW.replace(hour=22)
    always = replace(abroad, settings=CampaignSettings(quiet_from="21:00", quiet_until="21:00"))
    channel = Faulty([Delivery.UNKNOWN] * 7, idempotent=idempotent)
    report = send_by(always, plan, channel)
    assert sum(report.made.values()) == (14 if idempotent else 7)
    assert (report.quiet, report.done) == (0, True)


def test_who_moves_while_a_run_goes_on_is_looked_up_again(abroad, clock):
    plan = plan_campaign(abroad, definition())[0]
    clock.instant = NOW.replace(hour=22)
    channel = Watched()
    with abroad.open_ledger() as ledger:
        render = plan_renderer(abroad, plan, ledger)

        def moves(member, *rest):
            if member == "m2":  # from New York to Berlin
                home = Statement(
                    member, "email", f"{member}@example.invalid", True, NOW, "page", ZONES[1]
                )
                record(ledger, [home], now=clock())
            return render(member, *rest)

        report = send(
            plan, ledger, channel, render=moves, settings=abroad.settings, now=clock,
            rng=np.random.default_rng(1),
        )  # fmt: skip
    assert list(channel.calls) == ["m3@example.invalid"]
    assert report.quiet == 6
