"""The ranker scores as training does: static part, clock and session together."""

from pathlib import Path

import numpy as np
import pytest

from recsys import features
from recsys.history import KINDS
from recsys.model import Model
from serving.models import open_current
from serving.ranker import Ranker
from serving.rules import Boost, Rules
from serving.tables import MEMBER, NO_SESSION, NOWHERE, PAGE, Listed, Session
from tests.small_shop import BUNDLES, END, MEMBERS

TODAY = END.timestamp() / 86_400
OPEN = Rules(one_variant=False)
ALL = 100
VIEW, CLICK, CART, BOUGHT, RETURN = (
    KINDS.index(kind) for kind in ("view", "click", "add_to_cart", "purchase", "return")
)


@pytest.fixture
def model(small_model: Path) -> Model:
    return open_current(small_model / "models")


def row(model: Model, product: str) -> int:
    found = model.products.row(product)
    assert found is not None
    return found


def session_of(model: Model, kinds: dict[str, int], now: float) -> Session:
    """In the order of time."""
    rows = np.array([row(model, product) for product in kinds], np.int32)
    return Session(rows, np.full(len(rows), now), np.array([*kinds.values()], np.uint8))


def products(found: Listed) -> list[int]:
    rows: list[int] = found.facts[0].tolist()
    return rows


def scores(found: Listed) -> dict[int, float]:
    return dict(zip(products(found), found.scores.tolist(), strict=True))


def together(model: Model, page: list[str], **more: int) -> Listed:
    ranker, rows = Ranker(model), np.array([row(model, one) for one in page], np.int32)
    view = ranker.views.of(OPEN)
    return ranker.listed(view, None, page=rows, own=False, outside=rows, now=TODAY, **more)


def slow_logits(
    model: Model, member: int, session: Session, bought: dict[int, int], now: float
) -> dict[int, float]:
    """Each base-list product's logit, one by one, by the definitions of `features`."""
    seeds, leaves = session.products, model.categories.codes
    weighed = features.session_weights(now, session.days, session.kinds)
    shown = features.session_interest(weighed, session.kinds, leaves[seeds])
    low, high = model.base.offsets[member : member + 2]
    found = {}
    for at in range(int(low), int(high)):
        product = int(model.base.products[at])
        before = int(model.base.last_day[at])
        last = np.float32(bought.get(product, before))
        weights = model.blend.repeat if last > 0 else model.blend.new
        logit = float(model.base.static[at])
        if last > 0:
            interval = model.base.interval[at : at + 1].astype(np.float32)
            if not before:
                assert model.once is not None
                logit = float(model.once[0, product])
                interval = model.once[1, product : product + 1].astype(np.float32)
            clock = features.clock(now, np.array([last]), interval)
            logit += float((clock @ weights.part(features.CLOCK))[0])
        leaf = shown[leaves[seeds] == leaves[product]].sum()
        similarity = shown[(session.kinds == features.SEARCHED) & (seeds == product)].sum()
        for seed, weight in zip(seeds.tolist(), weighed, strict=True):
            start, stop = model.near.offsets[seed : seed + 2]
            stop = min(int(stop), int(start) + 24)
            where = np.flatnonzero(model.near.products[start:stop] == product)
            if len(where):
                similarity += weight * np.float32(model.near.cosine[start + where[0]])
        columns = features.session(np.array([similarity]), np.array([leaf]))
        found[product] = logit + float((columns @ weights.part(features.SESSION))[0])
    return found


@pytest.mark.parametrize("days", [0.0, 0.4, 3.0, 40.0])
@pytest.mark.parametrize(
    "kinds",
    [
        {},
        {"p10": VIEW},
        {"p10": BOUGHT, "p00": CART, "p33": RETURN},
        {"p11": CLICK, "p10": BOUGHT, "p12": VIEW},  # of one category
        {"p11": features.SEARCHED, "p20": features.SEARCHED, "p10": BOUGHT},
    ],
)
def test_scores_are_those_of_the_definitions(
    model: Model, days: float, kinds: dict[str, int]
) -> None:
    ranker, now = Ranker(model), TODAY + days
    session = session_of(model, kinds, now) if kinds else NO_SESSION
    for name in MEMBERS[:12]:
        member = model.members.row(name)
        assert member is not None
        some = int(model.base.products[model.base.offsets[member]])
        bought = [(some, int(TODAY))]
        found = ranker.listed(
            ranker.views.of(OPEN), member, session=session, bought=bought, now=now, limit=ALL
        )
        slow = slow_logits(model, member, session, dict(bought), now)
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        for product, score in scores(found).items():
            assert score == pytest.approx(slow[product], abs=2e-3)


def test_a_boost_adds_to_the_logits_of_the_definitions(model: Model) -> None:
    ranker, now = Ranker(model), TODAY + 3
    rules = Rules(boosts=(Boost('brand = "brand 1"', 1.5), Boost("price > 8", -2.0)))
    view = ranker.views.of(rules)
    session = session_of(model, {"p10": BOUGHT, "p33": VIEW}, now)
    for name in MEMBERS[:12]:
        member = model.members.row(name)
        assert member is not None
        slow = slow_logits(model, member, session, {}, now)
        found = ranker.listed(view, member, session=session, limit=ALL, now=now)
        competing = {
            product: score
            for (product, score), part in zip(
                scores(found).items(), found.facts[1].tolist(), strict=True
            )
            if part == MEMBER
        }
        for product in slow.keys() & competing.keys():
            lift = 1.5 * (model.brands[product] == "brand 1") - 2 * (model.prices[product] > 8)
            assert competing[product] == pytest.approx(slow[product] + lift, abs=2e-3)
        branded = {at for at in range(60) if at % 7 == 1} & set(view.tables.shelf.tolist())
        assert branded <= competing.keys(), "what is lifted competes"
        assert list(competing.values()) == sorted(competing.values(), reverse=True)


def test_at_the_as_of_instant_the_order_is_the_base_lists(model: Model) -> None:
    ranker = Ranker(model)
    for name in MEMBERS[:20]:
        member = model.members.row(name)
        assert member is not None
        low, high = model.base.offsets[member : member + 2]
        logits = model.base_logits(slice(int(low), int(high)), TODAY)
        sold = model.sellable[model.base.products[low:high]]
        found = ranker.listed(ranker.views.of(OPEN), member, limit=20, now=TODAY)
        order = np.argsort(-logits)
        expected = model.base.products[low:high][order[sold[order]][:20]]
        assert products(found) == expected.tolist()


@pytest.mark.parametrize(("first", "second"), BUNDLES)
def test_bundles_are_found_together(model: Model, first: str, second: str) -> None:
    found = together(model, [first], limit=1)
    product, part, entry = found.facts[:3, 0].tolist()
    assert (product, part) == (row(model, second), PAGE)
    assert model.near.offsets[row(model, first)] <= entry
    assert entry < model.near.offsets[row(model, first) + 1]


def test_together_adds_up_over_the_cart(model: Model) -> None:
    cart = ["p10", "p00", "p33"]
    cosine: dict[int, float] = {}
    for seed in (row(model, one) for one in cart):
        for at in range(*model.near.offsets[seed : seed + 2].tolist()):
            product = int(model.near.products[at])
            cosine[product] = cosine.get(product, 0.0) + float(model.near.cosine[at])
    found = together(model, cart, limit=20)
    pointed_at = found.facts[2] != NOWHERE
    assert pointed_at.any()
    assert (pointed_at == (found.facts[1] == PAGE)).all()
    for product in found.facts[0, pointed_at].tolist():
        assert scores(found)[product] == pytest.approx(cosine[product], abs=1e-3)
        assert product not in {row(model, one) for one in cart}
