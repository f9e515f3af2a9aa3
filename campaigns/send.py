"""Sends what a plan says. Run it again after anything, and it finishes the remainder.

Claim, call, settle: a crash between any two leaves a row that holds its slot, and that a later
run either makes good under the same key or leaves as `unknown`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from campaigns.channels.contract import Answer, Channel, Delivery
from campaigns.instants import DAY, from_micros
from campaigns.ledger.calls import Claim, Claimed, Declined
from campaigns.ledger.claims import claim, reclaim
from campaigns.ledger.consent import Standing, standings
from campaigns.ledger.identity import send_id
from campaigns.ledger.ledger import Ledger, wake
from campaigns.ledger.plans import close_rows, find_plan, finish, open_tries, outcomes
from campaigns.ledger.settling import give_back, settle
from campaigns.message import Message
from campaigns.plan import Plan
from campaigns.policy.cap import Cap
from campaigns.policy.quiet_hours import known_zone
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError

Render = Callable[[str, str, str, str, str | None], Message]
"""(member id, coupon id, send id, address, language) → the message"""

# Another sender's call, or an address that changed a moment ago: neither is an end.
_NOT_FINAL = frozenset({"in_flight", "contact_changed", "already_settled"})


@dataclass(slots=True)
class SendReport:
    """What one run did, and how the plan stands after it."""

    plan_id: str
    made: Counter[str] = field(default_factory=Counter)
    """calls of this run by result"""
    outcomes: Counter[str] = field(default_factory=Counter)
    """all rows of the plan by outcome, reasons of skips beside: `skipped: no_consent`"""
    waiting: int = 0
    """rows without an outcome yet: capped for now, in quiet hours, or not due"""
    quiet: int = 0
    """those of them that wait for the end of the member's quiet hours"""
    unknown_zones: int = 0
    """rows of this run whose member has no known zone, and longer quiet hours for it"""
    next_at: datetime | None = None
    """when the first of the waiting may go"""
    done: bool = False


@dataclass(frozen=True, slots=True)
class _Planned:
    member: str
    claim: Claim
    key: str


def send(
    plan: Plan,
    ledger: Ledger,
    channel: Channel,
    *,
    render: Render,
    settings: CampaignSettings,
    now: Callable[[], datetime],
) -> SendReport:
    """Sends the plan's remainder. Several of these at once share it.

    CampaignError for a plan that is not registered or was replaced. An OSError of the channel
    (a full disk) ends the run after giving back what was not delivered.
    """
    known = find_plan(ledger, plan.plan_id)
    if known is None:
        raise CampaignError(f"Plan {plan.plan_id} is not in the ledger; run `campaigns plan`")
    if known.state == "replaced":
        raise CampaignError(f"Plan {plan.plan_id} was replaced by a newer one; send that")
    report = SendReport(plan.plan_id)
    if known.state == "live" and len(plan.rows):
        wake(ledger, now=now(), max_idle_days=settings.max_idle_days)
        first = plan.rows.row(0, named=True)
        if now() < first["send_not_before"]:
            report.next_at = first["send_not_before"]
        else:
            _Run(plan, ledger, channel, render, settings, now, report).go(first["send_not_after"])
    if known.state == "live":
        finish(ledger, plan.plan_id, retries=channel.idempotent)
    _count(report, plan, ledger)
    return report


@dataclass(slots=True)
class _Run:
    """One run's fixed parts, so that its steps need not hand them on."""

    plan: Plan
    ledger: Ledger
    channel: Channel
    render: Render
    settings: CampaignSettings
    now: Callable[[], datetime]
    report: SendReport

    def go(self, not_after: datetime) -> None:
        people = standings(self.ledger, self.plan.rows["channel"][0])
        closed = outcomes(self.ledger, self.plan.plan_id)
        flying = open_tries(self.ledger, self.plan.plan_id)
        ready: list[_Planned] = []
        lost: dict[str, list[str]] = {}
        for one in _planned(self.plan, self.ledger, people):
            if one.key in closed or one.key in flying:
                continue
            if one.claim.person in people:
                ready.append(one)
                known = known_zone(people[one.claim.person].timezone) is not None
                self.report.unknown_zones += not known
            else:
                lost.setdefault("no_consent", []).append(one.key)
        self._skip(lost)
        for batch in _batches(ready, self.settings.in_flight):
            if self._last_call() > not_after:
                break
            self._send(self._awake(batch, people), people)
        self._take_over(people, not_after)
        if self.now() > not_after:
            keys = [one.key for one in ready]
            close_rows(
                self.ledger, self.plan.plan_id, keys,
                outcome="expired", reason="the send window is over", now=self.now(),
            )  # fmt: skip

    def _last_call(self) -> datetime:
        return self.now() + timedelta(seconds=self.settings.call_seconds)

    def _awake(
        self, batch: Sequence[_Planned], people: Mapping[str, Standing]
    ) -> list[_Planned]:  # fmt: skip
        """Spares the others the rendering; the claim looks again."""
        now = self.now()
        lasting = timedelta(seconds=self.settings.call_seconds)
        first_call = self.settings.quiet_hours.first_calls(now, lasting)
        awake: list[_Planned] = []
        skipped: dict[str, list[str]] = {}
        for one in batch:
            free_at = first_call(people[one.claim.person].timezone)
            if free_at <= now:
                awake.append(one)
            else:
                self._decline(one, Declined(one.key, "quiet_hours", free_at), skipped)
        self._skip(skipped)
        return awake

    def _send(self, batch: Sequence[_Planned], people: Mapping[str, Standing]) -> None:
        messages = {one.key: self._render(one, people) for one in batch if not one.claim.ghost}
        answers = claim(
            self.ledger,
            [
                replace(one.claim, coded=one.key in messages and messages[one.key].coded)
                for one in batch
            ],
            now=self.now(),
            until=self._last_call(),
            cap=Cap(gap=int(self.settings.min_gap_days * DAY)),
            quiet=self.settings.quiet_hours,
        )
        skipped: dict[str, list[str]] = {}
        calls = []
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Declined):
                self._decline(one, answer, skipped)
            elif one.claim.ghost:
                self.report.made["held_out"] += 1
            else:
                calls.append((answer, messages[one.key].with_code(answer.code)))
        self._skip(skipped)
        self._call(calls)

    def _render(self, one: _Planned, people: Mapping[str, Standing]) -> Message:
        standing = people[one.claim.person]
        return self.render(
            one.member, one.claim.coupon, one.key, standing.address, standing.language
        )

    def _decline(self, one: _Planned, answer: Declined, skipped: dict[str, list[str]]) -> None:
        if answer.reason in _NOT_FINAL:
            return
        ends = self.plan.rows["send_not_after"][0]
        if answer.free_at is not None and answer.free_at <= ends:
            self.report.quiet += answer.reason == "quiet_hours"
            if self.report.next_at is None or answer.free_at < self.report.next_at:
                self.report.next_at = answer.free_at
            return
        skipped.setdefault(answer.reason, []).append(one.key)

    def _skip(self, reasons: Mapping[str, Sequence[str]]) -> None:
        for reason, keys in reasons.items():
            close_rows(
                self.ledger, self.plan.plan_id, keys,
                outcome="skipped", reason=reason, now=self.now(),
            )  # fmt: skip

    def _call(self, calls: Sequence[tuple[Claimed, Message]]) -> None:
        """Makes claimed calls, and settles all of them even if one fails."""
        ended: dict[str, Answer] = {}
        try:
            for claimed, message in calls:
                # A sender that was suspended must not wake up and call on an old claim.
                if self.now() >= claimed.until:
                    break
                try:
                    answer = self.channel.deliver(message, now=self.now())
                except OSError:
                    raise
                except BaseException:
                    ended[claimed.send_id] = Answer(Delivery.UNKNOWN)
                    raise
                ended[claimed.send_id] = answer
        finally:
            self._settle([claimed for claimed, _ in calls], ended)

    def _settle(self, calls: Sequence[Claimed], ended: Mapping[str, Answer]) -> None:
        """A call without an answer was never made."""
        by_state: dict[Delivery, list[Claimed]] = {state: [] for state in Delivery}
        for one in calls:
            answer = ended.get(one.send_id)
            by_state[Delivery.REFUSED if answer is None else answer.state].append(one)
        for state in (Delivery.ACCEPTED, Delivery.UNKNOWN):
            if by_state[state]:
                settled = settle(self.ledger, by_state[state], state.value, ended=self.now())
                self.report.made[state.value] += len(settled)
        undelivered = [*by_state[Delivery.REFUSED], *by_state[Delivery.REJECTED]]
        if not undelivered:
            return
        returned = set(give_back(self.ledger, undelivered))
        # Taken over meanwhile: the other sender's call may have delivered.
        doubtful = [one for one in undelivered if one.send_id not in returned]
        settle(self.ledger, doubtful, Delivery.UNKNOWN.value, ended=self.now())
        rejected = [one.send_id for one in by_state[Delivery.REJECTED]]
        self._skip({"undeliverable": [key for key in rejected if key in returned]})

    def _take_over(self, people: Mapping[str, Standing], not_after: datetime) -> None:
        """Ends the calls that a killed sender left open, its own or another's."""
        flying = open_tries(self.ledger, self.plan.plan_id)
        for one in _planned(self.plan, self.ledger, people):
            if one.key not in flying:
                continue
            attempt, until = flying[one.key]
            if self.channel.idempotent and one.claim.person in people:
                end = self._last_call()
                if end <= not_after:
                    message = self._render(one, people)
                    again = replace(one.claim, coded=message.coded)
                    answer = reclaim(
                        self.ledger,
                        again,
                        now=self.now(),
                        until=end,
                        quiet=self.settings.quiet_hours,
                    )
                    if isinstance(answer, Claimed):
                        self._call([(answer, message.with_code(answer.code))])
                        continue
            if from_micros(until) < self.now():
                stranded = Claimed(one.key, attempt, from_micros(until))
                settle(self.ledger, [stranded], Delivery.UNKNOWN.value, ended=from_micros(until))


def _planned(plan: Plan, ledger: Ledger, people: Mapping[str, Standing]) -> Iterator[_Planned]:
    """The rows to push or to hold out, in the plan's order."""
    for row in plan.rows.iter_rows(named=True):
        if row["decision"] not in ("push", "held_out"):
            continue
        person = ledger.identity.person(row["member_id"])
        standing = people.get(person)
        one = Claim(
            plan_id=plan.plan_id,
            occasion=plan.occasion,
            campaign=row["campaign_id"],
            coupon=row["coupon_id"],
            channel=row["channel"],
            person=person,
            contact="" if standing is None else standing.contact,
            cost=row["cost"],
            ghost=row["decision"] == "held_out",
        )
        yield _Planned(row["member_id"], one, send_id(plan.occasion, person))


def _batches(ones: Iterable[_Planned], size: int) -> Iterator[list[_Planned]]:
    rest = iter(ones)
    while batch := list(islice(rest, size)):
        yield batch


def _count(report: SendReport, plan: Plan, ledger: Ledger) -> None:
    closed = outcomes(ledger, plan.plan_id)
    for outcome, reason in closed.values():
        report.outcomes[f"skipped: {reason}" if outcome == "skipped" else outcome] += 1
    report.waiting = len(plan.rows) - len(closed)
    known = find_plan(ledger, plan.plan_id)
    report.done = known is not None and known.state == "done"
