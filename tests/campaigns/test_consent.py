from datetime import timedelta

import pytest
from sqlalchemy import text

from campaigns.consent import import_consent
from campaigns.ledger.consent import standings, suppress
from campaigns.synthetic_consent import write_synthetic_consent
from recsys.errors import DataError
from tests.campaigns.kit import NOW

HEADER = "member_id,channel,address,consent,at,source,timezone,language\n"
GOOD = "ann,email,Ann@Example.invalid,yes,2017-11-01T00:00:00Z,shop,Europe/Berlin,de\n"


def load(ledger, tmp_path, content, now=NOW):
    path = tmp_path / "consent.csv"
    path.write_text(content, newline="")
    return import_consent(path, ledger, now=now)


def standing(ledger, member="ann"):
    return standings(ledger, "email")[ledger.identity.person(member)]


def test_the_same_file_again_adds_nothing(ledger, tmp_path):
    first = load(ledger, tmp_path, HEADER + GOOD)
    again = load(ledger, tmp_path, HEADER + GOOD)
    assert (first.new, first.known, again.new, again.known) == (1, 0, 0, 1)
    with ledger.reading() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM contact_point")).scalar() == 1
    assert (standing(ledger).granted, standing(ledger).language) == (True, "de")


def test_the_latest_statement_counts_whatever_order_they_come_in(ledger, tmp_path):
    no = GOOD.replace("yes", "no").replace("2017-11-01", "2017-11-02")
    load(ledger, tmp_path, HEADER + no + GOOD)
    assert not standing(ledger).granted
    yes = GOOD.replace("2017-11-01", "2017-11-03")
    load(ledger, tmp_path, HEADER + yes)
    assert standing(ledger).granted


def test_of_two_statements_for_one_instant_the_refusal_counts(ledger, tmp_path):
    load(ledger, tmp_path, HEADER + GOOD.replace("yes", "no") + GOOD)
    assert not standing(ledger).granted


def test_each_channel_has_its_own_consent_and_contact_point(ledger, tmp_path):
    phone = GOOD.replace("email", "sms").replace("Ann@Example.invalid", "+49 151 12345678")
    token = GOOD.replace("email", "push").replace("Ann@Example.invalid", "Token-of-Ann")
    assert load(ledger, tmp_path, HEADER + GOOD + phone + token.replace("yes", "no")).new == 3
    ann = ledger.identity.person("ann")
    by = {name: standings(ledger, name)[ann] for name in ("email", "sms", "push")}
    assert [one.granted for one in by.values()] == [True, True, False]
    assert len({one.contact for one in by.values()}) == 3
    assert by["sms"].contact == ledger.identity.contact("sms", "+4915112345678")
    suppress(ledger, [by["sms"].contact], reason="unsubscribed", now=NOW)
    assert standings(ledger, "sms")[ann].suppressed
    assert not standings(ledger, "email")[ann].suppressed


def test_an_import_never_reopens_a_suppression(ledger, tmp_path):
    load(ledger, tmp_path, HEADER + GOOD)
    contact = ledger.identity.contact("email", "ann@example.invalid")
    suppress(ledger, [contact], reason="unsubscribed", now=NOW)
    later = GOOD.replace("2017-11-01", "2017-12-02").replace("ann,", "ann-again,")
    load(ledger, tmp_path, HEADER + later, now=NOW + timedelta(days=3))
    assert standing(ledger).suppressed
    assert standing(ledger, "ann-again").suppressed


@pytest.mark.parametrize(
    ("slip", "column", "says"),
    [
        (("Ann@Example.invalid", '"ann@example.invalid\nBcc: all"'), "address", "line break"),
        (("Ann@Example.invalid", '"ann@example.invalid\r\n"'), "address", "line break"),
        (("Ann@Example.invalid", '"ann@example.invalid\u2028x"'), "address", "line break"),
        (("Ann@Example.invalid", "ann"), "address", "name@domain"),
        (("Ann@Example.invalid", '"a@b.c,d@e.f"'), "address", "name@domain"),
        (("Ann@Example.invalid", "änn@example.invalid"), "address", "ASCII"),
        (("Ann@Example.invalid", ""), "address", "name@domain"),
        (("ann,", ","), "member_id", "empty"),
        (("email", "pigeon"), "channel", "unknown; known: email, sms, push"),
        (("email", "sms"), "address", "of the form +49"),
        (("yes", "maybe"), "consent", "yes or no"),
        (("00:00:00Z", "00:00:00"), "at", "no time zone"),
        (("2017-11-01", "2018-11-01"), "at", "future"),
        (("2017-11-01T00:00:00Z", "soon"), "at", "not an instant"),
        (("Europe/Berlin", "GMT+8"), "timezone", "IANA"),
        (("Europe/Berlin", "../../etc/passwd"), "timezone", "IANA"),
    ],
)
def test_a_bad_row_is_left_out_with_its_reason(ledger, tmp_path, slip, column, says):
    bob = GOOD.replace("ann", "bob").replace("Ann", "Bob")
    done = load(ledger, tmp_path, HEADER + GOOD.replace(*slip) + bob)
    (reject,) = done.rejects
    assert (reject.row, reject.column, done.new) == (2, column, 1)
    assert says in reject.rule


@pytest.mark.parametrize(
    ("content", "says"), [("", "lacks the column"), ("member_id,at\nx,y\n", "channel, address")]
)
def test_a_file_without_the_columns_is_refused(ledger, tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        load(ledger, tmp_path, content)


def test_a_file_that_is_not_there_or_not_text_is_refused(ledger, tmp_path):
    with pytest.raises(DataError, match="no consent file"):
        import_consent(tmp_path / "none.csv", ledger, now=NOW)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        import_consent(tmp_path / "binary.csv", ledger, now=NOW)


def test_a_synthetic_file_imports_whole_and_about_its_share_agrees(ledger, tmp_path):
    members = [f"m{number}" for number in range(300)]
    path = tmp_path / "synthetic.csv"
    yes = write_synthetic_consent(members, path, share=0.8, at=NOW - timedelta(days=1))
    done = import_consent(path, ledger, now=NOW)
    assert (done.new, done.rejects) == (300, ())
    people = standings(ledger, "email").values()
    assert sum(one.granted for one in people) == yes
    assert 210 < yes < 270
    assert all(one.address.endswith("@example.invalid") for one in people)
