from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes

import pytest
from sqlalchemy import text

from campaigns.ledger.codes import add_codes
from campaigns.ledger.consent import suppress
from campaigns.run import plan_campaign, send_plan
from campaigns.seeds import send_tests
from campaigns.verify import verify
from recsys.errors import CampaignError, DataError, LedgerError
from tests.campaigns.kit import Clock, composition, definition


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock)


def seeds(shop, *rows, header="address,member_id,coupon_id"):
    path = shop.folder / "seeds.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def mails(shop):
    found = [message_from_bytes(f.read_bytes()) for f in (shop.folder / "outbox").glob("*.eml")]
    return {str(mail["To"]): mail for mail in found}


def words(mail):
    return mail.get_payload()[0].get_payload(decode=True).decode()


def test_seeds_get_the_members_message_marked(shop):
    path = seeds(shop, "boss@shop.example,m1,c2", "new@shop.example,,")
    assert send_tests(shop, definition(), path, by="ann").made == {"accepted": 2}
    found = mails(shop)
    assert sorted(found) == ["boss@shop.example", "new@shop.example"]
    assert found["boss@shop.example"]["Subject"] == "[TEST] Your week: Your coupon c2"
    assert words(found["boss@shop.example"]).startswith("[TEST] ")
    assert "Bread" in words(found["boss@shop.example"])
    assert "1 € off drinks" in words(found["new@shop.example"])


def test_a_test_takes_nothing_and_is_recorded(shop):
    send_tests(shop, definition(), seeds(shop, "m1@example.invalid,m1,c2"), by="ann")
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        rows = connection.execute(text("SELECT plan_id, outcome, reason FROM outcome")).all()
        assert connection.execute(text("SELECT COUNT(*) FROM send")).scalar_one() == 0
    assert [tuple(row) for row in rows] == [("test:24", "skipped", "test by ann: accepted")]
    plan, _ = plan_campaign(shop, definition())
    assert send_plan(shop, plan.plan_id).made == {"accepted": 7}
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_no_more_than_so_many_a_day(shop, clock):
    shop = replace(shop, settings=shop.settings.model_copy(update={"test_sends_a_day": 3}))
    two = seeds(shop, "a@shop.example,,", "b@shop.example,,")
    send_tests(shop, definition(), two, by="ann")
    clock.turn(hours=23)
    with pytest.raises(LedgerError, match=r"2 test messages .* of 3 in 24 hours 1 are left"):
        send_tests(shop, definition(campaign="other"), two, by="bob")
    assert len(mails(shop)) == 2
    clock.turn(hours=2)
    assert send_tests(shop, definition(), two, by="ann").made == {"accepted": 2}


def test_who_stopped_messages_gets_no_test_either(shop):
    with shop.open_ledger() as ledger:
        contact = ledger.identity.contact("email", "Gone@shop.example")
        suppress(ledger, [contact], reason="unsubscribed", now=shop.now() - timedelta(days=1))
    path = seeds(shop, "gone@shop.example,,", "here@shop.example,,")
    done = send_tests(shop, definition(), path, by="ann")
    assert (done.made, done.suppressed) == ({"accepted": 1}, 1)
    assert sorted(mails(shop)) == ["here@shop.example"]


def test_a_test_uses_up_no_code(shop):
    with shop.open_ledger() as ledger:
        add_codes(ledger, {"REAL-CODE": "c1"}, now=shop.now())
    send_tests(shop, definition(), seeds(shop, "a@shop.example,,c1"), by="ann")
    said = words(mails(shop)["a@shop.example"])
    assert "TEST-CODE" in said
    assert "REAL-CODE" not in said


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ([], DataError, "names nobody"),
        (["a@shop.example,,", "nowhere,,"], DataError, "row 3: the address is not of the form"),
        (["a@shop.example,,c9"], CampaignError, "row 2: campaign '24' does not give coupon 'c9'"),
    ],
)
def test_a_bad_row_stops_all(shop, rows, error, says):
    with pytest.raises(error, match=says):
        send_tests(shop, definition(), seeds(shop, *rows), by="ann")
    assert not (shop.folder / "outbox").exists()
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM outcome")).scalar_one() == 0


def test_a_file_without_addresses_says_what_it_needs(shop):
    with pytest.raises(DataError, match="lacks the column address"):
        send_tests(shop, definition(), seeds(shop, "m1", header="member_id"), by="ann")
