import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import redemption
from recsys.redemption import (
    ANYTHING,
    CHANCE,
    MEMBER,
    PAIR,
    Bought,
    Conduct,
    Logistic,
    Offered,
    Redemption,
)

amounts = st.floats(0, 1e6, width=32)


def offered(**changed: float) -> Offered:
    facts = {"breadth": 5.0, "mean_lines": 2.0, "buyers": 0.3, "price": 1.0, "discount": 0.5,
             "quantity": 1.0} | changed  # fmt: skip
    return Offered(**{name: np.array([value], np.float32) for name, value in facts.items()})


def bought(spend: float = 0, lines: float = 0, redeemed: float = 0, total: float = 10) -> Bought:
    cells = (np.full((1, 1), value, np.float32) for value in (spend, lines, lines, redeemed))
    first, *rest = cells
    return Bought(first, np.array([total], np.float32), *rest)


def pair(of: Offered, by: Bought) -> dict[str, float]:
    return dict(zip(PAIR, redemption.pair(of, by)[0, 0].tolist(), strict=True))


@given(
    st.builds(bought, amounts, amounts, amounts, amounts),
    st.builds(
        offered, breadth=amounts, mean_lines=amounts, buyers=st.floats(0, 1),
        price=st.floats(1e-3, 1e6),
        discount=st.one_of(st.just(float("nan")), amounts), quantity=st.floats(1, 100),
    ),
)  # fmt: skip
def test_every_feature_is_a_number_whatever_is_known(by: Bought, of: Offered) -> None:
    table = redemption.pair(of, by)
    assert table.shape == (1, 1, len(PAIR))
    assert np.isfinite(table).all()
    assert np.isfinite(redemption.depth(of, by)).all()


def test_a_member_who_bought_more_than_others_stands_out() -> None:
    lifts = [pair(offered(), bought(lines=lines))["lift"] for lines in (1, 2, 9)]
    assert lifts[0] < lifts[1] < lifts[2]
    assert lifts[1] == pytest.approx(0)


@given(mean_lines=st.floats(0, 1e3))
def test_of_what_one_never_bought_it_does_not_count_how_much_others_do(mean_lines: float) -> None:
    assert pair(offered(mean_lines=mean_lines), bought())["lift"] == 0


def test_a_coupon_that_says_nothing_has_no_discount() -> None:
    silent = pair(offered(discount=float("nan")), bought())
    assert silent["stated"] == silent["discount"] == 0
    assert redemption.depth(offered(discount=float("nan")), bought())[0, 0] == 0
    assert pair(offered(discount=2.0), bought())["stated"] == 1


def test_the_depth_is_against_what_the_member_itself_pays() -> None:
    dear = redemption.depth(offered(), bought(spend=80, lines=8))[0, 0]
    cheap = redemption.depth(offered(), bought(spend=4, lines=8))[0, 0]
    assert cheap > dear
    assert dear == pytest.approx(np.log(0.5 / 8.2), abs=1e-4)
    two = redemption.depth(offered(quantity=2.0), bought())[0, 0]
    assert two == pytest.approx(np.log(0.25))


def test_of_a_member_without_a_past_with_coupons_nothing_is_said() -> None:
    nothing = Conduct(*np.zeros((6, 1), np.float32))
    assert redemption.conduct(nothing).tolist() == [[0.0] * (len(MEMBER) - 1)]


def test_the_days_since_a_push_end_with_the_year() -> None:
    days = np.expm1(redemption.since_push(1000.0, np.array([990.0, 100.0, np.nan], np.float32)))
    assert days.ravel().tolist() == pytest.approx([10, 365, 365], rel=1e-4)


def test_a_campaign_reaches_a_member_with_its_best_coupons() -> None:
    rank = np.array([[9.0, 1, 1, 1, 1, 1, -50], [1.0] * 7], np.float32)
    member = np.zeros((2, len(MEMBER)), np.float32)
    table = redemption.of_anything(rank, np.zeros_like(rank), 7, member)
    reach = table[:, ANYTHING.index("reach")]
    assert reach.tolist() == pytest.approx([(9 + 4) / 5, 1.0])


def some_weights() -> Redemption:
    rng = np.random.default_rng(1)

    def weights(names: tuple[str, ...]) -> np.ndarray:
        return rng.normal(size=len(names)).astype(np.float32)

    return Redemption(
        weights(PAIR),
        weights(PAIR),
        Logistic(CHANCE, -2.5, weights(CHANCE)),
        Logistic(ANYTHING, -1.0, weights(ANYTHING)),
    )


def test_weights_come_back_from_the_manifest_as_they_went() -> None:
    weights = some_weights()
    stored = json.loads(json.dumps(weights.to_json()))
    assert Redemption.from_json(stored).to_json() == stored


def test_where_the_shop_chose_for_members_its_choice_is_added() -> None:
    weights = some_weights()
    table = np.random.default_rng(2).normal(size=(3, 4, len(PAIR))).astype(np.float32)
    added = weights.rank(table, selected=True) - weights.rank(table)
    np.testing.assert_allclose(added, table @ weights.selection, atol=1e-5)


def test_weights_over_other_features_are_refused_by_name() -> None:
    stored = some_weights().to_json()
    stored["ranking"]["horoscope"] = stored["ranking"].pop("spend")
    with pytest.raises(KeyError, match="horoscope, spend"):
        Redemption.from_json(stored)
