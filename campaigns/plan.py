"""A plan: one row for each member considered, in a file that never changes."""

import difflib
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from campaigns.account import Account
from campaigns.definition import Campaign
from campaigns.files import sync_folder, write_whole
from campaigns.ledger.identity import Identity
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import UNLIMITED, Registered, live_plan, register
from campaigns.ledger.purses import (
    budget_purse,
    campaign_purse,
    coupon_purse,
    discount_purse,
    share_purse,
)
from campaigns.offers import Offers, minor
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError

_ACCOUNT = "account"
"""its key in the file's metadata"""

SCHEMA: dict[str, pl.DataType] = {
    "member_id": pl.String(),
    "campaign_id": pl.String(),
    "coupon_id": pl.String(),
    "channel": pl.String(),
    "send_not_before": pl.Datetime("us", "UTC"),
    "send_not_after": pl.Datetime("us", "UTC"),
    "expected_value": pl.Float64(),  # of a slot that is kept: what keeping it is worth
    "cost": pl.Int64(),  # minor units
    "probability": pl.Float64(),  # that it is redeemed
    "discount": pl.Float64(),  # money off the member's usual order, if it is redeemed
    "most_off": pl.Int64(),  # minor units off at most; null where nothing limits it
    "arm": pl.String(),  # treat, holdout; null where nobody asked
    "decision": pl.String(),
    "reason": pl.String(),
    "campaign_hash": pl.String(),
    "template_hash": pl.String(),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan's rows, sorted by send id, under the id that their content gives."""

    plan_id: str
    occasion: str
    rows: pl.DataFrame
    """columns as in SCHEMA"""
    account: Account
    """what it came to, with all that were planned together; kept in the same file"""

    def counts(self) -> Counter[str]:
        """Members by decision."""
        return Counter(self.rows["decision"].to_list())


def money(budget: float, settings: CampaignSettings) -> int:
    """A budget in minor units, rounded down; CampaignError for one below zero."""
    if not 0 <= budget < math.inf:
        raise CampaignError(f"A budget of {budget:g} cannot be planned with; give 0 or more")
    return math.floor(budget * settings.minor_units + 1e-9)


def discount_budget(campaign: Campaign, settings: CampaignSettings) -> int:
    """What redeeming its coupons may cost, in minor units."""
    if campaign.discount_budget is None:
        return UNLIMITED
    return money(campaign.discount_budget, settings)


def affordable(campaign: Campaign, offers: Offers, settings: CampaignSettings) -> dict[str, int]:
    """How often coupons with a budget of their own may be issued, at what one costs now.

    CampaignError for a budget of a coupon that the campaign does not give.
    """
    cost = dict(zip(offers.coupon_ids, offers.cost.tolist(), strict=True))
    found = {}
    for coupon, budget in campaign.coupon_budgets.items():
        if coupon not in cost:
            near = difflib.get_close_matches(coupon, list(cost), 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"it gives {', '.join(cost)}"
            raise CampaignError(
                f"coupon_budgets names '{coupon}', which campaign '{campaign.campaign}' does not "
                f"give; {hint}"
            )
        one = minor(cost[coupon], settings.minor_units)
        found[coupon] = money(budget, settings) // one if one > 0 else UNLIMITED
    return found


def identify(rows: pl.DataFrame, account: Account) -> tuple[str, bytes]:
    """A plan's id, and the file's content that the id is the hash of."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer, metadata={_ACCOUNT: account.model_dump_json()})
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest()[:24], content


def write_plan(plan: Plan, campaign: Campaign, folder: Path) -> Path:
    """plans/<id>.parquet, and beside it the definition that it was made from.

    The campaign's template is filled in whole: sending reads nothing that may change.
    """
    plan_id, content = identify(plan.rows, plan.account)
    path = folder / f"{plan_id}.parquet"
    write_whole(path.with_suffix(".json"), campaign.model_dump_json(indent=1).encode())
    write_whole(path, content)
    sync_folder(folder)
    return path


def read_definition(plan: Plan, folder: Path) -> Campaign:
    """The campaign that a plan was made from; CampaignError if it is not what it was."""
    path = folder / f"{plan.plan_id}.json"
    try:
        campaign = Campaign.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        raise CampaignError(
            f"The plan's definition {path} is absent or damaged; plan again"
        ) from None
    for column, digest in (
        ("campaign_hash", campaign.digest),
        ("template_hash", campaign.template.digest),
    ):
        if plan.rows[column].unique().to_list() not in ([], [digest]):
            raise CampaignError(f"The definition {path} was changed; plan again")
    return campaign


def read_plan(plan_id: str, folder: Path) -> Plan:
    """The plan of that id; CampaignError if it is absent or not what it was."""
    path = folder / f"{plan_id}.parquet"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CampaignError(f"There is no plan {path}; run `campaigns plan` to make one") from None
    if hashlib.sha256(content).hexdigest()[:24] != plan_id:
        raise CampaignError(f"The plan {path} was changed or damaged; plan again")
    rows = pl.read_parquet(content)
    try:
        kept = pl.read_parquet_metadata(io.BytesIO(content))[_ACCOUNT]
        account = Account.model_validate_json(kept)
    except (KeyError, ValidationError):
        raise CampaignError(f"The plan {path} is of another version; plan again") from None
    if not len(rows):
        return Plan(plan_id, "", rows, account)
    first = rows.row(0, named=True)
    occasion = f"{first['campaign_id']}@{first['send_not_before']:%Y-%m-%dT%H:%M:%SZ}"
    return Plan(plan_id, occasion, rows, account)


def register_plan(
    plan: Plan,
    campaign: Campaign,
    ledger: Ledger,
    *,
    purses: Mapping[str, int],
    folder: Path,
    now: datetime,
    by: str = "",
    replace: bool = True,
) -> bool:
    """Makes a written plan the live one of its occasion; False if the ledger already has it.

    Without `replace`, an occasion that ever had a plan keeps it: False again.
    """
    keys = row_keys(plan, ledger)
    decisions = dict(zip(keys, plan.rows["decision"].to_list(), strict=True))
    old = live_plan(ledger, plan.occasion)
    replaced = []
    if old is not None and old.plan_id != plan.plan_id:
        replaced = row_keys(read_plan(old.plan_id, folder), ledger)
    return register(
        ledger,
        Registered(plan.plan_id, plan.occasion, campaign.campaign, "live"),
        skipped={k: why for k, why in decisions.items() if why not in ("push", "held_out")},
        planned_rows=len(keys),
        purses=purses,
        replaced_rows=replaced,
        now=now,
        by=by,
        replace=replace,
    )


def purse_limits(
    campaign: Campaign,
    coupons: Iterable[str],
    *,
    issues: Mapping[str, int],
    affordable: Mapping[str, int],
    settings: CampaignSettings,
) -> dict[str, int]:
    """Every purse that the campaign's sends and redemptions take from, and its limit.

    issues: how often a coupon may be issued over all campaigns, for those that have a limit;
    affordable: likewise in this campaign, for those that have a budget of their own.
    """
    each = campaign.max_per_coupon or UNLIMITED
    limits = {
        budget_purse(campaign.campaign): money(campaign.budget, settings),
        campaign_purse(campaign.campaign): campaign.max_sends or UNLIMITED,
        discount_purse(campaign.campaign): discount_budget(campaign, settings),
    }
    for coupon in coupons:
        limits[coupon_purse(coupon)] = issues.get(coupon, UNLIMITED)
        limits[share_purse(campaign.campaign, coupon)] = min(each, affordable.get(coupon, each))
    return limits


def in_order(members: Sequence[str], occasion: str, identity: Identity) -> list[str]:
    """Members in the order of a plan's rows: that of their send ids.

    What is sent together then lies together in the ledger's indexes, which spares the disk.
    """
    return sorted(members, key=lambda member: identity.send_id(occasion, identity.person(member)))


def row_keys(plan: Plan, ledger: Ledger) -> list[str]:
    """Each row's send id, in the rows' order."""
    return [
        ledger.identity.send_id(plan.occasion, ledger.identity.person(member))
        for member in plan.rows["member_id"].to_list()
    ]
