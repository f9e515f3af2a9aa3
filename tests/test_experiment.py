"""An experiment from its first list to its comparison: real processes, a truth that is known."""

import json
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import pytest

from tests.command import Command
from tests.serving.live import EVENTS, NOW, RECOMMENDATIONS, event
from tests.serving.served import eventually, served

pytestmark = pytest.mark.slow
PLACEMENTS = """
cheap-home: {like: home, filter: price < 6}
experiments:
  cheap:
    placements: [home]
    variants:
      filtered: {share: 0.5, placement: cheap-home}
"""
VISITORS = 240
LATER = NOW + timedelta(minutes=4)
"""after every list; the service's clock starts at NOW"""


def test_what_variants_earned_is_found_in_the_drained_impressions(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    home, placements = tmp_path / "home", tmp_path / "placements.yaml"
    placements.write_text(PLACEMENTS)
    dataset = copytree(small_model / "dataset", tmp_path / "dataset")
    with served(small_model, home, "--workers", "2", placements=placements) as running:
        eventually(lambda: running.log.count("answering on http") == 2)
        drawn = {}
        for number in range(VISITORS):
            visitor = f"v{number}"
            body = running.get(RECOMMENDATIONS, visitor_id=visitor, limit=5).json()
            drawn[visitor] = body["variant"]
            # every second likes what is cheap, every tenth likes anything
            likes = number % 2 == 0 if body["variant"] == "cheap:filtered" else number % 10 == 0
            if likes:
                product, request = body["items"][2]["product_id"], body["request_id"]
                told = [
                    event("click", product, LATER, visitor_id=visitor, request_id=request),
                    event("purchase", product, LATER, visitor_id=visitor, amount=5.0),
                ]
                assert running.post(EVENTS, {"events": told}).status_code == 200
        assert running.terminated() == 0, "what waits is written first"
    assert set(drawn.values()) == {"cheap:filtered", "cheap:control"}

    command = Command(monkeypatch, capsys, home)
    parts = json.loads(command("drain", dataset, "--json").out)["parts"]
    assert {Path(part["path"]).parent.name for part in parts} == {"events", "impressions"}
    asked = ("models", "compare", "cheap:control", "cheap:filtered", "--dataset", dataset)
    found = json.loads(command(*asked, "--json").out)
    assert found["withheld"] is None
    for arm in found["arms"]:
        members = [int(one[1:]) for one, variant in drawn.items() if variant == arm["name"]]
        every = 2 if arm["name"] == "cheap:filtered" else 10
        liked = sum(number % every == 0 for number in members) / len(members)
        assert arm["members"] == arm["impressions"] == len(members)
        assert arm["measures"]["clicks"]["value"] == pytest.approx(liked)
        assert arm["measures"]["conversion"]["value"] == pytest.approx(liked)
        assert arm["measures"]["revenue"]["value"] == pytest.approx(5 * liked)
        assert arm["measures"]["spend"]["value"] == pytest.approx(5 * liked)
    assert all(one["low"] > 0 for one in found["differences"].values())
