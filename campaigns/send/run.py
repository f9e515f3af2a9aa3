"""The steps of one run: claim, call, settle."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

import polars as pl

from campaigns.channels.contract import Answer, Channel, Delivery
from campaigns.instants import from_micros
from campaigns.ledger.calls import Claim, Claimed, Declined
from campaigns.ledger.claims import claim, reclaim
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import close_rows
from campaigns.ledger.rate import hold, take_turns
from campaigns.ledger.settling import Ends, give_back, settle
from campaigns.message import Message
from campaigns.plan import Plan
from campaigns.policy.quiet_hours import known_zone
from campaigns.send.breakers import Watch
from campaigns.send.calling import Call, Ended, Lanes
from campaigns.send.patience import patiently
from campaigns.send.remainder import Planned, remainder
from campaigns.send.report import SendReport
from campaigns.settings import CampaignSettings

Render = Callable[[str, str, str, str, str | None], Message]
"""(member id, coupon id, send id, address, language) → the message"""

# Another sender's call, an address that changed a moment ago, a plan that stands still: no ends.
_NOT_FINAL = frozenset({"in_flight", "contact_changed", "already_settled", "paused", "cancelled"})
LONGEST_WAIT = timedelta(minutes=5)
"""for a turn, or for slots that free; a run that had to wait longer ends, and says until when"""


@dataclass(slots=True)
class Run:
    """One run's fixed parts, so that its steps need not hand them on."""

    plan: Plan
    ledger: Ledger
    channel: Channel
    lanes: Lanes
    render: Render
    settings: CampaignSettings
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    reserving: bool
    report: SendReport
    window: tuple[datetime, datetime]
    """the plan's, in which all calls lie"""
    watch: Watch
    flying: list[Planned] = field(default_factory=list)
    nowhere: set[str] = field(default_factory=set)
    """rows whose member has no known zone"""
    ends: list[Ends] = field(default_factory=list)
    """of calls that the next claim settles"""

    def may_go_on(self) -> bool:
        """Whether more may be sent in this run."""
        return self.report.held_up is None and self._last_call() <= self.window[1]

    def left(self, rows: pl.DataFrame) -> list[Planned]:
        """Those of a plan's rows that are left."""
        return remainder(self.plan, self.ledger, rows, reserving=self.reserving)

    def send(self, rows: Sequence[Planned]) -> None:
        """Sends what may be sent now; calls that somebody began are kept for `end`."""
        ready = []
        for one in rows:
            if one.flying:
                self.flying.append(one)
            elif one.left.address is not None:
                ready.append(one)
                if known_zone(one.left.timezone) is None:
                    self.nowhere.add(one.key)
        self.report.unknown_zones = len(self.nowhere)
        self._skip({"no_consent": [one.key for one in rows if one.left.address is None
                                   and not one.flying]})  # fmt: skip
        for batch in _batches(ready, self._size()):
            if not self.may_go_on():
                break
            self._send(self._awake(batch))

    def _size(self) -> int:
        """Calls claimed at once: not more than a second's, so that none comes in a burst."""
        rate = self.settings.rates.get(self.channel_name, float("inf"))
        return int(min(self.settings.in_flight, max(1.0, rate)))

    def _turn(self, calls: int) -> bool:
        """Waits for the channel's next free time; False if that is far away."""
        rate = self.settings.rates.get(self.channel_name)
        if rate is None or not calls:
            return True
        now = self.now()
        latest = min(now + LONGEST_WAIT, self.window[1])
        taken, begins = take_turns(
            self.ledger, self.channel_name, calls, a_second=rate, now=now, latest=latest
        )
        if not taken:
            self.hold_up("the channel's rate", begins)
        elif begins > now:
            self.settle()
            self.sleep((begins - now).total_seconds())
        return taken

    def hold_up(self, why: str, until: datetime | None) -> None:
        """Nothing more in this run."""
        self.report.held_up = why
        if until is not None:
            self.report.wait_until(until)

    @property
    def channel_name(self) -> str:
        """Of all the plan's rows."""
        return str(self.plan.rows["channel"][0])

    def _last_call(self) -> datetime:
        return self.now() + timedelta(seconds=self.settings.call_seconds)

    def _awake(self, batch: Sequence[Planned]) -> list[Planned]:
        """Spares the others the rendering; the claim looks again."""
        now = self.now()
        lasting = timedelta(seconds=self.settings.call_seconds)
        first_call = self.settings.quiet_hours.first_calls(now, lasting)
        awake: list[Planned] = []
        skipped: dict[str, list[str]] = {}
        for one in batch:
            free_at = first_call(one.left.timezone)
            if free_at <= now:
                awake.append(one)
            else:
                self._decline(one.key, Declined(one.key, "quiet_hours", free_at), skipped)
        self._skip(skipped)
        return awake

    def _send(self, batch: Sequence[Planned]) -> None:
        messages = {one.key: self._render(one) for one in batch if not one.claim.ghost}
        if not self._turn(len(messages)):
            return
        coded = {key for key, message in messages.items() if message.coded}
        answers = self._claim(
            [replace(one.claim, coded=True) if one.key in coded else one.claim for one in batch]
        )
        skipped: dict[str, list[str]] = {}
        calls: list[Call] = []
        claimed: dict[str, tuple[Planned, Claimed]] = {}
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Declined):
                self._decline(one.key, answer, skipped)
            elif one.claim.ghost:
                self.report.made["held_out"] += 1
            else:
                calls.append((answer, messages[one.key].with_code(answer.code)))
                claimed[one.key] = one, answer
        self._skip(skipped)
        for key in self._call(calls):
            self.flying.append(claimed[key][0].begun(claimed[key][1]))

    def _claim(self, claims: Sequence[Claim]) -> list[Claimed | Declined]:
        answers = patiently(
            lambda: claim(
                self.ledger,
                claims,
                now=self.now(),
                until=self._last_call(),
                cap=self.settings.frequency_cap,
                quiet=self.settings.quiet_hours,
                ends=self.ends,
            )
        )
        self._settled()
        return answers

    def _render(self, one: Planned) -> Message:
        return self.render(
            one.member, one.claim.coupon, one.key, one.left.address or "", one.left.language
        )

    def _decline(self, key: str, answer: Declined, skipped: dict[str, list[str]]) -> None:
        if answer.reason in _NOT_FINAL:
            if answer.reason in ("paused", "cancelled"):
                self.hold_up(answer.reason, None)
            return
        begins, ends = self.window
        if answer.free_at is not None and answer.free_at <= ends:
            self.report.quiet += answer.reason == "quiet_hours"
            self.report.late += answer.free_at > ends - (ends - begins) / 10
            self.report.wait_until(answer.free_at)
            return
        skipped.setdefault(answer.reason, []).append(key)

    def _skip(self, reasons: Mapping[str, Sequence[str]]) -> None:
        for reason, keys in reasons.items():
            close_rows(
                self.ledger, self.plan.plan_id, keys,
                outcome="skipped", reason=reason, now=self.now(),
            )  # fmt: skip

    def _call(self, calls: Sequence[Call]) -> list[str]:
        """Makes claimed calls, and settles all of them even if one breaks; those in doubt."""
        if not calls:
            return []
        ended = self.lanes.call(calls)
        self._sort([claimed for claimed, _ in calls], ended)
        if ended.broke is not None:
            raise ended.broke
        waits = [one.wait for one in ended.answers.values() if one.wait is not None]
        if waits:
            until = self.now() + max(waits)
            hold(self.ledger, self.channel_name, until=until)
            self.hold_up("the provider asks to wait", until)
        self.watch.see(ended.answers.values())
        return [key for key, one in ended.answers.items() if one.state is Delivery.UNKNOWN]

    def _sort(self, calls: Sequence[Claimed], ended: Ended) -> None:
        """What was delivered, or may have been, waits to be settled; the rest is given back."""
        by_state: dict[Delivery, list[Claimed]] = {state: [] for state in Delivery}
        not_made = Answer(Delivery.REFUSED)
        for one in calls:
            by_state[ended.answers.get(one.send_id, not_made).state].append(one)
        self._end(by_state[Delivery.ACCEPTED], Delivery.ACCEPTED)
        self._end(by_state[Delivery.UNKNOWN], Delivery.UNKNOWN)
        undelivered = [*by_state[Delivery.REFUSED], *by_state[Delivery.REJECTED]]
        returned = set(give_back(self.ledger, undelivered))
        # Taken over meanwhile: the other sender's call may have delivered.
        self._end([one for one in undelivered if one.send_id not in returned], Delivery.UNKNOWN)
        rejected = [one.send_id for one in by_state[Delivery.REJECTED]]
        self._skip({"undeliverable": [key for key in rejected if key in returned]})

    def _end(self, calls: Sequence[Claimed], state: Delivery) -> None:
        if calls:
            self.ends.append(Ends(calls, state.value, self.now()))

    def settle(self) -> None:
        """How the calls ended that no claim has settled since."""
        settle(self.ledger, self.ends)
        self._settled()

    def _settled(self) -> None:
        for one in self.ends:
            self.report.made[one.state] += len(one.settled)
        self.ends = []

    def end_flying(self) -> None:
        """Ends the calls that a killed sender left open, and those in doubt of this run."""
        flying, self.flying = self.flying, []
        for one in flying:
            self._take_over(one)
        self.settle()

    def _take_over(self, one: Planned) -> None:
        """Ends a call that a killed sender left open, its own or another's."""
        if self._call_again(one):
            return
        attempt, until = one.left.attempt or 0, from_micros(one.left.until or 0)
        if until < self.now():
            stranded = Claimed(one.key, attempt, until)
            self.ends.append(Ends([stranded], Delivery.UNKNOWN.value, until))

    def _call_again(self, one: Planned) -> bool:
        """Under the same key, where the other side takes that for the same message."""
        if not self.channel.idempotent or one.left.address is None:
            return False
        if self._last_call() > self.window[1]:
            return False
        message = self._render(one)
        same = replace(one.claim, coded=message.coded)
        answer = patiently(
            lambda: reclaim(
                self.ledger, same, now=self.now(), until=self._last_call(),
                quiet=self.settings.quiet_hours,
            )
        )  # fmt: skip
        if isinstance(answer, Declined):
            return False
        self._call([(answer, message.with_code(answer.code))])
        self.settle()
        return True

    def expire(self, rows: Sequence[Planned]) -> None:
        """The window is over for these."""
        keys = [one.key for one in rows if not one.flying]
        close_rows(
            self.ledger, self.plan.plan_id, keys,
            outcome="expired", reason="the send window is over", now=self.now(),
        )  # fmt: skip


def _batches(ones: Iterable[Planned], size: int) -> Iterator[list[Planned]]:
    rest = iter(ones)
    while batch := list(islice(rest, size)):
        yield batch
