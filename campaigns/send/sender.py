"""Sends a plan's remainder: its canary first where it is large, then the rest."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np

from campaigns.channels.contract import Channel
from campaigns.instants import from_micros
from campaigns.ledger.control import (
    bad_news,
    canary_passed,
    last_accepted,
    pass_canary,
    pause,
    why_paused,
)
from campaigns.ledger.ledger import Ledger, wake
from campaigns.ledger.plans import count_outcomes, find_plan, finish
from campaigns.ledger.rate import held_until
from campaigns.plan import Plan
from campaigns.send.breakers import Watch
from campaigns.send.calling import Lanes
from campaigns.send.patience import patiently
from campaigns.send.remainder import Planned, chunks
from campaigns.send.report import SendReport
from campaigns.send.run import LONGEST_WAIT, Render, Run
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError
from recsys.ids import unit_interval

_ACTOR = "sender"
_NOW_AND_THEN = timedelta(seconds=10)


def send(
    plan: Plan,
    ledger: Ledger,
    channel: Channel,
    *,
    render: Render,
    settings: CampaignSettings,
    now: Callable[[], datetime],
    rng: np.random.Generator,
    reserving: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> SendReport:
    """Sends the plan's remainder. Several of these at once share it.

    reserving: each send reserves what its coupon may take off an order, for that is limited.

    CampaignError for a plan that is not registered or was replaced. An OSError of the channel
    (a full disk) ends the run after giving back what was not delivered.
    """
    known = find_plan(ledger, plan.plan_id)
    if known is None:
        raise CampaignError(f"Plan {plan.plan_id} is not in the ledger; run `campaigns plan`")
    if known.state == "replaced":
        raise CampaignError(f"Plan {plan.plan_id} was replaced by a newer one; send that")
    report = SendReport(plan.plan_id)
    if known.state == "paused":
        report.held_up = why_paused(ledger, plan.plan_id)
    if known.state != "done" and len(plan.rows):
        patiently(lambda: wake(ledger, now=now(), max_idle_days=settings.max_idle_days))
        first = plan.rows.row(0, named=True)
        if now() < first["send_not_before"]:
            report.next_at = first["send_not_before"]
        else:
            window = (first["send_not_before"], first["send_not_after"])
            with Lanes(channel, now) as lanes:
                run = Run(
                    plan, ledger, channel, lanes, render, settings, now, sleep, reserving, report,
                    window, Watch(settings.breakers),
                )  # fmt: skip
                try:
                    _Passes(run, rng).go()
                finally:
                    run.settle()
    if known.state in ("live", "paused"):
        finish(ledger, plan.plan_id, retries=channel.idempotent and not _is_over(plan, now()))
    report.count(plan, ledger)
    return report


def _is_over(plan: Plan, now: datetime) -> bool:
    """Whether none of its calls may be made any more."""
    return not len(plan.rows) or now > plan.rows["send_not_after"][0]


class _Passes:
    """Over all rows of a plan: the canary's, all, and those that are too late."""

    def __init__(self, run: Run, rng: np.random.Generator) -> None:
        self.run, self.rng = run, rng
        self.plan, self.ledger, self.report = run.plan, run.ledger, run.report
        self.canary = run.settings.canary
        self.looked_at: datetime | None = None

    def go(self) -> None:
        run = self.run
        held = held_until(self.ledger, run.channel_name)
        if held > run.now() and run.channel_name not in run.settings.rates:
            run.hold_up("the provider asks to wait", held)
        if self._has_canary():
            self._pass(self._is_canary)
            run.end_flying()
            self._gate()
        self._pass(lambda _: True)
        patience = run.now() + LONGEST_WAIT
        while self._wait(patience):
            self._pass(lambda _: True)
        run.end_flying()
        if run.now() > run.window[1]:
            for rows in chunks(self.plan, self.rng):
                run.expire(run.left(rows))

    def _wait(self, patience: datetime) -> bool:
        """For slots that free soon. A week ago they were taken as far into a run: left to the next
        run, they would be an hour later each week where runs are an hour apart."""
        run, due = self.run, self.report.next_at
        if due is None or due > patience or not run.may_go_on():
            return False
        due = max(due, run.now() + _NOW_AND_THEN)
        run.settle()
        run.sleep((due - run.now()).total_seconds())
        return run.now() >= due  # a clock that stands still ends the run

    def _pass(self, among: Callable[[Planned], bool]) -> None:
        if self.report.held_up is None:
            self.report.look_again()
        for rows in chunks(self.plan, self.rng):
            if not self.run.may_go_on():
                # Whoever was killed left calls open, which end whatever holds this run up.
                self.run.flying += [one for one in self.run.left(rows) if one.flying]
                continue
            self.run.send([one for one in self.run.left(rows) if among(one)])
            self._look()

    def _look(self) -> None:
        """Pauses the plan, for all senders, when something is wrong."""
        self.run.settle()
        why = self.run.watch.errors() or self._unwanted()
        if why is not None:
            pause(
                self.ledger, self.plan.plan_id, by=_ACTOR, reason=why, now=self.run.now(),
                broken=True,
            )  # fmt: skip
            self.run.hold_up(f"stopped by itself: {why}", None)

    def _unwanted(self) -> str | None:
        """Looked at now and then: it counts all of the plan's messages."""
        now = self.run.now()
        if self.looked_at is not None and now - self.looked_at < _NOW_AND_THEN:
            return None
        self.looked_at = now
        news = bad_news(self.ledger, self.plan.plan_id)
        return self.run.watch.unwanted(self._accepted(), news) if news else None

    def _accepted(self) -> int:
        counts = count_outcomes(self.ledger, self.plan.plan_id)
        return sum(rows for (outcome, _), rows in counts.items() if outcome == "accepted")

    def _has_canary(self) -> bool:
        pushes = int((self.plan.rows["decision"] == "push").sum())
        large = pushes > self.canary.over and self.canary.share < 1
        return large and not canary_passed(self.ledger, self.plan.plan_id)

    def _is_canary(self, one: Planned) -> bool:
        return unit_interval("canary", one.key) < self.canary.share

    def _gate(self) -> None:
        """The rest may follow once the first few were out for a while and nothing is wrong."""
        if self.report.held_up is not None:
            return
        last = last_accepted(self.ledger, self.plan.plan_id)
        if last is None:
            self.run.hold_up("the canary waits", None)
            return
        due = from_micros(last) + timedelta(minutes=self.canary.minutes)
        if self.run.now() < due:
            self.run.hold_up("the canary is out", due)
            return
        told = f"{self._accepted():,} sends were out for {self.canary.minutes:g} minutes"
        pass_canary(self.ledger, self.plan.plan_id, reason=told, now=self.run.now())
