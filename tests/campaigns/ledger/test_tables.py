"""Every constraint refuses the forgery it is there for, and is the only one that does."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Index, insert, text
from sqlalchemy.exc import IntegrityError

from campaigns.instants import DAY, HOUR, WEEK, to_micros
from campaigns.ledger import tables
from campaigns.ledger.tables import metadata, send
from campaigns.verify import verify
from tests.campaigns.kit import NOW, open_test_ledger

AT = to_micros(NOW)
FIRST = {
    "send_id": "s1", "try": 1, "plan_id": "p1", "occasion": "o", "campaign": "24",
    "coupon": "c1", "channel": "email", "person": "ann", "contact": "home", "ghost": 0,
    "cost": 0, "state": "accepted", "at": AT, "until": AT,
    "pseq": 1, "pprev_until": None, "cseq": 1, "cprev_until": None, "week": 10,
}  # fmt: skip
STRANGER = FIRST | {"send_id": "s2", "person": "bob", "contact": "work", "at": AT + WEEK,
                    "until": AT + WEEK, "week": 11}  # fmt: skip
TOO_SOON = {"at": AT + DAY, "until": AT + DAY}
PERSON_NEXT = {"person": "ann", "pseq": 2, "pprev_until": AT, "pprev_week": 10}
CONTACT_NEXT = {"contact": "home", "cseq": 2, "cprev_until": AT, "cprev_week": 10}

BY_WEEKS = {"gap": 26 * HOUR, "at": AT + 2 * DAY, "until": AT + 2 * DAY, "week": 11}
PERSON_WEEKS = {"pprev_week_here": 10, "pweek_there": 11}
CONTACT_WEEKS = {"cprev_week_here": 10, "cweek_there": 11}

FORGED_SENDS = {
    "person_weeks": PERSON_NEXT | BY_WEEKS | PERSON_WEEKS | {"pweek_there": 10},
    "contact_weeks": CONTACT_NEXT | BY_WEEKS | CONTACT_WEEKS | {"cprev_week_here": 11},
    "gap_not_too_short": {"gap": HOUR},
    "reserved_not_negative": {"reserved": -1},
    "released_or_not": {"released": 2},
    "person_gap": PERSON_NEXT | TOO_SOON | PERSON_WEEKS,
    "contact_gap": CONTACT_NEXT | TOO_SOON | CONTACT_WEEKS,
    "person_before": PERSON_NEXT | {"pprev_until": AT - 30 * DAY} | TOO_SOON,
    "contact_before": CONTACT_NEXT | {"cprev_until": AT - 30 * DAY} | TOO_SOON,
    "person_link_whole": PERSON_NEXT | {"pprev_until": None} | TOO_SOON,
    "contact_link_whole": CONTACT_NEXT | {"cprev_until": None} | TOO_SOON,
    "person_chain": {"person": "ann"},
    "contact_chain": {"contact": "home"},
    "one_live_try": {"send_id": "s1", "try": 2},
    "refused_holds_no_slot": {"state": "accepted", "pseq": None, "cseq": None},
    "send_state": {"state": "perhaps"},
    "ends_after_start": {"until": AT},
    "ghosts_are_free": {"ghost": 1, "cost": 5},
}
USED = "'c1', 'ann', 's1', '24'"
OTHER = "'c1', 'bob', 's9', '24'"
FORGED_ROWS = {
    "purse_not_overspent": "UPDATE purse SET used = 101",
    "purse_not_negative": "UPDATE purse SET used = -1",
    "one_live_plan": "INSERT INTO plan VALUES ('p2', 'o', '24', 'live', 0, 0)",
    "plan_state": "INSERT INTO plan VALUES ('p2', 'o', '24', 'perhaps', 0, 0)",
    "one_gate": "INSERT INTO gate VALUES (2, 'e', 0, 0)",
    "outcome_known": "INSERT INTO outcome VALUES ('p1', 's9', 'perhaps', '', 0)",
    "code_for_one_send": "INSERT INTO code VALUES ('A-2', 'c1', 's1', 0)",
    "code_of_a_pool": "INSERT INTO code VALUES ('A-2', 'c9', NULL, 0)",
    "one_live_redemption": f"INSERT INTO redemption VALUES ('o2', {USED}, NULL, 0, 0, 0, NULL, 0)",
    "one_live_redemption_a_code": (
        f"INSERT INTO redemption VALUES ('o2', {OTHER}, 'A-1', 0, 0, 0, NULL, 0)"
    ),
    "redemption_of_a_code": (
        f"INSERT INTO redemption VALUES ('o2', {OTHER}, 'A-9', 0, 0, 0, NULL, 0)"
    ),
    "redemption_of_a_campaign": (
        "INSERT INTO redemption VALUES ('o2', 'c1', 'bob', '', '24', NULL, 0, 0, 0, NULL, 0)"
    ),
    "discount_not_negative": (
        f"INSERT INTO redemption VALUES ('o2', {OTHER}, NULL, -1, 0, 0, NULL, 0)"
    ),
    "place_from_one": "INSERT INTO token VALUES ('ann', 'sms', 0, 's1', 0)",
    "event_known": "INSERT INTO plan_event VALUES (1, 'p1', 'perhaps', '', '', 0)",
    "feedback_known": "INSERT INTO feedback VALUES ('a', 'e1', 's1', 'perhaps', 0, 0)",
    "merged_into_another": "INSERT INTO merge VALUES ('ann', 'ann', '', 0)",
    "consent_yes_or_no": "INSERT INTO consent VALUES (1, 'ann', 'email', 2, 0, 0, '')",
}


@contextmanager
def dropped(name: str) -> Iterator[None]:
    """The schema without one constraint or unique index."""
    for table in metadata.tables.values():
        held = table.indexes if name.startswith("one_live") else table.constraints
        found = next((one for one in held if one.name == name), None)
        if found is not None:
            held.discard(found)
            try:
                yield
            finally:
                held.add(found)
            return
    raise AssertionError(f"no constraint {name}")


def forge(url, folder, name):
    with open_test_ledger(url, folder) as ledger:
        with ledger.writing() as connection:
            connection.execute(insert(send).values(FIRST))
            connection.execute(text("INSERT INTO purse VALUES ('campaign:24', 1, 1, 100)"))
            connection.execute(text("INSERT INTO plan VALUES ('p1', 'o', '24', 'live', 1, 0)"))
            connection.execute(text("INSERT INTO pool VALUES ('c1', 0)"))
            connection.execute(text("INSERT INTO code VALUES ('A-1', 'c1', 's1', 0)"))
            used = f"INSERT INTO redemption VALUES ('o1', {USED}, 'A-1', 0, 0, 0, NULL, 0)"
            connection.execute(text(used))
        with ledger.writing() as connection:
            if name in FORGED_SENDS:
                connection.execute(insert(send).values(STRANGER | FORGED_SENDS[name]))
            else:
                connection.execute(text(FORGED_ROWS[name]))
        return {breach.rule for breach in verify(ledger).breaches}


ALL = [*FORGED_SENDS, *FORGED_ROWS]


@pytest.mark.parametrize("name", ALL)
def test_a_forged_row_is_refused(ledger_url, tmp_path, name):
    with pytest.raises(IntegrityError):
        forge(ledger_url, tmp_path, name)


@pytest.mark.parametrize("name", ALL)
def test_only_its_constraint_refuses_it(ledger_url, tmp_path, name):
    with dropped(name):
        forge(ledger_url, tmp_path, name)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("person_gap", "one push a week for each person"),
        ("contact_gap", "one push a week for each contact"),
        ("person_before", "one push a week for each person"),
        ("one_live_try", "one live try for each send"),
        ("refused_holds_no_slot", "outcomes"),
        ("purse_not_overspent", "money"),
        ("code_for_one_send", "codes"),
        ("one_live_redemption", "redemptions"),
    ],
)
def test_verify_finds_what_a_lost_constraint_let_in(sqlite_url, tmp_path, name, rule):
    with dropped(name):
        found = forge(sqlite_url, tmp_path, name)
    assert rule in found
    assert "consent" in found


def test_the_chains_own_keys_are_named_as_the_forgeries_expect():
    named = {c.name for t in metadata.tables.values() for c in t.constraints if c.name}
    indexes = {i.name for t in metadata.tables.values() for i in t.indexes if isinstance(i, Index)}
    assert set(ALL) <= named | indexes
    assert tables.SCHEMA_VERSION == 4


def test_a_second_week_is_no_forgery(ledger):
    with ledger.writing() as connection:
        connection.execute(insert(send).values(FIRST))
        next_week = STRANGER | PERSON_NEXT | BY_WEEKS | PERSON_WEEKS
        connection.execute(insert(send).values(next_week))
