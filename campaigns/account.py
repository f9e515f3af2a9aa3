"""What campaigns planned together came to, and what each limit cost: the prices that were kept."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["total", "budget", "discount", "sends", "coupon", "share", "coupon_budget"]


def amount(money: float) -> str:
    """Money in words: cents, or two digits of what is less than ten of them."""
    return f"{money:,.2f}" if abs(money) >= 0.1 or abs(money) < 1e-6 else f"{money:.2g}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cap(_Part):
    """One limit, how far it was used, and its price."""

    kind: Kind
    campaign: str | None = None
    """None: all that were planned together"""
    coupon: str | None = None
    """None: all of the campaign's"""
    most: int
    """minor units of money, pushes otherwise"""
    used: int = 0
    price: float | None = 0.0
    """value that one more would earn; None where the limit allows nothing"""

    @property
    def money(self) -> bool:
        """Whether it is about money, or about pushes."""
        return self.kind in ("total", "budget", "discount")

    @property
    def name(self) -> str:
        """In words, with the key to turn."""
        return {
            "total": "the total budget",
            "budget": f"budget of '{self.campaign}'",
            "discount": f"discount_budget of '{self.campaign}'",
            "sends": f"max_sends of '{self.campaign}'",
            "coupon": f"max_issues of coupon '{self.coupon}'",
            "share": f"max_per_coupon of '{self.campaign}' for '{self.coupon}'",
            "coupon_budget": f"coupon_budgets of '{self.campaign}' for '{self.coupon}'",
        }[self.kind]

    def covers(self, campaign: str, coupon: str) -> bool:
        """Whether a push of this coupon in this campaign uses it."""
        return self.campaign in (None, campaign) and self.coupon in (None, coupon)

    def unit(self, cost: int, most_off: int) -> int:
        """What one push uses; most_off: minor units off an order at most."""
        if self.kind == "discount":
            return most_off
        return cost if self.money else 1


class Least(_Part):
    """A campaign's audience minimum."""

    campaign: str
    least: int
    pushes: int = 0
    runs: bool = False
    subsidy: float = 0.0
    """value that a push is credited with, so that there are enough"""
    reachable: int | None = None
    """for one that cannot be reached: how far one gets"""
    limits: list[str] = []
    """those that stand in its way then"""

    @property
    def name(self) -> str:
        """In words, with the key to turn."""
        return f"min_sends of '{self.campaign}'"


class Naive(_Part):
    """What one campaign would get first come, first served; see `campaigns.naive`."""

    campaign: str
    pushes: int
    cost: int
    """minor units"""
    value: float


class Assumed(_Part):
    """What no event says, for all campaigns alike; see `campaigns.settings`."""

    incremental_share: float


class Account(_Part):
    """One for all plans that were made together."""

    occasions: list[str]
    value: float
    bound: float
    """no plan within the limits is worth more"""
    gap: float
    """what may be missing: a part of the bound, or, where the bound is not above 0, money"""
    caps: list[Cap]
    minimums: list[Least]
    naive: list[Naive] = []
    """first come, first served under the same limits, campaign by campaign"""
    naive_value: float | None = None
    """of all of them, with what keeping slots is worth, as in `value`"""
    basis: str | None = None
    """what says which orders come because of a push; None in a plan of an earlier version"""
    assumed: Assumed | None = None
    """None where it is measured"""

    def charges(self, campaign: str, coupon: str, cost: int, most_off: int) -> dict[str, float]:
        """What a push pays for each limit that it uses, in money; a minimum pays it."""
        paid = {
            cap.name: (cap.price or 0.0) * cap.unit(cost, most_off)
            for cap in self.caps
            if cap.covers(campaign, coupon)
        }
        paid |= {one.name: -one.subsidy for one in self.minimums if one.campaign == campaign}
        return {name: amount for name, amount in paid.items() if amount}

    def closed(self, campaign: str, coupon: str, cost: int, most_off: int) -> str | None:
        """What forbids such a push whatever it is worth."""
        for one in self.minimums:
            if one.campaign == campaign and not one.runs:
                return f"{one.name} is not reached, so it does not run"
        for cap in self.caps:
            if cap.covers(campaign, coupon) and cap.unit(cost, most_off) > cap.most:
                return f"{cap.name} leaves {'too little' if cap.money else 'none'}"
        return None
