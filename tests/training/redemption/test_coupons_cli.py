import json
from pathlib import Path

import pytest

from tests.command import Command


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(monkeypatch, capsys, tmp_path)


def test_evaluate_coupons_prints_one_object(command: Command, coupon_shop: Path) -> None:
    ended = command("evaluate-coupons", coupon_shop, "--campaign", "k7", "--k", 2, "--json")
    assert (ended.code, ended.err, ended.out.count("\n")) == (0, "", 1)
    found = json.loads(ended.out)
    assert found["campaign"] == "k7"
    assert found["k"] == 2
    for row in ("random", "popular", "history", "ranker"):
        assert set(found["rows"][row]) == {"recall", "mrr"}
    assert 0.5 < found["who"] <= 1


def test_people_are_told_the_same_in_words(command: Command, coupon_shop: Path) -> None:
    ended = command("evaluate-coupons", coupon_shop, "--campaign", "k7")
    assert ended.code == 0
    assert "Campaign k7: 6 coupons" in ended.out
    assert "Who redeems: AUC" in ended.out
    assert "7 campaigns that had ended" in ended.out


def test_what_cannot_be_told_is_refused(
    command: Command, coupon_shop: Path, small_shop: Path, copy: Path
) -> None:
    assert "did you mean k7?" in command.refused("evaluate-coupons", coupon_shop, "--campaign", "7")
    assert "no table pushes" in command.refused("evaluate-coupons", small_shop, "--campaign", "x")
    (copy / "events.parquet").unlink()
    assert "no events.parquet" in command.refused("evaluate-coupons", copy, "--campaign", "k7")
