"""The report's page in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect

from campaigns.account import amount
from campaigns.report import report, write_page
from campaigns.report.facts import Report
from campaigns.run import plan_campaign, plan_together
from tests.campaigns.browser import assert_readable, opened
from tests.campaigns.kit import Clock, TableOffers, composition, definition

EVIL = '<script>window.obeyed = 1</script><img src="https://example.invalid/x" onerror="obeyed=1">'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A page on two campaigns, after an earlier plan of one of them; names are hostile."""
    folder, clock = tmp_path_factory.mktemp("shop"), Clock()
    members = [f"m{number}" for number in range(8)]
    tea = TableOffers(["c1"], {(m, "c1"): 1.0 + i / 10 for i, m in enumerate(members)}, {"c1": 0.5})
    bread = TableOffers(
        ["c2"], {(m, "c2"): 1.7 - i / 10 for i, m in enumerate(members)}, {"c2": 0.5},
        {"c2": float("inf")},
    )  # fmt: skip
    shop = composition(folder, clock, {"tea": tea, EVIL: bread})
    coupons = pl.DataFrame({"coupon_id": ["c1", "c2"], "title": [EVIL, "10 % off bread"]})
    coupons.write_parquet(folder / "dataset" / "coupons.parquet")
    first = definition(campaign="tea", title=EVIL, coupons=["c1"])
    plan_campaign(shop, first)
    clock.turn(minutes=1)
    second = definition(campaign=EVIL, title="Bread", coupons=["c2"], max_sends=2)
    (plan, _), _ = plan_together(shop, [first, second], budget=2)
    made = report(shop, plan.plan_id)
    write_page(made, folder / "plan.html")
    return made, folder / "plan.html"


@pytest.fixture
def page(browser: Browser, written: tuple[Report, Path]) -> Iterator[Page]:
    with opened(browser, written[1]) as page:
        yield page


@pytest.mark.browser
def test_the_page_shows_the_reports_numbers(page: Page, written: tuple[Report, Path]) -> None:
    made = written[0]
    rows = page.locator("#campaigns tr").all()[1:]
    assert len(rows) == len(made.campaigns) + 1
    of_rows = [*((one.campaign, one.sums) for one in made.campaigns), ("together", made.sums)]
    for row, (name, sums) in zip(rows, of_rows, strict=True):
        expect(row).to_contain_text(name)
        for span in (sums.value, sums.redemptions, sums.discount):
            expect(row).to_contain_text(f"[{amount(span.low)} to {amount(span.high)}]")
        cells = row.locator("td, th").all_inner_texts()
        assert (cells[1], cells[3]) == (str(sums.pushes), amount(sums.cost))
    expect(page.locator("#prices li").first).to_have_text(made.prices[0])
    assert made.naive is not None
    expect(page.locator("#naive")).to_contain_text(amount(made.naive.value))
    shown = page.locator("section").first.locator("table.shown tr").all()[1:]
    assert [row.locator("td").first.inner_text() for row in shown] == [
        one.member for one in made.campaigns[0].shown
    ]
    last = made.campaigns[0].last
    assert last is not None
    moves = page.locator("section").first.locator("table.moves tr").all()[1:]
    assert [row.locator("td").nth(1).inner_text() for row in moves] == [
        str(one.members) for one in (last.new, last.gone, last.other, last.same)
    ]
    expect(page.locator("section").nth(1)).to_contain_text("This is the campaign's first plan")


@pytest.mark.browser
def test_hostile_names_are_read_and_not_run(page: Page) -> None:
    assert page.evaluate("typeof window.obeyed") == "undefined"
    assert page.locator("script, img, link, iframe").count() == 0
    expect(page.locator("section h2").first).to_contain_text(EVIL)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_a_phone_by_day_and_night(page: Page, scheme: str) -> None:
    assert_readable(page, scheme)
