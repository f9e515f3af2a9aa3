"""Redemptions on both databases: each right once, limits and budgets, undone with the order."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from campaigns.ledger import tables
from campaigns.ledger.claims import claim
from campaigns.ledger.codes import Pool, add_codes, pools
from campaigns.ledger.holdings import Holding, holding
from campaigns.ledger.ledger import wake
from campaigns.ledger.plans import left
from campaigns.ledger.redemptions import Redemption, Refused, Use, coupon_of, redeem, reverse
from campaigns.ledger.settling import Ends, give_back, settle
from campaigns.verify import verify
from tests.campaigns.kit import NOW, WEEK, a_claim, consenting, live_plan, open_test_ledger

SOON = NOW + timedelta(minutes=1)
AT_ONCE = 50


def send_to(ledger, plan, *members, coded=False):
    """Pushes the plan's coupon to each; the codes they got."""
    codes = []
    for member in members:
        one = a_claim(plan, consenting(ledger, member), coded=coded)
        (answer,) = claim(ledger, [one], now=NOW, until=SOON)
        settle(ledger, [Ends([answer], "accepted", NOW)])
        codes.append(answer.code)
    return codes


def use(ledger, order, *, limit=None, discount=200, coupon="c1", now=NOW, **facts):
    return redeem(ledger, Use(order, coupon, discount, now, **facts), limit=limit, now=now)


def reason(answer):
    assert isinstance(answer, Refused), answer
    return answer.reason


def used(ledger, prefix):
    with ledger.reading() as connection:
        rows = connection.execute(text("SELECT purse, used FROM purse")).all()
    return {row.purse: row.used for row in rows if row.purse.startswith(prefix)}


@pytest.fixture
def coded(ledger):
    """Ann's and Bob's codes, of a campaign that was sent."""
    plan = live_plan(ledger, limits={"discount:24": 1_000})
    add_codes(ledger, dict.fromkeys(["A-1", "A-2", "A-3"], "c1"), now=NOW)
    return send_to(ledger, plan, "ann", "bob", coded=True)


def test_a_code_is_redeemed_once_and_says_whose_and_in_which_campaign(ledger, coded):
    assert coupon_of(ledger, coded[0]) == "c1"
    assert coupon_of(ledger, "A-9") is None
    assert use(ledger, "o1", code=coded[0], member_id="ann") == Redemption(
        "o1", "c1", "24", coded[0], 200, NOW, True
    )
    assert reason(use(ledger, "o2", code=coded[0])) == "already_used"
    assert pools(ledger)["c1"] == Pool(free=1, sent=1, redeemed=1)
    assert used(ledger, "redeemed:") | used(ledger, "discount:") == {
        "redeemed:c1": 1, "discount:24": 200,
    }  # fmt: skip
    assert verify(ledger).breaches == ()


def test_codes_that_are_not_theirs_or_not_sent_are_refused(ledger, coded):
    assert reason(use(ledger, "o1", code=coded[0], member_id="bob")) == "code_of_another"
    assert reason(use(ledger, "o1", code="A-3")) == "code_not_sent"
    assert reason(use(ledger, "o1", code="A-9")) == "unknown_code"
    assert reason(use(ledger, "o1", member_id="ann")) == "code_needed"
    assert reason(use(ledger, "o1", member_id="a stranger")) == "code_needed"
    assert used(ledger, "redeemed:") == {}


def test_the_same_again_changes_nothing_and_other_facts_are_refused(ledger, coded):
    first = use(ledger, "o1", code=coded[0])
    again = use(ledger, "o1", code=coded[0])
    assert (first.new, again.new) == (True, False)
    assert reason(use(ledger, "o1", code=coded[0], discount=201)) == "order_differs"
    assert reason(use(ledger, "o1", code=coded[1])) == "order_differs"
    assert used(ledger, "redeemed:") == {"redeemed:c1": 1}


def test_a_reversal_returns_right_limit_and_money_once(ledger, coded):
    use(ledger, "o1", code=coded[0], limit=1)
    assert reason(use(ledger, "o2", code=coded[1], limit=1)) == "redemption_limit"
    assert [one.discount for one in reverse(ledger, "o1", now=SOON)] == [200]
    assert reverse(ledger, "o1", now=SOON) == []
    assert reverse(ledger, "o9", now=SOON) is None
    assert used(ledger, "redeemed:") | used(ledger, "discount:") == {
        "redeemed:c1": 0, "discount:24": 0,
    }  # fmt: skip
    assert reason(use(ledger, "o1", code=coded[0], limit=1)) == "order_reversed"
    assert use(ledger, "o3", code=coded[0], limit=1).new
    assert verify(ledger).breaches == ()


def test_no_more_comes_off_orders_than_the_campaign_has(ledger, coded):
    assert use(ledger, "o1", code=coded[0], discount=900).new
    assert reason(use(ledger, "o2", code=coded[1], discount=101)) == "discount_budget"
    assert used(ledger, "redeemed:") == {"redeemed:c1": 1}
    assert use(ledger, "o2", code=coded[1], discount=100).new


def test_a_limit_that_the_shop_lowers_or_lifts_counts_from_then_on(ledger):
    for order, member in (("o1", "ann"), ("o2", "bob")):
        assert use(ledger, order, member_id=member).new
    assert reason(use(ledger, "o3", member_id="cem", limit=1)) == "redemption_limit"
    assert left(ledger, {"coupon:c1": 9}) == {"coupon:c1": 0}
    assert use(ledger, "o3", member_id="cem", limit=3).new
    assert use(ledger, "o4", member_id="dee", limit=None).new
    assert verify(ledger).breaches == ()


def test_without_codes_each_send_is_a_right_and_so_is_having_been_sent_none(ledger):
    assert use(ledger, "o1", member_id="ann").campaign_id is None
    assert reason(use(ledger, "o2", member_id="ann")) == "already_used"
    send_to(ledger, live_plan(ledger), "ann")
    assert use(ledger, "o3", member_id="ann").campaign_id == "24"
    assert reason(use(ledger, "o4", member_id="ann")) == "already_used"
    assert verify(ledger).breaches == ()


def test_who_was_sent_none_has_no_right_once_all_were_issued(ledger):
    send_to(ledger, live_plan(ledger), "ann")
    asked = Use("o1", "c1", 0, NOW, member_id="bob")
    assert reason(redeem(ledger, asked, limit=None, issues=1, now=NOW)) == "issue_limit"
    theirs = Use("o2", "c1", 0, NOW, member_id="ann")
    assert redeem(ledger, theirs, limit=None, issues=1, now=NOW).new
    assert redeem(ledger, asked, limit=None, issues=2, now=NOW).new


def test_a_send_of_before_there_were_codes_needs_none(ledger):
    send_to(ledger, live_plan(ledger), "ann")
    add_codes(ledger, {"A-1": "c1"}, now=NOW)
    assert holding(ledger, "ann").sent == {"c1": None}
    assert use(ledger, "o1", member_id="ann").new
    assert reason(use(ledger, "o2", member_id="ann")) == "code_needed"


def test_what_the_ledger_says_of_a_members_coupons(ledger, coded):
    assert holding(ledger, "ann") == Holding({"c1": coded[0]}, frozenset(), {"c1": 2}, {})
    assert holding(ledger, "a stranger").closed == {"c1"}
    use(ledger, "o1", code=coded[0])
    use(ledger, "o2", member_id="ann", coupon="c2")
    assert holding(ledger, "ann") == Holding(
        {}, frozenset({"c1", "c2"}), {"c1": 2}, {"c1": 1, "c2": 1}
    )
    reverse(ledger, "o1", now=SOON)
    assert holding(ledger, "ann").sent == {"c1": coded[0]}


def test_a_code_of_an_open_call_is_not_shown_and_can_be_used(ledger):
    plan = live_plan(ledger)
    add_codes(ledger, {"A-1": "c1"}, now=NOW)
    one = a_claim(plan, consenting(ledger, "ann"), coded=True)
    (answer,) = claim(ledger, [one], now=NOW, until=SOON)
    assert holding(ledger, "ann").sent == {}
    assert use(ledger, "o1", code=answer.code).new
    give_back(ledger, [answer])  # contradicts what the checkout has seen
    assert pools(ledger) == {"c1": Pool(redeemed=1)}


def at_once(url, folder, calls):
    """Each call on a connection of its own, all let go together."""
    barrier = Barrier(len(calls))

    def one(call):
        with open_test_ledger(url, folder) as ledger:
            barrier.wait(60)
            return call(ledger)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 17])
def test_of_50_at_once_exactly_as_many_win_as_the_limit_says(ledger, ledger_url, tmp_path, k):
    def call(number):
        return lambda own: use(own, f"o{number}", member_id=f"m{number}", limit=k)

    answers = at_once(ledger_url, tmp_path, [call(number) for number in range(AT_ONCE)])
    assert sum(isinstance(one, Redemption) for one in answers) == k
    assert {reason(one) for one in answers if isinstance(one, Refused)} == {"redemption_limit"}
    assert verify(ledger).breaches == ()


@pytest.mark.slow
def test_of_50_at_once_no_more_comes_off_than_the_budget(ledger, ledger_url, tmp_path):
    plan = live_plan(ledger, limits={"discount:24": 1_000})
    members = [f"m{number}" for number in range(AT_ONCE)]
    send_to(ledger, plan, *members)
    discounts = {member: 10 + 7 * at for at, member in enumerate(members)}

    def call(member):
        return lambda own: use(
            own, f"of {member}", member_id=member, discount=discounts[member]
        )  # fmt: skip

    answers = at_once(ledger_url, tmp_path, [call(member) for member in members])
    won = sum(one.discount for one in answers if isinstance(one, Redemption))
    assert used(ledger, "discount:") == {"discount:24": won}
    lost = [
        discounts[m] for m, one in zip(members, answers, strict=True) if not hasattr(one, "new")
    ]
    assert 1_000 - max(discounts.values()) < won <= 1_000
    assert min(lost) > 1_000 - won
    assert verify(ledger).breaches == ()


@pytest.mark.slow
def test_of_50_at_once_with_one_code_exactly_one_wins(ledger, ledger_url, tmp_path, coded):
    def call(number):
        return lambda own: use(own, f"o{number}", code=coded[0])

    answers = at_once(ledger_url, tmp_path, [call(number) for number in range(AT_ONCE)])
    assert sum(isinstance(one, Redemption) for one in answers) == 1
    again = at_once(ledger_url, tmp_path, [lambda own: reverse(own, "o-1", now=SOON)] * 2)
    assert again == [None, None]


@pytest.mark.slow
def test_an_order_that_is_reversed_at_once_returns_its_money_once(
    ledger, ledger_url, tmp_path, coded
):
    use(ledger, "o1", code=coded[0])
    calls = [lambda own: reverse(own, "o1", now=SOON)] * 8
    assert sorted(map(len, at_once(ledger_url, tmp_path, calls))) == [0] * 7 + [1]
    assert used(ledger, "discount:") == {"discount:24": 0}


MEMBERS = ["ann", "bob", "cem"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "use", "reverse"]),
        st.sampled_from(["o1", "o2", "o3", "o4"]),
        st.sampled_from(MEMBERS),
        st.sampled_from([0, 150, 400]),
    ),
    max_size=25,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, limit=st.sampled_from([None, 1, 2]))
def test_any_sequence_agrees_with_a_plain_model(sqlite_url, tmp_path_factory, steps, limit):
    """Rights: two were sent to ann, one to bob, none to cem, who may use the coupon once."""
    folder = tmp_path_factory.mktemp("redemptions")
    with open_test_ledger(f"sqlite:///{folder}/ledger.db", folder) as ledger:
        plan = live_plan(ledger, limits={"discount:24": 500})
        send_to(ledger, plan, "ann", "bob")
        rights = {"ann": 1, "bob": 1, "cem": 1}
        live: dict[str, tuple[str, int]] = {}
        gone: set[str] = set()
        for step, order, member, discount in steps:
            if step == "reverse":
                undone = reverse(ledger, order, now=SOON)
                expected = None if order not in live and order not in gone else int(order in live)
                assert (None if undone is None else len(undone)) == expected
                if live.pop(order, None):
                    gone.add(order)
                continue
            held = holding(ledger, member)
            shown = "c1" in held.sent or "c1" not in held.closed
            answer = use(ledger, order, member_id=member, discount=discount, limit=limit)
            spent = sum(d for m, d in live.values() if m != "cem")
            if order in gone:
                assert reason(answer) == "order_reversed"
            elif order in live:
                if live[order] == (member, discount):
                    assert not answer.new
                else:
                    assert reason(answer) == "order_differs"
            elif sum(m == member for m, _ in live.values()) >= rights[member]:
                assert reason(answer) == "already_used"
                assert not shown
            elif not shown:
                raise AssertionError("a coupon is hidden that could be used")
            elif limit is not None and len(live) >= limit:
                assert reason(answer) == "redemption_limit"
            elif member != "cem" and spent + discount > 500:
                assert reason(answer) == "discount_budget"
            else:
                assert answer.new
                live[order] = (member, discount)
        assert verify(ledger).breaches == ()


def test_verify_finds_what_was_taken_twice(ledger, coded):
    use(ledger, "o1", code=coded[0])
    with ledger.writing() as connection:
        connection.execute(update(tables.redemption).values(discount=100))
    assert {one.rule for one in verify(ledger).breaches} == {"money"}
    with ledger.writing() as connection:
        connection.execute(update(tables.redemption).values(discount=200, code="A-3"))
    assert {one.rule for one in verify(ledger).breaches} == {"redemptions"}


def test_a_week_later_the_same_coupon_is_a_right_again(ledger):
    send_to(ledger, live_plan(ledger), "ann")
    assert use(ledger, "o1", member_id="ann").new
    later = NOW + WEEK + timedelta(hours=1)
    plan = live_plan(ledger, "25", now=later)
    wake(ledger, now=later, max_idle_days=35)
    one = a_claim(plan, consenting(ledger, "ann"))
    (answer,) = claim(ledger, [one], now=later, until=later + timedelta(minutes=1))
    settle(ledger, [Ends([answer], "accepted", later)])
    assert use(ledger, "o2", member_id="ann", now=later).campaign_id == "25"
