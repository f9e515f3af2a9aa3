"""The page behind the link of a message: a choice for each channel, on both databases."""

from dataclasses import replace
from email import message_from_bytes, policy
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from campaigns.app import routes
from campaigns.consent import import_consent
from campaigns.ledger.consent import Statement, record
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.ways_in.wording import CHINESE, ENGLISH, words_for
from tests.campaigns.kit import MEMBERS, Clock, composition, definition, write_consent
from tests.campaigns.ways_in.asked import Asked

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    made = replace(composition(tmp_path, clock), settings=CampaignSettings(ledger_url=ledger_url))
    with made.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "agreed.csv", MEMBERS[:1]), ledger, now=clock())
    send_plan(made, plan_campaign(made, definition())[0].plan_id)
    clock.turn(minutes=1)
    return made


@pytest.fixture
def ask(shop):
    return Asked(routes(shop))


@pytest.fixture
def link(shop):
    """The link in the message to the first member."""
    files = (shop.folder / "outbox").glob("*.eml")
    mails = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    (mail,) = (one for one in mails if one["To"].startswith(MEMBERS[0]))
    return urlsplit(mail["List-Unsubscribe"].strip("<>")).path


def choose(ask, link, *channels, **headers):
    body = "&".join(["choice=channels", *(f"channel={one}" for one in channels)])
    return ask("POST", link, content=body, headers={"content-type": FORM} | headers)


def agreed(shop, *channels, member=MEMBERS[0]):
    addresses = {"sms": "+4915112345678", "push": "device-1"}
    said = [Statement(member, one, addresses[one], True, shop.now(), "test") for one in channels]
    with shop.open_ledger() as ledger:
        record(ledger, said, now=shop.now())


def consents(shop, member=MEMBERS[0]):
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT channel, granted FROM current_consent WHERE person = :p ORDER BY channel"),
            {"p": ledger.identity.person(member)},
        )
        return {row.channel: bool(row.granted) for row in rows}


def suppressed(shop):
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        return connection.execute(text("SELECT COUNT(*) FROM suppression")).scalar()


def test_the_page_shows_the_channels_that_there_are_and_changes_nothing(shop, ask, link):
    agreed(shop, "sms")
    page = ask("GET", link)
    assert page.status_code == 200
    assert 'value="email" checked' in page.text
    assert 'value="sms" checked' in page.text
    assert "Notifications" not in page.text
    assert "<script" not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    ask("HEAD", link)
    assert (consents(shop), suppressed(shop)) == ({"email": True, "sms": True}, 0)


def test_a_channel_can_be_stopped_alone_and_taken_up_again_where_the_message_came(
    shop, ask, link, clock
):
    agreed(shop, "sms")
    answer = choose(ask, link, "sms")
    assert ENGLISH["saved"] in answer.text
    assert 'value="email">' in answer.text
    assert consents(shop) == {"email": False, "sms": True}
    choose(ask, link, "email")
    assert consents(shop) == {"email": True, "sms": False}
    choose(ask, link, "email", "sms", "push")  # what was never agreed to, or stopped, is no choice
    assert consents(shop) == {"email": True, "sms": False}
    assert suppressed(shop) == 0


def test_the_same_choice_again_writes_nothing(shop, ask, link):
    choose(ask, link)
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        once = connection.execute(text("SELECT COUNT(*) FROM consent")).scalar()
    choose(ask, link)
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM consent")).scalar() == once


@pytest.mark.parametrize(
    "posted",
    [
        {},
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"data": {"stop": "all"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b"\xff\xfe", "headers": {"content-type": FORM}},
        {"content": "choice=other&channel=email", "headers": {"content-type": FORM}},
    ],
)
def test_whatever_else_is_posted_stops_all(shop, ask, link, posted):
    answer = ask("POST", link, **posted)
    assert (answer.status_code, suppressed(shop)) == (200, 2)
    assert ENGLISH["stopped"] in answer.text
    assert ENGLISH["stopped"] in ask("GET", link).text


def test_after_all_was_stopped_no_choice_reopens_anything(shop, ask, link):
    ask("POST", link)
    before = consents(shop)
    assert ENGLISH["stopped"] in choose(ask, link, "email").text
    assert (consents(shop), suppressed(shop)) == (before, 2)


def test_a_strange_link_changes_nothing(shop, ask, link):
    assert choose(ask, link[:-1], "email").status_code == 404
    with shop.open_ledger() as ledger:
        token = ledger.identity.token("0" * 32)
    assert ask("GET", f"/u/{token}").status_code == 404
    assert choose(ask, f"/u/{token}").status_code == 404


def test_the_page_speaks_chinese(ask, link):
    page = ask("GET", link, headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert CHINESE["stop"] in page.text
    assert '<html lang="zh">' in page.text


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", ENGLISH), ("*", ENGLISH), ("de,fr;q=0.9", ENGLISH), ("zh", CHINESE),
        ("de, ZH-tw;q=0.5", CHINESE), ("en;q=0.4,zh;q=0.5", CHINESE), ("zh;q=0.4,en", ENGLISH),
        ("zh;q=0", ENGLISH), ("zh;q=x", ENGLISH), (",;,", ENGLISH),
    ],
)  # fmt: skip
def test_the_language_is_the_one_that_is_asked_for_first(header, words):
    assert words_for(header) is words


def test_both_languages_have_the_same_words():
    assert ENGLISH.keys() == CHINESE.keys()
