"""POST and DELETE /v1/redemptions: a checkout uses a coupon with an order, or undoes it."""

from datetime import datetime, timedelta
from typing import Annotated

import polars as pl
from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from campaigns.answering import answering
from campaigns.audience import Tables
from campaigns.ledger import redemptions as ledger_redemptions
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.redemptions import Redemption, Refused, Use, coupon_of, redeem, sent_to
from campaigns.run import Composition
from campaigns.tiers import tier_of
from recsys.coupons import Coupon
from recsys.dataset.listing import coupons_of, listed

_AGAIN = "the ledger cannot be reached now; nothing was redeemed or undone: send it again"
_LATE = timedelta(minutes=5)
"""how far a checkout's clock may be ahead"""

Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\n]*\S[^\n]*$")]
Money = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
OrderId = Annotated[str, Path(min_length=1, max_length=128)]

WORDS = {
    "unknown_code": "no coupon has this code; check how it was typed",
    "unknown_coupon": "the dataset has no such coupon",
    "wrong_coupon": "the code stands for another coupon than coupon_id says",
    "code_needed": "this coupon is used by its code: send code",
    "code_not_sent": "the code was not sent to anybody yet",
    "code_of_another": "the code was sent to another member",
    "already_used": "it was used already, as often as it was sent",
    "not_valid_now": "the coupon is not valid at this time",
    "wrong_tier": "the coupon is for members of another tier",
    "min_spend": "the order is below the coupon's minimum; send order_total if it is not",
    "discount_too_high": "the coupon gives less than this discount",
    "issue_limit": "it was not sent to this member, and as many were issued as there may be",
    "redemption_limit": "the coupon was redeemed as often as it may be",
    "discount_budget": "the campaign has no money left for this discount",
    "order_reversed": "this order's redemption was undone; a new order needs a new id",
    "order_differs": "this order redeemed the coupon already, with other facts",
}


class RedemptionBody(BaseModel):
    """POST. The code that was sent, or the member and a coupon that has no codes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    order_id: Id
    """with the coupon, makes sending it again harmless"""
    discount: Money
    """what comes off the order, in the shop's currency"""
    code: Id | None = None
    coupon_id: Id | None = None
    member_id: Id | None = None
    """with a code: whose it must be"""
    order_total: Money | None = None
    """before the discount; needed where the coupon has a minimum"""
    redeemed_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """now, if left out"""

    @model_validator(mode="after")
    def _names_a_coupon(self) -> "RedemptionBody":
        if self.code is None and (self.coupon_id is None or self.member_id is None):
            raise ValueError("code is needed, or coupon_id and member_id")
        return self


class RedemptionAnswer(BaseModel):
    """A coupon that was used with an order."""

    order_id: str
    coupon_id: str
    campaign_id: str | None
    """that it was sent in; null where it was not sent"""
    code: str | None
    discount: float
    redeemed_at: datetime
    new: bool
    """false where this was recorded before"""


class Reversal(BaseModel):
    """What was undone now; nothing where it was undone before."""

    order_id: str
    undone: list[RedemptionAnswer]


class Refusal(BaseModel):
    """Nothing was redeemed."""

    detail: str
    reason: str
    """for programs"""


def routes(composition: Composition) -> APIRouter:
    """The two routes. Who may ask is decided before them."""
    router = APIRouter()
    units = composition.settings.minor_units

    @router.post(
        "/v1/redemptions", response_model=RedemptionAnswer, responses={409: {"model": Refusal}}
    )
    def post_redemption(body: RedemptionBody) -> RedemptionAnswer | JSONResponse:
        """Use a coupon with an order. Its right, its limit and its campaign's money are taken, or
        nothing is, and the answer says why."""
        now = composition.now()
        if body.redeemed_at is not None and body.redeemed_at > now + _LATE:
            raise HTTPException(422, "redeemed_at lies in the future")
        with answering(composition, instead=_AGAIN) as ledger:
            found = _redeem(body, ledger, composition.dataset(), units=units, now=now)
        if isinstance(found, Refused):
            said = Refusal(detail=WORDS[found.reason], reason=found.reason)
            return JSONResponse(said.model_dump(), 409)
        return _answer(found, units)

    @router.delete("/v1/redemptions/{order_id:path}")
    def delete_redemption(order_id: OrderId) -> Reversal:
        """Undo what an order redeemed, for it was cancelled: rights, limits and money are there
        again."""
        with answering(composition, instead=_AGAIN) as ledger:
            undone = ledger_redemptions.reverse(ledger, order_id, now=composition.now())
        if undone is None:
            raise HTTPException(404, "no redemption with this order was recorded")
        return Reversal(order_id=order_id, undone=[_answer(one, units) for one in undone])

    return router


def _redeem(
    body: RedemptionBody, ledger: Ledger, dataset: Tables, *, units: int, now: datetime
) -> Redemption | Refused:
    coupon_id = body.coupon_id
    if body.code is not None:
        coupon_id = coupon_of(ledger, body.code)
        if coupon_id is None:
            return Refused("unknown_code")
        if body.coupon_id not in (None, coupon_id):
            return Refused("wrong_coupon")
    assert coupon_id is not None
    at = body.redeemed_at or now
    use = Use(body.order_id, coupon_id, round(body.discount * units), at, body.member_id, body.code)
    known = ledger_redemptions.recorded(ledger, use)
    if known is not None:  # a limit or a date that has passed since does not make it untrue
        return known
    terms = coupon_terms(dataset, coupon_id)
    why = _against(terms, body, at)
    if why is not None:
        return Refused(why)
    coupon = terms[0]
    if coupon.tiers:
        users = [body.member_id] if body.code is None else sent_to(ledger, body.code)
        if not all(coupon.admits(_tier(dataset, user, at)) for user in users):
            return Refused("wrong_tier")
    return redeem(ledger, use, limit=coupon.max_redemptions, issues=coupon.max_issues, now=now)


def _tier(dataset: Tables, member_id: str | None, at: datetime) -> str | None:
    return None if member_id is None else tier_of(dataset, member_id, at=at)


def coupon_terms(dataset: Tables, coupon_id: str) -> list[Coupon]:
    """The coupon, once for each campaign it stands in; nothing for one that is unknown."""
    coupons = dataset.scan("coupons").filter(pl.col("coupon_id") == coupon_id)
    tables = (dataset.scan(name) for name in ("campaign_coupons", "campaigns"))
    return coupons_of(listed(coupons, *tables).collect())


def _against(terms: list[Coupon], body: RedemptionBody, at: datetime) -> str | None:
    """What the coupon's own terms say against it."""
    if not terms:
        return "unknown_coupon"
    coupon, day = terms[0], at.timestamp() / 86_400
    if not any(one.valid(day) for one in terms):
        return "not_valid_now"
    if not coupon.reached_by(body.order_total or 0.0):
        return "min_spend"
    most = coupon.value if coupon.kind == "amount" else None
    if coupon.kind == "percent" and None not in (coupon.value, body.order_total):
        most = (body.order_total or 0.0) * (coupon.value or 0.0) / 100
    if coupon.kind == "percent" and coupon.max_discount is not None:
        most = coupon.max_discount if most is None else min(most, coupon.max_discount)
    # half a cent, for checkouts round
    if most is not None and body.discount > most + 0.005:
        return "discount_too_high"
    return None


def _answer(one: Redemption, units: int) -> RedemptionAnswer:
    return RedemptionAnswer(
        order_id=one.order_id,
        coupon_id=one.coupon_id,
        campaign_id=one.campaign_id,
        code=one.code,
        discount=one.discount / units,
        redeemed_at=one.at,
        new=one.new,
    )
