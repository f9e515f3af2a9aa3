"""Lists of an older system, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from campaigns.ledger.claims import claim
from campaigns.ledger.consent import standings
from campaigns.verify import verify
from campaigns.ways_in.imports import import_contacts, import_pushes, import_suppressions
from recsys.errors import DataError
from tests.campaigns.kit import NOW, WEEK, a_claim, consenting, live_plan

LATER = timedelta(minutes=1)


def write(folder, header, *lines):
    path = folder / "list.csv"
    path.write_text("\n".join([header, *lines]) + "\n", newline="")
    return path


def suppress(ledger, folder, *lines):
    path = write(folder, "member_id,channel,address,reason", *lines)
    return import_suppressions(path, ledger, now=NOW)


def contacts(ledger, folder, *lines):
    path = write(folder, "member_id,channel,address,at,timezone", *lines)
    return import_contacts(path, ledger, now=NOW)


def pushes(ledger, folder, *lines):
    path = write(folder, "member_id,channel,address,sent_at", *lines)
    return import_pushes(path, ledger, source="old", now=NOW)


def reason(ledger, who):
    (answer,) = claim(ledger, [a_claim(live_plan(ledger), who)], now=NOW, until=NOW + LATER)
    return getattr(answer, "reason", None)


@pytest.mark.parametrize(
    "line", ["ann,,,complaint", ",email,ANN@example.invalid,bounced", "ann,email,x@y.z,both"]
)
def test_whoever_the_list_names_is_not_sent_to(ledger, tmp_path, line):
    ann = consenting(ledger, "ann")
    assert suppress(ledger, tmp_path, line).new == 1
    assert reason(ledger, ann) == "suppressed"
    again = suppress(ledger, tmp_path, line)
    assert (again.new, again.known, again.rejects) == (0, 1, ())


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("ann,,,", "reason"),
        (",,,left", "member_id"),
        (",email,,left", "address"),
        (",,ann@example.invalid,left", "channel"),
        (",pigeon,ann@example.invalid,left", "channel"),
        (",sms,12345,left", "address"),
    ],
)
def test_a_suppression_that_names_nobody_is_left_out(ledger, tmp_path, line, column):
    done = suppress(ledger, tmp_path, line, "bob,,,left")
    (reject,) = done.rejects
    assert (reject.row, reject.column, done.new) == (2, column, 1)


def test_a_contact_point_alone_is_no_consent(ledger, tmp_path):
    line = "ann,email,ann@example.invalid,2017-11-01T00:00:00Z,Europe/Berlin"
    first, again = contacts(ledger, tmp_path, line), contacts(ledger, tmp_path, line)
    assert (first.new, again.new, again.known) == (1, 0, 1)
    (ann,) = standings(ledger, "email").values()
    assert (ann.granted, ann.timezone) == (False, "Europe/Berlin")
    assert reason(ledger, (ann.person, ann.contact)) == "no_consent"


def test_a_contact_point_takes_no_consent_away_and_reopens_nothing(ledger, tmp_path):
    ann = consenting(ledger, "ann")
    suppress(ledger, tmp_path, "ann,,,left")
    contacts(ledger, tmp_path, "ann,email,new@example.invalid,2017-12-01T00:00:00Z,")
    standing = standings(ledger, "email")[ann[0]]
    assert (standing.granted, standing.suppressed) == (True, True)


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (",email,a@b.cd,2017-11-01T00:00:00Z,", "member_id"),
        ("ann,email,a@b.cd,2018-11-01T00:00:00Z,", "at"),
        ("ann,email,a@b.cd,2017-11-01T00:00:00,", "at"),
        ("ann,email,a@b.cd,2017-11-01T00:00:00Z,GMT+8", "timezone"),
        ('ann,email,"a@b.cd\r\n",2017-11-01T00:00:00Z,', "address"),
    ],
)
def test_a_contact_point_that_is_wrong_is_left_out(ledger, tmp_path, line, column):
    done = contacts(ledger, tmp_path, line)
    assert [(one.row, one.column) for one in done.rejects] == [(2, column)]
    assert done.new == 0


def test_pushes_of_the_old_sender_count_whatever_order_they_come_in(ledger, tmp_path):
    ann = consenting(ledger, "ann")
    lines = [f"ann,email,ann@example.invalid,2017-11-{day}T09:00:00Z" for day in (28, 10, 20)]
    first, again = pushes(ledger, tmp_path, *lines), pushes(ledger, tmp_path, *lines)
    assert (first.new, again.new, again.known) == (3, 0, 3)
    (answer,) = claim(ledger, [a_claim(live_plan(ledger), ann)], now=NOW, until=NOW + LATER)
    assert answer.free_at == NOW - timedelta(days=3) + WEEK
    assert verify(ledger).breaches == ()


def test_a_push_to_an_address_alone_counts_for_everyone_there(ledger, tmp_path):
    ann = consenting(ledger, "ann", "home@example.invalid")
    bob = consenting(ledger, "bob", "home@example.invalid")
    pushes(ledger, tmp_path, ",email,HOME@example.invalid,2017-11-30T09:00:00Z")
    with ledger.reading() as connection:
        held = connection.execute(text("SELECT person FROM send WHERE pseq = 1")).scalars()
        assert set(held) == {ann[0], bob[0]}
    moved = consenting(ledger, "ann", "new@example.invalid")
    assert reason(ledger, moved) == "capped"


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("ann,email,ann@example.invalid,2017-12-02T09:00:00Z", "sent_at"),
        ("ann,email,ann@example.invalid,", "sent_at"),
        ("ann,email,,2017-11-02T09:00:00Z", "address"),
    ],
)
def test_a_push_that_cannot_be_is_left_out(ledger, tmp_path, line, column):
    done = pushes(ledger, tmp_path, line)
    assert [(one.row, one.column) for one in done.rejects] == [(2, column)]


def test_a_push_to_somebody_who_is_called_now_is_left_for_later(ledger, tmp_path):
    ann = consenting(ledger, "ann")
    claim(ledger, [a_claim(live_plan(ledger), ann)], now=NOW, until=NOW + LATER)
    done = pushes(ledger, tmp_path, "ann,email,ann@example.invalid,2017-12-01T09:00:00Z")
    assert "in flight" in done.rejects[0].rule


def test_a_file_of_another_kind_is_refused(ledger, tmp_path):
    with pytest.raises(DataError, match=r"push file .* lacks the column channel"):
        import_pushes(write(tmp_path, "member_id,at", "a,b"), ledger, source="x", now=NOW)
