"""A member's coupons, by the numbers that the planner uses."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np

from recsys.coupons import Coupon, Terms
from recsys.model import Model
from recsys.offers import worth
from serving.asking import DAY_US, Asking, Request, asking
from serving.eligibility import Held, eligible
from serving.feed.contract import RecentEvent
from serving.filling import filled
from serving.placements import Placement
from serving.ranker import Ranker
from serving.schemas import CouponItem, Evidence, Reason
from serving.tables import Rows
from serving.wording import WORDING, Language

PRODUCTS_SHOWN = 3


def asked_for(
    member_id: str, home: Placement, *, now: int, rest_hours: float, language: Language
) -> Request:
    """What is shown of each coupon, under the rules of the home page; `now` in microseconds,
    `rest_hours` where the placement says none."""
    own = replace(home, sources=frozenset(("member",)), rotation=None)
    return Request(
        member_id=member_id,
        placement=own,
        seeds=(),
        excluded=(),
        limit=PRODUCTS_SHOWN,
        now=now,
        rest_hours=rest_hours if home.rest_hours is None else home.rest_hours,
        language=language,
    )


def offers(
    ranker: Ranker,
    request: Request,
    recent: Sequence[RecentEvent],
    *,
    terms: Terms,
    held: Held,
    cart_total: float | None,
    limit: int,
) -> list[CouponItem]:
    """Those that the member can use and that earn something or were sent to them, the one worth
    most first; none for a stranger."""
    model, now = ranker.model, request.now / DAY_US
    member = model.members.row(request.member_id or "")
    if member is None or not model.coupons:
        return []
    found = worth(model, np.array([member], np.int32), terms, now=now)
    value, chance, tier = found.value[0], found.probability[0], model.tier(member)
    asked, base = asking(ranker, request, recent), model.base.products[ranker.entries(member)]
    items: dict[str, CouponItem] = {}
    for row in np.argsort(-value, kind="stable").tolist():
        coupon = model.coupons[row]
        if len(items) == limit:
            break
        if coupon.coupon_id in items:  # one coupon may stand in several campaigns
            continue
        if value[row] <= 0 and coupon.coupon_id not in held.sent:
            continue
        if eligible(coupon, held, now=now, tier=tier, cart_total=cart_total):
            inside = scope(model, row)
            products = _products(ranker, request, asked, inside)
            items[coupon.coupon_id] = CouponItem(
                coupon.coupon_id,
                coupon.campaign_id,
                coupon.title or f"Coupon {coupon.coupon_id}",
                coupon.kind,
                coupon.value,
                coupon.min_spend,
                _instant(coupon.valid_until),
                held.sent.get(coupon.coupon_id),
                round(float(chance[row]), 4),
                [model.products.text(product) for product in products],
                _reason(
                    model,
                    coupon,
                    products=products,
                    usual=base[np.isin(base, inside)],
                    language=request.language,
                ),
            )
    return list(items.values())


def scope(model: Model, coupon: int) -> Rows:
    """The products that a row of the model's coupons counts for."""
    entries = np.flatnonzero(model.scope_coupons == coupon)
    products: Rows = (model.scope_offsets.searchsorted(entries, "right") - 1).astype(np.int32)
    return products


def _products(ranker: Ranker, request: Request, asked: Asking, inside: Rows) -> list[int]:
    """What a list of nothing but these would show the member."""
    view = ranker.views.among(asked.view, inside.tolist())
    among = msgspec.structs.replace(asked, view=view)
    return [pick.product for pick in filled(ranker, request, among).picks]


def _reason(
    model: Model, coupon: Coupon, *, products: Sequence[int], usual: Rows, language: Language
) -> Reason:
    """products: what is shown; usual: products of the scope in the member's base list."""
    wording = WORDING[language]
    if not products:
        return Reason("scope", wording.sold_out, Evidence())
    first = products[0]
    first_id = model.products.text(first)
    text = wording.scope(
        wording.given(coupon.kind, coupon.value),
        model.titles[first] or first_id,
        int((usual != first).sum()),
    )
    return Reason("scope", text, Evidence(product_id=first_id))


def _instant(day: float | None) -> datetime | None:
    return None if day is None else datetime.fromtimestamp(round(day * 86_400), UTC)
