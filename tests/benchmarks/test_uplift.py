import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.uplift import hillstrom, made_shop
from benchmarks.uplift.households import HIDDEN, KNOWN, Households
from benchmarks.uplift.plans import Week, best_for_each, by_lot, earned, first_come, plan, spent
from benchmarks.uplift.shop import CHANNEL_COST, MARGIN_RATE, Shop, history, names, shop
from recsys.errors import DataError

WEEKS, MEMBERS, COUPONS = 5, 120, 4


@pytest.fixture(scope="module")
def real() -> Households:
    """No real ones, but of their shape."""
    rng = np.random.default_rng(0)
    known = rng.gamma(2.0, 5.0, (WEEKS, MEMBERS, COUPONS, len(KNOWN)))
    hidden = rng.random((WEEKS, MEMBERS, COUPONS, len(HIDDEN)))
    return Households(known, hidden, rng.uniform(0.01, 0.99, (WEEKS, MEMBERS, COUPONS)))


@pytest.fixture(scope="module")
def made(real: Households) -> Shop:
    return shop(real, np.random.default_rng(1))


def test_a_made_shop_has_members_whom_a_push_drives_away_and_sure_buyers(made: Shop) -> None:
    moved = made.pushed - made.anyway
    assert 0.02 < (moved < 0).mean() < 0.4
    sure = made.anyway > 0.9
    assert sure.any()
    assert np.abs(moved[sure]).mean() < np.abs(moved[~sure]).mean()
    assert made.value[sure].mean() < made.value[~sure].mean()


def test_the_truth_is_margin_less_discount_less_channel(made: Shop) -> None:
    week, member, coupon = 2, 7, 3
    at = (week, member, coupon)
    gained = MARGIN_RATE * made.order_amount[at] * (made.pushed[at] - made.anyway[at])
    given = made.redeemed[at] * made.face[coupon]
    assert made.value[at] == pytest.approx(gained - given - CHANNEL_COST)
    assert (made.redeemed < made.pushed).all()


def test_effects_lie_partly_outside_the_features(real: Households) -> None:
    """The same known features and another hidden past: other effects."""
    other = Households(real.known, real.hidden[:, ::-1], real.anyway)
    one, two = (shop(each, np.random.default_rng(1)) for each in (real, other))
    np.testing.assert_array_equal(one.features, two.features)
    assert np.abs(one.pushed - two.pushed).max() > 0.01
    assert np.corrcoef(one.pushed.ravel(), two.pushed.ravel())[0, 1] > 0.8


def test_history_is_drawn_with_the_shops_chances(made: Shop) -> None:
    draws = [history(made, np.random.default_rng(seed)) for seed in range(200)]
    assert draws[0].features.shape == ((WEEKS - 1) * MEMBERS, len(names(made)))
    assert not any((one.redeemed & ~(one.pushed & one.ordered)).any() for one in draws)
    pushed = np.mean([one.ordered[one.pushed].mean() for one in draws])
    held = np.mean([one.ordered[~one.pushed].mean() for one in draws])
    assert pushed == pytest.approx(made.pushed[:-1].mean(), abs=0.01)
    assert held == pytest.approx(made.anyway[:-1].mean(), abs=0.01)
    assert np.mean([one.pushed.mean() for one in draws]) == pytest.approx(0.8, abs=0.01)


def test_the_week_that_is_planned_is_not_in_its_history(made: Shop) -> None:
    changed = Shop(
        made.features.copy(), made.order_amount, made.anyway.copy(), made.pushed.copy(),
        made.redeemed.copy(), made.face,
    )  # fmt: skip
    for column in (changed.features, changed.anyway, changed.pushed, changed.redeemed):
        column[-1] = 0.5
    one, two = (history(each, np.random.default_rng(3)) for each in (made, changed))
    for name in ("features", "pushed", "ordered", "redeemed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def week(seed: int, members: int = 5, coupons: int = 2) -> Week:
    rng = np.random.default_rng(seed)
    cost = np.broadcast_to(rng.uniform(1, 3, coupons), (members, coupons))
    return Week(rng.normal(0.5, 1, (members, coupons)), cost, rng.uniform(2, 8), 2)


@pytest.mark.parametrize("seed", range(30))
def test_plans_keep_budget_and_limits_and_none_beats_the_best(seed: int) -> None:
    given = week(seed)
    rng = np.random.default_rng(seed)
    best = max(
        earned(given.value, np.array(chosen))
        for chosen in itertools.product(range(-1, 2), repeat=5)
        if _kept(given, np.array(chosen))
    )
    for chosen in (plan(given), best_for_each(given), first_come(given), by_lot(given, rng)):
        assert _kept(given, chosen)
        assert earned(given.value, chosen) <= best + 1e-9
    assert earned(given.value, plan(given)) >= 0.75 * best  # of five members; large plans: below


def test_a_large_plan_is_nearly_as_good_as_none_can_be() -> None:
    """Against the value at no limit for members, at the best of fixed prices for money: a bound."""
    rng = np.random.default_rng(0)
    value, cost = rng.normal(0, 1, (800, 5)), np.broadcast_to(rng.uniform(1, 3, 5), (800, 5))
    given = Week(value, cost, 400.0, 800)
    bound = min(
        price * given.budget + np.maximum((value - price * cost).max(axis=1), 0).sum()
        for price in np.linspace(0, 2, 400)
    )
    assert earned(value, plan(given)) > 0.99 * bound


def _kept(given: Week, chosen: np.ndarray) -> bool:
    counts = np.bincount(chosen[chosen >= 0], minlength=given.value.shape[1])
    return spent(given, chosen) <= given.budget + 1e-9 and bool((counts <= given.limit).all())


def test_a_shop_is_planned_from_end_to_end(real: Households) -> None:
    found = made_shop.outcome(real, 5)
    again = made_shop.outcome(real, 5)
    assert found == again
    assert float(found["oracle"]) > float(found["by lot"])
    assert all(float(found[name]) <= 1.001 for name in (made_shop.PLAN, made_shop.BEST))


@pytest.mark.parametrize(
    ("plans", "best", "met"),
    [((0.9, 0.75), (0.5, 0.7), True), ((0.9, 0.75), (0.5, 0.76), False),
     ((0.8, 0.7), (0.1, 0.1), False)],
)  # fmt: skip
def test_the_bars_can_be_missed(
    plans: tuple[float, float], best: tuple[float, float], *, met: bool
) -> None:
    table = pl.DataFrame({made_shop.PLAN: plans, made_shop.BEST: best, made_shop.FIRST: (0.0, 0.0)})
    assert made_shop.met(table) is met


def mailing(folder: Path, rows: int = 1200) -> None:
    """A trial like Hillstrom's, in which women's mail moves those who bought women's."""
    rng = np.random.default_rng(0)
    womens = rng.integers(0, 2, rows)
    segment = rng.choice([hillstrom.MAIL, hillstrom.NONE, "Mens E-Mail"], rows)
    chance = 0.1 + 0.5 * womens * (segment == hillstrom.MAIL)
    pl.DataFrame(
        {
            "recency": rng.integers(1, 13, rows), "history": rng.gamma(2, 100, rows),
            "mens": rng.integers(0, 2, rows), "womens": womens,
            "newbie": rng.integers(0, 2, rows), "zip_code": rng.choice(["Rural", "Urban"], rows),
            "channel": rng.choice(["Web", "Phone"], rows), "segment": segment,
            "visit": (rng.random(rows) < chance).astype(int),
        }
    ).write_csv(folder / "hillstrom.csv")  # fmt: skip


def test_the_choice_finds_the_rule_of_a_mailing(tmp_path: Path) -> None:
    mailing(tmp_path)
    trial = hillstrom.trial_of(tmp_path)
    assert 0.6 < len(trial) / 1200 < 0.75  # men's mail left out
    found, chosen = hillstrom.figures(trial, 2)
    assert set(chosen) == {"rule"}
    assert found[hillstrom.CHOSEN] == pytest.approx(found[hillstrom.RULE])
    assert min(found[hillstrom.CHOSEN]) > 0.3
    assert "| **chosen** |" in hillstrom.table(found, chosen)


def test_a_folder_without_the_mailing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data names the folder"):
        hillstrom.trial_of(tmp_path)
    (tmp_path / "hillstrom.csv").write_text("recency,visit\n1,0\n")
    with pytest.raises(DataError, match="has no column channel, history"):
        hillstrom.trial_of(tmp_path)


def test_an_interval_of_half_splits_is_wider_than_theirs_alone() -> None:
    values = np.random.default_rng(0).normal(0.07, 0.005, 20)
    low, high = hillstrom.interval(values)
    alone = 1.96 * values.std(ddof=1) / 20**0.5
    assert low < values.mean() < high
    assert (high - low) / 2 > 4 * alone
