"""What is counted, read as Prometheus reads it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from recsys import artifact
from serving.app import create_app
from serving.metrics import Metrics
from serving.models import Published
from tests.serving.live import EVENTS, NOW, RECOMMENDATIONS, Clock, event, in_process, service
from tests.serving.test_models import copied_as, flip_a_byte
from tests.small_shop import END, MEMBERS

pytestmark = pytest.mark.anyio
REQUESTS = "guesslike_requests_total"


def value(text: str, name: str, **labels: str) -> float | None:
    """The one series of this name with exactly these labels."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(
    small_model: Path, tmp_path: Path, clock: Clock
) -> AsyncIterator[httpx.AsyncClient]:
    of = service(small_model, str(tmp_path / "feed.db"), clock, max_body_bytes=2000)
    async with in_process(of) as client:
        yield client


async def scraped(client: httpx.AsyncClient) -> str:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


async def test_every_answer_counts_under_its_route_and_status(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.get(RECOMMENDATIONS, params={"member_id": MEMBERS[0]})
    await client.get(RECOMMENDATIONS, params={"limit": 0})
    await client.post(RECOMMENDATIONS, json={})
    await client.post(EVENTS, content=b" " * 3000)
    await client.get(f"/v1/nowhere/{MEMBERS[0]}")
    await client.delete(EVENTS)
    text = await scraped(client)
    for method, route, status, times in (
        ("GET", RECOMMENDATIONS, "200", 3),
        ("GET", RECOMMENDATIONS, "422", 1),
        ("POST", RECOMMENDATIONS, "200", 1),
        ("POST", "none", "413", 1),
        ("GET", "none", "404", 1),
        ("DELETE", EVENTS, "405", 1),
    ):
        assert value(text, REQUESTS, method=method, route=route, status=status) == times
    assert MEMBERS[0] not in text


async def test_a_defect_counts_as_500(small_model: Path, tmp_path: Path) -> None:
    app = create_app(service(small_model, str(tmp_path / "feed.db")))

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://shop"
        ) as client,
    ):
        assert (await client.get("/broken")).status_code == 500
        text = await scraped(client)
    assert value(text, REQUESTS, method="GET", route="/broken", status="500") == 1


async def test_lists_are_counted_and_timed_by_placement(client: httpx.AsyncClient) -> None:
    full = await client.get(RECOMMENDATIONS, params={"limit": 20})
    short = await client.get(RECOMMENDATIONS, params={"limit": 100})
    cart = await client.post(RECOMMENDATIONS, json={"placement": "cart", "cart": ["p10"]})
    await client.get(RECOMMENDATIONS, params={"placement": "product"})  # refused
    home = len(full.json()["items"]) + len(short.json()["items"])
    assert len(short.json()["items"]) < 100
    text = await scraped(client)
    assert value(text, "guesslike_items_total", placement="home") == home
    assert value(text, "guesslike_items_total", placement="cart") == len(cart.json()["items"])
    assert value(text, "guesslike_short_lists_total", placement="home") == 1
    assert value(text, "guesslike_short_lists_total", placement="cart") == 0
    seconds = "guesslike_recommendation_seconds"
    assert value(text, f"{seconds}_count", placement="home") == 2
    assert value(text, f"{seconds}_count", placement="cart") == 1
    assert value(text, f"{seconds}_count", placement="product") == 0
    assert value(text, f"{seconds}_bucket", placement="home", le="+Inf") == 2
    assert 0 < (value(text, f"{seconds}_sum", placement="home") or 0) < 10


async def test_a_request_is_not_timed_as_the_list_before_it(client: httpx.AsyncClient) -> None:
    await client.get(RECOMMENDATIONS)
    await client.get("/livez")
    await client.get("/v1/coupons", params={"member_id": MEMBERS[0]})
    text = await scraped(client)
    assert value(text, "guesslike_recommendation_seconds_count", placement="home") == 1


async def test_events_are_counted_as_they_were_taken(client: httpx.AsyncClient) -> None:
    one, two = event("view", "p10"), event("view", "p20")
    await client.post(EVENTS, json={"events": [one, two, one]})
    await client.post(EVENTS, json={"events": [one]})
    text = await scraped(client)
    assert value(text, "guesslike_events_total", outcome="accepted") == 2
    assert value(text, "guesslike_events_total", outcome="duplicate") == 2


async def test_the_model_and_the_process_are_told(client: httpx.AsyncClient, clock: Clock) -> None:
    ready = (await client.get("/readyz")).json()
    version, as_of = ready["model_version"], ready["model_as_of"]
    text = await scraped(client)
    assert value(text, "guesslike_model_info", version=version, as_of=as_of) == 1
    assert value(text, "guesslike_blas_threads") == ready["blas_threads"]
    assert value(text, "guesslike_feed_up") == 1
    assert value(text, "guesslike_feed_failures_total", operation="recent") == 0
    age = (NOW - END).total_seconds()
    assert value(text, "guesslike_model_age_seconds") == age
    clock.at = NOW + timedelta(days=3)
    assert value(await scraped(client), "guesslike_model_age_seconds") == age + 3 * 86_400
    assert (await client.get("/readyz")).json()["model_age_days"] == 3.38


async def test_what_became_of_new_models_is_counted(small_model: Path, tmp_path: Path) -> None:
    models = copytree(small_model / "models", tmp_path / "models")
    metrics = Metrics(("home",))
    published = Published(models, seen=metrics.model_seen)
    first = published.ranker.model.version
    flip_a_byte(copied_as(models, first, "broken"))
    copied_as(models, first, "second")
    for name in ("broken", "broken", "second", first, "gone"):
        artifact.point_current(models, name)
        await published.refresh()
    counted = {
        sample.labels["outcome"]: sample.value
        for metric in metrics._updates.collect()
        for sample in metric.samples
        if sample.name == "guesslike_model_updates_total"
    }
    assert counted == {"taken_up": 2, "refused": 2, "unreadable": 0}
