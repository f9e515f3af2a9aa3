import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import composition
from campaigns.ledger.consent import Statement, record
from campaigns.ledger.redemptions import Use, redeem
from composition import clock, load_settings
from recsys import artifact
from recsys.errors import SettingsError
from recsys.model import Model
from serving.feed import open_feed
from serving.feed.contract import Event
from tests.command import Command
from tests.small_shop import END, MEMBERS
from training.publish import publications

ROOT = Path(__file__).parents[1]
FAST = {
    "GUESSLIKE_TRAINING__WINDOWS": "2",
    "GUESSLIKE_TRAINING__ITERATIONS": "2",
    "GUESSLIKE_TRAINING__FACTORS": "8",
}


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(monkeypatch, capsys, tmp_path / "home")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("GUESSLIKE_HOMES", "GUESSLIKE_HOME"),
        ("GUESSLIKE_SERVING_PORT", "GUESSLIKE_SERVING__PORT"),
        ("GUESSLIKE_TRAINING__FACTOR", "GUESSLIKE_TRAINING__FACTORS"),
        ("GUESSLIKE_TRAINING__MINSUPPORT", "GUESSLIKE_TRAINING__MIN_SUPPORT"),
    ],
)
def test_an_unknown_setting_stops_every_command_and_names_the_nearest(
    command: Command, name: str, near: str
) -> None:
    said = command.refused("models", "list", **{name: "1"})
    assert f"unknown setting {name}; did you mean {near}?" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GUESSLIKE_TRAINING__FACTORS", "many"),
        ("GUESSLIKE_TRAINING__FACTORS", "0"),
        ("GUESSLIKE_TRAINING__HORIZON_DAYS", "-7"),
        ("GUESSLIKE_TRAINING__GATE_COVERAGE", "1.5"),
        ("GUESSLIKE_SERVING__PORT", "99999999"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(command: Command, name: str, value: str) -> None:
    assert f"{name}: Input should be" in command.refused("models", "list", **{name: value})


def test_every_bad_value_is_told_at_once(command: Command) -> None:
    bad = {"GUESSLIKE_TRAINING__FACTORS": "0", "GUESSLIKE_TRAINING__SEED": "x"}
    said = command.refused("models", "list", **bad)
    assert all(name in said for name in bad)


def test_a_mapping_that_is_no_json_is_refused_by_name(command: Command) -> None:
    for name in ("GUESSLIKE_CAMPAIGNS__CHANNELS", "GUESSLIKE_SERVING__DOORS__ORIGINS"):
        assert f"{name} is not JSON" in command.refused("models", "list", **{name: "email"})


def test_settings_come_from_the_environment_and_cannot_be_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {"GUESSLIKE_HOME": "/somewhere", "GUESSLIKE_TRAINING__FACTORS": "99"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(environment | {"GUESSLIKE_TEST_ANYTHING": "x", "HOME": "/root"})
    assert settings.models == Path("/somewhere/models")
    assert settings.training.factors == 99
    with pytest.raises(ValueError, match="frozen"):
        settings.home = Path("/elsewhere")
    with pytest.raises(ValueError, match="frozen"):
        settings.training.factors = 1


def test_the_clock_is_the_systems_unless_it_is_started_somewhere() -> None:
    assert abs(clock(None)() - datetime.now(UTC)) < timedelta(seconds=5)
    started = clock("2018-01-02T09:00:00+01:00")
    first = started()
    assert first.tzinfo is UTC
    assert timedelta(0) <= first - datetime(2018, 1, 2, 8, tzinfo=UTC) < timedelta(seconds=5)
    time.sleep(0.01)
    assert timedelta(milliseconds=10) <= started() - first < timedelta(seconds=5)


@pytest.mark.parametrize("start", ["", "noon", "2018-13-01T00:00:00Z", "1"])
def test_a_clock_that_is_no_instant_is_refused(start: str) -> None:
    with pytest.raises(SettingsError, match="write it as 2018-01-02T09:00:00Z"):
        clock(start)


def test_a_clock_without_a_zone_is_refused(command: Command) -> None:
    with pytest.raises(SettingsError, match=r"needs a time zone, such as 2018-01-02T09:00Z"):
        clock("2018-01-02T09:00")
    said = command.refused("campaigns", "--clock", "2018-01-02T09:00", "verify")
    assert "needs a time zone" in said


def test_a_home_that_is_a_file_is_refused(command: Command, small_shop: Path) -> None:
    command.home.write_text("not a folder")
    said = command.refused("train", small_shop, **FAST)
    assert str(command.home) in said
    assert "GUESSLIKE_HOME" in said


def test_a_full_disk_is_one_message_and_leaves_no_half_model(
    small_shop: Path, tmp_path: Path
) -> None:
    script = """
        mount -t tmpfs -o size=100k tmpfs "$1" || exit 77
        GUESSLIKE_HOME="$1" "$2" -m guesslike train "$3"
        echo "ended $?"
        ls -A "$1/models"
    """
    if shutil.which("unshare") is None:
        pytest.skip("unshare(1) makes the small disk")
    words = ["unshare", "-m", "sh", "-c", script, "-", tmp_path, sys.executable, small_shop]
    ended = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT)
    if "ended" not in ended.stdout:
        pytest.skip("only root can mount a small disk")
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout.split() == ["ended", "2", ".lock"]


def test_what_is_our_own_defect_keeps_its_traceback(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(artifact, "current", broken)
    with pytest.raises(ZeroDivisionError):
        command("models", "list")


def test_retrain_drains_trains_publishes_and_keeps_a_few(
    command: Command, small_shop: Path, tmp_path: Path
) -> None:
    dataset = Path(shutil.copytree(small_shop, tmp_path / "dataset"))
    settings = FAST | {"GUESSLIKE_TRAINING__KEEP_MODELS": "2"}
    models = command.home / "models"
    published = []
    for day in range(3):
        rows = pl.read_parquet(dataset / "events.parquet")
        later = rows.tail(50).with_columns(
            pl.lit(END + timedelta(days=day)).cast(rows.schema["occurred_at"]).alias("occurred_at"),
            (f"{day}-" + pl.col("event_id")).alias("event_id"),
        )
        pl.concat([rows, later]).write_parquet(dataset / "events.parquet")
        ended = command("retrain", dataset, "--json", **settings)
        assert ended.code == 0, ended.err
        done = json.loads(ended.out)
        published.append(done["published"])
        assert artifact.current(models) == published[-1]
        assert done["deleted"] == ([published[0]] if day == 2 else [])
    assert artifact.versions(models) == published[1:]
    assert [line.version for line in publications(models)] == published


def test_retrain_omits_who_was_erased_and_lets_go_of_what_is_too_old(
    command: Command, small_shop: Path, tmp_path: Path
) -> None:
    dataset = Path(shutil.copytree(small_shop, tmp_path / "dataset"))
    models, ann = command.home / "models", MEMBERS[0]

    def retrained() -> Model:
        ended = command("retrain", dataset, "--json", **FAST)
        assert ended.code == 0, ended.err
        version = json.loads(ended.out)["published"]
        return Model.from_artifact(artifact.open_model(models, version))

    async def of_the_feed(model: Model) -> tuple[bool, set[str]]:
        feed = await open_feed(str(command.home / "feed.db"))
        if not await feed.erased() and model is first:
            await feed.erase(ann, event_id="erase", until=round(END.timestamp() * 1e6), now=1)
        recent = await feed.recent(f"m:{ann}", after=model.feed_sequences, limit=9)
        erased = set(await feed.erased())
        await feed.close()
        return recent.hidden, erased

    first = retrained()
    assert first.members.row(ann) is not None
    assert asyncio.run(of_the_feed(first)) == (True, {ann})
    old = (models / first.version / artifact.MANIFEST).stat().st_mtime - 31 * 86_400
    os.utime(models / first.version / artifact.MANIFEST, (old, old))
    second = retrained()
    assert second.members.row(ann) is None
    assert len(second.members) == len(first.members) - 1
    assert artifact.versions(models) == [second.version]
    assert asyncio.run(of_the_feed(second)) == (False, set()), "no model is left that has them"


def test_a_model_that_the_placements_do_not_fit_is_not_published(
    command: Command, small_shop: Path, tmp_path: Path
) -> None:
    dataset = Path(shutil.copytree(small_shop, tmp_path / "dataset"))
    models, placements = command.home / "models", tmp_path / "placements.yaml"
    settings = FAST | {"GUESSLIKE_SERVING__PLACEMENTS": str(placements)}
    placements.write_text("home: {colour: red}")
    assert "home.colour: unknown key" in command.refused("retrain", dataset, **settings)
    assert artifact.versions(models) == [], "told before the work"

    placements.write_text('home: {bury: colour = 1}\ncart: {filter: brand = "Nobody"}')
    said = command.refused("retrain", dataset, **settings)
    (version,) = artifact.versions(models)
    assert artifact.current(models) is None
    for part in (
        f"model {version} is not published: ",
        f"{placements}: home.bury: Unknown field 'colour'",
        f'{placements}: cart.filter: no product passes brand = "Nobody"',
    ):
        assert part in said
    assert command.refused("models", "publish", version, **settings) == said
    placements.write_text('cart: {filter: brand = "Nobody"}')
    assert command("models", "publish", version, "--force", **settings).code == 0
    assert publications(models)[-1].forced
    placements.write_text("")
    assert command("models", "publish", version, **settings).code == 0
    assert not publications(models)[-1].forced


def test_a_second_retrain_at_once_is_refused(command: Command, small_shop: Path) -> None:
    command.home.mkdir()
    with (command.home / "retrain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = command.refused("retrain", small_shop)
    assert "another retrain holds" in said
    assert artifact.versions(command.home / "models") == []


@pytest.mark.parametrize("words", [["serve"], ["recommend", "--member", "m001"]])
def test_serving_without_a_model_says_how_to_publish_one(
    command: Command, words: list[str]
) -> None:
    said = command.refused(*words)
    assert "no model is published" in said
    assert "guesslike train DATASET" in said


def test_the_process_starts_with_one_blas_thread() -> None:
    code = (
        "import guesslike, commands, threadpoolctl;"
        "print({p['num_threads'] for p in threadpoolctl.threadpool_info()"
        " if p['user_api'] == 'blas'})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert ended.stdout.strip() == "{1}"


def test_every_setting_has_a_name_that_is_known() -> None:
    names = [name for name, _ in composition._fields(composition.Settings, composition.PREFIX)]
    assert len(names) == len(set(names))
    assert {"GUESSLIKE_HOME", "GUESSLIKE_SERVING__PORT", "GUESSLIKE_TRAINING__SEED"} <= set(names)


def test_drain_tells_the_dataset_what_the_ledger_knows(command: Command, tmp_path: Path) -> None:
    """Also of a ledger under a simulated clock; where it cannot be read, the events are safe."""
    (dataset := tmp_path / "dataset").mkdir()
    settings = composition.Settings(home=command.home)
    ledger_of = composition.campaign_composition(settings, lambda: END, name="simulated")
    assert command("drain", dataset).code == 0
    assert not (dataset / "redemptions").exists()
    agreed = Statement(MEMBERS[0], "email", "ann@example.invalid", True, END, "shop", "UTC")
    with ledger_of.open_ledger() as ledger:
        record(ledger, [agreed], now=END)
        redeem(ledger, Use("o1", "c1", 100, END, MEMBERS[0]), limit=None, now=END)
    assert command("drain", dataset).code == 0
    rows = pl.read_parquet(dataset / "redemptions" / "ledger.parquet")
    assert rows["order_id"].to_list() == ["o1"]

    async def seen() -> None:
        feed = await open_feed(str(command.home / "feed.db"))
        await feed.append([Event("e1", "view", 1, "p01", MEMBERS[0])], now=1)
        await feed.close()

    asyncio.run(seen())
    (command.home / "ledger.key").rename(tmp_path / "ledger.key")
    assert "put it back from its backup" in command.refused("drain", dataset)
    assert pl.read_parquet(dataset / "events" / "feed-0-1-1.parquet").height == 1
    assert pl.read_parquet(dataset / "redemptions" / "ledger.parquet").equals(rows)
