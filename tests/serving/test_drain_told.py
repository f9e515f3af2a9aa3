"""New products reach the dataset, and give way to an import."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import polars as pl
import pytest

from recsys.dataset import Dataset
from recsys.model import Model
from serving.drain import drain
from serving.feed import open_feed
from serving.feed.contract import Feed
from serving.feed.news import ProductChange
from serving.models import open_current
from tests.redis_server import RedisServer
from tests.small_shop import END
from training.config import TrainingSettings
from training.publish import publish
from training.run import train

pytestmark = pytest.mark.anyio
FIRST = 1_800_000_000


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "feed.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
async def feed(store: str) -> AsyncIterator[Feed]:
    opened = await open_feed(store)
    yield opened
    await opened.close()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dataset"
    path.mkdir()
    return path


async def tell(feed: Feed, product: str, at: int = FIRST, **facts: Any) -> None:
    await feed.tell([ProductChange(product, {**facts, "told_at": at})])


def told(dataset: Path) -> dict[str, dict[str, Any]]:
    """As training reads them, each product's facts that are known."""
    rows = Dataset(dataset).read("products").iter_rows(named=True)
    return {
        row.pop("product_id"): {name: fact for name, fact in row.items() if fact is not None}
        for row in rows
    }


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def test_what_has_a_title_is_a_row_from_when_it_was_told(feed: Feed, dataset: Path) -> None:
    await tell(feed, "tea", title="Tee/茶", category="DRINKS", regions=["north"], price=2.5)
    await tell(feed, "p1", in_stock=False, price=1)
    await drain(feed, dataset)
    first = instant(FIRST)
    assert told(dataset) == {
        "tea": {
            "title": "Tee/茶", "category": "DRINKS", "regions": ["north"], "price": 2.5,
            "launched_at": first, "valid_from": first,
        }
    }  # fmt: skip
    before = (dataset / "products" / "feed-told.parquet").stat()
    await tell(feed, "tea", FIRST + 60, in_stock=False)
    await drain(feed, dataset)
    assert (dataset / "products" / "feed-told.parquet").stat() == before, "stock is no news here"
    await tell(feed, "tea", FIRST + 90, brand="Leaf")
    await drain(feed, dataset)
    row = told(dataset)["tea"]
    assert (row["brand"], row["launched_at"], row["valid_from"]) == (
        "Leaf", first, instant(FIRST + 90),
    )  # fmt: skip
    await tell(feed, "tea", FIRST + 99, title=None)
    await drain(feed, dataset)
    assert told(dataset) == {}


async def test_what_an_import_has_is_the_imports_alone(feed: Feed, dataset: Path) -> None:
    await tell(feed, "tea", title="Told", price=2)
    await tell(feed, "oil", title="Oil")
    await drain(feed, dataset)
    pl.DataFrame({"product_id": ["tea"], "title": ["Imported"]}).write_parquet(
        dataset / "products.parquet"
    )
    await drain(feed, dataset)
    assert {name: row["title"] for name, row in told(dataset).items()} == {
        "tea": "Imported", "oil": "Oil",
    }  # fmt: skip
    assert "price" not in told(dataset)["tea"]


async def test_what_another_feed_drained_stays(feed: Feed, dataset: Path, tmp_path: Path) -> None:
    await tell(feed, "tea", title="Tea")
    await drain(feed, dataset)
    fresh = await open_feed(str(tmp_path / "fresh.db"))
    await tell(fresh, "oil", title="Oil")
    await drain(fresh, dataset)
    await fresh.close()
    assert set(told(dataset)) == {"tea", "oil"}


async def test_the_next_model_knows_it_and_shows_it_as_new(
    small_shop: Path, tmp_path: Path
) -> None:
    dataset = copytree(small_shop, tmp_path / "home" / "dataset")
    feed = await open_feed(str(tmp_path / "feed.db"))
    before = round(END.timestamp()) - 3600
    await tell(feed, "tea", before, title="Green tea", category="DRINKS", brand="Leaf", price=3.0)
    await drain(feed, dataset)
    await feed.close()
    models = tmp_path / "home" / "models"
    publish(
        models, train(Dataset(dataset), models, TrainingSettings()), TrainingSettings(), now=END
    )
    model: Model = open_current(models)
    row = model.products.row("tea")
    assert row is not None
    assert (model.titles[row], model.brands[row], model.prices[row]) == ("Green tea", "Leaf", 3.0)
    assert row in model.fresh_anybody
