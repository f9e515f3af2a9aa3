"""What a score is made of: for whoever wonders why a product stands where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys import features
from recsys.features import Floats
from recsys.scoring import sigmoid
from serving.asking import DAY_US, Request, present
from serving.feed.contract import RecentEvent
from serving.kernel import NEIGHBOURS_OF_SEED
from serving.ranker import Ranker
from serving.recommend import recommend
from serving.schemas import Item
from serving.tables import Session


@dataclass(frozen=True, slots=True)
class Parts:
    """A score as the sum of its parts. Both are logits."""

    place: int | None
    """in the member's base list as the model wrote it, from 1; None where it is not on it"""
    standing: float
    """what waits for the next model: orders, taste, company, categories, popularity"""
    clock: float
    """what the days since the last order add: 0 for a product never bought"""
    session: float
    """what the latest events add"""
    chance: float
    """of a purchase within the model's horizon, as the sum of these says"""
    boost: float = 0.0
    """what the placement's rules add"""
    rotation: float = 0.0
    """what is taken away because it was shown again and again"""


def explain(
    ranker: Ranker, request: Request, recent: Sequence[RecentEvent]
) -> list[tuple[Item, Parts]]:
    """A home list with the parts of each score."""
    model, today = ranker.model, request.now / DAY_US
    member = None if request.member_id is None else model.members.row(request.member_id)
    rows = ranker.entries(member)
    listed = np.asarray(model.base.products[rows])
    now = present(ranker, request, recent)
    of_session = _session(ranker, now.session, today)
    added = ranker.views.of(request.placement.rules).tables.added
    rotates = request.placement.rotation
    fall = 0.0 if rotates is None else rotates.logit
    explained = []
    for item in recommend(ranker, request, recent):
        product = ranker.product_row(item.product_id)
        assert product is not None
        found = np.flatnonzero(listed == product)
        if item.reason.code in ("fresh", "pinned"):  # no score put it there
            explained.append((item, Parts(None, item.score, 0.0, 0.0, _chance(item.score))))
            continue
        weights, clock = model.blend.new, 0.0
        since, once = dict(now.bought).get(product, 0), model.once
        first = since > 0 and not (len(found) and model.base.last_day[rows.start + int(found[0])])
        if first and once is not None:
            weights, standing = model.blend.repeat, float(once[0, product])
            days = np.array([since], np.float32)
            interval = once[1, product : product + 1].astype(np.float32)
            clock = float(model.clock.logits(today, days, interval)[0])
        elif len(found):
            entry = rows.start + int(found[0])
            standing = float(model.base.static[entry])
            last = since or int(model.base.last_day[entry])
            if last > 0:
                weights = model.blend.repeat
                days = np.array([last], np.float32)
                interval = model.base.interval[entry : entry + 1].astype(np.float32)
                clock = float(model.clock.logits(today, days, interval)[0])
        else:
            shift = 0.0 if member is None else float(model.member_static[member])
            standing = float(model.product_static[product]) + shift
        session = float(of_session[product] @ weights.part(features.SESSION))
        place = int(found[0]) + 1 if len(found) else None
        boost = float(added[product]) if len(added) else 0.0
        # the shelf's order falls without its scores
        falls = item.product_id in request.rotated and item.reason.code != "again"
        scored = len(found) or of_session[product, 0] > 0 or boost > 0
        rotation = -fall if falls and scored else 0.0
        parts = Parts(
            place, standing, clock, session, _chance(standing + clock + session), boost, rotation
        )
        explained.append((item, parts))
    return explained


def _chance(logit: float) -> float:
    return float(sigmoid(np.array([logit], np.float32))[0])


def _session(ranker: Ranker, session: Session, now: float) -> Floats:
    """shape (products, len(SESSION)): what the session's events say of each product."""
    near, leaves = ranker.model.near, np.asarray(ranker.model.categories.codes)
    found = np.zeros(len(ranker.model.products), np.float32)
    weights = features.session_weights(now, session.days, session.kinds)
    for product, weight in zip(session.products.tolist(), weights.tolist(), strict=True):
        start = int(near.offsets[product])
        rows = slice(start, min(int(near.offsets[product + 1]), start + NEIGHBOURS_OF_SEED))
        found[near.products[rows]] += near.cosine[rows].astype(np.float32) * weight
    of = leaves[session.products]
    shown = features.session_interest(weights, session.kinds, of)
    interest = np.zeros(int(leaves.max(initial=0)) + 2, np.float32)  # the last one is -1's
    np.add.at(interest, of, shown)
    itself = (session.kinds == features.SEARCHED) & ((shown > 0) | (of < 0))
    np.add.at(found, session.products, np.where(itself, weights, 0))
    return features.session(found, interest[leaves])
