"""Full shelves, honest reasons, and events that count at once: over one ranker, without HTTP."""

import re
from datetime import timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from recsys.history import KINDS
from serving.asking import Request
from serving.feed.contract import RecentEvent
from serving.models import open_current
from serving.placements import BUILT_IN
from serving.ranker import Ranker
from serving.recommend import recommend
from serving.schemas import Item
from tests.serving.live import NARROW_SOLD_OUT, NOW, SELLABLE
from tests.small_shop import BUNDLES, MEMBERS, PRODUCTS

DAY_US = 86_400_000_000
NOW_US = round(NOW.timestamp() * 1e6)
REST_HOURS = 12.0
ALL = len(PRODUCTS)


@cache
def ranker_at(home: Path) -> Ranker:
    return Ranker(open_current(home / "models"))


@pytest.fixture
def ranker(small_model: Path) -> Ranker:
    return ranker_at(small_model)


@pytest.fixture
def narrow(narrow_model: Path) -> Ranker:
    return ranker_at(narrow_model)


def wanted(member: str | None = None, limit: int = ALL, **more: object) -> Request:
    asked = {"placement": "home", "seeds": [], "excluded": [], "now": NOW_US} | more
    if isinstance(asked["placement"], str):
        asked["placement"] = BUILT_IN[asked["placement"]]
    return Request(member_id=member, limit=limit, rest_hours=REST_HOURS, **asked)  # type: ignore[arg-type]


def happened(kind: str, product: str | None, hours_ago: float = 0.1) -> RecentEvent:
    at = NOW_US - round(hours_ago * DAY_US / 24)
    return RecentEvent(kind, at, product, None, None, None, None, None)


def ids(items: list[Item]) -> list[str]:
    return [item.product_id for item in items]


sets_of_products = st.one_of(
    st.lists(st.sampled_from([*PRODUCTS, "no such product"]), max_size=12),
    st.sets(st.sampled_from(PRODUCTS), min_size=ALL - 6).map(sorted),
)
recent_events = st.lists(
    st.builds(
        happened,
        st.sampled_from(KINDS),
        st.sampled_from([*PRODUCTS, "no such product", None]),
        st.floats(0, 300),
    ),
    max_size=30,
)


@pytest.mark.parametrize("model", ["small_model", "narrow_model"])
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    member=st.sampled_from([*MEMBERS[:20], "a stranger", None]),
    placement=st.sampled_from(["home", "product", "cart"]),
    seeds=st.lists(st.sampled_from(PRODUCTS), max_size=8),
    excluded=sets_of_products,
    limit=st.integers(1, ALL + 5),
    recent=recent_events,
)
def test_a_shelf_is_full_of_distinct_allowed_products(
    *,
    request: pytest.FixtureRequest,
    model: str,
    member: str | None,
    placement: str,
    seeds: list[str],
    excluded: list[str],
    limit: int,
    recent: list[RecentEvent],
) -> None:
    ranker = ranker_at(request.getfixturevalue(model))
    asked = wanted(member, limit, placement=placement, seeds=seeds, excluded=excluded)
    found = ids(recommend(ranker, asked, recent))
    resting = {
        event.product_id
        for event in recent
        if event.kind == "purchase" and event.occurred_at > NOW_US - REST_HOURS * DAY_US / 24
    }
    allowed = SELLABLE[model] - set(excluded) - set(seeds) - resting
    assert len(set(found)) == len(found) == min(limit, len(allowed))
    assert set(found) <= allowed


def test_a_list_without_its_whole_base_list_is_still_full(narrow: Ranker) -> None:
    for member in MEMBERS:
        row = narrow.model.members.row(member)
        assert row is not None
        low, high = narrow.model.base.offsets[row : row + 2]
        base = narrow.model.products.take(narrow.model.base.products[low:high])
        found = ids(recommend(narrow, wanted(member, 20, excluded=base), []))
        assert len(set(found) - set(base)) == 20


def test_what_is_sold_out_would_be_recommended_otherwise(ranker: Ranker) -> None:
    shown = {one for member in MEMBERS for one in ids(recommend(ranker, wanted(member, 20), []))}
    assert len(shown & set(NARROW_SOLD_OUT)) == len(NARROW_SOLD_OUT) - 1


def test_a_request_leaves_nothing_behind_for_the_next(narrow: Ranker) -> None:
    asked = wanted(MEMBERS[3], 20)
    before = recommend(narrow, asked, [])
    events = [happened("view", product) for product in PRODUCTS[5:25]]
    for member in MEMBERS[:30]:
        recommend(narrow, wanted(member, excluded=PRODUCTS[::3]), events)
    assert recommend(narrow, asked, []) == before


def test_members_get_lists_of_their_own(ranker: Ranker) -> None:
    lists = {tuple(ids(recommend(ranker, wanted(member, 10), []))) for member in MEMBERS}
    assert len(lists) > 0.9 * len(MEMBERS)
    assert tuple(ids(recommend(ranker, wanted("a stranger", 10), []))) not in lists
    stranger, nobody = (recommend(ranker, wanted(who, 10), []) for who in ("a stranger", None))
    assert stranger == nobody


@pytest.mark.parametrize("kind", ["view", "click", "add_to_cart", "purchase"])
@pytest.mark.parametrize(("first", "second"), BUNDLES)
@pytest.mark.parametrize("model", ["small_model", "narrow_model"])
def test_an_event_lifts_what_is_bought_together_with_its_product(
    request: pytest.FixtureRequest, model: str, kind: str, first: str, second: str
) -> None:
    ranker = ranker_at(request.getfixturevalue(model))
    if second in NARROW_SOLD_OUT and model == "narrow_model":
        first, second = second, first
    lifted = []
    for member in [*MEMBERS[:40], None]:
        before = ids(recommend(ranker, wanted(member), [])).index(second)
        after = ids(recommend(ranker, wanted(member), [happened(kind, first)])).index(second)
        lifted.append(before - after)
    assert sum(lifted) > len(lifted)
    assert lifted[-1] >= 0


def test_a_return_lifts_nothing(ranker: Ranker) -> None:
    (first, second), member = BUNDLES[0], MEMBERS[1]
    returned = recommend(ranker, wanted(member), [happened("return", first)])
    before = ids(recommend(ranker, wanted(member), []))
    assert ids(returned).index(second) >= before.index(second)
    assert all(item.reason.code != "session" for item in returned)


def test_what_was_bought_rests_and_then_comes_back(ranker: Ranker) -> None:
    for product in PRODUCTS[:5]:
        for hours, there in ((0.1, False), (REST_HOURS - 0.1, False), (REST_HOURS + 0.1, True)):
            bought = [happened("purchase", product, hours)]
            assert (product in ids(recommend(ranker, wanted(MEMBERS[0]), bought))) is there


def test_a_purchase_since_the_model_moves_the_date_of_its_reason(ranker: Ranker) -> None:
    moved = 0
    for member in MEMBERS:
        for item in recommend(ranker, wanted(member, 5), []):
            if item.reason.code != "again":
                continue
            bought = [happened("purchase", item.product_id, 24 * 3)]
            later = wanted(member, now=NOW_US + 2 * DAY_US)
            (now,) = [
                one for one in recommend(ranker, later, bought) if one.product_id == item.product_id
            ]
            assert now.reason.evidence.last_days_ago == 5
            moved += 1
    assert moved > 50


def test_again_states_the_days_that_the_dataset_has(ranker: Ranker, small_shop: Path) -> None:
    facts = own_purchases(small_shop)
    today = (NOW - timedelta(hours=9)).date()
    checked = 0
    for member in MEMBERS:
        for item in recommend(ranker, wanted(member), []):
            if item.reason.code != "again":
                continue
            last, every = facts[member, item.product_id]
            evidence = item.reason.evidence
            assert evidence.last_days_ago == (today - last).days
            assert evidence.every_days is not None
            assert abs(evidence.every_days - every) <= 0.51 + 0.001 * every  # rounded, float16
            assert f"every {evidence.every_days} days" in item.reason.text
            checked += 1
    assert checked > 500


def own_purchases(dataset: Path) -> dict[tuple[str, str], tuple[object, float]]:
    """(member, product) → day of the latest order with it, days from one such order to the next:
    the member's own span and one interval of the product's, over the number of orders."""
    bought = pl.read_parquet(dataset / "events.parquet").filter(
        (pl.col("kind") == "purchase") & pl.col("member_id").is_not_null()
    )
    days = pl.col("occurred_at").dt.epoch("us") / DAY_US
    pairs = bought.group_by("member_id", "product_id").agg(
        (days.max() - days.min()).alias("span"),
        pl.col("order_id").n_unique().alias("orders"),
        pl.col("occurred_at").max().dt.date().alias("last"),
    )
    usual = pairs["span"].sum() / (pairs["orders"] - 1).sum()
    of_product = (pl.col("span").sum() + 5 * usual) / ((pl.col("orders") - 1).sum() + 5)
    rows = pairs.with_columns(of_product.over("product_id").clip(1.0).alias("usual")).with_columns(
        ((pl.col("span") + pl.col("usual")) / pl.col("orders")).alias("every")
    )
    return {
        (row["member_id"], row["product_id"]): (row["last"], row["every"])
        for row in rows.iter_rows(named=True)
    }


def test_together_names_a_product_of_the_page_that_shares_an_order(
    ranker: Ranker, small_shop: Path
) -> None:
    held = orders_with(small_shop)
    everything = len(set().union(*held.values()))
    for placement, seeds in (("product", ["p10"]), ("cart", ["p00", "p33"])):
        found = recommend(ranker, wanted(MEMBERS[0], placement=placement, seeds=seeds), [])
        assert found[0].reason.code == "together"
        for item in found:
            facts = item.reason.evidence
            if (seed := facts.product_id) is None:
                continue
            assert seed in seeds
            both, of_seed = held[seed] & held[item.product_id], held[seed]
            assert (facts.orders, facts.of_orders) == (len(both), len(of_seed))
            by_chance = len(of_seed) * len(held[item.product_id]) / everything
            assert facts.lift == pytest.approx(len(both) / by_chance, abs=0.051)
            said = f"In {len(both):,} of {len(of_seed):,} orders with Product {seed[1:]}"
            assert item.reason.text.startswith(said)
            assert ("× chance" in item.reason.text) == (facts.lift >= 1.05)


def test_reasons_are_told_in_chinese_too(ranker: Ranker) -> None:
    for placement, seeds in (("home", []), ("product", ["p10"])):
        asked = wanted(MEMBERS[0], placement=placement, seeds=seeds)
        events = [happened("view", "p44")]
        english = recommend(ranker, asked, events)
        chinese = recommend(ranker, replace(asked, language="zh"), events)
        assert len(english) == len(chinese) > 0
        for one, other in zip(english, chinese, strict=True):
            assert (one.product_id, one.reason.code) == (other.product_id, other.reason.code)
            assert one.reason.evidence == other.reason.evidence
            assert one.reason.text.isascii() or "×" in one.reason.text
            assert re.search("[\u4e00-\u9fff]", other.reason.text)


@pytest.mark.parametrize("model", ["small_model", "narrow_model"])
def test_session_names_a_product_of_an_event_that_shares_an_order(
    request: pytest.FixtureRequest, small_shop: Path, model: str
) -> None:
    ranker = ranker_at(request.getfixturevalue(model))
    together = shared_orders(small_shop)
    returned, viewed = happened("return", "p20"), happened("view", "p10")
    events = [returned, viewed, happened("add_to_cart", "p44"), returned]
    named = 0
    for member in (*MEMBERS[:20], None):
        for item in recommend(ranker, wanted(member), events):
            if item.reason.code == "session":
                seed = item.reason.evidence.product_id
                assert seed in ("p10", "p44"), "a product that was returned is no interest"
                assert (seed, item.product_id) in together
                named += 1
    assert named > 100


def orders_with(dataset: Path) -> dict[str, set[str]]:
    """product → its orders"""
    lines = pl.read_parquet(dataset / "events.parquet").filter(pl.col("kind") == "purchase")
    held = lines.group_by("product_id").agg(pl.col("order_id").unique())
    return {product: set(orders) for product, orders in held.iter_rows()}


def shared_orders(dataset: Path) -> set[tuple[str, str]]:
    lines = pl.read_parquet(dataset / "events.parquet").filter(pl.col("kind") == "purchase")
    lines = lines.select("order_id", "product_id")
    pairs = lines.join(lines, on="order_id", suffix="_2").select("product_id", "product_id_2")
    return set(pairs.unique().iter_rows())


def test_only_bought_products_are_said_to_be_bought_again(ranker: Ranker, small_shop: Path) -> None:
    bought = own_purchases(small_shop)
    for member in MEMBERS[:50]:
        for item in recommend(ranker, wanted(member), [happened("view", "p10")]):
            states = item.reason.evidence
            assert (states.last_days_ago is not None) == (item.reason.code == "again")
            if item.reason.code == "again":
                assert (member, item.product_id) in bought
