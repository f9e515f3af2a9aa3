"""The report of a plan: every number computed a second time, by other means."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from campaigns.cli import app
from campaigns.plan import SCHEMA, Plan, identify, read_plan
from campaigns.report import report, write_page
from campaigns.report.changes import change
from campaigns.report.page import rendered
from campaigns.report.sums import Pushes, even_share, luck, pushes_of, sums, value_if
from campaigns.run import plan_campaign, plan_together, send_plan
from campaigns.valuation import ModelOffers
from recsys.coupons import Terms
from recsys.errors import CampaignError
from recsys.ids import unit_interval
from serving.models import open_current
from tests.campaigns.kit import (
    MEMBERS,
    NOW,
    Clock,
    TableOffers,
    bread,
    composition,
    definition,
    tea,
)
from tests.small_shop import END
from tests.small_shop import MEMBERS as SHOPPERS

REACHED = MEMBERS[:-1]
"""who has consented"""
CENTS = 100


def tables(chance=0.1):
    """Two campaigns; the coupon of the second is a percentage."""
    tea = {(m, "c1"): 1.0 + i / 10 for i, m in enumerate(MEMBERS)}
    bread = {(m, "c2"): 1.7 - i / 10 for i, m in enumerate(MEMBERS)}
    costs, off = {"c1": 0.5, "c2": 0.3}, {"c1": 1.5, "c2": float("inf")}
    return {
        "tea": TableOffers(["c1"], tea, costs, off, chance),
        "bread": TableOffers(["c2"], bread, costs, off, chance),
    }


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock, tables())


def stored(shop, plan):
    """The plan's rows that are pushes, read from its file."""
    rows = pl.read_parquet(shop.plans / f"{plan.plan_id}.parquet").rows(named=True)
    return [row for row in rows if row["decision"] == "push"]


def test_sums_are_those_of_the_plans_rows(shop):
    plans = [plan for plan, _ in plan_together(shop, [tea(), bread()], budget=2.0)]
    made = report(shop, plans[0].plan_id)
    assert [one.plan for one in made.campaigns] == [plan.plan_id for plan in plans]
    for one, plan in zip(made.campaigns, plans, strict=True):
        rows = stored(shop, plan)
        assert rows
        assert one.sums.pushes == len(rows)
        assert one.sums.cost == pytest.approx(sum(row["cost"] for row in rows) / CENTS)
        assert one.sums.value.mean == pytest.approx(sum(row["expected_value"] for row in rows))
        assert one.sums.redemptions.mean == pytest.approx(sum(row["probability"] for row in rows))
        off = sum(row["probability"] * row["discount"] for row in rows)
        assert one.sums.discount.mean == pytest.approx(off)
        assert sum(each.pushes for each in one.coupons) == len(rows)
        assert {row.member for row in one.shown} == {row["member_id"] for row in rows}
    first, second = (one.sums for one in made.campaigns)
    assert (first.most_off, first.unlimited) == (1.5 * first.pushes, 0)
    assert (second.most_off, second.unlimited) == (0.0, second.pushes)
    assert made.sums.pushes == first.pushes + second.pushes
    assert made.sums.value.mean == pytest.approx(plans[0].account.value)
    assert made.sums.unlimited == second.pushes
    assert made.kept == 0.0
    assert made.prices[0].startswith("the total budget: the next 1 would earn")
    assert report(shop, plans[1].plan_id).campaigns == made.campaigns


def test_slots_that_are_kept_are_told_apart(tmp_path, clock):
    shop = composition(tmp_path, clock, tables())
    plan_campaign(shop, tea(starts_at=NOW + timedelta(days=2)))
    soon = NOW + timedelta(days=1)
    again = definition(campaign="again", coupons=["c2"], ends_at=soon)
    offers = {**tables(), "again": tables()["bread"]}
    shop = composition(tmp_path, clock, offers)
    plans = [plan for plan, _ in plan_together(shop, [bread(ends_at=soon), again])]
    made = report(shop, plans[0].plan_id)
    assert made.kept > 0
    assert made.sums.value.mean + made.kept == pytest.approx(plans[0].account.value)
    assert "is what slots are worth that are kept for other campaigns" in rendered(made)
    assert made.naive.value <= plans[0].account.bound + 1e-5


def test_who_is_held_out_is_in_no_sum(shop):
    plan = plan_campaign(shop, tea(holdout=0.5))[0]
    (one,) = report(shop, plan.plan_id).campaigns
    assert one.held_out > 0
    assert one.sums.pushes + one.held_out == len(REACHED)
    # There is room for all, so that first come, first served gives out just the same.
    assert (one.naive.pushes, one.naive.cost) == (one.sums.pushes, one.sums.cost)
    assert one.naive.value == pytest.approx(one.sums.value.mean, abs=1e-5)
    told = {left.decision: left for left in one.left_out}
    assert told["held_out"].members == one.held_out
    assert (told["no_consent"].members, told["no_consent"].then) == (1, None)
    assert told["no_consent"].reason == "no contact point on this channel"


columns = st.integers(1, 7).flatmap(
    lambda size: st.tuples(
        *(
            st.lists(numbers, min_size=size, max_size=size)
            for numbers in (st.floats(-2, 5), st.floats(0, 1), st.floats(0.02, 1), st.floats(0, 3))
        )
    )
)


def made_up(drawn):
    gain, cost, chance, off = (np.array(column) for column in drawn)
    return Pushes(chance * gain - cost, cost, chance, off, off)


@given(columns, st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_spans_hold_the_middle_of_what_may_happen(drawn, seed):
    of = made_up(drawn)
    found = sums(of, luck(of, np.random.default_rng(seed)))
    cases = list(product([0, 1], repeat=len(of.chance)))
    gain = np.array(drawn[0])
    for span, each, fixed in (
        (found.value, gain, -of.cost.sum()),
        (found.redemptions, np.ones(len(gain)), 0.0),
        (found.discount, of.discount, 0.0),
    ):
        sum_of = np.array([np.dot(case, each) for case in cases]) + fixed
        odds = np.array([np.where(case, of.chance, 1 - of.chance).prod() for case in cases])
        assert span.mean == pytest.approx(float(odds @ sum_of), abs=1e-9)
        tiny = 1e-4  # redemptions are drawn in single precision
        # A thousand draws place a tail of 2.5 % to within half a per cent.
        assert odds[sum_of < span.low - tiny].sum() <= 0.06
        assert odds[sum_of > span.high + tiny].sum() <= 0.06
        assert span.low == span.mean or odds[sum_of <= span.low + tiny].sum() >= 0.005
        assert span.high == span.mean or odds[sum_of >= span.high - tiny].sum() >= 0.005


@given(columns)
def test_other_assumptions_change_the_value_as_its_formula_says(drawn):
    of = made_up(drawn)
    gain = np.array(drawn[0])
    assert value_if(of) == pytest.approx(float(of.value.sum()))
    half = (of.chance / 2 * gain).sum() - of.cost.sum()
    assert value_if(of, rate=0.5) == pytest.approx(float(half))
    assume(float((of.chance * (gain + of.discount)).sum()) > 0.01)
    assert value_if(of, share=even_share(of)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("setting", "key", "times"),
    [("redemption_rate", "rate", 0.5), ("incremental_share", "share", 1.5)],
)
def test_other_assumptions_are_what_the_model_would_say_of_them(small_model, setting, key, times):
    model = replace(open_current(small_model / "models"), redeeming=None)
    terms = Terms(0.25, 1.0, 0.1, 0.5)
    other = replace(terms, **{setting: getattr(terms, setting) * times})
    now = END.timestamp() / 86_400 + 0.4
    coupons = sorted({coupon.coupon_id for coupon in model.coupons})
    found, instead = (
        ModelOffers(model, coupons, one, now).offers(SHOPPERS) for one in (terms, other)
    )
    some = np.isfinite(found.value) & (found.probability > 0)
    assert some.any(axis=0).sum() >= 4
    cost = np.broadcast_to(found.cost, found.value.shape)
    of = Pushes(
        found.value[some], cost[some], found.probability[some], found.discount[some], cost[some]
    )
    assert value_if(of, **{key: times}) == pytest.approx(instead.value[some].sum(), rel=1e-4)
    assert abs(value_if(of) - instead.value[some].sum()) > 1


def test_the_page_tells_where_nothing_is_earned(shop):
    plan = plan_campaign(shop, tea())[0]
    made = report(shop, plan.plan_id)
    rate, share = made.scenarios
    assert (rate.assumption, share.assumption) == ("redemptions", "incremental_share")
    assert list(rate.at) == ["0.5", "1", "1.5"]
    assert rate.at["1"] == pytest.approx(made.sums.value.mean)
    rows = stored(shop, plan)
    taken = sum(row["probability"] * row["discount"] for row in rows)
    earned = sum(row["expected_value"] + row["cost"] / CENTS for row in rows) + taken
    paid = taken + sum(row["cost"] for row in rows) / CENTS
    assert share.assumed == shop.settings.incremental_share
    assert share.even == pytest.approx(share.assumed * paid / earned)
    assert share.at["0.3"] == pytest.approx(made.sums.value.mean)


def first_come(values, costs, campaigns, total):
    """The slow twin: campaign → (pushes, cents, value)."""
    salt = "\x00".join(sorted(one.occasion for one in campaigns))
    order = sorted(REACHED, key=lambda member: unit_interval(salt, member))
    barred = set()
    while True:
        got = {one.campaign: [] for one in campaigns}
        for member in order:
            best = None
            for one in campaigns:
                (coupon,) = one.coupons
                value = values[one.campaign].value.get((member, coupon), -1.0)
                mine = got[one.campaign]
                spent = sum(costs[c] * len(some) for c, some in got.items())
                fits = (
                    one.campaign not in barred
                    and costs[one.campaign] * (len(mine) + 1) <= one.budget * CENTS
                    and len(mine) < (one.max_sends or 99)
                    and (total is None or spent + costs[one.campaign] <= total * CENTS)
                )
                if fits and value > (0.0 if best is None else best[1]):
                    best = (one.campaign, value)
            if best is not None:
                got[best[0]].append(best[1])
        short = {
            one.campaign for one in campaigns if 0 < len(got[one.campaign]) < (one.min_sends or 0)
        }
        if not short:
            return {c: (len(some), costs[c] * len(some), sum(some)) for c, some in got.items()}
        barred |= short


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    first=st.fixed_dictionaries(
        {"budget": st.sampled_from([0.0, 1.0, 2.0, 9.0])},
        optional={"max_sends": st.integers(4, 6), "min_sends": st.integers(1, 4)},
    ),
    second=st.fixed_dictionaries(
        {"budget": st.sampled_from([0.0, 1.0, 9.0])}, optional={"min_sends": st.integers(1, 4)}
    ),
    budget=st.sampled_from([None, 0.0, 1.5, 3.0]),
)
def test_the_simpler_plan_is_what_its_slow_twin_finds(tmp_path_factory, first, second, budget):
    offers = tables()
    shop = composition(tmp_path_factory.mktemp("shop"), Clock(), offers)
    asked = [tea(**first), bread(**second)]
    plan = plan_together(shop, asked, budget=budget)[0][0]
    expected = first_come(offers, {"tea": 50, "bread": 30}, asked, budget)
    made = report(shop, plan.plan_id)
    for one in made.campaigns:
        pushes, cents, value = expected[one.campaign]
        assert (one.naive.pushes, one.naive.cost) == (pushes, pytest.approx(cents / CENTS))
        assert one.naive.value == pytest.approx(value, abs=1e-5)
    assert made.naive.value == pytest.approx(sum(v for *_, v in expected.values()), abs=1e-5)
    assert made.naive.value <= plan.account.bound + 1e-5


rows_of_a_plan = st.dictionaries(
    st.sampled_from(MEMBERS),
    st.tuples(st.sampled_from(["c1", "c2", None]), st.integers(0, 400), st.integers(0, 90)),
)


def frame(drawn):
    rows = [
        {
            "member_id": member,
            "coupon_id": coupon,
            "expected_value": None if coupon is None else value / 100,
            "cost": None if coupon is None else cost,
            "decision": "no_consent" if coupon is None else "push",
        }
        for member, (coupon, value, cost) in drawn.items()
    ]
    return pl.DataFrame(rows, SCHEMA)


@given(rows_of_a_plan, rows_of_a_plan)
@settings(deadline=None)
def test_what_changed_adds_up(now, then):
    told = change(
        frame(now), frame(then), plan="p", made="then", state="replaced", occasion="o",
        minor_units=CENTS,
    )  # fmt: skip
    new, old = ({m: r for m, r in some.items() if r[0] is not None} for some in (now, then))
    assert told.new.members == len(new.keys() - old.keys())
    assert told.gone.members == len(old.keys() - new.keys())
    assert told.other.members == sum(new[m][0] != old[m][0] for m in new.keys() & old.keys())
    assert told.same.members == sum(new[m][0] == old[m][0] for m in new.keys() & old.keys())
    assert told.left_out == ({"no_consent": len(then) - len(old)} if len(then) > len(old) else {})
    for name, place in (("value", 1), ("cost", 2)):
        groups = {
            key: getattr(getattr(told, key), name) for key in ("new", "gone", "other", "same")
        }
        more = groups["new"] - groups["gone"] + groups["other"] + groups["same"]
        difference = sum(r[place] for r in new.values()) - sum(r[place] for r in old.values())
        assert more == pytest.approx(difference / CENTS, abs=1e-9)
        assert getattr(told, name) == pytest.approx(sum(r[place] for r in old.values()) / CENTS)


def test_a_plan_is_compared_with_the_last_of_its_campaign(shop, clock):
    first = plan_campaign(shop, tea(max_sends=5))[0]
    assert report(shop, first.plan_id).campaigns[0].last is None
    clock.turn(minutes=1)
    plan_campaign(shop, bread())
    clock.turn(minutes=1)
    again = plan_campaign(shop, tea(max_sends=2))[0]
    made = report(shop, again.plan_id)
    last = made.campaigns[0].last
    assert (last.plan, last.state, last.pushes) == (first.plan_id, "replaced", 5)
    assert last.cost == 2.5
    assert (last.gone.members, last.same.members, last.new.members) == (3, 2, 0)
    now = {row["member_id"]: row for row in stored(shop, again)}
    lost = [row for row in stored(shop, first) if row["member_id"] not in now]
    assert last.gone.value == pytest.approx(sum(row["expected_value"] for row in lost))
    told = {one.decision: (one.members, one.then) for one in made.campaigns[0].left_out}
    assert told["campaign_limit"] == (3, 2)
    assert told["scheduled"] == (2, 0)  # what bread has planned meanwhile
    (shop.plans / f"{first.plan_id}.parquet").unlink()
    one = report(shop, again.plan_id).campaigns[0]
    assert (one.last, one.last_gone) == (None, first.plan_id)
    assert f"The last plan, {first.plan_id}, cannot be read any more" in rendered(
        report(shop, again.plan_id)
    )


def test_a_plan_stays_the_same_report_after_it_was_sent_and_replaced(shop, clock):
    plan = plan_campaign(shop, tea())[0]
    before = report(shop, plan.plan_id)
    send_plan(shop, plan.plan_id)
    clock.turn(days=1)
    plan_campaign(shop, tea(title="x"))
    assert report(shop, plan.plan_id).campaigns == before.campaigns


def test_plans_made_together_that_are_gone_are_named(shop):
    (first, _), (second, _) = plan_together(shop, [tea(), bread()])
    (shop.plans / f"{second.plan_id}.parquet").unlink()
    made = report(shop, first.plan_id)
    assert made.absent == [second.occasion]
    assert [one.campaign for one in made.campaigns] == ["tea"]
    assert "whose plan cannot be read any more" in rendered(made)


@pytest.mark.parametrize("budget", [0.0, 0.4])
def test_an_empty_plan_gives_a_page_that_explains(shop, budget):
    plan = plan_campaign(shop, tea(budget=budget))[0]
    made = report(shop, plan.plan_id)
    text = rendered(made)
    assert made.sums.pushes == 0
    assert made.sums.value.low == made.sums.value.high == 0.0
    assert "Nobody gets a push" in text
    assert "the budget was spent on members where it earns more" in text
    assert "would need more budget" in text


def test_names_and_reasons_are_shown_and_not_obeyed(shop):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    pl.DataFrame({"coupon_id": ["c1", "c2"], "title": [evil, evil]}).write_parquet(
        shop.folder / "dataset" / "coupons.parquet"
    )
    plan = plan_campaign(shop, tea(title=evil))[0]
    text = rendered(report(shop, plan.plan_id))
    assert "<script" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;alert(1)") >= 3


@pytest.fixture
def run(shop):
    def invoke(*words):
        result = CliRunner().invoke(app, [str(w) for w in words], obj=shop, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return invoke


def test_the_command_writes_a_page_and_tells_the_same_numbers(run, shop, tmp_path):
    plan = plan_campaign(shop, tea(budget=2))[0]
    page = tmp_path / "out" / "plan.html"
    page.parent.mkdir()
    page.write_text("an older one")
    told = json.loads(run("show", plan.plan_id, "--html", page, "--json"))
    text = page.read_text()
    assert list(page.parent.iterdir()) == [page]
    assert text.rstrip().endswith("</html>")
    value = told["sums"]["value"]
    said = f"{value['mean']:,.2f}</strong>, in 95 of 100 cases from {value['low']:,.2f} to "
    assert said + f"{value['high']:,.2f}" in text
    assert told["prices"][0].startswith("budget of 'tea': the next 1 would earn ")
    assert told["prices"][0].replace("'", "&#39;") in text
    spoken = run("show")
    assert "4 pushes for 2.00" in spoken
    assert "first come, first served" in spoken


def test_bad_input_is_named_with_its_mend(run, shop, tmp_path):
    with pytest.raises(CampaignError, match=r"no plan .*none\.parquet; run `campaigns plan`"):
        run("show", "none")
    with pytest.raises(CampaignError, match="make one with `campaigns plan FILE`"):
        run("show")
    plan = plan_campaign(shop, tea())[0]
    plan_campaign(shop, bread())
    with pytest.raises(CampaignError, match=f"Several plans are live; name one: .*{plan.plan_id}"):
        run("show")
    nowhere = tmp_path / "nowhere" / "plan.html"
    with pytest.raises(CampaignError, match=r"there is no folder .*nowhere"):
        run("show", plan.plan_id, "--html", nowhere)
    with pytest.raises(CampaignError, match="is a folder; name a file in it"):
        run("show", plan.plan_id, "--html", tmp_path)
    assert not nowhere.parent.exists()


def test_a_plan_of_an_earlier_version_is_named(shop):
    plan = plan_campaign(shop, tea())[0]
    rows = plan.rows.drop("probability", "discount", "most_off")
    plan_id, content = identify(rows, plan.account)
    (shop.plans / f"{plan_id}.parquet").write_bytes(content)
    assert isinstance(read_plan(plan_id, shop.plans), Plan)
    with pytest.raises(CampaignError, match=f"{plan_id} is of an earlier version.*plan again"):
        report(shop, plan_id)


def test_a_page_that_cannot_be_written_leaves_the_old_one(shop, tmp_path, monkeypatch):
    made = report(shop, plan_campaign(shop, tea())[0].plan_id)
    page = tmp_path / "plan.html"
    page.write_text("an older one")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_page(made, page)
    assert page.read_text() == "an older one"
    assert [one.name for one in tmp_path.glob("*plan.html*")] == ["plan.html"]
    write_page(made, page)
    assert page.read_text() == rendered(made)


def test_the_columns_of_held_out_rows_are_kept_too(shop):
    plan = plan_campaign(shop, tea(holdout=0.5))[0]
    held = plan.rows.filter(pl.col("decision") == "held_out")
    assert held["probability"].to_list() == [0.1] * len(held)
    assert held["most_off"].to_list() == [150] * len(held)
    assert len(pushes_of(plan.rows, CENTS).value) == plan.counts()["push"]
