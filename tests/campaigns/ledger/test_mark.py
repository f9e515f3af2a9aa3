"""A ledger that is older than its mark is known as such; an honest one never is."""

from contextlib import suppress
from datetime import timedelta

import pytest

from campaigns.instants import to_micros
from campaigns.ledger.claims import claim
from campaigns.ledger.ledger import keep_mark, pass_gate, wait_for_claims, wake
from campaigns.ledger.mark import EVERY, Mark
from campaigns.ledger.restoring import open_gate, reopen
from recsys.errors import LedgerError
from tests.campaigns.kit import NOW, WEEK, open_test_ledger

SECOND = timedelta(seconds=1)


def test_an_honest_ledger_is_never_behind_its_mark(ledger_url, tmp_path):
    for step in range(4):
        with open_test_ledger(ledger_url, tmp_path) as ledger:
            wake(ledger, now=NOW + step * SECOND, max_idle_days=35)
            keep_mark(ledger)


def test_a_new_ledger_beside_an_old_mark_is_refused_until_it_is_reopened(ledger_url, tmp_path):
    (tmp_path / "ledger.mark").write_text("an-older-one 17\n")
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        with pytest.raises(LedgerError, match=r"not the one .*--reopen"):
            wake(ledger, now=NOW, max_idle_days=35)
        done = reopen(ledger, now=NOW, closed=WEEK)
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        assert ledger.epoch == done.epoch
        wake(ledger, now=NOW, max_idle_days=35)


def test_another_machine_that_sent_in_the_epoch_before_goes_on(ledger_url, tmp_path):
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        wake(ledger, now=NOW, max_idle_days=35)
        there = (tmp_path / "ledger.mark").read_text()
        reopen(ledger, now=NOW, closed=WEEK)
    (tmp_path / "ledger.mark").write_text(there)
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        wake(ledger, now=NOW, max_idle_days=35)
    assert (tmp_path / "ledger.mark").read_text().split()[0] == ledger.epoch


def test_only_the_epoch_that_closed_the_gate_opens_it(ledger):
    first = reopen(ledger, now=NOW, closed=WEEK)
    open_gate(ledger, "another")
    with ledger.reading() as connection:
        shut = connection.exec_driver_sql("SELECT closed_until FROM gate").scalar()
        assert shut == to_micros(NOW + WEEK)
    open_gate(ledger, first.epoch)
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("SELECT closed_until FROM gate").scalar() == 0


def test_the_mark_is_written_every_few_seconds_and_at_the_end(tmp_path):
    mark = Mark(tmp_path / "ledger.mark")
    mark.ahead("e", 0)
    mark.ahead("e", EVERY - 1)
    assert mark.path.read_text() == "e 0\n"
    mark.ahead("e", EVERY)
    assert mark.path.read_text() == f"e {EVERY}\n"
    mark.ahead("e", EVERY + 1, at_once=True)
    assert mark.path.read_text() == f"e {EVERY + 1}\n"


def test_two_senders_never_take_the_mark_back(tmp_path):
    one, two = Mark(tmp_path / "ledger.mark"), Mark(tmp_path / "ledger.mark")
    one.ahead("e", 5)
    two.ahead("e", 3)
    assert one.path.read_text() == "e 5\n"
    two.ahead("f", 3)  # a new epoch begins anew
    assert one.path.read_text() == "f 3\n"


def test_what_passes_the_gate_marks_itself_once_it_is_committed(ledger_url, tmp_path):
    path = tmp_path / "ledger.mark"
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        for seconds, marked in ((0, 0), (1, 0), (2, 2), (3, 2), (9, 9)):
            claim(ledger, [], now=NOW + seconds * SECOND, until=NOW + WEEK)
            assert path.read_text().split()[1] == str(to_micros(NOW + marked * SECOND))
        with suppress(KeyError), ledger.writing() as connection:
            pass_gate(connection, ledger, to_micros(NOW + 20 * SECOND))
            raise KeyError
        with ledger.writing() as connection:
            pass_gate(connection, ledger, to_micros(NOW + 20 * SECOND))
            connection.rollback()
        with ledger.writing() as connection:
            wait_for_claims(connection)
        assert path.read_text().split()[1] == str(to_micros(NOW + 9 * SECOND))
        claim(ledger, [], now=NOW + 10 * SECOND, until=NOW + WEEK)
    assert path.read_text().split()[1] == str(to_micros(NOW + 10 * SECOND))


@pytest.mark.parametrize("content", ["", "e", "e x\n", "e 1 2\n"])
def test_a_damaged_mark_is_named(tmp_path, content):
    (tmp_path / "ledger.mark").write_text(content)
    with pytest.raises(LedgerError, match="damaged"):
        Mark(tmp_path / "ledger.mark").check("e", 0, before=frozenset())
