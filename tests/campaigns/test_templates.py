"""What messages say, in whose language, and where their links lead."""

import re
from dataclasses import replace
from email import message_from_string, policy
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.definition import Template, load_campaign
from campaigns.ledger.consent import Statement, record
from campaigns.links import check_shop_url, product_url
from campaigns.message import PLACE, Coupon, Product, render, whole
from campaigns.run import plan_campaign, plan_renderer, send_plan
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError
from tests.campaigns.kit import NOW, Clock, composition, definition

SHOP = "https://shop.example/p/{product_id}?lang=en#reviews"
UTM = {"source": "push & pull", "campaign": "w48"}
OWN = {"subject": "S", "text": "T", "html": "H"}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock)


def messages(shop, *, language=None, **changes):
    """Those of a campaign's plan, rendered by the plan's own renderer."""
    plan = plan_campaign(shop, definition(**changes))[0]
    pushed = plan.rows.filter(pl.col("decision") == "push")
    with shop.open_ledger() as ledger:
        say = plan_renderer(shop, plan, ledger)
        return {
            member: say(member, coupon, f"id-{member}", "+4915112345678", language)
            for member, coupon in pushed.select("member_id", "coupon_id").iter_rows()
        }


def said(template, *, language=None, channel="email", products=(), code=None):
    return render(
        template, channel=channel, language=language, send_id="s", to="a@example.invalid",
        title="Week", coupon=Coupon("c1", "1 € off", code), products=products, valid_until=NOW,
        unsubscribe="https://x/u/t",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("language", "chinese"),
    [
        ("zh", True), ("zh-CN", True), ("ZH-Hant-TW", True), ("zh_HK", True),
        ("en", False), ("de", False), ("zho", False), ("", False), (None, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channel", ["email", "sms", "push"])
def test_the_contact_points_language_chooses_the_built_in_one(language, chinese, channel):
    message = said(whole(Template(), channel), channel=channel, language=language)
    assert ("有效期至" in message.text) == chinese
    assert ("Until" in message.text or "until" in message.text) != chinese
    assert ("有效期至" in message.html) == (chinese and channel == "email")
    assert bool(message.html) == (channel == "email")


@pytest.mark.parametrize("channel", ["email", "sms", "push"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_built_in_shows_code_coupon_end_and_way_out(channel, language):
    shown = [Product("tea", "Green tea", "https://shop.example/p/tea")]
    message = said(
        whole(Template(), channel), channel=channel, language=language, products=shown, code=PLACE
    )
    assert message.coded
    bodies = [message.text, message.html] if channel == "email" else [message.text]
    for body in bodies:
        assert "1 € off" in body
        assert PLACE in body
        assert "2017-12-01 09:00 UTC" in body
        assert channel == "push" or "https://x/u/t" in body
        assert channel == "sms" or "Green tea" in body
        assert ("https://shop.example/p/tea" in body) == (channel == "email")
    assert "\n" not in message.text or channel == "email"


def test_each_member_is_spoken_to_in_their_own_language(shop, clock):
    chinese = Statement("m1", "email", "m1@example.invalid", True, NOW, "test", "UTC", "zh-Hans-CN")
    with shop.open_ledger() as ledger:
        record(ledger, [chinese], now=NOW)
    plan = plan_campaign(shop, definition())[0]
    send_plan(shop, plan.plan_id)
    files = [path.read_text() for path in (shop.folder / "outbox").iterdir()]
    by = {re.search(r"To: (\w+)@", file)[1]: file for file in files}
    assert 'lang="zh"' not in by["m0"]
    mail = message_from_string(by["m1"], policy=policy.default)
    assert "不再接收此类消息" in mail.get_body(("plain",)).get_content()
    assert "不再接收此类消息" in mail.get_body(("html",)).get_content()


def test_a_campaigns_own_words_count_for_everyone_but_the_languages_that_it_names():
    own = whole(Template(**OWN))
    assert [said(own, language=tag).text for tag in ("zh", "en", None)] == ["T"] * 3
    named = whole(Template(**OWN, languages={"zh": {}, "DE-at": {"text": "D", "html": "DH"}}))
    assert "有效期至" in said(named, language="zh-TW").text
    assert said(named, language="de-AT").text == "D"
    assert said(named, language="de-AT").subject == "S"
    assert said(named, language="de").text == "T"


def test_a_language_may_have_a_title_of_its_own():
    spoken = whole(Template(languages={"zh": {"title": "本周优惠"}}))
    assert said(spoken, language="zh").subject == "本周优惠: 1 € off"
    assert said(spoken, language="en").subject == "Week: 1 € off"
    assert "本周优惠" in said(spoken, language="zh").html


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ({"text": "{{ surname }}"}, "template's text does not render: 'surname' is undefined"),
        ({"text": "{% if false %}{{ surname }}{% endif %}"}, "'surname' is undefined"),
        ({"text": "{{ coupon.titel }}"}, "has no attribute 'titel'"),
        ({"html": "{% for p in products %}{{ p.prize }}{% endfor %}"}, "html .*'prize'"),
        ({"subject": "{{ coupon."}, "subject does not render"),
        ({"text": "{{ 1 / 0 }}"}, "division by zero"),
        ({"text": "{{ products[3] + 1 }}"}, "does not render"),
        ({"text": "{{ products.__class__.__mro__ }}"}, "unsafe"),
        ({"text": "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"},
         "comes to more than 100,000 characters; shorten it"),
        ({"languages": {"fr": {"text": "{{ nom }}", "html": "x"}}}, "text in fr .*'nom'"),
        ({"languages": {"zh": {"subject": "{% x %}"}}}, "subject in zh does not render"),
    ],
)  # fmt: skip
def test_a_template_that_is_wrong_is_named_before_anything_is_planned(shop, template, says):
    with pytest.raises(CampaignError, match=says):
        plan_campaign(shop, definition(template=template))
    assert not shop.plans.exists()


def test_a_text_message_keeps_to_what_providers_take(shop):
    long = {"text": "{{ 'x' * 2000 }}"}
    with pytest.raises(CampaignError, match="more than 1,600 characters"):
        plan_campaign(shop, definition(channel="sms", template=long))


def test_products_are_escaped_wherever_they_stand():
    evil = Product("p", "<b>&", "https://shop.example/p/%3Cb%3E?a=1&b=2")
    own = whole(Template(html="{{ products[0] }} {{ products[0].title }} {{ products[0].url }}"))
    message = said(own, products=[evil])
    assert message.html == (
        "&lt;b&gt;&amp; &lt;b&gt;&amp; https://shop.example/p/%3Cb%3E?a=1&amp;b=2"
    )


# The campaign file

FILE = """\
campaign: "24"
title: Your week
starts_at: 2017-12-01T09:00:00Z
ends_at: 2017-12-08T09:00:00Z
coupons: [c1]
budget: 100
"""


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("template: {languages: {no: {text: a, html: b}}}", "language False must be in quotes"),
        ("template: {languages: {zh: {text: a}}}", "zh needs both text and html, or neither"),
        ("template: {languages: {z!: {}}}", "String should match pattern"),
        ("channel: sms\ntemplate: {html: a}", "html is for e-mail; a message by sms is text"),
        ("channel: fax", "'email', 'sms' or 'push'"),
        ("shop_url: https://shop.example", r"must hold \{product_id\}"),
        ("shop_url: https://{product_id}.example/", r"must hold \{product_id\}"),
        ("shop_url: 'javascript:{product_id}'", "no http:// or https:// address"),
        ("utm: {medium: push}", "'utm.source' is missing"),
        ("utm: {source: x, medum: y}", "unknown key 'utm.medum'; did you mean 'medium'"),
    ],
)
def test_a_slip_in_the_file_is_named(tmp_path, more, says):
    path = tmp_path / "campaign.yaml"
    path.write_text(FILE + more + "\n")
    with pytest.raises(CampaignError, match=says):
        load_campaign(path)


def test_a_plan_of_before_languages_and_links_is_still_what_it_was():
    """Hashes that plans of an earlier version carry."""
    assert definition().digest == "b86ad58ed46d1551"
    assert Template(**OWN).digest == "327fb112214cb843"


# Links


def links(text):
    return re.findall(r"https?://[^\s\"<>]+", text)


def test_links_to_products_carry_what_analytics_wants_and_the_way_out_does_not(shop):
    found = messages(shop, shop_url=SHOP, utm=UTM)["m1"]
    for body in (found.text, found.html.replace("&amp;", "&")):
        product, way_out = [
            [one for one in links(body) if ("/u/" in one) == ours] for ours in (False, True)
        ]
        (bread,) = product
        parts = urlsplit(bread)
        assert (parts.path, parts.fragment) == ("/p/bread", "reviews")
        assert parse_qs(parts.query) == {
            "lang": ["en"],
            "utm_source": ["push & pull"],
            "utm_medium": ["email"],
            "utm_campaign": ["w48"],
        }
        assert set(way_out) == {found.unsubscribe}
        assert "utm" not in found.unsubscribe


def test_links_come_from_the_settings_where_the_campaign_says_none(shop):
    linked = replace(shop, settings=CampaignSettings(shop_url=SHOP))
    assert "https://shop.example/p/tea?lang=en#reviews" in messages(linked)["m0"].text
    assert "shop.example" not in messages(shop, title="Other")["m0"].text


def test_parameters_without_links_are_refused(shop):
    with pytest.raises(CampaignError, match="has utm, and no shop_url"):
        plan_campaign(shop, definition(utm=UTM))


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_whatever_a_product_is_called_its_link_leads_to_it(product_id):
    parts = urlsplit(product_url(SHOP, product_id, {"utm_source": "a&b=c"}))
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "shop.example", "reviews")
    assert unquote(parts.path.removeprefix("/p/")) == product_id
    assert parse_qs(parts.query) == {"lang": ["en"], "utm_source": ["a&b=c"]}
    assert check_shop_url(SHOP) == SHOP
