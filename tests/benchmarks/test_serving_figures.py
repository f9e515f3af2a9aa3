"""What the serving benchmarks compute, apart from the servers that they measure."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from benchmarks.overlap.whole import Untruncated
from benchmarks.peers import run as peers
from benchmarks.scale.shop import Size
from benchmarks.serving import memory, swaps
from benchmarks.serving.large import write_large
from benchmarks.serving.shop import SESSION, fill, sessions
from recsys import artifact
from recsys.history import KINDS
from recsys.model import Model
from serving.feed import open_feed
from serving.ranker import Ranker
from serving.rules import Rules
from training.sources.reaching import Seeded, nearest

SMAPS = """\
7f00-7f01 r--s 00000000 fd:00 1 /shop/models/v/base_products.npy
Size:                900 kB
Private_Clean:       800 kB
Private_Dirty:         0 kB
7f02-7f03 rw-p 00000000 00:00 0
Shared_Dirty:         70 kB
Private_Clean:         3 kB
Private_Dirty:        40 kB
VmFlags: rd wr
7f04-7f05 r-xp 00000000 fd:00 2 /usr/lib/libx.so
Private_Clean:         2 kB
"""


def test_private_memory_leaves_shared_pages_and_the_mapped_model_out() -> None:
    assert memory.private_of(SMAPS.splitlines(), but="/shop/models") == 45 * 1024
    assert memory.private_of(SMAPS.splitlines(), but="/elsewhere") == 845 * 1024


def answer(version: str, product: str, evidence: str | None = None) -> bytes:
    items = [
        {"product_id": f"{product}{n}", "reason": {"evidence": {"product_id": evidence}}}
        for n in range(20)
    ]
    return msgspec.json.encode({"model_version": version, "items": items})


@pytest.mark.parametrize(
    ("body", "good", "mixed"),
    [
        (answer("first", "p"), True, 0),
        (answer("second", "other-p", "other-q"), True, 0),
        (answer("second", "p"), False, 1),
        (answer("first", "other-p"), False, 1),
        (answer("first", "p", "other-q"), False, 1),
    ],
)
def test_an_answer_of_two_models_is_seen(body: bytes, good: bool, mixed: int) -> None:
    watch = swaps.Watch(renamed="second")
    assert watch.accepts(200, body) is good
    assert watch.mixed == mixed
    assert not watch.accepts(503, b"{}")
    assert watch.mixed == mixed


def test_a_renamed_model_is_the_same_under_other_ids(small_model: Path, tmp_path: Path) -> None:
    version = artifact.current(small_model / "models")
    assert version is not None
    models = tmp_path / "models"
    models.mkdir()
    (models / version).symlink_to(small_model / "models" / version)
    other = swaps.renamed(models, version)
    first, second = (
        Model.from_artifact(artifact.open_model(models, one, verify=True))
        for one in (version, other)
    )
    assert other != version
    assert second.products.texts() == [f"other-{one}" for one in first.products.texts()]
    assert np.array_equal(first.base.products, second.base.products)


def test_a_large_model_is_whole_and_lists_what_it_says(small_model: Path, tmp_path: Path) -> None:
    version = artifact.current(small_model / "models")
    assert version is not None
    written = write_large(tmp_path, small_model / "models", version, Size(0, 500, 900))
    model = Model.from_artifact(artifact.open_model(tmp_path, written, verify=True))
    sizes = np.diff(model.base.offsets)
    assert (len(model.members), len(model.products)) == (500, 900)
    assert sizes.min() == sizes.max() == 120
    for rows in np.split(model.base.products, model.base.offsets[1:-1]):
        assert len(np.unique(rows)) == len(rows)
    ranker = Ranker(model)
    found = ranker.listed(ranker.views.of(Rules()), 7, limit=20, now=20_000.0)
    assert len(np.unique(found.facts[0])) == 20


@pytest.mark.anyio
async def test_sessions_are_written_once_and_are_of_the_last_minutes(tmp_path: Path) -> None:
    at, url = datetime(2026, 1, 1, 9, tzinfo=UTC), str(tmp_path / "feed.db")
    for _ in range(2):
        await fill(url, ["a", "b"], ["p", "q"], at=at)
    feed = await open_feed(url)
    found = (await feed.recent("m:a", after={}, limit=30)).events
    await feed.close()
    assert tuple(event.kind for event in found) == SESSION
    now = round(at.timestamp() * 1e6)
    assert all(0 < now - event.occurred_at <= 20 * 60e6 for event in found)
    assert {event.product_id for event in found} <= {"p", "q", None}
    assert set(SESSION) <= set(KINDS)
    assert list(sessions(["a"], ["p"], at=now)) == list(sessions(["a"], ["p"], at=now))


def test_untruncated_scores_are_those_of_all_neighbours() -> None:
    rng = np.random.default_rng(3)
    weighted = csr_matrix(rng.random((30, 12)) * (rng.random((30, 12)) < 0.3), dtype=np.float32)
    past = csr_matrix(rng.random((4, 12)) * (rng.random((4, 12)) < 0.5), dtype=np.float32)
    members = np.repeat(np.arange(4, dtype=np.int32), 12)
    products = np.tile(np.arange(12, dtype=np.int32), 4)
    whole = Seeded(nearest(weighted, 12), past, size=12)
    cut = Seeded(nearest(weighted, 2), past, size=12)
    found = Untruncated(cut, weighted).scores(members, products)
    assert found == pytest.approx(whole.scores(members, products), abs=1e-5)
    assert found != pytest.approx(cut.scores(members, products), abs=1e-5)


def test_a_result_that_does_not_stand_is_said() -> None:
    good = {"refused": 0, "unanswered": 0, "example": "", "times": {"default": 51, "one": 3.1}}
    assert peers.faults(good) == []
    assert len(peers.faults(good | {"refused": 1})) == 1
    assert len(peers.faults(good | {"times": {"default": 49, "one": 2.9}})) == 2
    swapped = {"failed": 0, "mixed": 0, "example": "", "seconds_most": 1.9}
    assert swaps.faults(swapped) == []
    for change in ({"failed": 1}, {"mixed": 1}, {"seconds_most": 2.1}):
        assert len(swaps.faults(swapped | change)) == 1
    small = {"refused": 0, "lists_mib": 149, "filters_mib": 149, "model_gb": 1.9}
    assert memory.faults(small) == []
    for more in ({"refused": 1}, {"lists_mib": 151}, {"filters_mib": 151}, {"model_gb": 2.1}):
        assert len(memory.faults(small | more)) == 1
