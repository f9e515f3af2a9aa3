import sqlite3
import stat
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, inspect, text

from campaigns.ledger.claims import claim
from campaigns.ledger.ledger import open_ledger, wake
from campaigns.verify import verify
from recsys.errors import LedgerError
from tests.campaigns.kit import NOW, open_test_ledger


def test_a_ledger_opens_again_with_the_same_key_and_epoch(ledger_url, tmp_path):
    with open_test_ledger(ledger_url, tmp_path) as first:
        epoch, identity = first.epoch, first.identity
    with open_test_ledger(ledger_url, tmp_path, NOW + timedelta(days=1)) as again:
        assert (again.epoch, again.identity) == (epoch, identity)
        assert again.highest_instant() == NOW


def test_the_key_file_is_for_its_owner_alone_and_not_in_the_ledger(sqlite_url, tmp_path):
    with open_test_ledger(sqlite_url, tmp_path):
        pass
    key = tmp_path / "ledger.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    stored = b"".join(f.read_bytes() for f in tmp_path.glob("ledger.db*"))
    assert bytes.fromhex(key.read_text()) not in stored
    assert key.read_bytes() not in stored


def test_a_key_file_that_others_may_read_is_refused(sqlite_url, tmp_path):
    with open_test_ledger(sqlite_url, tmp_path):
        pass
    (tmp_path / "ledger.key").chmod(0o644)
    with pytest.raises(LedgerError, match="chmod 600"):
        open_test_ledger(sqlite_url, tmp_path)


def test_a_lost_key_is_never_replaced_by_a_new_one(ledger_url, tmp_path):
    with open_test_ledger(ledger_url, tmp_path):
        pass
    (tmp_path / "ledger.key").unlink()
    with pytest.raises(LedgerError, match="put it back from its backup"):
        open_test_ledger(ledger_url, tmp_path)
    assert not (tmp_path / "ledger.key").exists()


def test_another_key_is_refused(ledger_url, tmp_path):
    with open_test_ledger(ledger_url, tmp_path):
        pass
    (tmp_path / "ledger.key").write_text("ab" * 32)
    with pytest.raises(LedgerError, match="under another key"):
        open_test_ledger(ledger_url, tmp_path)


def test_a_damaged_key_is_refused(sqlite_url, tmp_path):
    with open_test_ledger(sqlite_url, tmp_path):
        pass
    (tmp_path / "ledger.key").write_text("half")
    with pytest.raises(LedgerError, match="damaged"):
        open_test_ledger(sqlite_url, tmp_path)


@pytest.mark.parametrize(("made", "opened"), [("system", "simulated"), ("simulated", "system")])
def test_a_ledger_stays_under_the_clock_it_was_made_under(ledger_url, tmp_path, made, opened):
    key = tmp_path / "ledger.key"
    with open_ledger(ledger_url, key, clock=made, now=NOW):
        pass
    with pytest.raises(LedgerError, match=f"made under the {made} clock"):
        open_ledger(ledger_url, key, clock=opened, now=NOW)


@pytest.mark.parametrize(
    ("name", "value", "says"), [("schema_version", "99", "Upgrade"), ("normaliser", "0", "rule 0")]
)
def test_a_ledger_of_another_version_is_refused(ledger_url, tmp_path, name, value, says):
    with open_test_ledger(ledger_url, tmp_path) as ledger, ledger.writing() as connection:
        connection.execute(
            text("UPDATE meta SET value = :v WHERE name = :n"), {"v": value, "n": name}
        )
    with pytest.raises(LedgerError, match=says):
        open_test_ledger(ledger_url, tmp_path)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://host/db", "SQLite or PostgreSQL"),
        ("no url", "no database URL"),
        ("postgresql://nobody@127.0.0.1:1/none", "does not open"),
    ],
)
def test_a_store_that_cannot_hold_promises_is_refused(tmp_path, url, says):
    with pytest.raises(LedgerError, match=says):
        open_test_ledger(url, tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "ledger.db").write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(LedgerError, match="does not open"):
        open_test_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path)


def test_beside_strange_tables_of_such_names_nothing_is_made(ledger_url, tmp_path):
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE plan (name TEXT)"))
    with pytest.raises(LedgerError, match=r"(?s)plan.*already exists.*Name a database"):
        open_test_ledger(ledger_url, tmp_path)
    assert inspect(engine).get_table_names() == ["plan"]
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE plan"))
    engine.dispose()
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        assert verify(ledger).breaches == ()


@pytest.mark.postgres
def test_a_server_that_answers_before_it_is_durable_is_refused(postgres_url, tmp_path):
    hasty = postgres_url + "%20-csynchronous_commit%3Doff"
    with pytest.raises(LedgerError, match="synchronous_commit = on"):
        open_test_ledger(hasty, tmp_path)


def test_sqlite_is_durable_and_writes_lock_from_their_first_statement(sqlite_url, tmp_path):
    with open_test_ledger(sqlite_url, tmp_path) as ledger:
        with ledger.reading() as connection:
            asked = ("foreign_keys", "synchronous", "journal_mode")
            answers = [connection.exec_driver_sql(f"PRAGMA {a}").scalar() for a in asked]
        assert answers == [1, 2, "wal"]
        with ledger.writing():
            other = sqlite3.connect(tmp_path / "ledger.db", timeout=0)
            try:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")
            finally:
                other.close()


def test_waking_follows_an_idle_week_but_not_a_wrong_year(ledger):
    wake(ledger, now=NOW + timedelta(days=7), max_idle_days=35)
    assert ledger.highest_instant() == NOW + timedelta(days=7)
    with pytest.raises(LedgerError, match="max_idle_days"):
        wake(ledger, now=NOW + timedelta(days=400), max_idle_days=35)
    with pytest.raises(LedgerError, match="has seen"):
        wake(ledger, now=NOW, max_idle_days=35)
    assert ledger.highest_instant() == NOW + timedelta(days=7)


@pytest.mark.postgres
def test_under_the_real_clock_a_claim_must_agree_with_the_servers(postgres_url, tmp_path):
    with (
        open_ledger(postgres_url, tmp_path / "key", clock="system", now=NOW) as ledger,
        pytest.raises(LedgerError, match="more than 2 s"),
    ):
        claim(ledger, [], now=NOW, until=NOW + timedelta(minutes=1))
