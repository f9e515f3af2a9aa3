"""The purses: their names, what one send or redemption takes from each, and taking it."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

Part = tuple[str, str, int]
"""reason when there is too little, purse, how much"""


def budget_purse(campaign: str) -> str:
    """Minor units that the campaign may spend."""
    return f"budget:{campaign}"


def campaign_purse(campaign: str) -> str:
    """Sends that the campaign may make; its `live` stops the campaign."""
    return f"campaign:{campaign}"


def coupon_purse(coupon: str) -> str:
    """How often the coupon may be issued over all campaigns."""
    return f"coupon:{coupon}"


def share_purse(campaign: str, coupon: str) -> str:
    """How often the campaign may issue the coupon."""
    # Quoted, so that no other pair has this name.
    return f"share:{campaign!r}/{coupon!r}"


def redeemed_purse(coupon: str) -> str:
    """How often the coupon may be redeemed at all."""
    return f"redeemed:{coupon}"


def discount_purse(campaign: str) -> str:
    """Minor units that may be taken off the orders of those the campaign was sent to."""
    return f"discount:{campaign}"


def redemption_purses(campaign: str | None, coupon: str, discount: int) -> list[Part]:
    """What one redemption takes; a coupon that was not sent is on no campaign's budget."""
    found = [("redemption_limit", redeemed_purse(coupon), 1)]
    if campaign is not None:
        found.append(("discount_budget", discount_purse(campaign), discount))
    return found


def purses(campaign: str, coupon: str, cost: int) -> list[Part]:
    """What one send takes."""
    return [
        ("campaign_limit", campaign_purse(campaign), 1),
        ("coupon_limit", coupon_purse(coupon), 1),
        ("coupon_limit", share_purse(campaign, coupon), 1),
        ("budget", budget_purse(campaign), cost),
    ]


def take(connection: Connection, parts: Sequence[Part]) -> str | None:
    """Takes the parts one by one; the reason of the first that a purse does not hold."""
    for reason, name, n in parts:
        if connection.execute(_TAKE, {"purse": name, "n": n}).first() is None:
            return reason
    return None


def put_back(connection: Connection, parts: Sequence[Part]) -> None:
    """The counterpart of `take`."""
    for _, name, n in parts:
        connection.execute(_RETURN, {"purse": name, "n": n})


_TAKE = text(
    "UPDATE purse SET used = used + :n"
    " WHERE purse = :purse AND live = 1 AND used + :n <= cap RETURNING used"
)
_RETURN = text("UPDATE purse SET used = used - :n WHERE purse = :purse")
