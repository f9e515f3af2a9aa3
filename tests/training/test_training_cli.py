import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import artifact
from tests.command import Command
from tests.small_shop import END, TIME

FAST = {
    "GUESSLIKE_TRAINING__WINDOWS": "2",
    "GUESSLIKE_TRAINING__ITERATIONS": "2",
    "GUESSLIKE_TRAINING__FACTORS": "8",
}
AS_OF = f"{END - timedelta(days=7):%Y-%m-%d}"


@pytest.fixture
def command(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:  # fmt: skip
    """Over a folder of one's own with the small shop's published model."""
    shutil.copytree(small_model / "models", tmp_path / "models")
    return Command(monkeypatch, capsys, tmp_path)


def only_json(command: Command, *words: object, **settings: str) -> dict[str, Any]:
    """The one object on standard output; nothing else is said anywhere."""
    ended = command(*words, "--json", **settings)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert ended.out.count("\n") == 1
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_train_then_publish_then_roll_back(command: Command, small_shop: Path) -> None:
    first = only_json(command, "models", "list")["current"]
    made = only_json(command, "train", small_shop, "--as-of", AS_OF, **FAST)
    version = made["version"]
    assert made["as_of"] == AS_OF
    assert made["gate"]["current"] > 0  # the published recipe, on the same data
    listed = only_json(command, "models", "list")
    assert listed["current"] == first, "train does not publish"
    assert [one["version"] for one in listed["models"]] == [first, version]
    assert only_json(command, "models", "show", version)["config"]["factors"] == 8
    assert only_json(command, "models", "publish", version)["version"] == version
    assert artifact.current(command.home / "models") == version
    assert only_json(command, "models", "rollback")["version"] == first
    assert artifact.current(command.home / "models") == first


def test_people_are_told_the_same_in_words(command: Command, small_shop: Path) -> None:
    trained = command("train", small_shop, "--as-of", AS_OF, **FAST)
    assert "200 members, 59 products" in trained.out
    assert "guesslike models publish 2025-04-24-" in trained.out
    assert "published" in command("models", "list").out
    version = artifact.versions(command.home / "models")[-1]
    assert "coverage" in command("models", "show", version).out
    assert f"Published {version}." in command("models", "publish", version).out


def test_evaluate_prints_one_object_and_writes_the_lists(
    command: Command, small_shop: Path, tmp_path: Path
) -> None:
    lists = tmp_path / "lists.parquet"
    report = only_json(
        command, "evaluate", small_shop, "--as-of", AS_OF, "--k", 3, "--lists", lists, **FAST
    )
    assert (report["k"], report["horizon_days"]) == (3, 7.0)
    ranked = pl.read_parquet(lists).filter(pl.col("task") == "all")
    assert ranked["member_id"].n_unique() == report["tasks"]["all"]["members"]
    assert ranked["rank"].max() == 3


def test_evaluate_shows_a_table_a_task(command: Command, small_shop: Path) -> None:
    said = command("evaluate", small_shop, "--as-of", AS_OF, "--horizon", "6d", **FAST).out
    for part in ("all: ", "new: ", "repeat: ", "ranker", "bm25 (reference)", "recall@10", "6 days"):
        assert part in said


def test_evaluate_by_last_basket_needs_no_date(command: Command, small_shop: Path) -> None:
    words = ("evaluate", small_shop, "--split", "last-basket")
    report = only_json(command, *words, "--newcomers", 0.3, **FAST)
    assert report["split"] == "last-basket"
    assert "tifuknn" in report["tasks"]["all"]["slices"]["1-2"]["references"]
    said = command(*words, "--as-of", AS_OF, **FAST).out
    assert "members, the last order of each" in said
    assert "up-cf (reference)" in said


def test_what_does_not_go_with_a_split_is_refused(command: Command, small_shop: Path) -> None:
    assert "--as-of 2017-12-01" in command.refused("evaluate", small_shop)
    words = ("evaluate", small_shop, "--split", "last-basket", "--horizon", "7d")
    assert "not a --horizon" in command.refused(*words)
    assert command("evaluate", small_shop, "--split", "random").code == 2


@pytest.mark.parametrize("horizon", ["0d", "7", "7h", "week", "-1d", ""])
def test_a_horizon_that_is_no_length_is_refused(
    command: Command, small_shop: Path, horizon: str
) -> None:
    words = ("evaluate", small_shop, "--as-of", AS_OF, f"--horizon={horizon}")
    assert "write days, such as 7d" in command.refused(*words)


def test_lists_into_a_folder_that_is_not_there_are_refused_before_the_work(
    command: Command, small_shop: Path, tmp_path: Path
) -> None:
    path = tmp_path / "absent" / "lists.parquet"
    said = command.refused("evaluate", small_shop, "--as-of", AS_OF, "--lists", path)
    assert f"there is no folder {path.parent}" in said


def test_lists_on_a_full_disk_say_so(command: Command, small_shop: Path) -> None:
    words = ("evaluate", small_shop, "--as-of", AS_OF, "--lists", "/dev/full", "--json")
    assert "No space left on device" in command.refused(*words, **FAST)


def test_a_date_outside_the_data_is_refused(command: Command, small_shop: Path) -> None:
    said = command.refused("evaluate", small_shop, "--as-of", "2031-01-01", **FAST)
    assert "Choose an --as-of inside the data" in said
    assert command("evaluate", small_shop, "--as-of", "yesterday").code == 2


@pytest.mark.parametrize("words", [["train"], ["evaluate", "--as-of", AS_OF]])
def test_a_dataset_that_is_not_there_is_named(
    command: Command, tmp_path: Path, words: list[str]
) -> None:
    said = command.refused(*words, tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no events.parquet" in said


@pytest.mark.parametrize("words", [["train"], ["evaluate", "--as-of", AS_OF]])
def test_an_empty_dataset_says_what_to_import(
    command: Command, tmp_path: Path, words: list[str]
) -> None:
    schema = {"product_id": pl.String, "kind": pl.String, "occurred_at": TIME}
    pl.DataFrame(schema=schema).write_parquet(tmp_path / "events.parquet")
    said = command.refused(*words, tmp_path)
    assert "events table has no rows" in said
    assert "Import" in said


def test_a_dataset_without_a_needed_column_names_it(command: Command, tmp_path: Path) -> None:
    pl.DataFrame({"product_id": ["p"], "kind": ["view"]}).write_parquet(tmp_path / "events.parquet")
    assert "occurred_at" in command.refused("train", tmp_path)


def test_a_corrupt_model_is_not_published(command: Command) -> None:
    models = command.home / "models"
    version = artifact.current(models)
    assert version is not None
    path = models / version / "near_cosine.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    said = command.refused("models", "publish", version, "--force")
    assert "near_cosine.npy is not what was written" in said
    (models / version / artifact.MANIFEST).write_text("{")
    assert "is not JSON" in command.refused("models", "list")
    assert "is not JSON" in command.refused("models", "publish", version)


@pytest.mark.parametrize("version", ["nothing", "../models", "x" * 99])
@pytest.mark.parametrize("what", ["publish", "show"])
def test_a_version_that_is_not_there_is_refused(command: Command, what: str, version: str) -> None:
    assert "guesslike models list" in command.refused("models", what, version)


def test_a_model_that_fails_the_gate_needs_force(command: Command, small_shop: Path) -> None:
    poor = {"GUESSLIKE_TRAINING__MIN_SUPPORT": "165", "GUESSLIKE_TRAINING__SEED": "3"}
    version = only_json(command, "train", small_shop, **FAST | poor)["version"]
    said = command.refused("models", "publish", version)
    assert f"model {version} is not published" in said
    assert "--force" in said
    forced = command("models", "publish", version, "--force")
    assert "although the gate refused it" in forced.out
    assert json.loads(command("models", "list", "--json").out)["current"] == version


def test_a_rollback_with_nothing_before_is_refused(command: Command) -> None:
    assert "no earlier published model" in command.refused("models", "rollback")


def test_a_folder_without_models_says_how_to_make_one(command: Command, tmp_path: Path) -> None:
    said = command("models", "list", GUESSLIKE_HOME=str(tmp_path / "fresh")).out
    assert "guesslike train DATASET" in said


def test_the_doctor_names_what_it_finds_and_fails_on_what_misleads(
    command: Command, small_shop: Path, tmp_path: Path
) -> None:
    found = only_json(command, "doctor", small_shop)
    assert [one["placement"] for one in found["placements"]] == [
        "home",
        "product",
        "cart",
        "search",
    ]
    assert not [one for one in found["findings"] if one["gravity"] == "error"]
    views = pl.read_parquet(small_shop / "events.parquet").with_columns(kind=pl.lit("view"))
    (tmp_path / "views").mkdir()
    views.with_columns(order_id=pl.lit(None, pl.String)).write_parquet(
        tmp_path / "views" / "events.parquet"
    )
    ended = command("doctor", tmp_path / "views")
    assert ended.code == 1
    assert "no purchases" in ended.out
    assert "home: no" in ended.out


def test_an_evaluation_compares_with_a_versions_recipe_and_writes_a_page(
    command: Command, small_shop: Path, tmp_path: Path
) -> None:
    version = only_json(command, "models", "list")["current"]
    file = tmp_path / "page.html"
    evaluated = ("evaluate", small_shop, "--as-of", AS_OF, "--against", version, "--html", file)
    found = only_json(command, *evaluated, **FAST)
    for task in found["tasks"].values():
        assert task["rows"][version]["recall"] >= 0
    text = file.read_text()
    for said in (
        version, "popular-segment", "95 %", "By category", "Gini", "calibration", "recall lost",
        "all of “again”", "orders. Bought last",
    ):  # fmt: skip
        assert said.lower() in text.lower(), said
    assert "<script" not in text
    assert "http" not in text  # nothing is fetched
    assert "{{" not in text
    ended = command("evaluate", small_shop, "--as-of", AS_OF, "--against", "2001-01-01-abc")
    assert ended.code == 2
    assert "2001-01-01-abc" in ended.err
    ended = command("evaluate", small_shop, "--as-of", AS_OF, "--html", tmp_path / "no" / "x.html")
    assert ended.code == 2
    assert "no folder" in ended.err
