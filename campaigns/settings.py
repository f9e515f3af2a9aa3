"""What an operator may set for campaigns."""

import re
from collections.abc import Mapping
from datetime import time, timedelta
from email.utils import parseaddr
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from campaigns.channels.settings import Provider, check_mailbox, is_own
from campaigns.instants import DAY
from campaigns.ledger.identity import ChannelName
from campaigns.links import check_shop_url
from campaigns.policy.cap import Cap, ChannelCap
from campaigns.policy.quiet_hours import QuietHours, known_zone
from campaigns.ways_in.feedback.provider import ProviderSettings


def _time_of_day(value: object) -> object:
    """ "21" would be read as 21 seconds past midnight."""
    if isinstance(value, time) and value.tzinfo is None:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError(f"'{value}' is no local time; write it as 21:00")
    return time.fromisoformat(value)


def _zone(value: str) -> str:
    if known_zone(value) is None:
        raise ValueError(f"'{value}' is no IANA zone; write it as Europe/Berlin")
    return value


class Breakers(BaseModel):
    """Shares beyond which a plan is paused by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_calls: Annotated[int, Field(ge=1)] = 50
    """Fewer calls, or messages, say nothing yet."""
    errors: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of the latest 500 calls."""
    bounces: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of the plan's messages."""
    complaints: Annotated[float, Field(gt=0, le=1)] = 0.003
    """Of the plan's messages; mailbox providers act on 0.3 %."""


class Canary(BaseModel):
    """The first few sends of a large plan, before the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    over: Annotated[int, Field(ge=0)] = 10_000
    """Pushes; smaller plans are sent at once."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """That go first; 1 sends all at once."""
    minutes: Annotated[float, Field(ge=0)] = 30
    """After the last of them, for bounces and complaints to come."""


class CampaignSettings(BaseModel):
    """Frozen; nested in the one settings object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ledger_url: str | None = None
    """SQLAlchemy URL; without one, ledger.db in the local folder. postgresql:// uses psycopg."""
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share that is never sent to, for campaigns that do not say; a new share draws anew."""
    min_gap_days: Annotated[float, Field(ge=7)] = 7
    """From the end of one push to the start of the next; the schema itself holds 7."""
    cap: Literal["rolling", "week"] = "rolling"
    """`week`: two calendar weeks of the member, and 26 h between, are enough as well."""
    channel_caps: Mapping[str, ChannelCap] = {}
    """Further caps of single channels: {"sms": {"most": 1, "days": 30}}."""
    rates: Mapping[str, Annotated[float, Field(gt=0, le=100_000)]] = {}
    """Calls a second of a channel, over all senders together: {"email": 50}. No limit if absent."""
    breakers: Breakers = Breakers()
    canary: Canary = Canary()
    call_seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    """A call that cannot have ended this long after its claim is not made."""
    max_idle_days: Annotated[float, Field(ge=1)] = 35
    """A clock further ahead of the last send than this is taken for a wrong clock."""
    quiet_from: Annotated[time, BeforeValidator(_time_of_day)] = time(21)
    """Nobody is sent to from this time of their day on; the same as quiet_until: no quiet hours."""
    quiet_until: Annotated[time, BeforeValidator(_time_of_day)] = time(9)
    """From this time of their day on they may be."""
    quiet_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Zone of members whose own is unknown."""
    quiet_margin_hours: Annotated[float, Field(ge=0, le=12)] = 2
    """So much longer, at both ends, are the quiet hours of those members."""
    in_flight: Annotated[int, Field(ge=1, le=64)] = 64
    """Claims of one sender at a time: what a kill leaves unknown at most."""
    approval_over_pushes: Annotated[int, Field(ge=0)] | None = None
    """A plan of more pushes is sent once a second person approved it; None: any plan is sent."""
    approval_over_cost: Annotated[float, Field(ge=0)] | None = None
    """Likewise, a plan whose pushes cost more."""
    test_sends_a_day: Annotated[int, Field(ge=0)] = 20
    """Messages of `campaigns test-send` within 24 hours."""
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
    """Assumed share of those orders that would not have been placed without it, where no holdout
    has measured it."""
    kept_slot_chance: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Assumed chance that a push of a live plan, for which a member's slot is kept, is sent."""
    sender: Annotated[str, AfterValidator(check_mailbox)] = "Your shop <shop@example.invalid>"
    """The From of every message."""
    public_url: str = "http://127.0.0.1:8000"
    """Where members reach the unsubscribe page."""
    double_opt_in: frozenset[ChannelName] = frozenset()
    """Channels on which an imported yes, or one of the preferences, counts once it is confirmed."""
    opt_in_wording: Annotated[str, Field(min_length=1, max_length=2000)] = (
        "Yes, I agree to get offers from this shop. I can stop them at any time."
    )
    """What members confirm; kept with each of their answers."""
    feedback: dict[str, ProviderSettings] = {}
    """Who may tell what became of messages: name → scheme and what proves it."""
    shop_url: Annotated[str | None, AfterValidator(check_shop_url)] = None
    """A product's page, with {product_id} in it, for campaigns that do not say."""
    channels: Mapping[ChannelName, Provider] = {}
    """Who carries the messages of a channel; the folder outbox for those that are not named."""

    def provider(self, channel: ChannelName) -> Provider:
        """Who carries the messages of a channel."""
        return self.channels.get(channel) or Provider()

    @property
    def quiet_hours(self) -> QuietHours:
        """When members are not sent to."""
        margin = timedelta(hours=self.quiet_margin_hours)
        return QuietHours(self.quiet_from, self.quiet_until, self.quiet_zone, margin)

    @property
    def frequency_cap(self) -> Cap:
        """How often a member is pushed to."""
        return Cap(
            gap=int(self.min_gap_days * DAY),
            weeks=self.cap == "week",
            zone=self.quiet_zone,
            channels=self.channel_caps,
        )

    @model_validator(mode="after")
    def _caps_agree(self) -> Self:
        if self.cap == "week" and self.min_gap_days > 7:
            raise ValueError(
                "cap 'week' lets two pushes be less than 7 days apart, min_gap_days asks for more; "
                "leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _leaves_time_to_send(self) -> Self:
        """An hour is the longest that a call may take."""
        if self.quiet_hours.shortest_day < timedelta(hours=1):
            raise ValueError(
                "quiet_from, quiet_until and quiet_margin_hours leave less than an hour of the day "
                "to send in; shorten the quiet hours or the margin"
            )
        return self

    @model_validator(mode="after")
    def _channels_fit(self) -> Self:
        for name, provider in self.channels.items():
            if provider.scheme.startswith("smtp") and name != "email":
                raise ValueError(f"channel {name} cannot go to a mail server; name a webhook")
            if provider.seconds >= self.call_seconds:
                raise ValueError(
                    f"channel {name} may take {provider.seconds:g} seconds for a call, and "
                    f"call_seconds is {self.call_seconds:g}; make the first less"
                )
            if not provider.is_here:
                self._can_be_answered(name)
        return self

    def _can_be_answered(self, channel: str) -> None:
        """Messages that leave the machine name the shop, and a way out that works from there."""
        public = urlsplit(self.public_url)
        if is_own(public.hostname) or public.scheme != "https":
            raise ValueError(
                f"messages of channel {channel} leave this machine, and their unsubscribe links "
                f"would lead to {self.public_url}; set public_url to an https:// address of yours"
            )
        if channel == "email" and parseaddr(self.sender)[1].endswith((".invalid", "@invalid")):
            raise ValueError(f"mail from {self.sender} would reach nobody; set sender")
