"""The state machine's sends: ours, other senders', and what providers say of them."""
# ruff: noqa: PLR0917 -- rules take what they need

import copy
from datetime import datetime, timedelta
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from campaigns.ledger.calls import Claim, Claimed
from campaigns.ledger.carry import Carried, carry
from campaigns.ledger.claims import claim
from campaigns.ledger.feedback import Feedback, hear
from campaigns.ledger.pushes import Push, Slot, drop_slot, take_slot
from campaigns.ledger.settling import Ends, give_back, settle
from recsys.errors import LedgerError
from tests.campaigns.ledger.machine import (
    CALL,
    CHANNELS,
    DAY,
    ENDS,
    HOUR,
    KINDS,
    MEMBERS,
    Shop,
    cap_of,
    channels,
    members,
    places,
    policies,
    utc,
)
from tests.campaigns.ledger.model import Asked, Plan, Policy, Try


class Sends(Shop):
    """With all that is sent."""

    # sends

    @precondition(lambda self: self.model.plans)
    @rule(place=places, who=st.lists(members, min_size=1, max_size=4, unique=True),
          channel=channels, policy=policies, stale=st.booleans(), fix=places)  # fmt: skip
    def claim(
        self, place: int, who: list[str], channel: str, policy: Policy, stale: bool, fix: int
    ) -> None:
        plan = self.a_plan(place)
        asked = [self._asked(plan, one, channel, stale and fix % 4 == 0) for one in who]
        claims = [
            Claim(plan.plan_id, plan.occasion, plan.campaign, f"c-{plan.campaign}", channel,
                  self.person(one.person), self.contact(one.contact), 50, ghost=one.ghost)
            for one in asked
        ]  # fmt: skip
        until = self.now + CALL
        do = partial(claim, self.ledger, claims, now=utc(self.now), until=utc(until),
                     cap=cap_of(policy))  # fmt: skip
        shut = self.model.shut(self.now)
        if shut is not None:
            with pytest.raises(LedgerError, match=shut):
                do()
            return
        for answer, one in zip(do(), asked, strict=True):
            expected = self.model.claim(one, policy, now=self.now, until=until)
            self._compare(answer, expected, one)

    @rule(policy=policies, channel=st.sampled_from(["email", "email", "push"]),
          late=st.sampled_from([True, True, False]), limit=st.sampled_from([20, 20, 2]),
          ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=8))  # fmt: skip
    def a_day_of_sending(
        self, policy: Policy, channel: str, late: bool, limit: int, ends: list[str]
    ) -> None:
        """Every six hours all that is left, and how the calls end; a week later, or at once."""
        self.now += 6 * DAY if late else timedelta(0)
        for campaign in ("x", "y"):
            self.plan(campaign, 0, limit)
        for step in range(4):
            self.now += 6 * HOUR
            self._wake()
            for place in (1, 2):
                self.claim(place, MEMBERS, channel, policy, False, 1)
            while self.flying and ends[step % len(ends)] != "later":
                self.end(0, ends[len(self.flying) % len(ends)])

    def _asked(self, plan: Plan, member: str, channel: str, stale: bool) -> Asked:
        campaign = plan.campaign
        where = self.model.people.where(member, channel)
        assert where is not None
        contact = f"{channel}:{CHANNELS[channel][0]}" if stale else where.contact
        takes = {f"campaign:{campaign}": 1, f"coupon:c-{campaign}": 1,
                 f"share:{campaign!r}/'c-{campaign}'": 1, f"budget:{campaign}": 50}  # fmt: skip
        ghost = self.model.people.held(campaign, member, contact) != stale
        return Asked(plan.plan_id, self.key_of(plan, member), campaign, channel, member, contact,
                     takes, ghost)  # fmt: skip

    def _compare(self, answer: object, expected: tuple[object, object], one: Asked) -> None:
        if isinstance(answer, Claimed):
            assert ("claimed", answer.attempt) == expected
            if not one.ghost:
                self.flying.append((answer, one.person))
                self._goes_out(self.model.sends.tries[one.key][-1])
            return
        free_at = answer.free_at and answer.free_at.replace(tzinfo=None)  # type: ignore[attr-defined]
        assert (answer.reason, free_at) == expected  # type: ignore[attr-defined]
        if isinstance(free_at, datetime) and free_at < self.now + 30 * DAY:
            self.free_at = free_at

    def _goes_out(self, push: Try) -> None:
        """No two calls to one person or contact point come too close, whatever was restored."""
        into = self.model.people.into
        for last in self.calls.values():
            same = into.get(last.person, last.person) == into.get(push.person, push.person)
            if same or last.contact == push.contact:
                assert push.at - last.until >= 26 * HOUR, (last, push)
        self.calls[f"{push.key}-{self.count}-{push.number}"] = replace_end(push, push.at)

    @precondition(lambda self: self.flying)
    @rule(place=places, how=st.sampled_from(["accepted", "accepted", "unknown", "back", "died"]))
    def end(self, place: int, how: str) -> None:
        one, _ = self.flying.pop(place % len(self.flying))
        if how == "back":
            returned = give_back(self.ledger, [one])
            expected = self.model.give_back(one.send_id, one.attempt)
            assert returned == ([one.send_id] if expected else [])
            if expected:
                self._never_went(one)
        elif how in ("accepted", "unknown"):
            settle(self.ledger, [Ends([one], how, utc(self.now))])
            self.model.settle(one.send_id, one.attempt, how, self.now)

    def _never_went(self, one: Claimed) -> None:
        last = [name for name, push in self.calls.items()
                if (push.key, push.number) == (one.send_id, one.attempt)]  # fmt: skip
        del self.calls[last[-1]]

    @precondition(lambda self: len(self.model.people.barred) < 3)
    @rule(place=places, kind=st.sampled_from(KINDS), event=places)
    def feedback(self, place: int, kind: str, event: int) -> None:
        tried = [key for key in self.keys if self.model.sends.tries.get(key)] or ["none"]
        key = tried[-1 - place % len(tried)]
        told = Feedback(f"{key[:6]}-{event % 3}", key, kind, utc(self.now))  # type: ignore[arg-type]
        heard = hear(self.ledger, "provider", [told], now=utc(self.now))
        (expected,) = [self.model.hear(told.event_id, key, kind)]
        assert (heard.new, heard.known, heard.strange) == tuple(
            int(expected == one) for one in ("new", "known", "strange")
        )

    # other senders

    @rule(name=st.integers(0, 9), member=members, channel=channels, policy=policies,
          needs=st.booleans())  # fmt: skip
    def other_sender(
        self, name: int, member: str, channel: str, policy: Policy, needs: bool
    ) -> None:
        push = Push(f"p{name}", member, channel, "receipts", needs)
        until = self.now + CALL
        do = partial(take_slot, self.ledger, push, cap=cap_of(policy), now=utc(self.now),
                     until=utc(until))  # fmt: skip
        shut = self.model.shut(self.now)
        if shut is not None:
            with pytest.raises(LedgerError, match=shut):
                do()
            return
        number = len(self.model.sends.tries.get(push.key, [])) + 1
        made = Try(push.key, number, "", member, "", channel, self.now, until, "accepted")
        reason, when = self.model.take_slot(made, policy, needs_consent=needs)
        answer = do()
        if isinstance(answer, Slot):
            assert reason == ("new" if answer.new else "held")
            assert answer.until == utc(when)
            if answer.new:
                self._goes_out(made)
        else:
            free_at = answer.free_at and answer.free_at.replace(tzinfo=None)
            assert (answer.reason, free_at) == (reason, when)

    @rule(name=st.integers(0, 9))
    def other_sender_gives_back(self, name: int) -> None:
        push = Push(f"p{name}", "m0", "email", "receipts")
        live = self.model.sends.live(push.key)
        answer = drop_slot(self.ledger, push.push_id)
        assert answer == self.model.drop_slot(push.key)
        if answer == "dropped" and live is not None:
            for sent in [n for n, one in self.calls.items() if one.key == push.key]:
                del self.calls[sent]

    @rule(member=members, channel=channels, hours=st.integers(0, 400))
    def import_push(self, member: str, channel: str, hours: int) -> None:
        where = self.model.people.where(member, channel)
        assert where is not None
        self._carry(member, where.contact, channel, self.now - hours * HOUR, "")

    def _carry(self, member: str, contact: str, channel: str, at: datetime, key: str) -> str:
        one = Carried(self.person(member), self.contact(contact), channel, utc(at), key)
        made = Try(one.key, 1, "", member, contact, channel, at, at, "carry", weeks=False)
        (fate,) = carry(self.ledger, [one], source="older")
        assert fate == self.model.carry(made)
        return fate


def replace_end(push: Try, end: datetime) -> Try:
    made = copy.copy(push)
    made.until = end
    return made
