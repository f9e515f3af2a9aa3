"""Double opt-in, on both databases: no yes counts before its link was answered."""

import re
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from campaigns.app import routes
from campaigns.consent import import_consent
from campaigns.ledger.consent import standings, suppress
from campaigns.ledger.erasing import erase
from campaigns.settings import CampaignSettings
from campaigns.ways_in.confirming import ask_all
from campaigns.ways_in.wording import CHINESE, ENGLISH
from tests.campaigns.kit import NOW, Clock, composition
from tests.campaigns.ways_in.asked import Asked

HEADER = "member_id,channel,address,consent,at,source,timezone,language"
YES = "ann,email,ann@example.invalid,yes,2017-11-01T00:00:00Z,shop,UTC,en"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    settings = CampaignSettings(ledger_url=ledger_url, double_opt_in={"email"})
    made = replace(composition(tmp_path, clock), settings=settings)
    clock.turn(minutes=1)
    return made


@pytest.fixture
def ask(shop):
    return Asked(routes(shop))


def load(shop, *lines, double=None):
    path = shop.folder / "said.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    double = shop.settings.double_opt_in if double is None else double
    with shop.open_ledger() as ledger:
        return import_consent(path, ledger, now=shop.now(), double=double)


def granted(shop, member="ann", channel="email"):
    with shop.open_ledger() as ledger:
        found = standings(ledger, channel).get(ledger.identity.person(member))
    return found is not None and found.granted


def asked(shop):
    """The links that were written; the mail program takes them away."""
    ask_all(shop)
    links = []
    for file in (shop.folder / "outbox").glob("confirm-*.eml"):
        mail = message_from_bytes(file.read_bytes(), policy=policy.default)
        found = re.search(r"http\S+", mail.get_content())
        links.append((mail["To"], urlsplit(found[0]).path))
        file.unlink()
    return dict(links)


def receipts(shop):
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT wording, source, asked_at > 0, confirmed_at > 0 FROM opt_in ORDER BY seq")
        )
        return [tuple(None if cell is None else cell for cell in row) for row in rows]


def test_a_yes_counts_once_its_link_was_answered(shop, ask, clock):
    assert load(shop, YES).new == 1
    assert not granted(shop)
    assert receipts(shop) == [("", "shop", False, None)]
    ((to, link),) = asked(shop).items()
    assert to == "ann@example.invalid"
    page = ask("GET", link)
    assert shop.settings.opt_in_wording in page.text
    ask("HEAD", link)
    assert not granted(shop)
    clock.turn(minutes=1)
    assert ENGLISH["confirmed"] in ask("POST", link).text
    assert granted(shop)
    assert receipts(shop) == [(shop.settings.opt_in_wording, "shop", True, True)]


def test_the_same_file_and_the_same_answer_again_change_nothing(shop, ask):
    assert [load(shop, YES).new for _ in range(2)] == [1, 0]
    link = asked(shop)["ann@example.invalid"]
    assert asked(shop) == {}
    assert ask("POST", link).text == ask("POST", link).text
    assert (load(shop, YES).new, asked(shop)) == (0, {})
    assert granted(shop)
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        said = {"p": ledger.identity.person("ann")}
        count = connection.execute(text("SELECT COUNT(*) FROM consent WHERE person = :p"), said)
        assert count.scalar() == 1


def test_a_no_counts_at_once_and_a_yes_after_it_is_asked_again(shop, ask, clock):
    load(shop, YES)
    ask("POST", asked(shop)["ann@example.invalid"])
    clock.turn(days=2)
    load(shop, YES.replace("yes", "no").replace("2017-11-01", "2017-12-02"))
    assert not granted(shop)
    assert load(shop, YES.replace("2017-11-01", "2017-11-20")).new == 0  # said before the no
    load(shop, YES.replace("2017-11-01", "2017-12-03"))
    assert not granted(shop)
    ask("POST", asked(shop)["ann@example.invalid"])
    assert granted(shop)


def test_a_new_address_has_to_be_confirmed_and_the_old_ones_yes_is_over(shop, ask, clock):
    load(shop, YES)
    old = asked(shop)["ann@example.invalid"]
    ask("POST", old)
    clock.turn(days=2)
    load(shop, YES.replace("ann@", "new@").replace("2017-11-01", "2017-12-03T00:00:00Z"[:10]))
    assert not granted(shop)
    assert ENGLISH["changed"] in ask("POST", old).text
    ask("POST", asked(shop)["new@example.invalid"])
    assert granted(shop)


def test_who_agreed_before_there_was_double_opt_in_still_does(shop):
    load(shop, YES, double=())
    assert granted(shop)
    assert load(shop, YES.replace("2017-11-01", "2017-11-20")).new == 1
    assert granted(shop)
    assert asked(shop) == {}


def test_channels_that_are_not_listed_count_at_once(shop):
    settings = shop.settings.model_copy(update={"double_opt_in": frozenset({"sms"})})
    load(replace(shop, settings=settings), YES)
    assert granted(shop)


def test_a_yes_among_the_preferences_is_asked_too(shop, ask):
    load(shop, YES.replace("yes", "no"))
    put = {"json": {"channels": {"email": {"push": True}}}}
    answer = ask("PUT", "/v1/members/ann/preferences", **put)
    assert answer.json()["channels"]["email"]["push"] is False
    ask("POST", asked(shop)["ann@example.invalid"])
    assert granted(shop)
    assert ask("PUT", "/v1/members/ann/preferences", **put).json()["channels"]["email"]["push"]
    put["json"]["channels"]["email"]["push"] = False
    ask("PUT", "/v1/members/ann/preferences", **put)
    assert not granted(shop)
    answer = ask(
        "PUT", "/v1/members/nobody/preferences", json={"channels": {"email": {"push": True}}}
    )
    assert answer.json()["channels"]["email"]["push"] is False


@pytest.mark.parametrize("how", ["suppressed", "erased"])
def test_a_link_reopens_nothing(shop, ask, how):
    load(shop, YES)
    link = asked(shop)["ann@example.invalid"]
    with shop.open_ledger() as ledger:
        if how == "erased":
            erase(ledger, "ann", now=shop.now())
        else:
            suppress(ledger, [ledger.identity.person("ann")], reason="left", now=NOW)
    said = ask("POST", link).text
    assert ENGLISH["barred" if how == "suppressed" else "changed"] in said
    assert not granted(shop)


def test_whoever_is_suppressed_is_not_asked(shop):
    load(shop, YES)
    with shop.open_ledger() as ledger:
        contact = ledger.identity.contact("email", "ann@example.invalid")
        suppress(ledger, [contact], reason="left", now=NOW)
    assert asked(shop) == {}


def test_a_strange_link_and_one_that_was_never_sent_are_refused(shop, ask):
    load(shop, YES)
    link = asked(shop)["ann@example.invalid"]
    with shop.open_ledger() as ledger:
        person, contact = ledger.identity.person("bob"), ledger.identity.contact("email", "b@c.de")
        unsent = ledger.identity.token(f"c-{person}-email-{contact}")
        token = ledger.identity.token("0" * 32)
    for path in (link[:-1], f"/c/{unsent}", f"/c/{token}", link.replace("/c/", "/u/")):
        assert (ask("GET", path).status_code, ask("POST", path).status_code) == (404, 404)
    assert not granted(shop)


def test_it_is_asked_in_the_members_language(shop, ask):
    load(shop, YES.replace(",en", ",zh-CN"))
    ask_all(shop)
    (file,) = (shop.folder / "outbox").glob("confirm-*.eml")
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert mail["Subject"] == CHINESE["confirm"]
    assert mail["List-Unsubscribe"] is None


def test_the_command_asks_once(shop, run):
    load(shop, YES)
    assert "1 asked to confirm" in run("consent", "ask")
    assert '"asked": 0' in run("consent", "ask", "--json")


def test_a_yes_is_older_than_any_answer(shop, ask, clock):
    load(shop, YES)
    ask("POST", asked(shop)["ann@example.invalid"])
    clock.turn(days=1)
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        who = {"p": ledger.identity.person("ann")}
        at = connection.execute(text("SELECT MAX(at) FROM consent WHERE person = :p"), who).scalar()
    assert at >= (NOW + timedelta(minutes=1)).timestamp() * 1_000_000
