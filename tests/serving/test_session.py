"""The session counts at once: searches, categories, and what was just bought for good."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import httpx
import numpy as np
import polars as pl
import pytest

from recsys.dataset import Dataset
from serving.feed.contract import RecentEvent
from serving.models import open_current
from serving.ranker import Ranker
from serving.recommend import recommend
from tests.serving.live import (
    RECOMMENDATIONS,
    event,
    in_process,
    items,
    products,
    send,
    service,
)
from tests.serving.test_recommend import NOW_US, happened, ids, ranker_at, wanted
from tests.serving.test_search import TITLES, found_by_text
from tests.small_shop import BEGIN, DAYS, END, MEMBERS, category
from training.config import TrainingSettings
from training.publish import publish
from training.run import train

pytestmark = pytest.mark.anyio
BOB = MEMBERS[1]
DURABLE, COMPLEMENT = "p59", "p33"
"""everybody buys the one once, mostly with the other"""


def searched(query: str, hours_ago: float = 0.1) -> RecentEvent:
    at = NOW_US - round(hours_ago * 3_600_000_000)
    return RecentEvent("search", at, None, None, None, None, query, None)


@pytest.fixture(scope="module")
def texts(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found_by_text(small_model, tmp_path_factory.mktemp("session"), TITLES)


@pytest.fixture(scope="module")
async def shop(texts: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(service(texts, str(texts / "feed.db"))) as client:
        yield client


async def test_a_search_moves_the_next_list_and_says_so(shop: httpx.AsyncClient) -> None:
    for who in ({"member_id": BOB}, {"visitor_id": "v-search"}):
        before = products(await items(shop, limit=100, **who))
        assert await send(shop, event("search", None, query="牛奶", **who)) == {
            "accepted": 1,
            "duplicates": 0,
        }
        after = await items(shop, limit=100, **who)
        lifted = [before.index(one) - products(after).index(one) for one in ("p06", "p07", "p08")]
        assert min(lifted) >= 0
        assert sum(lifted) > 3
        reasons = {one["product_id"]: one for one in after}
        told = [reasons[one] for one in ("p06", "p07", "p08")]
        said = [one for one in told if one["reason"]["code"] == "searched"]
        assert {one["source"] for one in said} <= {"search"}
        if "visitor_id" in who:
            assert len(said) == 3
            chinese = await shop.get(RECOMMENDATIONS, params=who, headers={"accept-language": "zh"})
            texts = {one["product_id"]: one["reason"]["text"] for one in chinese.json()["items"]}
            assert texts["p08"] == "符合您最近的搜索"


@pytest.mark.parametrize("query", ["wine", "", "?"])
def test_a_search_that_finds_nothing_changes_nothing(texts: Path, query: str) -> None:
    ranker = ranker_at(texts)
    for member in (*MEMBERS[:5], None):
        assert recommend(ranker, wanted(member), [searched(query)]) == recommend(
            ranker, wanted(member), []
        )


def test_a_search_fades_as_views_do(texts: Path) -> None:
    ranker = ranker_at(texts)
    scores = [
        {
            one.product_id: one.score
            for one in recommend(ranker, wanted(BOB), [searched("蜂蜜", hours)])
        }
        for hours in (0.1, 24, 72, 24 * 30)
    ]
    honey = [one["p09"] for one in scores]
    assert honey == sorted(honey, reverse=True)
    assert honey[0] > honey[2]


def test_looking_at_a_category_lifts_the_rest_of_it_until_something_of_it_is_bought(
    ranker: Ranker,
) -> None:
    lifted, ended = [], []
    for member in MEMBERS[:40]:
        before = ids(recommend(ranker, wanted(member), []))
        seen = [happened("view", "p40"), happened("view", "p41")]
        after = ids(recommend(ranker, wanted(member), seen))
        bought = ids(recommend(ranker, wanted(member), [*seen, happened("purchase", "p42")]))
        for one in before:
            if category(one) == category("p40") and one != "p42":
                lifted.append(before.index(one) - after.index(one))
                ended.append(after.index(one) - bought.index(one))
    assert np.mean(lifted) > 5
    assert np.mean(ended) < 0


@pytest.fixture
def ranker(small_model: Path) -> Ranker:
    return ranker_at(small_model)


@pytest.fixture(scope="module")
def durables(small_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    """The small shop where every member but the last forty has bought the durable once."""
    folder = tmp_path_factory.mktemp("durables")
    dataset = copytree(small_shop, folder / "dataset")
    events = pl.read_parquet(dataset / "events.parquet")
    rng = np.random.default_rng(5)
    rows = []
    for at, member in enumerate(MEMBERS[:-40]):
        moment = BEGIN + timedelta(days=float(rng.uniform(1, DAYS - 1)))
        for product in (DURABLE, COMPLEMENT) if rng.random() < 0.8 else (DURABLE,):
            rows.append(
                {"event_id": f"d-{at}-{product}", "kind": "purchase", "product_id": product,
                 "occurred_at": moment, "quantity": 1.0, "amount": 9.0, "member_id": member,
                 "order_id": f"d-{at}"}
            )  # fmt: skip
    more = pl.DataFrame(rows).cast({"occurred_at": events.schema["occurred_at"]})
    pl.concat([events, more], how="diagonal").write_parquet(dataset / "events.parquet")
    settings = TrainingSettings()
    version = train(Dataset(dataset), folder / "models", settings)
    publish(folder / "models", version, settings, now=END)
    return Ranker(open_current(folder / "models"))


def test_what_is_bought_for_good_leaves_and_what_goes_with_it_comes(durables: Ranker) -> None:
    risen = []
    for member in MEMBERS[-40:]:
        before = ids(recommend(durables, wanted(member), []))
        for hours in (0.1, 13, 24, 72, 168):
            bought = [happened("purchase", DURABLE, hours)]
            after = ids(recommend(durables, wanted(member), bought))
            if hours < 12:
                assert DURABLE not in after
                risen.append(before.index(COMPLEMENT) - after.index(COMPLEMENT))
            else:
                assert after.index(DURABLE) > before.index(DURABLE) + 20
    assert min(risen) >= 0
    assert np.mean(risen) > 1


def test_the_next_model_knows_that_it_was_bought_for_good(durables: Ranker) -> None:
    places = [
        [ids(recommend(durables, wanted(member), [])).index(DURABLE) for member in members]
        for members in (MEMBERS[:40], MEMBERS[-40:])
    ]
    have, lack = map(np.median, places)
    assert have > lack + 5


def test_a_model_from_before_takes_a_first_order_as_it_did(durables: Ranker) -> None:
    old = Ranker(replace(durables.model, once=None))
    bought = [happened("purchase", DURABLE, 13)]
    for member in MEMBERS[-5:]:
        assert ids(recommend(old, wanted(member), bought)).index(DURABLE) < 20
