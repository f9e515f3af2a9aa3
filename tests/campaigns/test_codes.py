"""Codes from the file to the message and out to the checkout."""

import csv
import json
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from campaigns.codes import import_codes
from campaigns.definition import Template
from campaigns.ledger.codes import Pool, all_codes, pools
from campaigns.ledger.redemptions import Use, redeem
from campaigns.message import PLACE, Coupon, render, whole
from campaigns.run import plan_campaign, send_plan
from campaigns.verify import verify
from recsys.errors import CampaignError, DataError
from tests.campaigns.kit import MEMBERS, NOW, Clock, composition, definition


@pytest.fixture
def shop(tmp_path):
    return composition(tmp_path, Clock())


def write(path, *rows, head="code,coupon_id"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def texts(shop):
    """By address: the plain text of each message."""
    mails = [
        message_from_bytes(path.read_bytes(), policy=policy.default)
        for path in (shop.folder / "outbox").glob("*.eml")
    ]
    return {mail["To"].partition("@")[0]: mail.get_body(("plain",)).get_content() for mail in mails}


def send_all(shop, **changes):
    plan, _ = plan_campaign(shop, definition(**changes))
    return send_plan(shop, plan.plan_id)


def states(shop):
    with shop.open_ledger() as ledger:
        return {one.code: one for one in all_codes(ledger)}


def test_a_file_is_imported_row_by_row(shop, tmp_path):
    file = write(
        tmp_path / "codes.csv",
        "AAA-1,c1", "AAA-1,c1", "AAA-2,c1", "AAA-2,c2",
        "abc,c1", "sp ace,c1", "BBB-1,c9", "é-12,c1",
    )  # fmt: skip
    with shop.open_ledger() as ledger:
        done = import_codes(file, ledger, shop.dataset(), now=NOW)
        assert (done.new, done.known, done.pools) == (2, 1, {"c1": Pool(free=2)})
        assert [(r.row, r.column) for r in done.rejects] == [
            (5, "code"), (6, "code"), (7, "code"), (8, "coupon_id"), (9, "code"),
        ]  # fmt: skip
        assert not any("AAA" in r.rule for r in done.rejects)
        again = import_codes(file, ledger, shop.dataset(), now=NOW)
        assert (again.new, again.known) == (0, 3)
        other = write(tmp_path / "other.csv", "AAA-1,c2")
        (reject,) = import_codes(other, ledger, shop.dataset(), now=NOW).rejects
        assert (reject.row, reject.rule) == (2, "stands for coupon 'c1' already")


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "There is no code file"), (b"code;coupon_id\n", "lacks the column code, coupon_id"),
     (b"code,coupon_id\n\xff,c1\n", "not UTF-8")],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(shop, tmp_path, content, says):
    path = tmp_path / "codes.csv"
    if content is not None:
        path.write_bytes(content)
    with shop.open_ledger() as ledger, pytest.raises(DataError, match=says):
        import_codes(path, ledger, shop.dataset(), now=NOW)


def test_each_message_carries_a_code_of_its_own_and_the_export_says_whose(run, shop, tmp_path):
    file = write(tmp_path / "codes.csv", *(f"SAVE-{n},c1" for n in range(9)))
    assert "9 new codes" in run("codes", "import", file)
    assert send_all(shop).outcomes["accepted"] == 7
    sent = {one.member_id: one.code for one in states(shop).values() if one.state == "sent"}
    assert set(sent) == set(MEMBERS[:-1]) - {"m1"}  # whose coupon has no codes
    found = texts(shop)
    assert all(f"Your code: {code}" in found[member].splitlines() for member, code in sent.items())
    assert len(set(sent.values())) == 6
    assert "Your code" not in found["m1"]
    assert not any(PLACE in text for text in found.values())
    with shop.open_ledger() as ledger:
        redeem(ledger, Use("o1", "c1", 100, NOW, code=sent["m2"]), limit=None, now=NOW)
        assert verify(ledger).breaches == ()
    out = tmp_path / "out" / "checkout.csv"
    assert json.loads(run("codes", "export", out, "--json")) == {"file": str(out), "codes": 9}
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {row["state"] for row in rows} == {"free", "sent", "redeemed"}
    assert {
        "code": sent["m2"], "coupon_id": "c1", "state": "redeemed", "campaign_id": "24",
        "member_id": "m2", "order_id": "o1",
    } in rows  # fmt: skip
    assert "1 redeemed" in run("codes", "import", file)


def test_the_planner_gives_no_more_coupons_than_there_are_codes(run, shop, tmp_path):
    run("codes", "import", write(tmp_path / "codes.csv", "SAVE-1,c1", "SAVE-2,c1"))
    assert send_all(shop).outcomes == {
        "accepted": 3, "skipped: coupon_limit": 4, "skipped: no_consent": 1,
    }  # fmt: skip


def test_codes_that_went_meanwhile_are_missed_at_the_hand_over(run, shop, tmp_path):
    run("codes", "import", write(tmp_path / "codes.csv", *(f"SAVE-{n},c1" for n in range(6))))
    plan, _ = plan_campaign(shop, definition())
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("DELETE FROM code WHERE code < 'SAVE-4'")
    assert send_plan(shop, plan.plan_id).outcomes == {
        "accepted": 3, "skipped: codes_used_up": 4, "skipped: no_consent": 1,
    }  # fmt: skip
    with shop.open_ledger() as ledger:
        assert pools(ledger) == {"c1": Pool(sent=2)}
        assert verify(ledger).breaches == ()


def test_a_template_that_shows_no_code_stops_before_anything_is_taken(run, shop, tmp_path):
    run("codes", "import", write(tmp_path / "codes.csv", *(f"SAVE-{n},c1" for n in range(9))))
    plan, _ = plan_campaign(shop, definition(template={"text": "Hello", "html": "<p>Hello</p>"}))
    with pytest.raises(CampaignError, match=r"coupon\.code"):
        send_plan(shop, plan.plan_id)
    with shop.open_ledger() as ledger:
        assert pools(ledger) == {"c1": Pool(free=9)}


def test_a_code_in_subject_and_link_is_filled_in_whole():
    source = whole(
        Template(
            subject="{{ 'x' * 145 }} {{ coupon.code }}",
            text="https://shop.invalid/?c={{ coupon.code|urlencode }}",
            html="<b>{{ coupon.code }}</b>",
        )
    )
    coupon = Coupon("c1", "1 off", PLACE)
    message = render(
        source, send_id="s", to="a@example.invalid", title="t", coupon=coupon, products=[],
        valid_until=NOW, unsubscribe="u",
    )  # fmt: skip
    filled = message.with_code("A~b.c-9")
    assert filled.text == "https://shop.invalid/?c=A~b.c-9"
    assert filled.html == "<b>A~b.c-9</b>"
    assert filled.subject == "x" * 145 + " A~b."
    assert not filled.coded
    assert message.with_code(None) == message
    plain = replace(coupon, code=None)
    assert not render(
        whole(Template()), send_id="s", to="a@example.invalid", title="t", coupon=plain,
        products=[], valid_until=NOW, unsubscribe="u",
    ).coded  # fmt: skip
