"""What campaigns planned together came to, in plain words for people and as facts for programs."""

from collections.abc import Sequence
from math import floor, log10
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from campaigns.account import Account, Cap, Least, amount
from campaigns.run import Outlook
from campaigns.settings import CampaignSettings

_PRICES_SHOWN = 10


def account_facts(account: Account, settings: CampaignSettings) -> dict[str, Any]:
    """Value, bound, gap, and each limit with its price: for a unit of money, or for a push."""
    return {
        "value": account.value,
        "bound": account.bound,
        "gap": account.gap,
        "limits": [
            {
                "limit": cap.name,
                "most": cap.most / _unit(cap, settings),
                "used": cap.used / _unit(cap, settings),
                "price": None if cap.price is None else cap.price * _unit(cap, settings),
            }
            for cap in account.caps
        ],
        "minimums": [one.model_dump() for one in account.minimums],
    }


def show_account(console: Console, account: Account, settings: CampaignSettings) -> None:
    """How good the plan is, and what more of each limit would earn."""
    gap = f"{account.gap:.4%}" if account.bound > 0 else f"{account.gap:,.2f}"
    console.print(
        f"Value {account.value:,.2f}; no plan within these limits is worth more than "
        f"{account.bound:,.2f} (gap {gap})."
    )
    dear = sorted(
        (cap for cap in account.caps if cap.price), key=lambda cap: -(cap.price or 0) * cap.most
    )
    for cap in dear[:_PRICES_SHOWN]:
        console.print(f"  {escape(_next(cap, settings))}")
    if len(dear) > _PRICES_SHOWN:
        console.print(f"  … and {len(dear) - _PRICES_SHOWN:,} more; --json lists all")
    for one in account.minimums:
        console.print(f"  {escape(_minimum(one))}")


def _next(cap: Cap, settings: CampaignSettings) -> str:
    """The next 1,000 would earn 1,740: of money, a round number about a hundredth of it."""
    price = (cap.price or 0.0) * _unit(cap, settings)
    if not cap.money:
        return f"{cap.name}: one more would earn {amount(price)}"
    step = 10.0 ** max(0, floor(log10(max(cap.most / settings.minor_units / 100, 1))))
    return f"{cap.name}: the next {step:,.0f} would earn {amount(price * step)}"


def _minimum(one: Least) -> str:
    if one.runs:
        paid = f"; each is credited {amount(one.subsidy)} for it" if one.subsidy > 1e-6 else ""
        return f"{one.name}: runs with {one.pushes:,} of at least {one.least:,}{paid}"
    if one.reachable is None:
        return f"{one.name}: does not run; {one.least:,} pushes would cost more than they earn"
    way = f"; in the way: {', '.join(one.limits)}" if one.limits else ": too few members can get it"
    return f"{one.name}: does not run; of {one.least:,}, {one.reachable:,} can be reached{way}"


def outlook_facts(found: Sequence[Outlook], settings: CampaignSettings) -> list[dict[str, Any]]:
    """One row for each budget."""
    return [
        {
            "budget": one.budget,
            "value": one.account.value,
            "gap": one.account.gap,
            "cost": one.cost,
            "pushes": one.pushes,
            "price": _price(one, settings),
        }
        for one in found
    ]


def show_outlooks(console: Console, found: Sequence[Outlook], settings: CampaignSettings) -> None:
    """Value over budget."""
    table = Table("budget", "value", "pushes", "cost", "one more earns", box=None)
    for one in found:
        price = _price(one, settings)
        table.add_row(
            f"{one.budget:,.2f}",
            f"{one.account.value:,.2f}",
            f"{one.pushes:,}",
            f"{one.cost:,.2f}",
            "" if price is None else amount(price),
        )
    console.print(table)


def _price(one: Outlook, settings: CampaignSettings) -> float | None:
    """What the next unit of the budget that was asked about would earn."""
    caps = [cap for cap in one.account.caps if cap.money]
    asked = next((cap for cap in caps if cap.kind == "total"), caps[0])
    return None if asked.price is None else asked.price * settings.minor_units


def _unit(cap: Cap, settings: CampaignSettings) -> int:
    return settings.minor_units if cap.money else 1
