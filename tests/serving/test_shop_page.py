"""The demo shop's page in a real browser, over a real service with a small model."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread

import httpx
import pytest
import uvicorn
from playwright.sync_api import Locator, Page, expect, sync_playwright

from recsys.coupons import Terms
from serving.app import Service, create_app
from serving.settings import ServingSettings
from serving.shop import Shopper, mount
from tests.serving.served import eventually
from tests.small_shop import END, MEMBERS

NOW = END + timedelta(hours=9)
TERMS = Terms(margin_rate=0.5, coupon_value=0.1, redemption_rate=0.5, incremental_share=1.0)
MEMBER = MEMBERS[3]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PLACES = 16


@contextmanager
def running(app: object) -> Iterator[str]:
    """A server on a free port; its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))  # type: ignore[arg-type]
    thread = Thread(target=server.run)
    thread.start()
    try:
        # the first service of a machine compiles the loops of a request
        eventually(lambda: server.started or not thread.is_alive())
        assert server.started
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def address(small_model: Path, tmp_path: Path) -> Iterator[str]:
    models = small_model / "models"
    app = create_app(
        Service(models, str(tmp_path / "feed.db"), ServingSettings(), TERMS, lambda: NOW)
    )
    shoppers = [Shopper(MEMBER, "sent a coupon", "c1"), Shopper(MEMBERS[5], "held out")]
    mount(app, now=lambda: NOW, shoppers=shoppers, currency="EUR")
    with running(app) as address:
        yield address


@pytest.fixture(scope="module")
def new_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Page]]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed; to run this: apt install chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"), executable_path=chromium, args=FLAGS,
            reduced_motion="reduce",
        )  # fmt: skip
        yield context.new_page
        context.close()


@pytest.fixture
def page(new_page: Callable[[], Page], address: str) -> Iterator[Page]:
    """The page, opened; it must not have complained when the test ends."""
    page = new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(address)
    expect(cards(page)).to_have_count(PLACES)
    yield page
    page.close()
    assert [line for line in complaints if "503" not in line] == []  # one test provokes a 503


def cards(page: Page) -> Locator:
    return page.locator("#list > li")


def listed(page: Page) -> list[str]:
    return [str(one.get_attribute("data-product")) for one in cards(page).all()]


def card(page: Page, product: str) -> Locator:
    return page.locator(f"#list > [data-product='{product}']")


def answered(address: str, **who: str) -> list[str]:
    body = {"placement": "home", "limit": PLACES, **who}
    found = httpx.post(f"{address}/v1/recommendations", json=body).json()
    return [item["product_id"] for item in found["items"]]


@pytest.mark.browser
def test_the_page_shows_what_the_service_answers(page: Page, address: str) -> None:
    assert listed(page) == answered(address, member_id=MEMBER)
    assert all(one.locator(".reason").inner_text() for one in cards(page).all())
    expect(page.locator("#now")).to_contain_text(f"{NOW:%Y, %H:%M}")


@pytest.mark.browser
def test_a_click_changes_the_list(page: Page, address: str) -> None:
    page.select_option("#shopper", "")  # of a stranger, a click is all that is known
    expect(cards(page)).to_have_count(PLACES)
    before = listed(page)
    title = cards(page).nth(2).locator(".title")
    name = title.inner_text()
    title.click()
    expect(page.locator("#news")).to_contain_text(f"because you looked at {name}")
    assert listed(page) != before
    expect(page.locator("#list [data-reason=session]")).not_to_have_count(0)
    expect(page.locator("#trail li")).to_have_text([f"09:00 You looked at {name}"])


@pytest.mark.browser
def test_a_member_s_click_counts_for_that_member_alone(page: Page, address: str) -> None:
    other = answered(address, member_id=MEMBERS[5])
    cards(page).last.locator(".title").click()
    expect(page.locator("#news")).not_to_be_empty()
    assert listed(page) == answered(address, member_id=MEMBER)
    assert answered(address, member_id=MEMBERS[5]) == other


@pytest.mark.browser
def test_a_purchase_takes_the_product_off_the_list(page: Page, address: str) -> None:
    product = listed(page)[0]
    card(page, product).get_by_text("Buy", exact=True).click()
    expect(card(page, product)).to_have_count(0)
    expect(cards(page)).to_have_count(PLACES)
    assert product not in answered(address, member_id=MEMBER)


@pytest.mark.browser
def test_a_product_shows_what_is_bought_together_with_it(page: Page) -> None:
    product = listed(page)[0]
    card(page, product).locator(".title").click()
    expect(page.locator("#product")).to_be_visible()
    expect(page.locator("#together li")).to_have_count(4)
    assert page.locator(f"#together [data-product='{product}']").count() == 0
    page.get_by_label("Close this product").click()
    expect(page.locator("#product")).to_be_hidden()


@pytest.mark.browser
def test_the_cart_fills_up_and_is_bought_as_one(page: Page) -> None:
    first, second = listed(page)[:2]
    for product in (first, second):
        card(page, product).get_by_text("Add", exact=True).click()
        expect(page.locator(f"#cart [data-product='{product}']")).to_be_visible()
    expect(page.locator("#total")).to_contain_text("€")
    expect(page.locator("#fill-ups li")).to_have_count(4)
    assert page.locator(f"#fill-ups [data-product='{first}']").count() == 0
    page.get_by_text("Buy all").click()
    expect(page.locator("#cart")).to_have_text("Nothing in it yet.")
    for product in (first, second):
        expect(card(page, product)).to_have_count(0)


@pytest.mark.browser
def test_the_coupon_that_was_sent_stands_first(page: Page, address: str) -> None:
    query = {"member_id": MEMBER, "limit": 50}
    offered = httpx.get(f"{address}/v1/coupons", params=query).json()["items"]
    assert "c1" in [one["coupon_id"] for one in offered]
    first = page.locator("#coupons > li").first
    expect(first).to_contain_text("Sent to you today")
    expect(first).to_contain_text("1 off department 0")
    page.select_option("#shopper", "")
    expect(page.locator("#coupons")).to_have_text("Coupons are for members.")


@pytest.mark.browser
def test_another_member_has_another_list(page: Page, address: str) -> None:
    page.select_option("#shopper", MEMBERS[5])
    for place, product in enumerate(answered(address, member_id=MEMBERS[5])):
        expect(cards(page).nth(place)).to_have_attribute("data-product", product)
    expect(page.locator(".stamp")).to_have_count(0)


@pytest.mark.browser
def test_the_keyboard_keeps_its_place_while_the_page_changes(page: Page) -> None:
    product = listed(page)[0]
    title = card(page, product).locator(".title")
    title.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#product")).to_be_visible()
    expect(title).to_be_focused()
    page.get_by_label("Close this product").focus()
    page.keyboard.press("Enter")
    expect(title).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Buy
    expect(card(page, product)).to_have_count(0)
    expect(page.locator("#list")).to_be_focused()


@pytest.mark.browser
def test_a_service_that_went_away_is_said(page: Page) -> None:
    page.route("**/v1/**", lambda route: route.fulfill(status=503, json={"detail": "closed now"}))
    before = listed(page)
    cards(page).first.get_by_text("Buy", exact=True).click()
    expect(page.locator("#news")).to_have_text("closed now")
    assert listed(page) == before


def test_the_page_may_load_and_run_nothing_of_others(address: str) -> None:
    page = httpx.get(f"{address}/", follow_redirects=True)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("name", ["gone.js", "routes.py", "../routes.py", "%2e%2e/routes.py"])
def test_only_the_pages_own_files_are_served(address: str, name: str) -> None:
    assert httpx.get(f"{address}/shop/{name}").status_code == 404


def test_products_are_told_by_id_and_unknown_ones_left_out(address: str) -> None:
    found = httpx.get(f"{address}/shop/products", params={"ids": ["p07", "nothing"]}).json()
    assert found == {
        "p07": {
            "title": "Product 07",
            "category": ["DEPARTMENT 0", "AISLE 0", "SHELF 1"],
            "price": 2.75,
        }
    }


def test_members_are_told_with_the_services_clock(address: str) -> None:
    found = httpx.get(f"{address}/shop/members").json()
    assert found["now"] == NOW.isoformat()
    assert [one["coupon_id"] for one in found["members"]] == ["c1", None]
    assert all(one["usual"].startswith("Product ") for one in found["members"])


def test_the_shop_stands_outside_the_documented_api(address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    assert not [path for path in paths if path.startswith("/shop")]
