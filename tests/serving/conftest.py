"""A second model of the small shop, in which every shelf has to be filled up; and every feed."""

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree

import polars as pl
import pytest

from recsys.dataset import Dataset
from serving.feed import Feed
from tests.redis_server import RedisServer
from tests.serving.live import NARROW_SOLD_OUT
from tests.serving.stores import Store
from tests.small_shop import END
from training.config import TrainingSettings
from training.publish import publish
from training.run import train


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def narrow_model(small_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose model keeps 8 products a member, with some of the best sold out."""
    home = tmp_path_factory.mktemp("narrow-shop")
    dataset = copytree(small_shop, home / "dataset")
    catalogue = pl.read_parquet(dataset / "products.parquet")
    catalogue.with_columns(
        ~pl.col("product_id").is_in(NARROW_SOLD_OUT).alias("in_stock")
    ).write_parquet(dataset / "products.parquet")
    settings = TrainingSettings(base_size=8, candidates=8, neighbours=6)
    version = train(Dataset(dataset), home / "models", settings)
    publish(home / "models", version, settings, now=END)
    return home


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("redis, 4 shards", marks=pytest.mark.redis),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind in turn, empty."""
    if request.param == "sqlite":
        return Store(f"sqlite:///{tmp_path}/var/feed.db", 1)
    server: RedisServer = request.getfixturevalue("redis_server")
    return Store(server.url, 4 if "4" in request.param else 1)


@pytest.fixture
async def feed(store: Store) -> AsyncIterator[Feed]:
    """Its feed, open."""
    opened = await store.open()
    yield opened
    await opened.close()
