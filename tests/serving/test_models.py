"""Taking up a published model, and refusing a broken one."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import httpx
import pytest

from recsys import artifact
from recsys.errors import ModelError
from serving.models import Published, open_current
from serving.ranker import Ranker
from serving.recommend import recommend
from tests.serving.live import RECOMMENDATIONS, service, under_uvicorn, unrotated
from tests.serving.test_recommend import wanted
from tests.small_shop import MEMBERS

pytestmark = pytest.mark.anyio


@pytest.fixture
def home(small_model: Path, narrow_model: Path, tmp_path: Path) -> Path:
    """Both models, the small one published."""
    home = tmp_path / "home"
    copytree(small_model / "models", home / "models")
    copytree(version_folder(narrow_model), home / "models" / version_folder(narrow_model).name)
    return home


def version_folder(home: Path) -> Path:
    version = artifact.current(home / "models")
    assert version is not None
    return home / "models" / version


def copied_as(models: Path, version: str, name: str) -> Path:
    """The same model under another name, sound for itself."""
    folder = copytree(models / version, models / name)
    change_manifest(folder, version=name)
    return folder


def change_manifest(folder: Path, **facts: object) -> None:
    path = folder / artifact.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def flip_a_byte(folder: Path) -> None:
    path = folder / "base_products.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(content)


def cut_a_file(folder: Path) -> None:
    path = folder / "near_cosine.npy"
    path.write_bytes(path.read_bytes()[:-1])


BREAKS: dict[str, Callable[[Path], object]] = {
    "a flipped byte": flip_a_byte,
    "a file cut short": cut_a_file,
    "a file missing": lambda folder: (folder / "popular.npy").unlink(),
    "a foreign format": lambda folder: change_manifest(folder, format=99),
    "foreign features": lambda folder: change_manifest(folder, blend={"features": ["x"]}),
    "a manifest that is no JSON": lambda folder: (folder / artifact.MANIFEST).write_text("{"),
    "no folder": rmtree,
}


@pytest.mark.parametrize("how", BREAKS)
async def test_a_broken_model_is_refused_and_the_old_one_stays(
    home: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    models = home / "models"
    published = Published(models)
    good = published.ranker.model.version
    BREAKS[how](copied_as(models, good, "broken"))
    artifact.point_current(models, "broken")
    await published.refresh()
    await published.refresh()
    assert published.ranker.model.version == good
    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "broken" in said.getMessage()
    assert good in said.getMessage()

    copied_as(models, good, "mended")
    artifact.point_current(models, "mended")
    await published.refresh()
    assert published.ranker.model.version == "mended"


async def test_a_model_that_is_not_accepted_is_refused_and_the_old_one_stays(home: Path) -> None:
    async def accept(ranker: Ranker) -> None:
        raise ModelError(f"{ranker.model.version} contains events that the feed has not seen")

    models = home / "models"
    published = Published(models, accept=accept)
    good = published.ranker.model.version
    copied_as(models, good, "ahead")
    artifact.point_current(models, "ahead")
    await published.refresh()
    assert published.ranker.model.version == good


@pytest.mark.parametrize("how", BREAKS)
async def test_a_service_does_not_start_on_a_broken_model(home: Path, how: str) -> None:
    BREAKS[how](version_folder(home))
    with pytest.raises(ModelError):
        Published(home / "models")


async def test_what_cannot_be_read_now_does_not_end_the_following(home: Path) -> None:
    models = home / "models"
    published = Published(models)
    (models / artifact.CURRENT).unlink()
    (models / artifact.CURRENT).mkdir()  # for root too, a folder is no readable file
    following = asyncio.create_task(published.follow(0.01))
    await asyncio.sleep(0.1)
    assert not following.done()
    (models / artifact.CURRENT).rmdir()
    copied_as(models, published.ranker.model.version, "another")
    artifact.point_current(models, "another")
    await wait_for(lambda: published.ranker.model.version == "another")
    following.cancel()


def test_without_a_published_model_the_message_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="guesslike train"):
        open_current(tmp_path)


async def wait_for(true: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def test_publishing_under_load_fails_no_request_and_mixes_no_answer(
    home: Path, narrow_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = home / "models"
    first, second = version_folder(home).name, version_folder(narrow_model).name
    expected = {
        folder.name: lists(Ranker(open_current(folder.parent)))
        for folder in (version_folder(home), version_folder(narrow_model))
    }
    assert all(expected[first][member] != expected[second][member] for member in MEMBERS[:30])
    seen: list[str] = []
    stop = asyncio.Event()

    async def ask(client: httpx.AsyncClient, at: int) -> None:
        while not stop.is_set():
            at = (at + 1) % 30
            answer = await client.get(
                RECOMMENDATIONS, params={"member_id": MEMBERS[at], "limit": 20}
            )
            assert answer.status_code == 200, answer.text
            body = answer.json()
            found = [item["product_id"] for item in body["items"]]
            assert found == expected[body["model_version"]][MEMBERS[at]]
            seen.append(body["model_version"])

    still = service(home, str(home / "feed.db"), placements=unrotated(home))
    async with (
        under_uvicorn(still) as client,
        asyncio.TaskGroup() as clients,
    ):
        for number in range(8):
            clients.create_task(ask(client, 3 * number))
        try:
            await wait_for(lambda: len(seen) > 20)
            artifact.point_current(models, second)
            await wait_for(lambda: seen[-1] == second, seconds=2)
            flip_a_byte(copied_as(models, first, "broken"))
            artifact.point_current(models, "broken")
            await wait_for(lambda: "model broken refused" in caplog.text, seconds=2)
            so_far = len(seen)
            await wait_for(lambda: len(seen) > so_far + 20)
            artifact.point_current(models, first)
            await wait_for(lambda: seen[-1] == first, seconds=2)
        finally:
            stop.set()
    assert set(seen) == {first, second}


def lists(ranker: Ranker) -> dict[str, list[str]]:
    return {
        member: [item.product_id for item in recommend(ranker, wanted(member, 20), [])]
        for member in MEMBERS[:30]
    }
