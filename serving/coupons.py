"""A member's coupons, by the numbers that the planner uses."""

import numpy as np

from recsys.coupons import Terms
from recsys.model import Model
from recsys.offers import worth
from serving.schemas import CouponItem, Evidence, Reason
from serving.wording import WORDING, Language

PRODUCTS_SHOWN = 3


def offers(
    model: Model, member_id: str, terms: Terms, *, limit: int, now: float, language: Language = "en"
) -> list[CouponItem]:
    """The valid coupons that earn something, the one worth most first; none for a stranger."""
    member = model.members.row(member_id)
    if member is None or not model.coupons:
        return []
    found = worth(model, np.array([member], np.int32), terms, now=now)
    value, chance = found.value[0], found.probability[0]
    valid = np.array([coupon.valid(now) for coupon in model.coupons])
    ranked = np.argsort(-np.where(valid, value, -np.inf), kind="stable")
    seen: set[str] = set()
    items: list[CouponItem] = []
    for row in ranked.tolist():
        coupon = model.coupons[row]
        if len(items) == limit or not valid[row] or value[row] <= 0:
            break
        if coupon.coupon_id in seen:  # one coupon may stand in several campaigns
            continue
        seen.add(coupon.coupon_id)
        items.append(
            CouponItem(
                coupon.coupon_id,
                coupon.campaign_id,
                coupon.title or f"Coupon {coupon.coupon_id}",
                round(float(chance[row]), 4),
                *_products(model, member, row, language),
            )
        )
    return items


def _products(
    model: Model, member: int, coupon: int, language: Language
) -> tuple[list[str], Reason]:
    """Products of the scope in the member's base list, in its order, and what that says."""
    offsets = model.base.offsets
    shown = model.base.products[int(offsets[member]) : int(offsets[member + 1])]
    inside = [
        int(product)
        for product in shown
        if coupon
        in model.scope_coupons[model.scope_offsets[product] : model.scope_offsets[product + 1]]
    ]
    ids = [model.products.text(product) for product in inside[:PRODUCTS_SHOWN]]
    title = model.titles[inside[0]] or ids[0]
    text = WORDING[language].scope(title, len(inside) - 1)
    return ids, Reason("scope", text, Evidence(product_id=ids[0]))
