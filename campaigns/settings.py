"""What an operator may set for campaigns."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class CampaignSettings(BaseModel):
    """Frozen; nested in the one settings object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ledger_url: str | None = None
    """SQLAlchemy URL; without one, ledger.db in the local folder. postgresql:// uses psycopg."""
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share that is never sent to, for campaigns that do not say; a new share draws anew."""
    min_gap_days: Annotated[float, Field(ge=7)] = 7
    """From the end of one push to the start of the next; the schema itself holds 7."""
    call_seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    """A call that has not begun this long after its claim is not made."""
    max_idle_days: Annotated[float, Field(ge=1)] = 35
    """A clock further ahead of the last send than this is taken for a wrong clock."""
    in_flight: Annotated[int, Field(ge=1, le=64)] = 64
    """Claims of one sender at a time: what a kill leaves unknown at most."""
    minor_units: Annotated[int, Field(ge=1)] = 100
    """Smallest coins in one unit of the shop's currency."""
    margin_rate: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Assumed margin of a sale, where products carry none."""
    coupon_value: Annotated[float, Field(ge=0)] = 1.0
    """Assumed discount of one redeemed coupon, where coupons carry no face value."""
    redemption_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Assumed share of the members who buy in a coupon's scope that use the coupon, where the model
    learned none."""
    incremental_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Assumed share of those orders that would not have been placed without it."""
    kept_slot_chance: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Assumed chance that a push of a live plan, for which a member's slot is kept, is sent."""
    sender: str = "Your shop <shop@example.invalid>"
    """The From of every message."""
    public_url: str = "http://127.0.0.1:8000"
    """Where members reach the unsubscribe page."""
