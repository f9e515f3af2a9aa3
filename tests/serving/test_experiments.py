"""Experiments: sticky, of the stated shares, named, and over when their model is gone."""

import asyncio
from collections import Counter
from pathlib import Path
from shutil import copytree, rmtree

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import artifact
from recsys.errors import SettingsError
from serving.experiments import CONTROL, Experiment, Variant
from serving.placements_file import load_placements
from tests.serving.live import RECOMMENDATIONS, event, in_process, items, send, service
from tests.serving.test_impressions import answer, kept, written
from tests.serving.test_models import flip_a_byte, version_folder
from tests.serving.test_placements_file import written as file_of
from tests.small_shop import MEMBERS

pytestmark = pytest.mark.anyio
WHOLE = """
plain-home: {like: home, limit: 7, filter: price < 10, rotate: false}
home: {rotate: false}
experiments:
  calm:
    placements: [home]
    variants:
      plain: {share: 0.5, placement: plain-home}
      narrow: {share: 0.3, model: %s}
"""


@pytest.fixture
def home(small_model: Path, narrow_model: Path, tmp_path: Path) -> Path:
    """Both models, the small one published."""
    home = tmp_path / "home"
    copytree(small_model / "models", home / "models")
    other = version_folder(narrow_model)
    copytree(other, home / "models" / other.name)
    return home


@given(
    shares=st.lists(st.floats(0.01, 0.33), min_size=1, max_size=3),
    who=st.text(max_size=8),
)
def test_a_variant_is_the_same_for_ever(shares: list[float], who: str) -> None:
    variants = tuple(Variant(f"v{n}", share) for n, share in enumerate(shares))
    one = Experiment("calm", variants)
    assert one.of(who) == Experiment("calm", variants).of(who)
    assert one.of(who) in (*variants, Variant(CONTROL))


def test_shares_are_kept_and_two_experiments_draw_apart() -> None:
    calm = Experiment("calm", (Variant("a", 0.5), Variant("b", 0.2)))
    loud = Experiment("loud", (Variant("a", 0.5),))
    subjects = [f"m:{n}" for n in range(20_000)]
    counts = Counter(calm.of(one).name for one in subjects)
    for name, share in (("a", 0.5), ("b", 0.2), (CONTROL, 0.3)):
        assert counts[name] / len(subjects) == pytest.approx(share, abs=0.015)
    both = np.array([(calm.of(one).name == "a", loud.of(one).name == "a") for one in subjects])
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.03


def test_a_file_says_which_placements_an_experiment_changes(tmp_path: Path) -> None:
    found = load_placements(file_of(tmp_path, WHOLE % "v9"))
    assert list(found.experiments) == ["home"]
    assert found.models == {"v9"}
    plain, narrow = found.experiments["home"].variants
    assert (plain.name, plain.share, plain.placement) == ("plain", 0.5, found.named["plain-home"])
    assert (narrow.placement, narrow.model) == (None, "v9")


ONE = "experiments:\n  calm:\n    placements: [home]\n    variants:\n      b: "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ONE + "{share: 0.5}", r":5: experiments\.calm\.variants\.b: say what is different"),
        (ONE + "{shar: 0.5, model: v}", r"variants\.b\.shar: unknown key; did you mean 'share'\?"),
        (ONE + "{share: 0, model: v}", r"variants\.b\.share: .*greater than 0"),
        (ONE + "{share: 0.6, model: v}\n      c: {share: 0.5, model: w}", "more than 1 together"),
        (ONE + "{share: 0.5, placement: calm}", r":5: .*\.b\.placement: there is no placement"),
        (ONE + "{share: 0.5, placement: cart}", "like cart and 'home' like home: they must be"),
        (ONE.replace("[home]", "[hom]") + "{share: 0.5, model: v}", ":3: .* no placement 'hom'"),
        (ONE.replace("b:", "control:") + "{share: 0.5, model: v}", "give it another name"),
        (ONE.replace("calm", '"a b"') + "{share: 0.5, model: v}", "should match pattern"),
        (
            ONE + "{share: 0.5, model: v}\n" + ONE.replace("calm", "loud").partition("\n")[2]
            + "{share: 0.5, model: v}",
            ":7: .*'home' is in calm already",
        ),
        ("experiments: [calm]", r":1: experiments: "),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_placements(file_of(tmp_path, text))


async def variants(client: httpx.AsyncClient) -> dict[str, tuple[str | None, str, int]]:
    """Of each member: variant, model, and how many products."""
    found = {}
    for member in MEMBERS:
        body = await answer(client, member_id=member)
        found[member] = (body.get("variant"), body["model_version"], len(body["items"]))
    return found


async def test_answers_and_impressions_name_the_variant_and_obey_it(
    home: Path, narrow_model: Path
) -> None:
    current, narrow = version_folder(home).name, version_folder(narrow_model).name
    placements = file_of(home, WHOLE % narrow)
    url = str(home / "feed.db")
    async with in_process(service(home, url, placements=placements)) as client:
        found = await variants(client)
        assert found == await variants(client), "sticky"
        assert Counter(found.values()).keys() == {
            ("calm:plain", current, 7),
            ("calm:narrow", narrow, 20),
            ("calm:control", current, 20),
        }
        assert "variant" not in await answer(client)
        assert "variant" not in await answer(client, member_id=MEMBERS[0], placement="plain-home")
        assert (await client.get("/readyz")).json()["experiments"] == {"calm": True}
        await written(client, 2 * len(MEMBERS) + 1)
        # what happened counts in the other model as well
        member = next(one for one, (variant, *_) in found.items() if variant == "calm:narrow")
        bought = (await items(client, member_id=member))[0]["product_id"]
        await send(client, event("purchase", bought, member_id=member))
        assert bought not in [one["product_id"] for one in await items(client, member_id=member)]
        stock = {"products": [{"product_id": "p12", "in_stock": False}]}
        assert (await client.patch("/v1/products", json=stock)).status_code == 200
        listed = await items(client, member_id=member, limit=100)
        assert "p12" not in [one["product_id"] for one in listed]
    impressions = await kept(url)
    assert {
        (one.member_id, one.variant, one.model_version)
        for one in impressions
        if one.placement == "home"
    } == {(member, variant, model) for member, (variant, model, _) in found.items()}


async def test_an_experiment_whose_model_is_gone_is_over_and_it_is_said(
    home: Path, narrow_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    current, narrow = version_folder(home).name, version_folder(narrow_model).name
    placements = file_of(home, WHOLE % narrow)
    of = service(home, str(home / "feed.db"), placements=placements, reload_seconds=0.05)
    all_current = {(None, current, 20)}

    async def runs(client: httpx.AsyncClient) -> bool:
        return bool((await client.get("/readyz")).json()["experiments"]["calm"])

    async def becomes(client: httpx.AsyncClient, running: bool) -> None:
        for _ in range(200):
            if await runs(client) == running:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it did not")

    aside = home / "aside"
    (home / "models" / narrow).rename(aside)
    async with in_process(of) as client:
        assert not await runs(client)
        assert set((await variants(client)).values()) == all_current
        aside.rename(home / "models" / narrow)
        await becomes(client, running=True)
        assert len(set((await variants(client)).values())) == 3
        copytree(home / "models" / narrow, aside)
        rmtree(home / "models" / narrow)
        await becomes(client, running=False)
        assert set((await variants(client)).values()) == all_current
        said = [one.message for one in caplog.records if "an experiment stops" in one.message]
        assert len(said) == 2, "once each time"
        assert narrow in said[0]
        flip_a_byte(aside)
        aside.rename(home / "models" / narrow)
        await asyncio.sleep(0.5)
        assert not await runs(client)
        assert "is not what was written" in caplog.text


async def test_rules_of_a_variant_are_checked_at_the_start(home: Path) -> None:
    text = (WHOLE % "v9").replace("price < 10", "colour = 3")
    of = service(home, str(home / "feed.db"), placements=file_of(home, text))
    with pytest.raises(Exception, match=r"plain-home\.filter: .*colour"):
        async with in_process(of):
            pass


async def test_visitors_are_drawn_as_themselves(home: Path, narrow_model: Path) -> None:
    placements = file_of(home, WHOLE % version_folder(narrow_model).name)
    of = service(home, str(home / "feed.db"), placements=placements)
    async with in_process(of) as client:
        names = set()
        for number in range(40):
            found = await client.get(RECOMMENDATIONS, params={"visitor_id": f"v{number}"})
            names.add(found.json()["variant"])
        assert names == {"calm:plain", "calm:narrow", "calm:control"}
    assert artifact.current(home / "models") == version_folder(home).name
