import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.coupons import Terms
from recsys.value import Gained, assumed, measured, profit

TERMS = Terms(margin_rate=0.25, coupon_value=1.0, redemption_rate=0.1, incremental_share=0.3)


def worth(orders: float, redeemed: float, discount: float = 2.0) -> float:
    found = profit(
        Gained(np.array([orders]), "told"),
        np.array([redeemed]),
        margin=np.array([10.0]),
        discount=np.array([discount]),
        cost=np.array([0.05]),
    )
    return float(found[0])


def test_a_push_is_worth_what_a_pencil_says() -> None:
    assert worth(0.2, 0.3) == pytest.approx(0.2 * 10 - 0.3 * 2 - 0.05)


def test_who_would_buy_anyway_costs_the_discount_and_brings_nothing() -> None:
    assert worth(0.0, 0.9) == pytest.approx(-0.9 * 2 - 0.05)
    assert worth(0.0, 0.0) == pytest.approx(-0.05)


def test_who_is_driven_away_costs_the_margin_too() -> None:
    assert worth(-0.1, 0.3) < worth(0.0, 0.3) < worth(0.1, 0.3)


@given(chance=st.floats(0, 1), share=st.floats(0, 1))
def test_without_a_trial_no_more_is_gained_than_is_redeemed(chance: float, share: float) -> None:
    terms = Terms(0.25, 1.0, 0.1, share)
    gained = assumed(np.array([chance]), terms)
    assert gained.orders[0] == pytest.approx(chance * share)
    assert 0 <= gained.orders[0] <= chance


def test_a_result_names_what_it_rests_on() -> None:
    assert assumed(np.array([0.5]), TERMS).basis.startswith("assumed: 30%")
    gained = measured(np.full(3, 0.04), rows=12_345, learner="rule")
    assert gained.basis == "measured: 12,345 pushes drawn by lot, some held out (rule)"
    np.testing.assert_allclose(gained.orders, 0.04)


def test_an_assumption_keeps_the_precision_of_its_chances() -> None:
    assert assumed(np.array([0.5], np.float32), TERMS).orders.dtype == np.float32
