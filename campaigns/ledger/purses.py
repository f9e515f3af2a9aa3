"""The purses: their names, what one send or redemption takes from each, and taking it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import Connection

from campaigns.ledger.asked import NUMBER, TEXT, asked, packed

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


def purses(campaign: str, coupon: str, cost: int, reserved: int = 0) -> list[Part]:
    """What one send takes; `reserved` is what its redemption may take off an order at most."""
    parts = [
        ("campaign_limit", campaign_purse(campaign), 1),
        ("coupon_limit", coupon_purse(coupon), 1),
        ("coupon_limit", share_purse(campaign, coupon), 1),
        ("budget", budget_purse(campaign), cost),
    ]
    if reserved:
        parts.append(("discount_budget", discount_purse(campaign), reserved))
    return parts


def put_back(connection: Connection, parts: Sequence[Part]) -> None:
    """What one or more sends or redemptions took."""
    _add(connection, {name: -n for name, n in _sums(parts).items()})


@dataclass(slots=True)
class Open:
    """What purses hold while a transaction hands it out; `close` takes it from them."""

    left: dict[str, int]
    """of purses that exist and are live"""
    taken: list[Part] = field(default_factory=list)

    @classmethod
    def of(cls, connection: Connection, names: Iterable[str]) -> Self:
        """The gate is held: nobody else takes from them meanwhile."""
        rows = packed([[name] for name in sorted(set(names))])
        found = connection.execute(asked(connection, {"purse": TEXT}, _LEFT), {"rows": rows})
        return cls({row.purse: row.rest for row in found})

    def take(self, parts: Sequence[Part]) -> str | None:
        """All parts or none; the reason of the first that a purse does not hold."""
        for reason, name, n in parts:
            if name not in self.left or self.left[name] < n:
                return reason
        for _, name, n in parts:
            self.left[name] -= n
        self.taken += parts
        return None

    def close(self, connection: Connection) -> None:
        """A CHECK refuses what a purse does not hold after all."""
        _add(connection, _sums(self.taken))


def _sums(parts: Iterable[Part]) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, name, n in parts:
        found[name] = found.get(name, 0) + n
    return found


def _add(connection: Connection, changes: Mapping[str, int]) -> None:
    """Whoever changes several purses holds the gate: no two wait for each other."""
    rows = [(name, n) for name, n in changes.items() if n]
    if rows:
        connection.execute(
            asked(connection, {"purse": TEXT, "n": NUMBER}, _ADD), {"rows": packed(rows)}
        )


_ADD = """
UPDATE purse SET used = used + (SELECT a.n FROM asked a WHERE a.purse = purse.purse)
WHERE purse IN (SELECT purse FROM asked)
"""
_LEFT = """
SELECT purse.purse, cap - used AS rest FROM purse JOIN asked ON purse.purse = asked.purse
WHERE live = 1
"""
