import dataclasses
from collections.abc import Iterator
from math import exp
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import offers
from recsys.coupons import Coupon, Terms
from recsys.measured import Measured
from recsys.model import Model
from recsys.redemption import CHANCE
from recsys.uplift import Effect, Line, basis_of
from serving.models import open_current
from tests.small_shop import END

NOW = END.timestamp() / 86_400 + 0.4
TERMS = Terms(margin_rate=0.25, coupon_value=1.0, redemption_rate=0.1, incremental_share=0.8)
ALL = np.arange(40, dtype=np.int32)


@pytest.fixture(scope="module")
def taught(small_model: Path) -> Model:
    return open_current(small_model / "models")


@pytest.fixture(scope="module")
def model(taught: Model) -> Model:
    """One that learned nothing of coupons."""
    return dataclasses.replace(taught, redeeming=None)


def coupons_of(model: Model, product: int) -> Iterator[int]:
    for at in range(int(model.scope_offsets[product]), int(model.scope_offsets[product + 1])):
        yield int(model.scope_coupons[at])


def test_affinity_is_to_come_and_not_to_miss_everything_in_scope(model: Model) -> None:
    found = offers.affinity(model, ALL, now=NOW)
    missed = np.ones((len(ALL), len(model.coupons)))
    for member in ALL:
        entries = slice(int(model.base.offsets[member]), int(model.base.offsets[member + 1]))
        logits = model.base_logits(entries, NOW)
        for product, logit in zip(model.base.products[entries], logits, strict=True):
            for coupon in coupons_of(model, int(product)):
                missed[member, coupon] *= 1 - 1 / (1 + exp(-float(logit)))
    visit = np.asarray(model.visit[ALL], float)[:, None]
    np.testing.assert_allclose(found, (1 - missed) * visit, atol=1e-5)
    assert 0.01 < found.max() <= 1
    assert found.std() > 0.05


def test_affinity_of_some_members_is_theirs(model: Model) -> None:
    some = np.array([17, 3], np.int32)
    found = offers.affinity(model, some, now=NOW)
    np.testing.assert_array_equal(found, offers.affinity(model, ALL, now=NOW)[some])


@pytest.mark.parametrize(
    ("since", "until", "now", "valid"),
    [
        (None, None, 5.0, True),
        (5.0, 6.0, 5.0, True),
        (5.0, 6.0, 4.999, False),
        (5.0, 6.0, 6.0, False),
        (None, 6.0, 1.0, True),
        (5.0, None, 9.0, True),
    ],
)
def test_a_coupon_is_valid_from_its_start_until_before_its_end(
    since: float | None, until: float | None, now: float, *, valid: bool
) -> None:
    assert Coupon("c", valid_from=since, valid_until=until).valid(now) is valid


def values(model: Model, terms: Terms, coupons: list[Coupon] | None = None) -> np.ndarray:
    chosen = model if coupons is None else dataclasses.replace(model, coupons=coupons)
    return offers.worth(chosen, ALL, terms, now=NOW).value


@given(
    name=st.sampled_from([field.name for field in dataclasses.fields(Terms)]),
    factor=st.floats(1.01, 3),
)
def test_a_coupon_is_worth_more_with_better_terms(model: Model, name: str, factor: float) -> None:
    better = dataclasses.replace(TERMS, **{name: getattr(TERMS, name) * factor})
    before, after = values(model, TERMS), values(model, better)
    if name == "coupon_value":  # what is given away, where the coupon does not say
        silent = [coupon.value is None for coupon in model.coupons]
        assert (after <= before).all()
        assert (after < before)[:, silent].any()
        assert (after == before)[:, ~np.array(silent)].all()
    elif name == "redemption_rate":  # more of the same: a loss grows as a gain does
        cost = np.array([coupon.cost or 0.0 for coupon in model.coupons])
        np.testing.assert_allclose(after + cost, (before + cost) * factor, rtol=1e-3, atol=1e-6)
    else:
        assert (after >= before).all()
        assert (after > before).any()


def test_worth_is_what_a_pencil_says(model: Model) -> None:
    at = {(c.coupon_id, c.campaign_id): row for row, c in enumerate(model.coupons)}
    found = offers.worth(model, ALL, TERMS, now=NOW)
    affinity = offers.affinity(model, ALL, now=NOW)
    for member in (0, 7):
        order = float(model.order_amount[member])
        for key, off, cost in (
            (("c1", "winter"), 1.0, 0.05),
            (("c2", "spring"), order * 0.1, 0.0),
            (("c3", "spring"), TERMS.coupon_value, 0.05),
            (("c4", None), 5.0, 0.10),
        ):
            chance = float(affinity[member, at[key]]) * 0.1
            assert found.discount[member, at[key]] == pytest.approx(off, rel=1e-5)
            assert found.probability[member, at[key]] == pytest.approx(chance, rel=1e-5)
            expected = chance * (0.8 * 0.25 * order - off) - cost
            assert found.value[member, at[key]] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("coupon", "most"),
    [
        (Coupon("c", kind="amount", value=5.0), 5.0),
        (Coupon("c", kind="percent", value=10.0), float("inf")),
        (Coupon("c", kind="percent", value=10.0, max_discount=3.0), 3.0),
        (Coupon("c", kind="shipping", value=4.0), TERMS.coupon_value),
        (Coupon("c", kind="amount"), TERMS.coupon_value),
    ],
)
def test_at_most_a_coupon_takes_off_what_it_says(coupon: Coupon, most: float) -> None:
    assert offers.most_off(coupon, TERMS) == most


def test_a_percent_coupon_takes_no_more_off_than_it_may(model: Model) -> None:
    capped = [
        dataclasses.replace(coupon, max_discount=0.5) if coupon.kind == "percent" else coupon
        for coupon in model.coupons
    ]
    before = offers.worth(model, ALL, TERMS, now=NOW).discount
    after = offers.worth(dataclasses.replace(model, coupons=capped), ALL, TERMS, now=NOW).discount
    percent = np.array([coupon.kind == "percent" for coupon in capped])
    np.testing.assert_allclose(after[:, percent], np.minimum(before[:, percent], 0.5), rtol=1e-6)
    np.testing.assert_array_equal(after[:, ~percent], before[:, ~percent])
    assert (after < before).any()


def test_what_was_learned_of_redeeming_stands_in_place_of_the_assumption(taught: Model) -> None:
    assert taught.redeeming is not None
    learned = taught.redeeming.of_coupons(ALL, now=NOW)
    found = offers.worth(taught, ALL, TERMS, now=NOW)
    np.testing.assert_array_equal(found.probability, learned)
    assert 0 < learned.max() < 1
    other = dataclasses.replace(TERMS, redemption_rate=0.9)
    np.testing.assert_array_equal(offers.worth(taught, ALL, other, now=NOW).value, found.value)


def seen(share: float) -> Measured:
    """An effect that is the same share of all redemptions."""
    basis = basis_of(np.zeros((1, len(CHANCE))), CHANCE)
    return Measured(Effect(basis, Line(np.zeros(0), share)), 1234, "average")


def test_what_a_trial_measured_takes_the_place_of_what_is_assumed(taught: Model) -> None:
    before = offers.worth(taught, ALL, TERMS, now=NOW)
    same, none, less = (
        offers.worth(dataclasses.replace(taught, measured=seen(share)), ALL, TERMS, now=NOW)
        for share in (TERMS.incremental_share, 0.0, -0.5)
    )
    assert before.basis.startswith("assumed: 80%")
    assert same.basis == "measured: 1,234 pushes drawn by lot, some held out (average)"
    for one in (same, none, less):
        np.testing.assert_array_equal(one.probability, before.probability)
    np.testing.assert_allclose(same.value, before.value, rtol=1e-5, atol=1e-6)
    assert (none.value <= 0).all()  # nothing gained, and the discount is given all the same
    assert (less.value <= none.value).all()
    assert (less.value < none.value).any()


def test_what_is_said_to_be_the_basis_is_that_of_the_values(model: Model, taught: Model) -> None:
    learned = dataclasses.replace(taught, measured=seen(0.1))
    for one in (model, taught, learned, dataclasses.replace(learned, redeeming=None)):
        said = offers.basis(one, TERMS)
        assert said == offers.worth(one, ALL, TERMS, now=NOW).basis


def test_a_void_coupon_brings_nothing_whatever_was_measured(taught: Model) -> None:
    assert taught.redeeming is not None
    none = np.array(taught.redeeming.none)
    none[0] = np.nan
    void = dataclasses.replace(
        taught, redeeming=dataclasses.replace(taught.redeeming, none=none), measured=seen(9.0)
    )
    worth = offers.worth(void, ALL, TERMS, now=NOW)
    gone = worth.probability[:, 0] == 0
    assert gone.any()
    cost = taught.coupons[0].cost or 0.0
    np.testing.assert_allclose(worth.value[gone, 0], -cost, rtol=1e-6)


@pytest.mark.parametrize("change", [{"value": 5.0}, {"cost": 9.0}])
def test_a_dearer_coupon_is_worth_less(model: Model, change: dict[str, float]) -> None:
    dearer = [dataclasses.replace(model.coupons[0], **change), *model.coupons[1:]]
    before, after = values(model, TERMS), values(model, TERMS, dearer)
    assert (after[:, 0] < before[:, 0]).any()
    assert (after[:, 0] <= before[:, 0]).all()
    assert (after[:, 1:] == before[:, 1:]).all()


def test_a_shop_without_coupons_has_nothing_to_offer(model: Model) -> None:
    bare = dataclasses.replace(
        model, coupons=[], scope_offsets=np.zeros(len(model.products) + 1, np.int64),
        scope_coupons=np.zeros(0, np.int32),
    )  # fmt: skip
    assert offers.worth(bare, ALL, TERMS, now=NOW).value.shape == (len(ALL), 0)
