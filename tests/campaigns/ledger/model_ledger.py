"""A whole ledger in plain Python: the gate, the plans, and what each command has to answer."""
# ruff: noqa: DTZ001, PLR0911 -- datetimes are naive; reasons are a list

from datetime import datetime, timedelta

from tests.campaigns.ledger.model import (
    DAY,
    FOREVER,
    UNDELIVERED,
    Answer,
    Asked,
    People,
    Plan,
    Policy,
    Sends,
    Try,
    awake_from,
)

SLACK = timedelta(seconds=2)
ENDED = {"paused": "paused", "cancelled": "cancelled"}


class Model:
    """Answers like the ledger; `now` and `until` are naive."""

    def __init__(self, now: datetime, channels: tuple[str, ...]) -> None:
        self.people, self.sends = People(), Sends()
        self.plans: dict[str, Plan] = {}
        self.hi, self.closed_until, self.epoch = now, datetime(1970, 1, 1), 0
        self.channels = channels

    def shut(self, now: datetime) -> str | None:
        """Why nothing may be claimed now."""
        if self.closed_until > now:
            return "closed for sending"
        if now < self.hi - SLACK:
            return "went back"
        return "leapt" if now > self.hi + DAY else None

    def claim(self, one: Asked, policy: Policy, *, now: datetime, until: datetime) -> Answer:
        """The gate is open."""
        self.hi = max(self.hi, now)
        where = self.people.where(one.person, one.channel)
        reason = self._barred(one, where.contact if where else None)
        if reason is not None or where is None:
            return reason or "no_consent", None
        awake = awake_from(now, where.zone, until - now)
        if awake > now:
            return "quiet_hours", awake
        live = self.sends.live(one.key)
        if live is not None:
            ours = live.plan == one.plan and live.state != "accepted"
            return "in_flight" if ours else "already_sent", None
        who = one.person, one.contact, one.channel
        free = self.sends.free_at(*who, where.zone, policy, now)
        if free > now:
            return "capped", free
        broke = None if one.ghost else self._broke(one.takes)
        if broke is not None:
            return broke, None
        number = len(self.sends.tries[one.key]) + 1
        state, end = ("accepted", now) if one.ghost else ("attempting", until)
        push = Try(
            one.key, number, one.plan, one.person, one.contact, one.channel, now, end, state,
            where.zone, {} if one.ghost else dict(one.takes), one.ghost,
        )  # fmt: skip
        self.sends.take(push, policy)
        if one.ghost:
            self.plans[one.plan].outcomes[one.key] = "held_out"
        return "claimed", number

    def _barred(self, one: Asked, contact: str | None) -> str | None:
        plan = self.plans[one.plan]
        held = self.people.held(one.campaign, one.person, one.contact)
        if plan.outcomes.get(one.key, "unknown") != "unknown":
            return "already_settled"
        if plan.state != "live":
            return ENDED.get(plan.state, "plan_replaced")
        if {one.person, one.contact} & self.people.barred:
            return "suppressed"
        if not self.people.granted(one.person, one.channel):
            return "no_consent"
        if contact != one.contact:
            return "contact_changed"
        if held != one.ghost:
            return "held_out" if held else "not_held_out"
        return None

    def _broke(self, takes: dict[str, int]) -> str | None:
        for name, n in takes.items():
            if self.sends.used[name] + n > self.sends.caps[name]:
                kind = name.partition(":")[0]
                return {"campaign": "campaign_limit", "budget": "budget"}.get(kind, "coupon_limit")
        return None

    def settle(self, key: str, number: int, state: str, ended: datetime) -> None:
        push = self._open(key, number, ("attempting", "unknown"))
        if push is None:
            return
        push.state = state
        moves = ended > push.until or (state == "accepted" and push.at <= ended)
        if moves and not self.sends.followed(push):
            push.until = ended
        self.plans[push.plan].outcomes[key] = state

    def give_back(self, key: str, number: int) -> bool:
        push = self._open(key, number, ("attempting",))
        if push is None or self.sends.followed(push):
            return False
        self.sends.drop(push)
        return True

    def _open(self, key: str, number: int, states: tuple[str, ...]) -> Try | None:
        push = self.sends.live(key)
        right = push is not None and push.number == number and push.state in states
        return push if right else None

    def hear(self, event: str, key: str, kind: str) -> str:
        """`new`, `known`, or `strange`."""
        last = (self.sends.tries.get(key) or [None])[-1]
        if last is None or last.ghost or not last.plan or last.state == "carry":
            return "strange"
        if event in self.sends.heard:
            return "known"
        self.sends.heard.add(event)
        if last.state in ("attempting", "unknown"):
            last.state = "accepted"
            self.plans[last.plan].outcomes[key] = "accepted"
        if kind in ("complained", "unsubscribed"):
            self.people.barred |= {last.person, last.contact}
        if kind in ("bounced", "unregistered"):
            self.people.barred.add(last.contact)
        if kind in UNDELIVERED and last.state == "accepted":
            self.sends.refund(last)
        return "new"

    def take_slot(
        self, push: Try, policy: Policy, *, needs_consent: bool
    ) -> tuple[str, datetime | None]:
        """`new` or `held` and until when; or a reason."""
        now = push.at
        self.hi = max(self.hi, now)
        held = self.sends.live(push.key)
        if held is not None:
            if (held.person, held.channel) != (push.person, push.channel):
                return "push_differs", None
            return ("over", None) if held.until < now else ("held", held.until)
        where = self.people.where(push.person, push.channel)
        if where is None:
            return "no_contact", None
        push.contact, push.zone = where.contact, where.zone
        if {push.person, push.contact} & self.people.barred:
            return "suppressed", None
        if needs_consent and not self.people.granted(push.person, push.channel):
            return "no_consent", None
        who = push.person, push.contact, push.channel
        free = self.sends.free_at(*who, push.zone, policy, now)
        if free > now:
            return "capped", free
        self.sends.take(push, policy)
        return "new", push.until

    def drop_slot(self, key: str) -> str | None:
        if not self.sends.tries.get(key):
            return None
        push = self.sends.live(key)
        if push is None:
            return "dropped"
        if self.sends.followed(push) or push.state == "carry":  # a provider's log says it went
            return "followed"
        self.sends.drop(push)
        return "dropped"

    def carry(self, push: Try) -> str:
        if self.sends.live(push.key) is not None:
            return "known"
        if self.sends.flying(push.person, push.contact):
            return "in_flight"
        push.number = len(self.sends.tries[push.key]) + 1
        self.sends.carry(push)
        return "new"

    def merge(self, gone: str, kept: str, now: datetime) -> str:
        people = self.people
        if gone == kept:
            return "same_member"
        if gone in people.into:
            return "known" if people.into[gone] == kept else "merged_elsewhere"
        if kept in people.into:
            return "survivor_is_gone"
        if self.sends.flying(gone) or self.sends.flying(kept):
            return "in_flight"
        people.into[gone] = kept
        self._take_over_slot(gone, kept, now)
        if gone in people.barred:
            people.barred.add(kept)
        for channel in self.channels:
            said = [max(people.said[who, channel], default=None) for who in (gone, kept)]
            later = said[0] is not None and said[1] is not None and said[0][0] >= said[1][0]
            refused = said[0] is not None and not people.granted(gone, channel)
            if later and refused and people.granted(kept, channel):
                people.say(kept, channel, False, now, "merge")
            if people.granted(gone, channel):
                people.say(gone, channel, False, now, "merge")
        return "new"

    def _take_over_slot(self, gone: str, kept: str, now: datetime) -> None:
        ends = [
            max((one.until for one in self.sends.of_person(who)), default=None)
            for who in (gone, kept)
        ]
        links = [(f"gone-{gone}", gone, FOREVER)]
        if ends[0] is not None and (ends[1] is None or ends[0] > ends[1]):
            links.append((f"kept-{gone}", kept, ends[0]))
        for key, person, until in links:
            push = Try(key, 1, "", person, "", "", now, until, "carry", weeks=False,
                       links=(True, False))  # fmt: skip
            self.sends.tries[key].append(push)
            self.sends.slots.append(push)

    def register(self, plan: Plan, limits: dict[str, int]) -> bool:
        """False: it is refused."""
        old = self.open_plan(plan.occasion)
        if any(self.sends.used[name] > cap for name, cap in limits.items()):
            return False
        if old is not None:
            mine = [one for one in self.sends.slots if one.plan == old.plan_id]
            if any(one.state == "attempting" for one in mine):
                return False
        self.sends.caps |= limits
        self.plans[plan.plan_id] = plan
        return True

    def open_plan(self, occasion: str) -> Plan | None:
        found = (one for one in self.plans.values() if one.occasion == occasion)
        return next((one for one in found if one.state in ("live", "paused")), None)

    def close(self, plan: Plan, keys: list[str], outcome: str) -> None:
        for key in keys:
            live = self.sends.live(key)
            if live is None or live.plan != plan.plan_id:
                plan.outcomes.setdefault(key, outcome)

    def finish(self, plan: Plan) -> bool:
        flying = any(one.plan == plan.plan_id and one.state == "attempting"
                     for one in self.sends.slots)  # fmt: skip
        if flying or plan.state not in ("live", "paused") or len(plan.outcomes) != plan.rows:
            return False
        plan.state = "done"
        return True

    def reopen(self, now: datetime, closed: timedelta) -> None:
        for push in self.sends.slots:
            if push.state == "attempting":
                push.state = "unknown"
                self.plans[push.plan].outcomes.setdefault(push.key, "unknown")
        self.hi = max(self.hi, now)
        self.closed_until = max(self.closed_until, now + closed)
        self.epoch += 1
