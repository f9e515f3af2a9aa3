import dataclasses
import shutil
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys import artifact, features
from recsys.artifact import Artifact
from recsys.dataset import Dataset
from recsys.errors import ModelError
from recsys.model import BaseLists, Model
from tests.small_shop import END, MEMBERS, NEVER_BOUGHT, PRODUCTS, SOLD_OUT, category, price


@pytest.fixture(scope="module")
def opened(small_model: Path) -> Artifact:
    models = small_model / "models"
    version = artifact.current(models)
    assert version is not None
    return artifact.open_model(models, version, verify=True)


@pytest.fixture(scope="module")
def model(opened: Artifact) -> Model:
    return Model.from_artifact(opened)


def test_every_member_has_a_list_of_distinct_products_that_somebody_bought(model: Model) -> None:
    assert model.members.texts() == MEMBERS
    assert model.products.texts() == PRODUCTS
    never = model.products.row(NEVER_BOUGHT)
    for member in range(len(MEMBERS)):
        listed = model.base.products[model.base.offsets[member] : model.base.offsets[member + 1]]
        assert 10 <= len(listed) == len(set(listed.tolist())) <= 128
        assert never not in listed


def test_every_entry_has_its_own_length_and_finite_numbers(model: Model) -> None:
    size = int(model.base.offsets[-1])
    for field in dataclasses.fields(BaseLists):
        if field.name != "offsets":
            assert len(getattr(model.base, field.name)) == size
    assert np.isfinite(model.base.static).all()
    assert np.isfinite(model.base.interval).all()
    assert np.isfinite(model.product_static).all()
    assert np.isfinite(model.member_static).all()


def test_products_carry_what_the_catalogue_says(model: Model) -> None:
    assert model.titles[3] == "Product 03"
    assert model.categories[17] == category("p17")
    assert model.brands[17] == "brand 3"
    assert model.regions[17] == ""
    assert set(model.groups.tolist()) == {-1}
    assert model.attributes == {}
    np.testing.assert_allclose(model.prices, [price(product) for product in PRODUCTS])
    assert np.flatnonzero(~model.sellable).tolist() == [PRODUCTS.index(SOLD_OUT)]


def test_neighbours_are_never_the_product_itself_and_bundles_find_each_other(model: Model) -> None:
    owners = np.repeat(np.arange(len(PRODUCTS)), np.diff(model.near.offsets))
    assert (model.near.products != owners).all()
    assert (model.near.cosine > 0).all()
    first = int(model.near.offsets[PRODUCTS.index("p10")])
    assert model.near.products[first] == PRODUCTS.index("p11")
    descending = np.diff(model.near.cosine.astype(float)) <= 0
    assert descending[np.diff(owners) == 0].all()


def test_company_is_counted_in_orders_that_anyone_can_count_again(
    model: Model, small_shop: Path
) -> None:
    bought = Dataset(small_shop).read("events").filter(pl.col("kind") == "purchase")
    day = pl.col("occurred_at").dt.date()
    whole = pl.coalesce("order_id", pl.format("{} {}", "member_id", day), "event_id")
    lines = bought.select(whole.alias("order"), "product_id").unique().drop_nulls()
    held: dict[str, set[str]] = {product: set() for product in PRODUCTS}
    for order, product in lines.iter_rows():
        held[product].add(order)
    assert model.all_orders == lines["order"].n_unique()
    assert model.orders.tolist() == [len(held[product]) for product in PRODUCTS]
    owners = np.repeat(np.arange(len(PRODUCTS)), np.diff(model.near.offsets))
    for owner, other, orders in zip(owners, model.near.products, model.near.orders, strict=True):
        assert orders == len(held[PRODUCTS[owner]] & held[PRODUCTS[other]])


def test_a_stranger_gets_the_catalogue_the_popular_first(model: Model) -> None:
    assert sorted(model.popular.tolist()) == [
        at for at in range(len(PRODUCTS)) if PRODUCTS[at] != NEVER_BOUGHT
    ]
    scores = model.product_static[model.popular].astype(float)
    assert (np.diff(scores) <= 0.01).all()


def test_scopes_are_products_and_categories_in_their_campaigns(model: Model) -> None:
    names = [(coupon.coupon_id, coupon.campaign_id) for coupon in model.coupons]
    assert names == [
        ("c1", "spring"), ("c1", "winter"), ("c2", "spring"), ("c3", "spring"), ("c3", "winter"),
        ("c4", None),
    ]  # fmt: skip
    scopes: dict[tuple[str, str | None], set[str]] = {name: set() for name in names}
    for row, product in enumerate(PRODUCTS):
        for at in range(int(model.scope_offsets[row]), int(model.scope_offsets[row + 1])):
            scopes[names[model.scope_coupons[at]]].add(product)
    assert scopes["c1", "spring"] == scopes["c1", "winter"] == set(PRODUCTS[:15])
    assert scopes["c2", "spring"] == set(PRODUCTS[15:20])
    assert scopes["c3", "winter"] == {"p30"}
    assert scopes["c3", "spring"] == {"p30", "p31"}
    assert scopes["c4", None] == {"p10"}


def test_a_campaign_bounds_its_coupons(model: Model) -> None:
    spring, winter, *_ = model.coupons
    end = END.timestamp() / 86_400
    assert (spring.valid_from, spring.valid_until) == (end - 1, end + 28)
    assert (winter.valid_from, winter.valid_until) == (end - 28, end - 21)


def test_arrays_are_maps_of_the_files_and_not_to_be_written(opened: Artifact) -> None:
    for array in opened.arrays.values():
        assert not array.flags.writeable
        owner = array
        while owner.size and not isinstance(owner, mmap):
            owner = owner.base  # type: ignore[assignment]


def refused(opened: Artifact, manifest: dict[str, Any], arrays: dict[str, Any]) -> str:
    with pytest.raises(ModelError) as error:
        Model.from_artifact(Artifact(opened.version, manifest, arrays, opened.others))
    return str(error.value)


def test_each_missing_array_is_refused_by_name(opened: Artifact) -> None:
    for name in opened.arrays.keys() - {"once", "tiers_codes"}:  # earlier models lack them
        rest = {key: array for key, array in opened.arrays.items() if key != name}
        message = refused(opened, dict(opened.manifest), rest)
        assert name in message
        assert "Train it again" in message


@pytest.mark.parametrize("part", ["blend", "coupons", "attributes"])
def test_a_manifest_without_a_part_is_refused_by_name(opened: Artifact, part: str) -> None:
    rest = {key: value for key, value in opened.manifest.items() if key != part}
    assert part in refused(opened, rest, dict(opened.arrays))


def test_other_features_are_refused(opened: Artifact) -> None:
    blend = opened.manifest["blend"] | {"features": ["of", "another", "program"]}
    manifest = dict(opened.manifest) | {"blend": blend}
    assert "features" in refused(opened, manifest, dict(opened.arrays))


def test_a_model_from_before_a_feature_says_nothing_by_it(opened: Artifact, model: Model) -> None:
    parts = {
        name: part | {key: part[key][:-1] for key in ("weights", "means")}
        for name, part in opened.manifest["blend"].items()
        if name != "features"
    }
    blend = {"features": list(features.NAMES[:-1]), **parts}
    manifest = dict(opened.manifest) | {"blend": blend}
    old = Model.from_artifact(
        Artifact(opened.version, manifest, opened.arrays, opened.others)
    ).blend.new.weights
    assert old.tolist() == [*model.blend.new.weights[:-1], 0]


def test_a_coupon_of_another_program_is_refused(opened: Artifact) -> None:
    manifest = dict(opened.manifest) | {"coupons": [{"coupon_id": "c", "sparkle": True}]}
    assert "sparkle" in refused(opened, manifest, dict(opened.arrays))


def test_a_folder_that_lacks_a_file_does_not_open(
    opened: Artifact, small_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_model / "models" / opened.version, tmp_path / opened.version)
    (tmp_path / opened.version / "base_static.npy").unlink()
    with pytest.raises(ModelError, match=r"base_static\.npy is missing or cut short"):
        artifact.open_model(tmp_path, opened.version)
