"""A ledger of an earlier version is brought up to this one, and keeps every row."""

import pytest
from sqlalchemy import text

from campaigns.ledger.tables import SCHEMA_VERSION, metadata
from tests.campaigns.kit import open_test_ledger

LATER = ("token", "rate", "plan_event", "missed", "feedback", "opt_in", "merge")
SECOND = (
    """CREATE TABLE plan (plan_id TEXT PRIMARY KEY, occasion TEXT NOT NULL, campaign TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('live', 'done', 'replaced')),
    planned_rows BIGINT NOT NULL, registered_at BIGINT NOT NULL)""",
    "CREATE UNIQUE INDEX one_live_plan ON plan (occasion) WHERE state = 'live'",
    """CREATE TABLE send (send_id TEXT NOT NULL, try INTEGER NOT NULL, plan_id TEXT NOT NULL,
    occasion TEXT NOT NULL, campaign TEXT NOT NULL, coupon TEXT, channel TEXT NOT NULL,
    person TEXT NOT NULL, contact TEXT NOT NULL, ghost INTEGER NOT NULL, cost BIGINT NOT NULL,
    state TEXT NOT NULL, at BIGINT NOT NULL, until BIGINT NOT NULL,
    calls INTEGER NOT NULL DEFAULT 1, pseq INTEGER,
    pprev INTEGER GENERATED ALWAYS AS (NULLIF(pseq, 1) - 1) STORED, pprev_until BIGINT,
    cseq INTEGER, cprev INTEGER GENERATED ALWAYS AS (NULLIF(cseq, 1) - 1) STORED,
    cprev_until BIGINT, PRIMARY KEY (send_id, try),
    CONSTRAINT person_chain UNIQUE (person, pseq),
    CONSTRAINT person_link UNIQUE (person, pseq, until),
    CONSTRAINT contact_chain UNIQUE (contact, cseq),
    CONSTRAINT contact_link UNIQUE (contact, cseq, until),
    CONSTRAINT person_before FOREIGN KEY (person, pprev, pprev_until)
      REFERENCES send (person, pseq, until),
    CONSTRAINT contact_before FOREIGN KEY (contact, cprev, cprev_until)
      REFERENCES send (contact, cseq, until))""",
    "CREATE UNIQUE INDEX one_live_try ON send (send_id) WHERE state <> 'refused'",
    "CREATE INDEX send_by_plan ON send (plan_id)",
)
WEEK = 604_800_000_000


def second_version(url, folder):
    """A ledger as version 2 made it, with a chain of two pushes."""
    with open_test_ledger(url, folder) as ledger, ledger.writing() as connection:
        for name in (*LATER, "plan", "send"):
            metadata.tables[name].drop(connection)
        for statement in SECOND:
            connection.execute(text(statement))
        connection.execute(text("UPDATE meta SET value = '2' WHERE name = 'schema_version'"))
        connection.execute(text("INSERT INTO plan VALUES ('p1', 'o', '24', 'live', 1, 0)"))
        for number in (1, 2):
            at, before = number * WEEK, (number - 1) * WEEK if number > 1 else None
            connection.execute(
                text(
                    "INSERT INTO send (send_id, try, plan_id, occasion, campaign, coupon, channel,"
                    " person, contact, ghost, cost, state, at, until, pseq, pprev_until, cseq,"
                    " cprev_until) VALUES (:key, 1, 'p1', 'o', '24', 'c1', 'email', 'ann', 'home',"
                    " 0, 5, 'accepted', :at, :at, :seq, :before, :seq, :before)"
                ),
                {"key": f"s{9 - number}", "at": at, "seq": number, "before": before},
            )


def test_version_2_keeps_its_rows_and_gets_what_it_lacks(ledger_url, tmp_path):
    second_version(ledger_url, tmp_path)
    with open_test_ledger(ledger_url, tmp_path) as ledger, ledger.writing() as connection:
        told = connection.execute(text("SELECT value FROM meta WHERE name = 'schema_version'"))
        assert told.scalar() == str(SCHEMA_VERSION)
        rows = connection.execute(text("SELECT send_id, pseq, pprev, gap, released FROM send"))
        assert sorted(tuple(row) for row in rows) == [
            ("s7", 2, 1, WEEK, 0),
            ("s8", 1, None, WEEK, 0),
        ]
        connection.execute(text("UPDATE plan SET state = 'paused'"))
        for name in LATER:
            assert connection.execute(text(f"SELECT COUNT(*) FROM {name}")).scalar() == 0


def test_what_version_2_becomes_refuses_what_a_new_ledger_refuses(ledger_url, tmp_path):
    second_version(ledger_url, tmp_path)
    with (
        open_test_ledger(ledger_url, tmp_path) as ledger,
        pytest.raises(Exception, match=r"(person|contact)_gap"),
        ledger.writing() as connection,
    ):
        connection.execute(text("UPDATE send SET at = at - 1 WHERE send_id = 's7'"))


def test_a_ledger_from_before_version_4_keeps_its_send_ids(ledger_url, tmp_path):
    with open_test_ledger(ledger_url, tmp_path) as ledger, ledger.writing() as connection:
        connection.execute(text("DELETE FROM meta WHERE name = 'send_ids'"))
        connection.execute(text("UPDATE meta SET value = '3' WHERE name = 'schema_version'"))
    for _ in range(2):  # by the migration, and ever after
        with open_test_ledger(ledger_url, tmp_path) as ledger:
            assert ledger.identity.send_id("spring@1", "ann") == (
                "eab48e7cd921442837768193b01b9714"  # as version 3 made it
            )
