import shutil
from pathlib import Path

import pytest

from recsys.dataset import Dataset
from tests.training.redemption.coupon_shop import write_coupon_shop
from training.redemption.campaigns import Campaigns
from training.redemption.campaigns import load as load_campaigns
from training.shop import Shop, load


@pytest.fixture(scope="session")
def coupon_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read it, never write into it."""
    return write_coupon_shop(tmp_path_factory.mktemp("coupon-shop") / "dataset")


@pytest.fixture
def copy(coupon_shop: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(coupon_shop, tmp_path / "dataset"))


@pytest.fixture(scope="session")
def shop(coupon_shop: Path) -> Shop:
    return load(Dataset(coupon_shop))


@pytest.fixture(scope="session")
def campaigns(coupon_shop: Path, shop: Shop) -> Campaigns:
    return load_campaigns(Dataset(coupon_shop), shop)
