import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.allocation.exact import keeps_the_rules, optimum
from benchmarks.allocation.instances import SHAPES, instance
from campaigns.allocation.allocate import allocate, barriers
from campaigns.allocation.problem import Limit, Minimum
from recsys.errors import CampaignError
from tests.campaigns.allocation.kit import best_by_trying_all, problem, problems, used_of, worth_of

CLOSE = 1e-6
SLOWLY = settings(deadline=None)  # the first call compiles


def in_the_way(one, plan):
    everyone = np.arange(len(one.value))
    return barriers(one.choices, plan, everyone, range(one.value.shape[1])).tolist()


@SLOWLY
@given(problems())
def test_a_plan_keeps_every_rule_and_is_worth_what_it_says(one):
    plan = one.solve()
    worth = worth_of(one, one.offers(plan))
    assert worth is not None
    assert worth == pytest.approx(plan.value, abs=CLOSE)
    given_to = [(row, o) for row, o in enumerate(one.offers(plan)) if o >= 0 and not one.held[row]]
    for limit, used in zip(one.limits, plan.used.tolist(), strict=True):
        assert used == used_of(limit, one, given_to)
    for minimum, runs in zip(one.minimums, plan.runs.tolist(), strict=True):
        pushes = sum(o in np.asarray(minimum.offers) for _, o in given_to)
        assert pushes >= minimum.least if runs else pushes == 0


@SLOWLY
@given(problems())
def test_small_plans_are_the_best_there_is_and_the_gap_is_never_below_the_true_one(one):
    plan, best = one.solve(), best_by_trying_all(one)
    assert plan.bound >= best - CLOSE
    assert plan.value == pytest.approx(best, abs=CLOSE)
    if best > 0:
        assert plan.gap >= (best - plan.value) / best - CLOSE
    else:
        assert plan.gap >= best - plan.value - CLOSE


@pytest.mark.parametrize("discounts", [False, True])
@pytest.mark.parametrize("seed", range(2 * len(SHAPES)))
def test_against_an_exact_solver(seed, discounts):
    one = instance(seed, members=40, coupons=6, campaigns=3, discounts=discounts)
    plan = allocate(
        one.choices,
        offers=one.offers,
        limits=one.limits,
        minimums=one.minimums,
        held_out=np.zeros(40, np.bool_),
        lots=np.random.default_rng(seed).random(40),
    )
    best = optimum(one, 30)
    assert keeps_the_rules(one, plan)
    assert plan.bound >= best.value - CLOSE
    assert plan.value >= 0.98 * best.bound - CLOSE


def test_a_minimum_that_nobody_can_be_moved_for_is_told_as_out_of_reach():
    one = problem(
        [[np.nan], [np.nan], [5.5]], 0,
        limits=[Limit("limit 0", 3, [0], amounts=[3])],
        minimums=[Minimum("minimum 0", 1, [0]), Minimum("minimum 1", 2, [0])],
    )  # fmt: skip
    plan = one.solve()
    assert (plan.value, one.offers(plan)) == (0.0, [-1, -1, -1])
    assert "minimum 1" in {conflict.minimum for conflict in plan.conflicts}


@SLOWLY
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_members_changes_nothing(one, random):
    order = list(range(len(one.value)))
    random.shuffle(order)
    straight, other = one.solve(), one.at(order)
    shuffled = other.solve()
    assert other.offers(shuffled) == [one.offers(straight)[row] for row in order]
    assert shuffled.prices.tolist() == pytest.approx(straight.prices.tolist(), nan_ok=True)


@SLOWLY
@given(problems(most_members=7))
def test_who_is_held_out_takes_nothing_from_the_others(one):
    treated = np.flatnonzero(~one.held).tolist()
    alone = one.at(treated)
    plan, without = one.solve(), alone.solve()
    assert [one.offers(plan)[row] for row in treated] == alone.offers(without)
    assert (plan.value, plan.used.tolist()) == (without.value, without.used.tolist())
    assert plan.bound == without.bound


def test_who_is_held_out_chooses_at_the_same_prices():
    value = [[3.0 + 0.1 * row, 2.0] for row in range(10)] * 2
    one = problem(
        value, 1, [Limit("first", 4, [0]), Limit("second", 3, [1])], held=[False] * 10 + [True] * 10
    )
    plan = one.solve()
    price = plan.prices
    for row, offer in enumerate(one.offers(plan)):
        if one.held[row]:
            worths = [0.0, *(one.value[row] - price)]
            assert worths[offer + 1] == pytest.approx(max(worths), abs=1e-3)
    assert plan.used.tolist() == [4, 3]
    assert len({one.offers(plan)[row] for row in range(10, 20)}) > 1


def test_a_held_out_member_would_not_get_what_nobody_may():
    one = problem([[5.0, 1.0]] * 2, 1, [Limit("none of it", 0, [0])], held=[False, True])
    assert one.offers(one.solve()) == [1, 1]


def test_at_least_so_many_or_none():
    value = [[1.0], [1.0], [-0.5], [-5.0]]
    for least, pushes in ((2, 2), (3, 3), (4, 0), (5, 0)):
        plan = problem(value, 0, minimums=[Minimum("audience", least, [0])]).solve()
        assert (plan.chosen >= 0).sum() == pushes
        assert plan.runs.tolist() == [pushes > 0]


def test_a_minimum_that_limits_forbid_is_named_with_them():
    limits = [
        Limit("the budget", 10, [0, 1], money=True),
        Limit("issues of A", 2, [0]),
        Limit("issues of B", 99, [1]),
    ]
    one = problem([[1.0, 1.0]] * 20, [1, 3], limits, [Minimum("audience of A", 5, [0])])
    plan = one.solve()
    assert [(c.minimum, c.reachable, c.limits) for c in plan.conflicts] == [
        ("audience of A", 2, ["issues of A"])
    ]
    assert not plan.runs.any()
    assert worth_of(one, one.offers(plan)) == pytest.approx(3.0)  # ten of money buys three of B


def test_a_minimum_above_the_members_there_are_names_no_limit():
    plan = problem([[1.0]] * 3, 1, [], [Minimum("audience", 5, [0])]).solve()
    assert [(c.reachable, c.limits) for c in plan.conflicts] == [(3, [])]


def test_a_price_is_what_one_more_unit_earns():
    value = [[float(row)] for row in range(1, 101)]
    found = problem(value, 1, [Limit("sends", 40, [0])]).solve()
    more = problem(value, 1, [Limit("sends", 41, [0])]).solve()
    assert found.prices[0] == pytest.approx(more.value - found.value, abs=1.0)
    assert found.gap < 1e-4
    idle = problem(value, 1, [Limit("sends", 400, [0])]).solve()
    assert idle.prices[0] == pytest.approx(0.0, abs=1e-3)


def test_a_limit_of_nothing_has_no_price_and_an_empty_plan_is_the_best():
    one = problem([[2.0]] * 3, 1, [Limit("the budget", 0, [0], money=True)])
    plan = one.solve()
    assert (plan.chosen == -1).all()
    assert (plan.value, plan.gap) == (0.0, 0.0)
    assert np.isnan(plan.prices[0])
    assert in_the_way(one, plan) == [0, 0, 0]


def test_a_limit_on_amounts_goes_to_what_earns_most_for_them():
    value = [[5.0, 3.0]] * 10
    one = problem(value, 0, [Limit("discounts", 1000, [0, 1], amounts=[500, 200])])
    plan = one.solve()
    assert one.offers(plan).count(1) == 5
    assert plan.used.tolist() == [1000]
    assert plan.prices[0] * 200 == pytest.approx(3.0, rel=0.01)
    without = np.flatnonzero(plan.chosen < 0)
    assert barriers(one.choices, plan, without, [0, 1]).tolist() == [0] * 5


def test_a_push_above_what_a_limit_has_is_not_made_and_one_that_uses_nothing_is():
    limit = Limit("discounts", 300, [0, 1], amounts=[301, 0])
    one = problem([[5.0, 1.0]] * 3, 1, [limit])
    plan = one.solve()
    assert one.offers(plan) == [1, 1, 1]
    assert plan.used.tolist() == [0]
    alone = problem([[5.0]] * 3, 1, [Limit("discounts", 300, [0], amounts=[301])])
    assert in_the_way(alone, alone.solve()) == [0, 0, 0]


def test_what_costs_nothing_is_given_under_a_budget_of_nothing():
    plan = problem([[2.0]] * 3, 0, [Limit("the budget", 0, [0], money=True)]).solve()
    assert (plan.chosen >= 0).all()


def test_nobody_at_all_is_an_empty_plan():
    limits, minimums = [Limit("the budget", 5, [0], money=True)], [Minimum("audience", 1, [0])]
    plan = problem(np.empty((0, 1)), 1, limits, minimums).solve()
    assert (len(plan.chosen), plan.value, plan.bound, plan.gap) == (0, 0.0, 0.0, 0.0)
    assert [c.minimum for c in plan.conflicts] == ["audience"]


def test_where_nothing_is_worth_it_the_gap_is_in_money():
    one = problem([[-1.0]] * 3, 1, [Limit("the budget", 5, [0], money=True)])
    plan = one.solve()
    assert (plan.value, plan.bound, plan.gap) == (0.0, 0.0, 0.0)
    assert in_the_way(one, plan) == [-1, -1, -1]


def test_who_goes_without_is_told_what_stands_in_the_way():
    limits = [Limit("the budget", 2, [0, 1], money=True), Limit("issues", 1, [1])]
    one = problem([[5.0, np.nan], [4.0, np.nan], [1.0, np.nan], [np.nan, -1.0]], 1, limits)
    plan = one.solve()
    assert one.offers(plan) == [0, 0, -1, -1]
    assert in_the_way(one, plan)[2:] == [0, -1]
    assert barriers(one.choices, plan, np.array([2]), [1]).tolist() == [-1]


def test_who_goes_without_for_a_minimum_is_told_so():
    one = problem([[5.0]] * 2, 1, [Limit("sends", 9, [0])], [Minimum("m", 3, [0])])
    assert in_the_way(one, one.solve()) == [1, 1]


@SLOWLY
@given(problems())
def test_who_goes_without_has_something_in_the_way_or_nothing_worth_it(one):
    plan = one.solve()
    barrier = in_the_way(one, plan)
    for row in np.flatnonzero(plan.chosen < 0).tolist():
        wanted = (np.nan_to_num(one.value[row], nan=-1.0) > 0).any()
        assert (barrier[row] >= 0) == wanted or one.held[row]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused(bad):
    one = problem([[1.0], [1.0]], 1)
    choices = one.choices._replace(value=np.array([1.0, bad], np.float32))
    with pytest.raises(CampaignError, match="row 1: offer 0 has a value that is no finite number"):
        allocate(choices, offers=1, limits=[], held_out=one.held, lots=one.lots)


@pytest.mark.parametrize(
    ("limits", "minimums", "said"),
    [
        ([Limit("budget of A", -1, [0], money=True)], [], "budget of A is -1, below zero"),
        ([], [Minimum("audience of A", -2, [0])], "audience of A is -2, below zero"),
        ([Limit("discounts", 9, [0], amounts=[-1])], [], "discounts has the amount -1 for offer 0"),
        ([Limit("discounts", 9, [0], amounts=[])], [], "discounts needs one amount for each"),
        ([Limit("issues", 1, [3])], [], "issues is about an offer that is not among the 1"),
    ],
)
def test_a_senseless_limit_is_named(limits, minimums, said):
    with pytest.raises(CampaignError, match=said):
        problem([[1.0]], 1, limits, minimums).solve()


def test_a_cost_below_zero_is_refused():
    with pytest.raises(CampaignError, match="row 0: offer 0 has a cost below zero"):
        problem([[1.0]], -1).solve()


def test_a_minimum_that_limits_leave_just_room_for_is_reached():
    one = instance(5100)  # no single moves lead there
    plan = allocate(
        one.choices,
        offers=one.offers,
        limits=one.limits,
        minimums=one.minimums,
        held_out=np.zeros(500, np.bool_),
        lots=np.random.default_rng(5100).random(500),
    )
    assert keeps_the_rules(one, plan)
    assert plan.runs.tolist() == [True, False, False]
    assert plan.gap < 0.01
