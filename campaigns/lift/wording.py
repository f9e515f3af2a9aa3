"""What a lift says, in words: the same on the screen and on the page."""

from campaigns.account import amount
from campaigns.lift.facts import Effect, Lift

NAMES = {
    "redemptions": "coupons redeemed",
    "orders": "orders",
    "revenue": "revenue",
    "profit": "net profit",
}


OCCASIONS = 20
"""shown of a campaign, the latest"""


def latest(lift: Lift, outcome: str = "profit") -> Effect | None:
    """Of one outcome, through the last day that is shown."""
    return next((one for one in reversed(lift.effects) if one.outcome == outcome), None)


def days(number: int) -> str:
    """1 day, 7 days"""
    return "1 day" if number == 1 else f"{number} days"


def span(low: float, high: float) -> str:
    """From one end to the other."""
    return f"{signed(low)} to {signed(high)}"


def signed(number: float) -> str:
    """+0.12"""
    return f"{'+' if number > 0 else '−' if number < 0 else ''}{amount(abs(number))}"


def headline(effect: Effect) -> str:
    """What was earned, and how sure that is."""
    return (
        f"Within {days(effect.day)} of the slot each planned member brought "
        f"{signed(effect.effect)} net profit ({span(effect.low, effect.high)}): "
        f"{signed(effect.total)} in all ({span(effect.total_low, effect.total_high)})."
    )


def verdict(effect: Effect) -> str:
    """Whether the interval leaves a doubt."""
    if effect.low > 0:
        return "The campaign earned more than it cost."
    if effect.high < 0:
        return "The campaign cost more than it earned."
    return "Whether it earned more than it cost cannot be told yet."
