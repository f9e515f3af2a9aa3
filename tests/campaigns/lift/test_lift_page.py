"""What a lift report says: on the screen, as JSON, and on a page in a real browser."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from rich.console import Console
from typer.testing import CliRunner

from campaigns.cli import app
from campaigns.lift import wording
from campaigns.lift.facts import Arm, CampaignLift, Check, Day, Effect, Lift, LiftReport
from campaigns.lift.page import charts, rendered_lift, write_lift
from campaigns.lift.report import lift_report
from campaigns.lift.spoken import show_lift
from recsys.errors import CampaignError
from tests.campaigns.browser import assert_readable, opened
from tests.campaigns.kit import WEEK, Clock
from tests.campaigns.lift.kit import answered, arms_of, lift_shop, planned_and_sent

EVIL = '<script>window.obeyed = 1</script><img src="https://example.invalid/x">'
MEMBERS = 480


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A campaign of two occasions that earned, and one with a hostile name and no holdout."""
    clock = Clock()
    shop = lift_shop(tmp_path_factory.mktemp("shop"), clock, members=MEMBERS)
    planned_and_sent(shop, clock)
    answered(shop, arms_of(shop, MEMBERS), days=60, times={"treat": 3.0, "holdout": 1.0}.get)
    clock.turn(days=10)
    planned_and_sent(shop, clock, starts_at=clock(), ends_at=clock() + WEEK)
    clock.turn(days=10)
    planned_and_sent(
        shop, clock, campaign=EVIL, holdout=0.0, starts_at=clock(), ends_at=clock() + WEEK
    )
    clock.turn(days=40)
    return shop


@pytest.fixture(scope="module")
def made(shop) -> LiftReport:
    return lift_report(shop, ["tea", EVIL])


@pytest.fixture(scope="module")
def written(made, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("page") / "lift.html"
    write_lift(made, file)
    return file


@pytest.fixture
def page(browser: Browser, written: Path) -> Iterator[Page]:
    with opened(browser, written) as page:
        yield page


@pytest.fixture
def run(shop):
    def invoke(*words):
        result = CliRunner().invoke(app, [str(w) for w in words], obj=shop, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return invoke


def test_the_command_tells_the_same_everywhere(run, made, tmp_path):
    page = tmp_path / "lift.html"
    told = json.loads(run("report", "tea", "--html", page, "--json"))
    (tea,) = told["campaigns"]
    profit = [one for one in tea["whole"]["effects"] if one["outcome"] == "profit"][-1]
    assert profit["day"] == 28
    headline = wording.headline(Effect(**profit))
    assert headline in page.read_text()
    spoken = run("report", "tea")
    assert headline in spoken
    assert "The campaign earned more than it cost." in spoken
    assert "tea@2017-12-11T09:05:00Z" in spoken
    assert told["level"] == 0.95
    assert len(tea["occasions"]) == 2
    assert tea == json.loads(json.dumps(told["campaigns"][0]))


def test_why_no_number_is_told_is_told(run):
    spoken = run("report", EVIL)
    assert "No number is told: nobody is held out; give the campaign a holdout." in spoken
    assert EVIL in spoken


def test_bad_input_is_named_before_the_work(run, tmp_path):
    with pytest.raises(CampaignError, match="Nothing of campaign 'tee' was sent yet; sent: "):
        run("report", "tee")
    with pytest.raises(CampaignError, match="there is no folder"):
        run("report", "tea", "--html", tmp_path / "nowhere" / "lift.html")


def test_names_are_shown_and_not_obeyed(written):
    text = written.read_text()
    assert "<script" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;") >= 2
    assert text.rstrip().endswith("</html>")


def effect(day, low, middle, high, outcome="profit"):
    return Effect(outcome, day, middle, 0.0, middle, low, high, middle, low, high, 0.2)


def lift(*effects, withheld=()):
    arm = Arm(900, 880, 3)
    return Lift(
        None, "2017-12-01 09:00 UTC", 0.05, arm, arm, 870,
        [Check("sample ratio", "as it was to be", holds=True)],
        list(withheld), [Day(1, 877, 877)], list(effects),
    )  # fmt: skip


def report(one):
    named = CampaignLift("tea", 0.25, one, [one])
    return LiftReport("2018-01-01 09:00 UTC", "2017-12-31 23:00 UTC", 0.95, [named])


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.5, "The campaign earned more than it cost."),
        (-0.5, -0.1, "The campaign cost more than it earned."),
        (-0.1, 0.5, "Whether it earned more than it cost cannot be told yet."),
    ],
)
def test_the_verdict_follows_the_interval(low, high, said):
    found = effect(7, low, (low + high) / 2, high)
    assert wording.verdict(found) == said
    assert said in rendered_lift(report(lift(found)))


def test_a_chart_holds_all_intervals_and_the_zero():
    spans = [(1, -0.2, 0.1, 0.4), (7, 0.3, 1.0, 1.7), (28, -3.0, -1.0, 1.0)]
    (chart,) = charts(lift(*(effect(day, low, mid, high) for day, low, mid, high in spans)))
    heights = [chart.zero, *(end for dot in chart.dots for end in (dot.low, dot.high))]
    assert all(0 <= height <= 150 for height in heights)
    assert [dot.x for dot in chart.dots] == sorted(dot.x for dot in chart.dots)
    assert all(dot.high < dot.y < dot.low for dot in chart.dots)
    assert max(dot.low for dot in chart.dots) == max(heights)
    below = [dot.y > chart.zero for dot in chart.dots]
    assert below == [False, False, True]


def test_a_number_that_is_withheld_is_nowhere(capsys):
    reason = "sample ratio: 12 % of the planned contact points are held out, 5 % were to be"
    text = rendered_lift(report(lift(withheld=[reason])))
    assert text.count("No number is told.") == 1
    assert reason in text
    assert "<svg" not in text
    assert 'class="numbers"' not in text
    show_lift(Console(width=300), report(lift(withheld=[reason])), None)
    assert f"No number is told: {reason}." in capsys.readouterr().out


def test_of_many_occasions_the_latest_are_shown(capsys):
    many = [replace(lift(withheld=["no"]), occasion=f"tea@{day:03d}") for day in range(30)]
    of_many = LiftReport("now", "then", 0.95, [CampaignLift("tea", 0.25, lift(), many)])
    text = rendered_lift(of_many)
    assert "tea@009" not in text
    assert text.count("tea@0") == 20
    assert "… and 10 earlier ones." in text
    show_lift(Console(width=300), of_many, None)
    said = capsys.readouterr().out
    assert "10 earlier occasions: --json has all" in said
    assert "tea@009" not in said


@pytest.mark.browser
def test_the_page_shows_charts_numbers_and_checks(page: Page, made: LiftReport) -> None:
    whole = made.campaigns[0].whole
    expect(page.locator("section").first.locator(".said")).to_contain_text("net profit")
    shown = {one.outcome for one in whole.effects}
    assert page.locator("section").first.locator("svg").count() == len(shown)
    rows = page.locator("section").first.locator("table.numbers tr").all()[1:]
    assert len(rows) == len(whole.effects)
    checks = page.locator("section").first.locator("table.checks tr").all()[1:]
    assert [row.locator("td").nth(1).inner_text() for row in checks] == ["yes"] * 6
    occasions = page.locator("section").first.locator("table.occasions tr").all()[1:]
    assert len(occasions) == 2
    expect(page.locator("section").nth(1)).to_contain_text("nobody is held out")


@pytest.mark.browser
def test_hostile_names_are_read_and_not_run(page: Page) -> None:
    assert page.evaluate("typeof window.obeyed") == "undefined"
    assert page.locator("script, img, link, iframe").count() == 0
    expect(page.locator("section h2").nth(1)).to_contain_text(EVIL)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_a_phone_by_day_and_night(page: Page, scheme: str) -> None:
    assert_readable(page, scheme)


@pytest.mark.browser
def test_it_prints_dark_on_light_within_the_paper(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    ink = page.evaluate("getComputedStyle(document.body).color.match(/[0-9]+/g).map(Number)")
    assert max(ink[:3]) < 80
