"""The members and the plans of the state machine: what changes in a ledger beside the sends."""
# ruff: noqa: DTZ001, PLR0917 -- the model's datetimes are naive

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.calls import Claimed
from campaigns.ledger.consent import Statement, record, suppress
from campaigns.ledger.contacts import Contact, add_contacts
from campaigns.ledger.control import cancel, pause, resume
from campaigns.ledger.erasing import erase
from campaigns.ledger.ledger import Ledger, wake
from campaigns.ledger.merging import merge
from campaigns.ledger.plans import (
    UNLIMITED,
    Registered,
    close_rows,
    finish,
    register,
)
from campaigns.ledger.preferences import Change, prefer
from campaigns.policy.cap import Cap, ChannelCap
from campaigns.verify import verify
from recsys.errors import LedgerError
from tests.campaigns.kit import open_test_ledger
from tests.campaigns.ledger.model import OFFSETS, Address, Plan, Policy, Try
from tests.campaigns.ledger.model_ledger import Model

START = datetime(2026, 3, 2, 12)
CALL = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
CHANNELS = {
    "email": [f"a{n}@example.invalid" for n in range(5)],
    "push": [f"token-{n:04}" for n in range(4)],
}
MEMBERS = [f"m{n}" for n in range(6)]
POLICIES = [Policy(), Policy(weeks=True), Policy(True, "email", 2, 20), Policy(False, "push", 1, 9)]
members, channels = st.sampled_from(MEMBERS), st.sampled_from(sorted(CHANNELS))
zones = st.sampled_from(sorted(OFFSETS))
places, policies = st.integers(0, 20), st.sampled_from(POLICIES)
ENDS = ["accepted", "accepted", "unknown", "back", "died", "later"]
KINDS = ["delivered", "bounced", "complained", "unregistered", "unsubscribed", "failed"]


def utc(naive: datetime) -> datetime:
    return naive.replace(tzinfo=UTC)


def cap_of(policy: Policy) -> Cap:
    more = {policy.channel: ChannelCap(most=policy.most, days=policy.days)} if policy.most else {}
    return Cap(weeks=policy.weeks, channels=more)


class Shop(RuleBasedStateMachine):
    """`fresh` makes an empty folder and the URL of an empty ledger."""

    def __init__(self, fresh: Callable[[], tuple[Path, str]]) -> None:
        super().__init__()
        self.folder, self.url = fresh()
        key = self.folder / "ledger.key"
        key.write_text("5e" * 32)
        key.chmod(0o600)
        self.now, self.model = START, Model(START, tuple(CHANNELS))
        self.ledger = self._open()
        self.flying: list[tuple[Claimed, str]] = []
        self.keys: list[str] = []
        self.erased: set[str] = set()
        self.calls: dict[str, Try] = {}
        """what really went out, whatever the ledger has forgotten since"""
        self.free_at: datetime | None = None
        self.count = 0
        self.copy: tuple[Model, datetime] | None = None

    def _open(self) -> Ledger:
        return open_test_ledger(self.url, self.folder, utc(self.now))

    def teardown(self) -> None:
        report = verify(self.ledger)
        self.ledger.close()
        assert report.breaches == (), report.breaches

    # names in the ledger for the model's

    def person(self, member: str) -> str:
        return self.ledger.identity.person(member)

    def contact(self, name: str) -> str:
        channel, _, address = name.partition(":")
        return self.ledger.identity.contact(channel, address)

    def key_of(self, plan: Plan, member: str) -> str:
        return self.ledger.identity.send_id(plan.occasion, self.person(member))

    def a_plan(self, place: int) -> Plan:
        plans = list(self.model.plans.values())
        live = [one for one in plans if one.state in ("live", "paused")]
        return (live or plans)[-1 - place % len(live or plans)] if place % 5 else (
            plans[-1 - place % len(plans)]
        )  # fmt: skip

    # people

    @initialize(zones=st.lists(st.sampled_from(sorted(OFFSETS)), min_size=6, max_size=6))
    def everybody_agrees(self, zones: list[str]) -> None:
        for n, (member, zone) in enumerate(zip(MEMBERS, zones, strict=True)):
            for channel, addresses in CHANNELS.items():
                self.say(member, channel, n % len(addresses), True, 5, zone)
        self.plan("x", 0, 20)

    @rule(zone=st.sampled_from(sorted(OFFSETS)))
    def the_list_is_imported_again(self, zone: str) -> None:
        for n, member in enumerate(MEMBERS):
            self.say(member, "email", n, True, 0, zone)

    @rule(
        member=members,
        channel=channels,
        place=places,
        granted=st.sampled_from([True, True, False]),
        age=st.sampled_from([0, 0, 0, 1, 3]),
        zone=zones,
    )
    def say(
        self, member: str, channel: str, place: int, granted: bool, age: int, zone: str
    ) -> None:
        at = self.now - age * DAY
        address = CHANNELS[channel][place % len(CHANNELS[channel])]
        told = Statement(member, channel, address, granted, utc(at), "import", zone)
        record(self.ledger, [told], now=utc(self.now))
        self.model.people.tell(member, channel, (at, granted, "import"))
        self.model.people.move(member, channel, Address(at, f"{channel}:{address}", zone))

    @rule(member=members, channel=channels, zone=st.sampled_from(sorted(OFFSETS)))
    def move_zone(self, member: str, channel: str, zone: str) -> None:
        last = self.model.people.where(member, channel)
        assert last is not None
        address = last.contact.partition(":")[2]
        row = Contact(member, channel, self.contact(last.contact), address, utc(self.now), "shop",
                      zone)  # fmt: skip
        add_contacts(self.ledger, [row], now=utc(self.now))
        self.model.people.move(member, channel, Address(self.now, last.contact, zone))

    @rule(member=members, channel=channels, wish=st.sampled_from([True, False, None]),
          language=st.sampled_from([None, "en", "de"]))  # fmt: skip
    def prefer(self, member: str, channel: str, wish: bool | None, language: str | None) -> None:
        prefer(self.ledger, member, {channel: Change(wish, language)}, now=utc(self.now))
        if wish is not None:
            self.model.people.say(member, channel, wish, self.now, "preferences")
        if language is not None:
            self.model.people.speak(member, channel, language, self.now)

    @precondition(lambda self: len(self.model.people.barred) < 2)
    @rule(member=members, channel=channels, whom=st.booleans())
    def unsubscribe(self, member: str, channel: str, whom: bool) -> None:
        where = self.model.people.where(member, channel)
        assert where is not None
        hashed = self.person(member) if whom else self.contact(where.contact)
        suppress(self.ledger, [hashed], reason="unsubscribed", now=utc(self.now))
        self.model.people.barred.add(member if whom else where.contact)

    @precondition(lambda self: len(self.erased) < 2)
    @rule(member=members)
    def erase(self, member: str) -> None:
        self.erased.add(member)
        erase(self.ledger, member, now=utc(self.now))
        self.model.people.erase(member, tuple(CHANNELS), self.now)

    @precondition(lambda self: len(self.model.people.into) < 2 or self.count % 4 == 0)
    @rule(gone=members, kept=members)
    def merge(self, gone: str, kept: str) -> None:
        answer = merge(self.ledger, gone, kept, source="shop", now=utc(self.now))
        assert answer == self.model.merge(gone, kept, self.now)

    # plans

    @rule(campaign=st.sampled_from(["x", "y"]), edit=places, limit=st.sampled_from([2, 5, 20]))
    def plan(self, campaign: str, edit: int, limit: int) -> None:
        """A new occasion, or a new plan of the last one."""
        self.count += 1
        mine = [one for one in self.model.plans.values() if one.campaign == campaign]
        again = mine and edit % 3
        occasion = mine[-1].occasion if again else f"{campaign}@{self.count}"
        plan = Plan(f"plan-{self.count}", occasion, campaign, len(MEMBERS))
        who = [(one, where.contact) for one in MEMBERS
               if (where := self.model.people.where(one, "email"))]  # fmt: skip
        hashed = [(self.person(one), self.contact(contact)) for one, contact in who]
        now = utc(self.now)
        drawn = assign_arms(self.ledger, campaign, share=0.3, people=hashed, now=now)
        assert drawn == self.model.people.assign(campaign, who, drawn)
        cap = UNLIMITED if limit == 20 else limit
        limits = {f"coupon:c-{campaign}": cap, f"share:{campaign!r}/'c-{campaign}'": UNLIMITED,
                  f"campaign:{campaign}": UNLIMITED, f"budget:{campaign}": 100 * limit}  # fmt: skip
        old = self.model.open_plan(occasion)
        keys = [self.key_of(plan, one) for one in MEMBERS]
        expected = self.model.register(plan, limits)
        registered = Registered(plan.plan_id, occasion, campaign, "live")
        add = partial(register, self.ledger, registered, skipped={}, planned_rows=len(MEMBERS),
                      purses=limits, replaced_rows=keys, now=now)  # fmt: skip
        if not expected:
            with pytest.raises(LedgerError, match=r"in flight|is below"):
                add()
            return
        assert add()
        self.keys += keys
        if old is not None:
            self.model.close(old, keys, "cancelled")
            old.state = "replaced"

    @precondition(lambda self: self.model.plans)
    @rule(
        place=places,
        what=st.sampled_from(["pause", "resume", "resume", "cancel", "close", "finish"]),
    )
    def control(self, place: int, what: str) -> None:
        plan, now = self.a_plan(place), utc(self.now)
        keys = [self.key_of(plan, one) for one in MEMBERS]
        if what == "finish":
            assert finish(self.ledger, plan.plan_id, retries=False) == self.model.finish(plan)
        elif what == "close":
            close_rows(self.ledger, plan.plan_id, keys[:1], outcome="expired", reason="", now=now)
            self.model.close(plan, keys[:1], "expired")
        elif what == "cancel":
            ended = cancel(self.ledger, plan.plan_id, keys, by="ann", reason="", now=now)
            assert ended == (plan.state in ("live", "paused"))
            if ended:
                self.model.close(plan, keys, "cancelled")
                plan.state = "cancelled"
        else:
            self._turn(plan, what)

    def _turn(self, plan: Plan, what: str) -> None:
        turn, before, after = {
            "pause": (pause, "live", "paused"), "resume": (resume, "paused", "live"),
        }[what]  # fmt: skip
        call = partial(turn, self.ledger, plan.plan_id, by="ann", reason="", now=utc(self.now))
        if plan.state not in (before, after):
            with pytest.raises(LedgerError, match="only one that is"):
                call()
            return
        assert call() == (plan.state == before)
        plan.state = after

    def _wake(self) -> None:
        wake(self.ledger, now=utc(self.now), max_idle_days=10_000)
        self.model.hi = max(self.model.hi, self.now)
