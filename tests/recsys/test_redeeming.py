import dataclasses
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from recsys import artifact, redemption
from recsys.dataset import Dataset
from recsys.errors import ModelError
from recsys.model import Model
from recsys.redeeming import Redeeming
from tests.small_shop import BEGIN
from tests.training.redemption.coupon_shop import CAMPAIGNS, start, write_coupon_shop
from training.config import TrainingSettings
from training.redemption.campaigns import load as load_campaigns
from training.redemption.knowledge import known
from training.run import train
from training.shop import load

AS_OF = (start(CAMPAIGNS - 1) + timedelta(days=1)).replace(hour=0)
NOW = AS_OF.timestamp() / 86_400
ALL = np.arange(200, dtype=np.int32)
FAST = TrainingSettings(windows=1, factors=4, iterations=1, trees=4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coupon_shop(tmp_path_factory.mktemp("redeeming") / "dataset")


@pytest.fixture(scope="module")
def model(dataset: Path) -> Model:
    version = train(Dataset(dataset), dataset.parent / "models", FAST, as_of=AS_OF)
    return Model.from_artifact(artifact.open_model(dataset.parent / "models", version))


@pytest.fixture(scope="module")
def redeeming(model: Model) -> Redeeming:
    assert model.redeeming is not None
    return model.redeeming


def coupons_of(model: Model, campaign: int) -> np.ndarray:
    rows = [at for at, one in enumerate(model.coupons) if one.campaign_id == f"k{campaign}"]
    return np.array(rows, np.int32)


def test_what_is_kept_gives_the_chances_of_the_features_themselves(
    dataset: Path, model: Model, redeeming: Redeeming
) -> None:
    shop = load(Dataset(dataset), before=AS_OF)
    campaigns = load_campaigns(Dataset(dataset), shop, before=AS_OF)
    knowledge, coupons = known(shop, campaigns, NOW), coupons_of(model, CAMPAIGNS - 1)
    offered, bought = knowledge.offered(coupons), knowledge.bought(ALL, coupons)
    rank = redeeming.weights.rank(redemption.pair(offered, bought))
    saved = redemption.depth(offered, bought)
    table = redemption.of_chance(rank, bought.recent, saved, knowledge.member)
    found = redeeming.of_coupons(ALL, now=NOW)
    np.testing.assert_allclose(
        found[:, coupons], redeeming.weights.of_coupon.chance(table), rtol=2e-2
    )
    whole = redemption.of_anything(rank, bought.recent, 6, knowledge.member)
    np.testing.assert_allclose(
        redeeming.of_campaign(ALL, coupons, now=NOW, given=6),
        redeeming.weights.of_campaign.chance(whole),
        rtol=2e-2,
    )


def test_a_void_coupon_is_not_redeemed(model: Model, redeeming: Redeeming) -> None:
    found = redeeming.of_coupons(ALL, now=NOW)
    assert (found[:, coupons_of(model, 0)] == 0).all()
    assert (found[:, coupons_of(model, CAMPAIGNS - 1)] > 0).all()
    over = redeeming.of_campaign(ALL, coupons_of(model, 0), now=NOW, given=6)
    assert (over == 0).all()


def test_a_member_alone_is_answered_as_among_others(redeeming: Redeeming) -> None:
    some = np.array([7, 3], np.int32)
    np.testing.assert_array_equal(
        redeeming.of_coupons(some, now=NOW), redeeming.of_coupons(ALL, now=NOW)[some]
    )
    nobody = np.zeros(0, np.int32)
    assert redeeming.of_coupons(nobody, now=NOW).shape == (0, len(redeeming.none))
    assert redeeming.of_campaign(nobody, nobody, now=NOW, given=1).shape == (0,)


def test_the_clock_moves_what_it_has_been_since_the_push_alone(redeeming: Redeeming) -> None:
    now, later = (redeeming.of_coupons(ALL, now=NOW + days) for days in (0, 30))
    pushed = ~np.isnan(redeeming.last_push)
    assert (now[pushed] != later[pushed]).any(axis=1).all()
    np.testing.assert_array_equal(now[~pushed], later[~pushed])


def test_the_manifest_says_what_was_learned_from(model: Model) -> None:
    said = model.manifest["redemption"]
    assert said["learned_from"]["campaigns"] == CAMPAIGNS - 1
    assert not said["prior_only"]
    assert said["exposure"] == {"whole_up_to_coupons": 50, "else_best_of_a_member": 16}


def test_a_model_from_before_is_read_without(small_model: Path, model: Model) -> None:
    version = artifact.current(small_model / "models")
    assert version is not None
    opened = artifact.open_model(small_model / "models", version)
    old = {name: fact for name, fact in opened.manifest.items() if name != "redemption"}
    arrays = {name: one for name, one in opened.arrays.items() if not name.startswith("redeem")}
    found = Model.from_artifact(dataclasses.replace(opened, manifest=old, arrays=arrays))
    assert found.redeeming is None
    with pytest.raises(ModelError, match="redeem_"):
        Model.from_artifact(dataclasses.replace(opened, arrays=arrays))


def test_a_shop_without_coupons_has_none(dataset: Path, tmp_path: Path) -> None:
    bare = tmp_path / "dataset"
    bare.mkdir()
    shutil.copy(dataset / "events.parquet", bare)
    version = train(Dataset(bare), tmp_path / "models", FAST, as_of=BEGIN + timedelta(days=60))
    model = Model.from_artifact(artifact.open_model(tmp_path / "models", version))
    assert model.redeeming is None
    assert model.manifest["redemption"] is None
