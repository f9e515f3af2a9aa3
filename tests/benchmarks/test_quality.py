import json
from pathlib import Path
from typing import Any, get_args

import pytest

from benchmarks.quality import ablation, run
from benchmarks.quality.plan import GROUPS, Bar, Group
from benchmarks.quality.report import bar_table, bars, table
from benchmarks.quality.shops import amazon_cds
from recsys.dataset import Dataset
from training.config import SourceName

GROUP = Group(
    "amazon", "A shop", "none", (), (None,),
    (Bar("all", ("repeat", "als"), 1.5, 2.5), Bar("new", (), 0.5, 0.1, slice="1-2")),
)  # fmt: skip


def report(ranker: float) -> dict[str, Any]:
    of = lambda recall, ndcg: {"recall": recall, "ndcg": ndcg}  # noqa: E731
    part = {
        "rows": {"ranker": of(ranker, 0.4), "own": of(0.2, 0.2)},
        "references": {"repeat": of(0.2, 0.1), "als": of(0.1, 0.2)},
    }
    return {"tasks": {name: part | {"slices": {"1-2": part}} for name in ("all", "new")}}


def test_bars_compare_means_over_windows_with_the_best_reference_of_each_metric() -> None:
    found = list(bars(GROUP, [report(0.3), report(0.5)]))
    assert [one.what for one in found] == [
        "all, recall, against `repeat`", "all, ndcg, against `als`",
        "new, recall, 1-2 orders", "new, ndcg, 1-2 orders",
    ]  # fmt: skip
    assert [one.reached for one in found] == pytest.approx([2.0, 2.0, 0.4, 0.4])
    assert [one.met for one in found] == [True, False, False, True]
    assert bar_table(found).count("(missed)") == 2


def test_a_table_has_every_row_and_what_was_published_the_best_first() -> None:
    text = table(GROUP, [report(0.3)])
    names = [line.split("|")[1].strip() for line in text.splitlines()[4:]]
    assert names[:2] == ["**ranker**", "reference `repeat`"]
    assert sum(name.startswith("published") for name in names) == 5
    assert "| .3000 / .4000 | .3000 / .4000 |" in text


def test_windows_without_files_are_left_out_and_kept_reports_are_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = next(group for group in GROUPS if group.shop == "amazon-cds")
    assert run.reports(group, tmp_path, tmp_path / "home", again=False) == []
    assert "left out" in capsys.readouterr().err
    kept = tmp_path / "home" / "reports" / "amazon-2020-01-02.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(report(0.3)))
    assert run.reports(group, tmp_path, tmp_path / "home", again=False) == [report(0.3)]


def test_a_page_is_written_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n")
    run.write_between(page, "one", "new\n")
    once = page.read_text()
    assert "old" not in once
    run.write_between(page, "one", "new\n")
    assert page.read_text() == once
    with pytest.raises(SystemExit, match="needs the lines"):
        run.write_between(page, "two", "new")


def test_an_ablation_tells_the_change_of_each_figure() -> None:
    found = {str(name or "nothing"): [0.2, 0.4, 0.1, 0.1] for name in ablation.LEFT_OUT}
    found["own"] = [0.1, 0.5, 0.1, 0.101]
    rows = {
        line.split("|")[1].strip(): line for line in ablation.table([("A", found)]).splitlines()
    }
    assert [cell.strip() for cell in rows["`own`"].split("|")[2:-1]] == [
        "-50.0 %", "+25.0 %", "+0.0 %", "+1.0 %",
    ]  # fmt: skip
    assert {f"`{name}`" for name in get_args(SourceName)} <= rows.keys()


def test_a_split_without_times_becomes_two_days(tmp_path: Path) -> None:
    (tmp_path / "amazon-cds").mkdir()
    (tmp_path / "amazon-cds" / "train.txt").write_text("0 7 8\n1 7\n2\n")
    (tmp_path / "amazon-cds" / "test.txt").write_text("0 9\n")
    amazon_cds(tmp_path, tmp_path / "out")
    events = Dataset(tmp_path / "out").read("events").sort("member_id", "product_id")
    assert events["member_id"].to_list() == ["0", "0", "0", "1"]
    assert events["product_id"].to_list() == ["7", "8", "9", "7"]
    assert events["occurred_at"].dt.day().to_list() == [1, 1, 2, 1]
