"""A campaign that is planned already: members who agreed, coupons, a plan in the ledger."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from sqlalchemy import insert

from campaigns.account import Account
from campaigns.channels.contract import ACCEPTED, Answer
from campaigns.files import write_whole
from campaigns.instants import to_micros
from campaigns.ledger import tables
from campaigns.ledger.identity import Identity
from campaigns.ledger.ledger import Ledger, open_ledger
from campaigns.ledger.plans import UNLIMITED, Registered, register
from campaigns.ledger.purses import discount_purse, purses
from campaigns.message import Message
from campaigns.plan import SCHEMA, Plan, identify, in_order

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
CAMPAIGN, COUPONS = "spring", 20
_PART = 50_000


class Null:
    """A channel that takes everything at once."""

    idempotent = False
    lanes = 1
    seconds = 0.0

    def deliver(self, message: Message, /, *, now: datetime) -> Answer:
        """Nothing is done."""
        return ACCEPTED

    def close(self) -> None:
        """Nothing is open."""


def render(member: str, coupon: str, key: str, address: str, language: str | None) -> Message:
    """The least that a message can be: templates are measured elsewhere."""
    return Message(key, address, "Hello", f"{coupon} for {member}", "<p>", "https://x.invalid/u")


def open_scratch(url: str, folder: Path) -> Ledger:
    """The ledger at this URL, under a simulated clock."""
    return open_ledger(url, folder / "ledger.key", clock="simulated", now=NOW)


def make_plan(members: int, identity: Identity) -> Plan:
    """One push for each member."""
    occasion = f"{CAMPAIGN}@{NOW:%Y-%m-%dT%H:%M:%SZ}"
    ids = in_order([f"m{number:07d}" for number in range(members)], occasion, identity)
    constant = {
        "campaign_id": CAMPAIGN,
        "channel": "email",
        "send_not_before": NOW,
        "send_not_after": NOW + timedelta(hours=8),
        "expected_value": 1.0,
        "cost": 25,
        "probability": 0.1,
        "discount": 1.0,
        "most_off": 100,
        "arm": "treat",
        "decision": "push",
        "reason": "",
        "campaign_hash": "",
        "template_hash": "",
    }
    rows = pl.DataFrame(
        {
            "member_id": ids,
            "coupon_id": [f"c{number % COUPONS}" for number in range(members)],
        }
    ).with_columns(**{name: pl.lit(value) for name, value in constant.items()})
    rows = rows.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    account = Account(occasions=[occasion], value=0, bound=0, gap=0, caps=[], minimums=[])
    return Plan(identify(rows, account)[0], occasion, rows, account)


def keep(plan: Plan, folder: Path) -> None:
    """The plan's file, as a sender reads it."""
    _, content = identify(plan.rows, plan.account)
    write_whole(folder / f"{plan.plan_id}.parquet", content)


def fill(ledger: Ledger, plan: Plan, *, now: datetime = NOW) -> None:
    """Consent of all members, and the plan as the live one."""
    for part in _parts(plan, ledger, now):
        with ledger.writing() as connection:
            connection.execute(insert(tables.consent), [one for one, _ in part])
            connection.execute(insert(tables.contact_point), [one for _, one in part])
    limits = {name: UNLIMITED for n in range(COUPONS)
              for _, name, _ in purses(CAMPAIGN, f"c{n}", 0)}  # fmt: skip
    register(
        ledger,
        Registered(plan.plan_id, plan.occasion, CAMPAIGN, "live"),
        skipped={},
        planned_rows=len(plan.rows),
        purses=limits | {discount_purse(CAMPAIGN): UNLIMITED},
        replaced_rows=[],
        now=now,
    )


def _parts(
    plan: Plan, ledger: Ledger, now: datetime
) -> Iterator[list[tuple[dict[str, object], ...]]]:
    members = plan.rows["member_id"].to_list()
    at = to_micros(now - timedelta(days=30))
    told = {"channel": "email", "at": at, "recorded_at": at, "source": "import"}
    for start in range(0, len(members), _PART):
        part: list[tuple[dict[str, object], ...]] = []
        for member in members[start : start + _PART]:
            person, address = ledger.identity.person(member), f"{member}@example.invalid"
            said = {"person": person, "granted": 1} | told
            reached = {
                "person": person,
                "contact": ledger.identity.contact("email", address),
                "address": address,
                "member_id": member,
                "timezone": "Europe/Berlin",
                "language": "en",
            } | told
            part.append((said, reached))
        yield part
