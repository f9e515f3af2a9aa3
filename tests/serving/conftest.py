"""A second model of the small shop, in which every shelf has to be filled up."""

from pathlib import Path
from shutil import copytree

import polars as pl
import pytest

from recsys.dataset import Dataset
from tests.serving.live import NARROW_SOLD_OUT
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
