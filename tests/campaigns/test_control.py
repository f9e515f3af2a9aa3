"""Pause, resume, cancel; rates, breakers and canaries: all senders, on both databases."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import text

from campaigns.channels.contract import Answer, Delivery
from campaigns.consent import import_consent
from campaigns.ledger.control import canary_passed, cancel, pause, resume, why_paused
from campaigns.ledger.plans import outcomes
from campaigns.ledger.rate import take_turns
from campaigns.plan import row_keys
from campaigns.run import plan_campaign, plan_renderer
from campaigns.send import send
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from recsys.errors import CampaignError, LedgerError
from tests.campaigns.kit import MEMBERS, NOW, Clock, composition, definition, write_consent


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    made = composition(tmp_path, clock)
    made = replace(made, settings=CampaignSettings(ledger_url=ledger_url))
    with made.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "all.csv", MEMBERS[:-1]), ledger, now=clock())
    return made


class Scripted:
    """Answers as told, then with yes; remembers when it was called."""

    idempotent = False
    lanes = 1
    seconds = 0.0

    def __init__(self, clock, *script, before=None):
        self.clock, self.script, self.before = clock, list(script), before
        self.calls = []

    def deliver(self, message, /, *, now):
        self.calls.append((message.to, now))
        if self.before is not None:
            self.before(len(self.calls))
        return self.script.pop(0) if self.script else Answer(Delivery.ACCEPTED)

    def close(self):
        pass


def run(shop, plan, channel, clock, **settings):
    values = shop.settings.model_dump() | {"in_flight": 1} | settings
    with shop.open_ledger() as ledger:
        return send(
            plan,
            ledger,
            channel,
            render=plan_renderer(shop, plan, ledger),
            settings=CampaignSettings.model_validate(values),
            now=clock,
            rng=np.random.default_rng(1),
            sleep=lambda seconds: clock.turn(seconds=seconds),
        )


def once_each(channel, members=MEMBERS[:-1]):
    return sorted(to for to, _ in channel.calls) == [f"{m}@example.invalid" for m in members]


def test_a_pause_stops_all_senders_and_resuming_sends_exactly_the_rest(shop, clock):
    plan, _ = plan_campaign(shop, definition())

    def third(calls):
        if calls == 3:
            with shop.open_ledger() as ledger:
                assert pause(ledger, plan.plan_id, by="ann", reason="wrong price", now=clock())
                assert not pause(ledger, plan.plan_id, by="bob", reason="", now=clock())

    channel = Scripted(clock, before=third)
    report = run(shop, plan, channel, clock)
    assert (report.held_up, report.waiting, len(channel.calls)) == ("paused", 4, 3)
    again = run(shop, plan, channel, clock)
    assert "paused by ann: wrong price" in again.held_up
    assert len(channel.calls) == 3
    with shop.open_ledger() as ledger:
        assert resume(ledger, plan.plan_id, by="ann", reason="mended", now=clock())
    assert run(shop, plan, channel, clock).done
    assert once_each(channel)
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_cancelling_ends_exactly_the_rest(shop, clock):
    plan, _ = plan_campaign(shop, definition())

    def second(calls):
        if calls == 2:
            with shop.open_ledger() as ledger:
                keys = row_keys(plan, ledger)
                assert cancel(ledger, plan.plan_id, keys, by="ann", reason="no", now=clock())

    channel = Scripted(clock, before=second)
    report = run(shop, plan, channel, clock)
    assert report.outcomes == {"accepted": 2, "cancelled": 5, "skipped: no_consent": 1}
    assert report.waiting == 0
    with shop.open_ledger() as ledger:
        assert not cancel(ledger, plan.plan_id, [], by="ann", reason="", now=clock())
        with pytest.raises(LedgerError, match="is cancelled; only one that is paused"):
            resume(ledger, plan.plan_id, by="ann", reason="", now=clock())
        assert verify(ledger).breaches == ()
    run(shop, plan, channel, clock)
    assert len(channel.calls) == 2


def test_a_paused_plan_expires_with_its_window(shop, clock):
    plan, _ = plan_campaign(shop, definition(ends_at=NOW + timedelta(hours=2)))
    with shop.open_ledger() as ledger:
        pause(ledger, plan.plan_id, by="ann", reason="", now=clock())
    clock.turn(hours=3)
    report = run(shop, plan, Scripted(clock), clock)
    assert report.outcomes == {"expired": 7, "skipped: no_consent": 1}
    assert report.done


def test_a_paused_plan_is_replaced_like_any_other(shop, clock):
    plan, _ = plan_campaign(shop, definition())
    with shop.open_ledger() as ledger:
        pause(ledger, plan.plan_id, by="ann", reason="", now=clock())
    newer, _ = plan_campaign(shop, definition(max_sends=3))
    with shop.open_ledger() as ledger:
        assert {end for end, _ in outcomes(ledger, plan.plan_id).values()} >= {"cancelled"}
    channel = Scripted(clock)
    with pytest.raises(CampaignError, match="replaced by a newer"):
        run(shop, plan, channel, clock)
    run(shop, newer, channel, clock)
    assert len(channel.calls) == 3


def test_calls_keep_to_the_channels_rate_whoever_makes_them(shop, clock):
    plan, _ = plan_campaign(shop, definition())
    channel = Scripted(clock)
    with shop.open_ledger() as ledger:  # another sender has its turn first
        soon = NOW + timedelta(minutes=1)
        assert take_turns(ledger, "email", 4, a_second=2, now=NOW, latest=soon)[0]
    run(shop, plan, channel, clock, rates={"email": 2})
    begun = [at for _, at in channel.calls]
    assert begun[0] == NOW + timedelta(seconds=2)
    gaps = {later - earlier for earlier, later in pairwise(begun)}
    assert gaps == {timedelta(seconds=0.5)}
    assert once_each(channel)


def test_a_turn_that_is_far_away_ends_the_run_and_takes_nothing(shop, clock):
    plan, _ = plan_campaign(shop, definition())
    with shop.open_ledger() as ledger:
        take_turns(ledger, "email", 3600, a_second=1, now=NOW, latest=NOW)
    channel = Scripted(clock)
    report = run(shop, plan, channel, clock, rates={"email": 1})
    assert (report.held_up, channel.calls) == ("the channel's rate", [])
    assert report.next_at == NOW + timedelta(hours=1)


def test_what_a_provider_asks_for_holds_for_all_senders(shop, clock):
    plan, _ = plan_campaign(shop, definition())
    wait = Answer(Delivery.REFUSED, "busy", timedelta(minutes=10))
    channel = Scripted(clock, Answer(Delivery.ACCEPTED), wait)
    report = run(shop, plan, channel, clock)
    assert (report.made, report.waiting) == ({"accepted": 1}, 6)
    assert report.next_at == NOW + timedelta(minutes=10)
    clock.turn(minutes=9)
    assert run(shop, plan, channel, clock).held_up == "the provider asks to wait"
    assert len(channel.calls) == 2
    clock.turn(minutes=1)
    assert run(shop, plan, channel, clock).done
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_too_many_failures_pause_the_plan(shop, clock, monkeypatch):
    monkeypatch.setattr("campaigns.send.remainder.CHUNK", 2)
    plan, _ = plan_campaign(shop, definition())
    bad = Answer(Delivery.REJECTED)
    channel = Scripted(clock, Answer(Delivery.ACCEPTED), bad, bad, bad)
    report = run(shop, plan, channel, clock, breakers={"least_calls": 4, "errors": 0.5})
    assert report.held_up == "stopped by itself: 3 of the latest 4 calls failed, more than 50.0%"
    assert report.outcomes["skipped: undeliverable"] == 3
    assert run(shop, plan, channel, clock).held_up.startswith("broken by sender")
    assert len(channel.calls) == 4


def test_an_outage_of_the_provider_loses_nobody(shop, clock, monkeypatch):
    monkeypatch.setattr("campaigns.send.remainder.CHUNK", 2)
    plan, _ = plan_campaign(shop, definition())
    away = Answer(Delivery.REFUSED)
    channel = Scripted(clock, *[away] * 4)
    report = run(shop, plan, channel, clock, breakers={"least_calls": 4})
    assert (len(channel.calls), report.waiting) == (4, 7)
    with shop.open_ledger() as ledger:
        resume(ledger, plan.plan_id, by="ann", reason="it is back", now=clock())
    channel.calls.clear()
    assert run(shop, plan, channel, clock).done
    assert once_each(channel)


def test_complaints_pause_the_plan(shop, clock, monkeypatch):
    plan, _ = plan_campaign(shop, definition())
    monkeypatch.setattr("campaigns.send.remainder.CHUNK", 2)

    def complain(calls):
        if calls != 2:
            return
        with shop.open_ledger() as ledger, ledger.writing() as connection:
            key = connection.execute(text("SELECT MIN(send_id) FROM send")).scalar()
            connection.execute(
                text("INSERT INTO feedback VALUES ('p', 'e1', :key, 'complained', 0, 0)"),
                {"key": key},
            )
            clock.turn(seconds=11)

    channel = Scripted(clock, before=complain)
    report = run(shop, plan, channel, clock, breakers={"least_calls": 2, "complaints": 0.1})
    assert "1 of 2 messages brought a complaint, more than 10.0%" in report.held_up
    with shop.open_ledger() as ledger:
        assert why_paused(ledger, plan.plan_id).startswith("broken by sender: 1 of 2")
    assert len(channel.calls) == 2


def test_a_large_plan_sends_a_few_waits_and_then_sends_the_rest(shop, clock):
    plan, _ = plan_campaign(shop, definition())
    few = {"canary": {"over": 1, "share": 0.4, "minutes": 30}}
    channel = Scripted(clock)
    report = run(shop, plan, channel, clock, **few)
    first = len(channel.calls)
    assert 0 < first < 7
    assert (report.held_up, report.waiting) == ("the canary is out", 7 - first)
    assert report.next_at == NOW + timedelta(minutes=30)
    clock.turn(minutes=29)
    run(shop, plan, channel, clock, **few)
    assert len(channel.calls) == first
    clock.turn(minutes=1)
    assert run(shop, plan, channel, clock, **few).done
    assert once_each(channel)
    with shop.open_ledger() as ledger:
        assert canary_passed(ledger, plan.plan_id)
        assert verify(ledger).breaches == ()
