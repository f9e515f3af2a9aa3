"""A member's coupons: only valid ones, by the planner's numbers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.ledger.holdings import Holding
from campaigns.valuation import ModelOffers
from recsys import artifact
from recsys.columns import Labels
from recsys.coupons import Coupon
from recsys.model import Model, to_arrays
from serving.asking import Request as Wanted
from serving.eligibility import Nothing, eligible
from serving.models import open_current
from serving.placements import BUILT_IN
from serving.ranker import Ranker
from serving.recommend import recommend
from tests.serving.live import NOW, TERMS, Clock, in_process, service
from tests.small_shop import END, MEMBERS, PRODUCTS, category

pytestmark = pytest.mark.anyio
ALL = ["c1", "c2", "c3", "c4"]
WINTER = END - timedelta(days=25)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
async def client(
    small_model: Path, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    feed = tmp_path_factory.mktemp("coupons") / "feed.db"
    async with in_process(service(small_model, str(feed), clock)) as client:
        yield client


async def coupons(client: httpx.AsyncClient, member: str, limit: int = 50) -> list[dict]:  # type: ignore[type-arg]
    answer = await client.get("/v1/coupons", params={"member_id": member, "limit": limit})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def scope(coupon: str, campaign: str | None) -> set[str]:
    """As the shop declares it in its tables."""
    return {
        "c1": {product for product in PRODUCTS if category(product).startswith("DEPARTMENT 0 ")},
        "c2": {product for product in PRODUCTS if category(product) == category("p15")},
        "c3": {"p30", "p31"} if campaign == "spring" else {"p30"},
        "c4": {"p10"},
    }[coupon]


@pytest.mark.parametrize(
    ("now", "campaigns"),
    [
        (NOW, {"c1": "spring", "c2": "spring", "c3": "spring", "c4": None}),
        (WINTER, {"c1": "winter", "c3": "winter", "c4": None}),
        (END + timedelta(days=60), {"c4": None}),
    ],
)
async def test_coupons_are_valid_ranked_and_valued_as_the_planner_does(
    client: httpx.AsyncClient,
    clock: Clock,
    small_model: Path,
    now: datetime,
    campaigns: dict[str, str | None],
) -> None:
    clock.at = now
    model = open_current(small_model / "models")
    planned = ModelOffers(model, ALL, TERMS, now.timestamp() / 86_400).offers(MEMBERS)
    shown: set[str] = set()
    for at, member in enumerate(MEMBERS):
        found = await coupons(client, member)
        value = dict(zip(ALL, planned.value[at], strict=True))
        chance = dict(zip(ALL, planned.probability[at], strict=True))
        worth = sorted(
            (one for one in ALL if one in campaigns and value[one] > 0), key=lambda one: -value[one]
        )
        assert [item["coupon_id"] for item in found] == worth
        for item in found:
            assert item["campaign_id"] == campaigns[item["coupon_id"]]
            assert item["probability"] == pytest.approx(chance[item["coupon_id"]], abs=6e-5)
            assert 0 <= item["probability"] <= 1
        shown.update(worth)
    assert shown
    assert shown <= set(campaigns)


async def test_products_are_what_the_home_page_would_show_of_the_scope(
    client: httpx.AsyncClient, clock: Clock, small_model: Path
) -> None:
    clock.at = NOW
    ranker = Ranker(open_current(small_model / "models"))
    own = replace(BUILT_IN["home"], sources=frozenset(("member",)), rotation=None)
    for member in MEMBERS[:60]:
        for item in await coupons(client, member):
            inside = sorted(scope(item["coupon_id"], item["campaign_id"]))
            wanted = Wanted(
                member_id=member, placement=own, seeds=[], excluded=[], limit=3,
                now=round(NOW.timestamp() * 1_000_000), rest_hours=0, candidates=inside,
            )  # fmt: skip
            shown = [one.product_id for one in recommend(ranker, wanted, [])]
            assert item["products"] == shown
            assert set(shown) <= set(inside)
            assert len(shown) == min(3, len(inside))
            assert item["reason"]["evidence"] == {"product_id": shown[0]}
            assert f"Product {shown[0][1:]}" in item["reason"]["text"]


async def test_what_is_sold_out_is_not_offered(client: httpx.AsyncClient, clock: Clock) -> None:
    clock.at = NOW
    first = {one: (await coupons(client, one))[0]["products"][0] for one in MEMBERS[:20]}
    gone = sorted(set(first.values()))
    said = [{"product_id": one, "in_stock": False} for one in gone]
    assert (await client.patch("/v1/products", json={"products": said})).status_code == 200
    try:
        for member in first:
            shown = [p for item in await coupons(client, member) for p in item["products"]]
            assert not set(shown) & set(gone)
    finally:
        back = [{"product_id": one, "in_stock": None} for one in gone]
        await client.patch("/v1/products", json={"products": back})


async def test_the_reason_is_told_in_chinese(client: httpx.AsyncClient, clock: Clock) -> None:
    clock.at = NOW
    texts = set()
    for member in MEMBERS:
        params = {"member_id": member, "limit": 50}
        answer = await client.get(
            "/v1/coupons", params=params, headers={"Accept-Language": "zh-CN"}
        )
        texts |= {
            (i["coupon_id"], i["reason"]["text"].split("：")[0]) for i in answer.json()["items"]
        }
    assert ("c2", "为您推荐商品专享9折") in texts
    assert ("c1", "为您推荐商品立减1") in texts


async def test_a_limit_cuts_the_list(client: httpx.AsyncClient, clock: Clock) -> None:
    clock.at = NOW
    for member in MEMBERS[:20]:
        everything = await coupons(client, member)
        assert await coupons(client, member, limit=1) == everything[:1]


async def test_a_stranger_has_none(client: httpx.AsyncClient) -> None:
    assert await coupons(client, "a stranger") == []


async def test_an_untitled_coupon_is_named(client: httpx.AsyncClient, clock: Clock) -> None:
    clock.at = NOW
    titles = {
        item["coupon_id"]: item["title"]
        for member in MEMBERS
        for item in await coupons(client, member)
    }
    assert titles["c3"] == "Coupon c3"
    assert titles["c1"] == "1 off department 0"


async def test_terms_are_shown(client: httpx.AsyncClient, clock: Clock) -> None:
    clock.at = NOW
    found = {item["coupon_id"]: item for one in MEMBERS for item in await coupons(client, one)}
    assert [found["c2"][name] for name in ("kind", "value", "min_spend", "code")] == [
        "percent", 10.0, None, None,
    ]  # fmt: skip
    assert found["c1"]["valid_until"] == (END + timedelta(days=28)).isoformat().replace(
        "+00:00", "Z"
    )
    assert found["c4"]["valid_until"] is None


TIERS = ["gold", "silver", None]


@pytest.fixture(scope="module")
def with_terms(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with members' tiers and stricter coupons."""
    home = tmp_path_factory.mktemp("with-terms")
    models = home / "models"
    models.mkdir()
    known = artifact.open_model(
        small_model / "models", str(artifact.current(small_model / "models"))
    )
    terms = {
        "c1": {"min_spend": 20.0},
        "c2": {"tiers": ["gold", "silver"]},
        "c3": {"max_redemptions": 0},
        "c4": {"tiers": ["gold"]},
    }
    changed = [one | terms[one["coupon_id"]] for one in known.manifest["coupons"]]
    members = Model.from_artifact(known).members
    place = {member: at for at, member in enumerate(MEMBERS)}
    tiers = [TIERS[place[members.text(row)] % 3] for row in range(len(members))]
    manifest = {
        name: fact for name, fact in known.manifest.items()
        if name not in ("format", "version", "files")
    }  # fmt: skip
    version = artifact.write(
        models,
        manifest | {"coupons": changed},
        {**known.arrays, **to_arrays("tiers", Labels.build(tiers))},
        {name: path.read_bytes() for name, path in known.others.items()},
    )
    artifact.point_current(models, version)
    return home


async def test_tiers_carts_and_limits_decide_as_the_planner_does(
    with_terms: Path, tmp_path: Path
) -> None:
    model = open_current(with_terms / "models")
    planned = ModelOffers(model, ALL, TERMS, NOW.timestamp() / 86_400).offers(MEMBERS)
    seen: set[str] = set()
    async with in_process(service(with_terms, str(tmp_path / "feed.db"))) as client:
        for at, member in enumerate(MEMBERS[:60]):
            tier = TIERS[at % 3]
            found = [item["coupon_id"] for item in await coupons(client, member)]
            value = dict(zip(ALL, planned.value[at].tolist(), strict=True))
            mine = [one for one in ALL if value[one] > 0 and one != "c3"]
            assert found == sorted(mine, key=lambda one: -value[one])
            assert "c4" not in found or tier == "gold"
            assert "c2" not in found or tier is not None
            seen.update(found)
            for total, reached in ((19.99, False), (20.0, True)):
                params = {"member_id": member, "limit": "50", "cart_total": str(total)}
                answer = (await client.get("/v1/coupons", params=params)).json()["items"]
                assert [one["coupon_id"] for one in answer] == [
                    one for one in found if reached or one != "c1"
                ]
        for total in ("-1", "nan", "inf", "much"):
            params = {"member_id": MEMBERS[0], "cart_total": total}
            wrong = await client.get("/v1/coupons", params=params)
            assert (wrong.status_code, wrong.json()["field"]) == (422, "cart_total")
    assert seen == {"c1", "c2", "c4"}


numbers = st.integers(0, 5)


@st.composite
def allowed(draw: st.DrawFn) -> tuple[Coupon, Holding, dict[str, object]]:
    """A coupon, a ledger's word and a request in which every rule holds."""
    now = draw(st.floats(0, 30_000))
    tier = draw(st.sampled_from(["gold", "silver"]))
    total = draw(st.none() | st.floats(0, 100))
    issued, redeemed = draw(numbers), draw(numbers)
    sent = draw(st.booleans())
    coupon = Coupon(
        "c",
        min_spend=draw(st.none() | st.floats(0, 100 if total is None else total)),
        valid_from=draw(st.none() | st.floats(-10, 0).map(lambda ago: now + ago)),
        valid_until=draw(st.none() | st.floats(0.1, 10).map(lambda later: now + later)),
        tiers=draw(st.sampled_from([(), (tier,), ("bronze", tier)])),
        max_issues=draw(st.none() | st.integers(issued + 1, 20)),
        max_redemptions=draw(st.none() | st.integers(redeemed + 1, 20)),
    )
    held = Holding(
        {"c": draw(st.sampled_from([None, "A-1"]))} if sent else {},
        frozenset({"other"}),
        {"c": issued} if issued else {},
        {"c": redeemed, "other": 99},
    )
    return coupon, held, {"now": now, "tier": tier, "cart_total": total}


@given(allowed())
def test_a_coupon_is_open_where_every_rule_holds(
    case: tuple[Coupon, Holding, dict[str, object]],
) -> None:
    coupon, held, request = case
    assert eligible(coupon, held, **request)  # type: ignore[arg-type]
    assert eligible(coupon, Nothing(), **request)  # type: ignore[arg-type]


BREAKS = ["early", "late", "tier", "no tier", "spend", "redemptions", "closed", "issues"]


@given(allowed(), st.sampled_from(BREAKS))
def test_each_rule_alone_closes_it(
    case: tuple[Coupon, Holding, dict[str, object]], broken: str
) -> None:
    coupon, held, request = case
    now = float(request["now"])  # type: ignore[arg-type]
    if broken == "early":
        coupon = replace(coupon, valid_from=now + 0.5)
    elif broken == "late":
        coupon = replace(coupon, valid_until=now)
    elif broken in ("tier", "no tier"):
        coupon = replace(coupon, tiers=("platinum",))
        request["tier"] = None if broken == "no tier" else request["tier"]
    elif broken == "spend":
        coupon, request["cart_total"] = replace(coupon, min_spend=30.0), 29.99
    elif broken == "redemptions":
        coupon = replace(coupon, max_redemptions=held.redeemed["c"])
    elif broken == "closed":
        held = replace(held, sent={}, closed=frozenset({"c"}))
    else:
        coupon = replace(coupon, max_issues=held.issued.get("c", 0))
    expected = broken == "issues" and "c" in held.sent  # it was issued to the member already
    assert eligible(coupon, held, **request) == expected  # type: ignore[arg-type]
