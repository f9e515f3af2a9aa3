"""A copy of the ledger is put back: on both databases nobody gets a second push."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import delete, insert, select, text

from campaigns.consent import import_consent
from campaigns.ledger.tables import metadata
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from campaigns.ways_in.restore import restore
from recsys.errors import LedgerError
from tests.campaigns.kit import MEMBERS, NOW, WEEK, Clock, composition, definition, write_consent


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    made = replace(composition(tmp_path, clock), settings=CampaignSettings(ledger_url=ledger_url))
    with made.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "agreed.csv", MEMBERS[:-1]), ledger, now=clock())
    return made


@pytest.fixture
def put_back(shop, clock):
    """A plan that was sent, and the ledger as it was before; the id of the plan."""
    plan, _ = plan_campaign(shop, definition(ends_at=NOW + 3 * WEEK))
    copy = copied(shop)
    clock.turn(minutes=1)
    assert send_plan(shop, plan.plan_id).made["accepted"] == len(MEMBERS) - 1
    put(shop, copy)
    clear(shop)
    clock.turn(minutes=1)
    return plan.plan_id


def copied(shop):
    """A copy as an operator makes one: of the file, or of the rows."""
    if "sqlite" in shop.settings.ledger_url:
        with (
            closing(sqlite3.connect(shop.folder / "ledger.db")) as one,
            closing(sqlite3.connect(shop.folder / "copy.db")) as other,
        ):
            one.backup(other)
        return None
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        return {
            table: [dict(row._mapping) for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        }


def put(shop, copy):
    if copy is None:
        for rest in ("ledger.db-wal", "ledger.db-shm"):
            (shop.folder / rest).unlink(missing_ok=True)
        shutil.copy(shop.folder / "copy.db", shop.folder / "ledger.db")
        return
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        for table, rows in copy.items():
            if rows:
                connection.execute(insert(table), rows)


def clear(shop):
    """The mail program takes the messages out of the folder."""
    sent = sorted((shop.folder / "outbox").glob("*.eml"))
    for file in sent:
        file.rename(file.with_suffix(".sent"))
    return len(sent)


def log(shop, members=MEMBERS[:-1], at="2017-12-01T09:01:00Z", ids=True):
    keys = {}
    with shop.open_ledger() as ledger:
        for file in (shop.folder / "outbox").glob("*.sent"):
            to = next(line for line in file.read_text().splitlines() if line.startswith("To: "))
            keys[to.removeprefix("To: ").partition("@")[0]] = file.stem
        assert ledger.epoch
    path = shop.folder / "log.csv"
    rows = [f"email,{m}@example.invalid,{at},{keys[m] if ids else ''}" for m in members]
    path.write_text("\n".join(["channel,address,sent_at,send_id", *rows]) + "\n")
    return path


def test_an_older_copy_is_refused_with_the_mend(shop, put_back):
    with pytest.raises(LedgerError, match=r"older copy.*restore --reopen"):
        send_plan(shop, put_back)
    assert clear(shop) == 0


def test_reopened_it_sends_nothing_for_a_week_and_the_longest_call(shop, clock, put_back):
    done = restore(shop, None)
    assert done.opens_at == clock() + WEEK + clock_call(shop)
    for days in (0, 3, 3.99):
        clock.turn(days=days)
        with pytest.raises(LedgerError, match="closed for sending until"):
            send_plan(shop, put_back)
    assert clear(shop) == 0


def clock_call(shop):
    return type(WEEK)(seconds=shop.settings.call_seconds)


def test_with_the_providers_log_it_opens_at_once_and_sends_nothing_again(shop, clock, put_back):
    done = restore(shop, log(shop))
    assert (done.is_open, done.opens_at, done.log.new) == (True, None, len(MEMBERS) - 1)
    for days in (0, 8, 8):
        clock.turn(days=days)
        report = send_plan(shop, put_back)
        assert report.made["accepted"] == 0
    assert report.outcomes["skipped: already_sent"] == len(MEMBERS) - 1
    assert clear(shop) == 0
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_a_log_without_our_ids_still_holds_the_week(shop, clock, put_back):
    assert restore(shop, log(shop, ids=False)).is_open
    clock.turn(days=6)
    assert send_plan(shop, put_back).made["accepted"] == 0
    assert clear(shop) == 0


def test_who_is_not_in_the_log_gets_the_push(shop, put_back):
    restore(shop, log(shop, MEMBERS[:3]))
    assert send_plan(shop, put_back).made["accepted"] == len(MEMBERS) - 4


def test_a_log_with_a_bad_row_leaves_it_closed_until_it_is_mended(shop, put_back):
    path = log(shop)
    whole = path.read_text()
    path.write_text(whole + "email,nobody,2017-12-01T09:00:00Z,\n")
    done = restore(shop, path)
    assert (done.is_open, len(done.log.rejects)) == (False, 1)
    with pytest.raises(LedgerError, match="closed for sending"):
        send_plan(shop, put_back)
    path.write_text(whole)
    assert restore(shop, path).is_open
    assert send_plan(shop, put_back).made["accepted"] == 0


def test_calls_in_flight_in_the_copy_are_unknown_after_it(shop, clock):
    plan, _ = plan_campaign(shop, definition())
    send_plan(shop, plan.plan_id)
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        connection.execute(text("UPDATE send SET state = 'attempting'"))
        connection.execute(text("DELETE FROM outcome WHERE outcome = 'accepted'"))
        connection.execute(text("UPDATE plan SET state = 'live'"))
    assert restore(shop, None).reopened.stranded == len(MEMBERS) - 1
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_a_lost_ledger_begins_closed(shop, clock, put_back):
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        connection.execute(text("UPDATE gate SET epoch = 'another'"))
    with pytest.raises(LedgerError, match="not the one that was sent from"):
        send_plan(shop, put_back)


def test_the_command_says_what_happened(shop, put_back, run):
    with pytest.raises(Exception, match="add --reopen"):
        run("restore")
    said = run("restore", "--reopen", "--provider-log", log(shop))
    assert "Sending may begin" in said
    assert "7 new pushes" in said
    assert "Nothing is sent before 2017-12-08" in run("restore", "--reopen")
