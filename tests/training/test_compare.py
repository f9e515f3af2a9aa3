"""What a click or a purchase goes back to, and comparisons whose truth is known."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.dataset import Dataset
from recsys.errors import DataError
from tests.command import Command
from training.compare import MEASURES, Comparison, compare

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
A, B = "calm:control", "calm:buried"
TIME = pl.Datetime("us", "UTC")


def impression(
    request: str, member: str | None, products: list[str], **more: Any
) -> dict[str, Any]:
    visitor = None if member else "vic"
    given = {"variant": A, "model_version": "v1", "shown_at": NOON, **more}
    return {
        "request_id": request, "member_id": member, "visitor_id": visitor, "placement": "home",
        "product_ids": products, **given,
    }  # fmt: skip


def event(kind: str, member: str | None, product: str, hours: float, **more: Any) -> dict[str, Any]:
    given = {"amount": 10.0 if kind == "purchase" else None, "request_id": None, **more}
    at = NOON + timedelta(hours=hours)
    return {"kind": kind, "member_id": member, "product_id": product, "occurred_at": at, **given}


def written(
    folder: Path, impressions: list[dict[str, Any]], events: list[dict[str, Any]]
) -> Dataset:
    folder.mkdir(exist_ok=True)
    pl.DataFrame(
        impressions,
        schema_overrides={"shown_at": TIME, "member_id": pl.String, "visitor_id": pl.String},
        infer_schema_length=None,
    ).write_parquet(folder / "impressions.parquet")
    pl.DataFrame(
        events,
        schema_overrides={
            "occurred_at": TIME, "request_id": pl.String, "amount": pl.Float64,
            "visitor_id": pl.String, "member_id": pl.String,
        },
        infer_schema_length=None,
    ).write_parquet(folder / "events.parquet")  # fmt: skip
    return Dataset(folder)


def compared(dataset: Dataset, **more: Any) -> Comparison:
    given = {"window": timedelta(days=1), "split": (1.0, 1.0), **more}
    return compare(dataset, (A, B), **given)


def of_ann(folder: Path, events: list[dict[str, Any]], *more: dict[str, Any]) -> list[float]:
    """Clicks, conversion, revenue and spend of ann, who is one of two members of A."""
    others = [
        impression("r2", "bob", ["p2"]),
        impression("r3", "cid", ["p1"], variant=B),
        impression("r4", "dan", ["p1"], variant=B),
    ]
    ann = impression("r1", "ann", ["p1", "p2"])
    dataset = written(folder, [ann, *others, *more], [*events, event("view", "eve", "p9", 0)])
    (of_a, _) = compared(dataset).arms
    return [2 * of_a.measures[one].value for one in MEASURES]


NOTHING = [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event("click", "ann", "p1", 1)], [1, 0, 0, 0]),
        ([event("click", "ann", "p3", 1)], NOTHING),
        ([event("click", "bob", "p1", 1)], NOTHING),
        ([event("click", "ann", "p1", 25)], NOTHING),
        ([event("click", "ann", "p1", -1)], NOTHING),
        ([event("view", "ann", "p1", 1)], NOTHING),
        ([event("purchase", "ann", "p2", 1)], [0, 1, 10, 10]),
        ([event("purchase", "ann", "p2", 1), event("purchase", "ann", "p2", 2)], [0, 1, 20, 20]),
        ([event("purchase", "ann", "p3", 1)], [0, 0, 0, 10]),
        ([event("purchase", "ann", "p1", 30)], [0, 0, 0, 10]),
        # a click is a meeting of its own
        ([event("click", "ann", "p1", 20), event("purchase", "ann", "p1", 30)], [1, 1, 10, 10]),
        ([event("click", "ann", "p1", 20), event("purchase", "ann", "p2", 30)], [1, 0, 0, 10]),
        # the request says it, whoever has logged in meanwhile
        ([event("click", "new id", "p1", 1, request_id="r1")], [1, 0, 0, 0]),
        ([event("click", "new id", "p1", 1, request_id="other")], NOTHING),
        ([event("click", "new id", "p3", 1, request_id="r1")], NOTHING),
        ([event("purchase", "ann", "p1", 1, request_id="other")], [0, 1, 10, 10]),
    ],
)
def test_an_event_goes_back_to_a_list(
    tmp_path: Path, events: list[dict[str, Any]], expected: list[float]
) -> None:
    assert of_ann(tmp_path, events) == expected


def test_a_request_that_was_written_twice_counts_once(tmp_path: Path) -> None:
    events = [event("click", "ann", "p1", 1)]
    twice = impression("r1", "ann", ["p1", "p2"])
    later = impression("r9", "ann", ["p1"], shown_at=NOON + timedelta(minutes=30))
    assert of_ann(tmp_path, events, twice, later) == [1, 0, 0, 0]
    (of_a, _) = compared(Dataset(tmp_path)).arms
    assert (of_a.members, of_a.impressions) == (2, 3)


def test_a_visitor_is_a_member_of_its_own(tmp_path: Path) -> None:
    shown = [impression(f"r{n}", None, ["p1"], visitor_id=f"v{n}") for n in range(2)]
    shown += [impression(f"r{n}", f"m{n}", ["p1"], variant=B) for n in range(2, 4)]
    clicks = [event("click", None, "p1", 1, visitor_id="v0"), event("click", "v1", "p1", 1)]
    found = compared(written(tmp_path, shown, clicks))
    assert found.arms[0].measures["clicks"].value == 0.5


def simulated(
    folder: Path, seed: int, *, members: int = 500, share: float = 0.5, lift: float = 1.0
) -> Dataset:
    """Members come once or more, click now and then, and some buy what they clicked."""
    rng = np.random.default_rng(seed)
    shown, events = [], [event("view", "nobody", "p0", 0)]
    for number in range(members):
        in_b = rng.random() < share
        member, factor = f"m{number}", lift if in_b else 1.0
        keen = rng.gamma(2, 0.5)  # members differ, and their visits are alike
        for visit in range(1 + rng.poisson(2)):
            at = float(24 * visit)
            request = f"{seed}-{number}-{visit}"
            shown_at = NOON + timedelta(hours=at)
            variant = B if in_b else A
            shown.append(
                impression(request, member, ["p1", "p2"], variant=variant, shown_at=shown_at)
            )
            if rng.random() < min(1, 0.15 * keen * factor):
                events.append(event("click", member, "p1", at + 0.1, request_id=request))
                if rng.random() < 0.4:
                    cost = float(rng.lognormal(2, 0.7))
                    events.append(event("purchase", member, "p1", at + 0.5, amount=cost))
    return written(folder, shown, events)


def test_a_difference_that_is_there_is_found(tmp_path: Path) -> None:
    found = compared(simulated(tmp_path, 1, members=3_000, lift=1.5))
    assert found.withheld is None
    assert found.split_chance > 0.001
    for measure in MEASURES:
        gap, of_a = found.differences[measure], found.arms[0].measures[measure]
        assert gap.low > 0, measure
        assert gap.low < 0.5 * of_a.value < gap.high or measure == "conversion"


@pytest.mark.slow
def test_without_a_difference_alarms_come_at_the_nominal_rate(tmp_path: Path) -> None:
    rounds = 150
    alarms = dict.fromkeys(MEASURES, 0)
    for seed in range(rounds):
        found = compared(simulated(tmp_path, seed, members=200, share=0.3), split=(7.0, 3.0))
        assert found.withheld is None
        for measure, gap in found.differences.items():
            alarms[measure] += not gap.low <= 0 <= gap.high
    for measure, count in alarms.items():
        assert count / rounds <= 0.11, measure  # 0.05 and three standard errors
    assert sum(alarms.values()) > 0


def test_a_split_that_was_not_meant_is_refused_and_says_why(tmp_path: Path) -> None:
    dataset = simulated(tmp_path, 2, members=1_000, share=0.4, lift=1.5)
    found = compared(dataset)
    assert found.withheld is not None
    assert "no split of 1:1" in found.withheld
    assert found.differences == {}
    assert found.arms[0].measures == {}
    assert compared(dataset, split=(0.6, 0.4)).withheld is None


def test_members_who_met_both_are_left_out_and_many_of_them_refused(tmp_path: Path) -> None:
    shown = [impression(f"r{n}", f"m{n}", ["p1"], variant=A if n % 2 else B) for n in range(400)]
    strays = [impression(f"s{n}", f"m{2 * n}", ["p1"]) for n in range(20)]
    few = compared(written(tmp_path, [*shown, *strays[:3]], [event("click", "m0", "p1", 1)]))
    assert (few.both, few.withheld) == (3, None)
    assert few.arms[1].measures["clicks"].value == 0, "m0 met both"
    many = compared(written(tmp_path, [*shown, *strays], [event("click", "m0", "p1", 1)]))
    assert many.withheld is not None
    assert "20 of 400 members were shown both" in many.withheld


def test_a_name_that_nobody_was_shown_is_told_with_those_there_are(tmp_path: Path) -> None:
    dataset = simulated(tmp_path, 3, members=20)
    with pytest.raises(DataError, match=rf"'typo' was not shown .* there are: {B}, {A}, v1"):
        compare(dataset, (A, "typo"), window=timedelta(days=1), split=(1, 1))
    (tmp_path / "impressions.parquet").unlink()
    with pytest.raises(DataError, match="there are no impressions: drain first"):
        compared(dataset)


def test_the_command_tells_people_and_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(monkeypatch, capsys, tmp_path)
    dataset = simulated(tmp_path / "dataset", 2, members=1_000, share=0.4, lift=2.0)
    words = ("models", "compare", A, B, "--dataset", dataset.path)
    refused = command(*words, "--json")
    assert refused.code == 1
    assert "no split of 1:1" in json.loads(refused.out)["withheld"]
    facts = json.loads(command(*words, "--split", "3:2", "--json").out)
    assert facts["withheld"] is None
    assert facts["differences"]["clicks"]["low"] > 0
    assert [arm["name"] for arm in facts["arms"]] == [A, B]
    told = command(*words, "--split", "3:2")
    assert told.code == 0
    assert all(word in told.out for word in (*MEASURES, A, B, "*"))
    assert "--split '1' is no ratio" in command.refused(*words, "--split", "1")
    assert "--window 'x' is no length" in command.refused(*words, "--window", "x")
