"""The ranker scores as training does: static part, clock and session together."""

from pathlib import Path

import numpy as np
import pytest

from recsys import features
from recsys.model import Model
from serving.models import open_current
from serving.ranker import NO_SEEDS, Ranker, Seeds
from serving.rules import Boost, Rules
from tests.small_shop import BUNDLES, END, MEMBERS

TODAY = END.timestamp() / 86_400
NOBODY_HIDDEN = np.zeros(0, np.int32)


@pytest.fixture
def model(small_model: Path) -> Model:
    return open_current(small_model / "models")


def row(model: Model, product: str) -> int:
    found = model.products.row(product)
    assert found is not None
    return found


def seeds_of(model: Model, weights: dict[str, float]) -> Seeds:
    rows = [row(model, product) for product in weights]
    return Seeds(np.array(rows, np.int32), np.array(list(weights.values()), np.float32))


def slow_logits(
    model: Model, member: int, seeds: Seeds, bought: dict[int, int], now: float
) -> dict[int, float]:
    """Each base-list product's logit, one by one, by the definitions of `features`."""
    low, high = model.base.offsets[member : member + 2]
    found = {}
    for at in range(int(low), int(high)):
        product = int(model.base.products[at])
        last = np.float32(bought.get(product, int(model.base.last_day[at])))
        weights = model.blend.repeat if last > 0 else model.blend.new
        logit = float(model.base.static[at])
        if last > 0:
            interval = model.base.interval[at : at + 1].astype(np.float32)
            clock = features.clock(now, np.array([last]), interval)
            logit += float((clock @ weights.part(features.CLOCK))[0])
        similarity = np.float32(0)
        for seed, weight in zip(seeds.products.tolist(), seeds.weights, strict=True):
            start, stop = model.near.offsets[seed : seed + 2]
            stop = min(int(stop), int(start) + 24)
            where = np.flatnonzero(model.near.products[start:stop] == product)
            if len(where):
                similarity += weight * np.float32(model.near.cosine[start + where[0]])
        session = features.session(np.array([similarity], np.float32))
        found[product] = logit + float((session @ weights.part(features.SESSION))[0])
    return found


@pytest.mark.parametrize("days", [0.0, 0.4, 3.0, 40.0])
@pytest.mark.parametrize("weights", [{}, {"p10": 0.5}, {"p10": 1.0, "p00": 0.8, "p33": -1.0}])
def test_scores_are_those_of_the_definitions(
    model: Model, days: float, weights: dict[str, float]
) -> None:
    seeds = seeds_of(model, weights) if weights else NO_SEEDS
    ranker, now = Ranker(model), TODAY + days
    for name in MEMBERS[:12]:
        member = model.members.row(name)
        assert member is not None
        some = int(model.base.products[model.base.offsets[member]])
        bought = [(some, int(TODAY))]
        picks = ranker.home(
            member, seeds, bought=bought, excluded=NOBODY_HIDDEN, limit=100, now=now
        )
        slow = slow_logits(model, member, seeds, dict(bought), now)
        assert [pick.score for pick in picks] == sorted((p.score for p in picks), reverse=True)
        for pick in picks:
            assert pick.score == pytest.approx(slow[pick.product], abs=2e-3)


def test_a_boost_adds_to_the_logits_of_the_definitions(model: Model) -> None:
    ranker, now = Ranker(model), TODAY + 3
    rules = Rules(boosts=(Boost('brand = "brand 1"', 1.5), Boost("price > 8", -2.0)))
    view = ranker.views.of(rules)
    seeds = seeds_of(model, {"p10": 1.0, "p33": 0.5})
    for name in MEMBERS[:12]:
        member = model.members.row(name)
        assert member is not None
        slow = slow_logits(model, member, seeds, {}, now)
        found = ranker.member_list(
            member, seeds, bought=[], excluded=NOBODY_HIDDEN, limit=None, now=now, view=view
        )
        scores = dict(zip(found.products.tolist(), found.scores.tolist(), strict=True))
        for product in slow.keys() & scores.keys():
            lift = 1.5 * (model.brands[product] == "brand 1") - 2 * (model.prices[product] > 8)
            assert scores[product] == pytest.approx(slow[product] + lift, abs=2e-3)
        branded = {at for at in range(60) if at % 7 == 1} & set(view.shelf.tolist())
        assert branded <= scores.keys(), "what is lifted competes"
        assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_at_the_as_of_instant_the_order_is_the_base_lists(model: Model) -> None:
    ranker = Ranker(model)
    for name in MEMBERS[:20]:
        member = model.members.row(name)
        assert member is not None
        low, high = model.base.offsets[member : member + 2]
        logits = model.base_logits(slice(int(low), int(high)), TODAY)
        sold = model.sellable[model.base.products[low:high]]
        picks = ranker.home(
            member, NO_SEEDS, bought=[], excluded=NOBODY_HIDDEN, limit=20, now=TODAY
        )
        order = np.argsort(-logits)
        expected = model.base.products[low:high][order[sold[order]][:20]]
        assert [pick.product for pick in picks] == expected.tolist()


@pytest.mark.parametrize(("first", "second"), BUNDLES)
def test_bundles_are_found_together(model: Model, first: str, second: str) -> None:
    picks = Ranker(model).together(seeds_of(model, {first: 1.0}), excluded=NOBODY_HIDDEN, limit=1)
    assert [pick.product for pick in picks] == [row(model, second)]
    assert picks[0].entry is not None
    assert model.near.offsets[row(model, first)] <= picks[0].entry
    assert picks[0].entry < model.near.offsets[row(model, first) + 1]


def test_together_adds_up_over_the_cart(model: Model) -> None:
    cart = seeds_of(model, {"p10": 1.0, "p00": 1.0, "p33": 1.0})
    cosine: dict[int, float] = {}
    for seed in cart.products.tolist():
        for at in range(*model.near.offsets[seed : seed + 2].tolist()):
            product = int(model.near.products[at])
            cosine[product] = cosine.get(product, 0.0) + float(model.near.cosine[at])
    for pick in Ranker(model).together(cart, excluded=cart.products, limit=20):
        assert pick.score == pytest.approx(cosine[pick.product], abs=1e-3)
        assert pick.product not in cart.products
