"""Coupons as a shop declares them, and what it assumes of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon in one campaign (`campaign_id` None: in all). Its scope stands in the model."""

    coupon_id: str
    campaign_id: str | None = None
    title: str | None = None
    kind: str | None = None
    value: float | None = None
    """percent: 10 means 10 % off; amount: money; None where the shop did not record it"""
    max_discount: float | None = None
    """money off at most, for a percent coupon"""
    min_spend: float | None = None
    valid_from: float | None = None
    valid_until: float | None = None
    """days since 1970; valid_until is outside"""
    cost: float | None = None
    """money for issuing one"""
    tiers: tuple[str, ...] = ()
    """whose members may use it; everybody's if empty"""
    max_issues: int | None = None
    max_redemptions: int | None = None
    """over all campaigns and members"""

    def valid(self, now: float) -> bool:
        """Whether it can be used at `now` (days since 1970)."""
        started = self.valid_from is None or self.valid_from <= now
        return started and (self.valid_until is None or now < self.valid_until)

    def admits(self, tier: str | None) -> bool:
        """Whether members of this tier may use it; None is unknown."""
        return not self.tiers or tier in self.tiers

    def reached_by(self, spend: float) -> bool:
        """Whether a cart of this total is enough."""
        return self.min_spend is None or spend >= self.min_spend


@dataclass(frozen=True, slots=True)
class Terms:
    """What no event log says; the plan prints each."""

    margin_rate: float
    """margin as a share of sales"""
    coupon_value: float
    """money off, where a coupon carries no face value"""
    redemption_rate: float
    """share of the members who buy in a coupon's scope that use it"""
    incremental_share: float
    """share of those orders that would not have been placed without it"""
