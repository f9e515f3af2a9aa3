"""Any order of all that can happen to a ledger, beside a plain model: the same answers and sums."""
# ruff: noqa: DTZ001 -- the model's datetimes are naive

import copy
import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import create_engine, text

from campaigns.ledger.ledger import keep_mark, wake
from campaigns.ledger.plans import (
    outcomes,
)
from campaigns.ledger.restoring import open_gate, reopen
from recsys.errors import LedgerError
from tests.campaigns.ledger.machine import (
    CALL,
    DAY,
    POLICIES,
    SECOND,
    START,
    TICK,
    WEEK,
    members,
    places,
    utc,
)
from tests.campaigns.ledger.machine_sends import Sends


class Machine(Sends):
    """With the clocks and the copies."""

    # time

    @rule(hours=st.sampled_from([1, 5, 12, 26, 60, 120, 168]), minutes=st.integers(0, 59))
    def time_passes(self, hours: int, minutes: int) -> None:
        self.now += timedelta(hours=hours, minutes=minutes)
        self._wake()

    @precondition(lambda self: self.free_at is not None)
    @rule(early=st.booleans())
    def until_the_slot_is_free(self, early: bool) -> None:
        assert self.free_at is not None
        self.now = max(self.now, self.free_at - (TICK if early else timedelta(0)))
        self.free_at = None
        self._wake()

    @rule(hours=st.integers(1, 60))
    def time_passes_unnoticed(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def another_machine_is_a_second_behind(self) -> None:
        copied = self.copy[1] if self.copy else START
        if self.now >= max(self.model.hi, copied + 5 * SECOND):
            self.now -= SECOND

    @rule(place=places, who=members, days=st.sampled_from([-400, -2, 3, 4000]))
    def the_clock_jumps(self, place: int, who: str, days: int) -> None:
        right, self.now = self.now, max(self.now + days * DAY, datetime(1980, 1, 1))
        if self.model.plans and self.model.shut(self.now) is not None:
            self.claim(place, [who], "email", POLICIES[0], False, 1)
        self.now = right

    # copies

    @precondition(lambda self: self.url.startswith("sqlite"))
    @rule()
    def back_up(self) -> None:
        target = self.folder / "copy.db"
        target.unlink(missing_ok=True)
        source, kept = sqlite3.connect(self.folder / "ledger.db"), sqlite3.connect(target)
        source.backup(kept)
        source.close()
        kept.close()
        self.copy = copy.deepcopy(self.model), self.now
        self.now += 5 * SECOND

    @precondition(lambda self: self.copy is not None)
    @rule(with_log=st.booleans())
    def restore(self, with_log: bool) -> None:
        """The senders are stopped; an older file is put in the ledger's place."""
        assert self.copy is not None
        keep_mark(self.ledger)
        self.ledger.close()
        for end in ("", "-wal", "-shm"):
            (self.folder / f"ledger.db{end}").unlink(missing_ok=True)
        shutil.copy(self.folder / "copy.db", self.folder / "ledger.db")
        newest, self.flying = self.model, []
        self.model = copy.deepcopy(self.copy[0])
        self.ledger = self._open()
        if (newest.epoch, newest.hi) != (self.model.epoch, self.model.hi):
            with pytest.raises(LedgerError, match="older copy"):
                wake(self.ledger, now=utc(self.now), max_idle_days=10_000)
            self._reopen(with_log)
        self.copy = None

    def _reopen(self, with_log: bool) -> None:
        closed = WEEK + CALL
        epoch = reopen(self.ledger, now=utc(self.now), closed=closed).epoch
        self.model.reopen(self.now, closed)
        self.ledger.close()
        self.ledger = self._open()
        if with_log:
            known = self.model.sends.live
            for one in sorted(self.calls.values(), key=lambda push: push.until):
                if known(one.key) is None:
                    self._carry(one.person, one.contact, one.channel, one.until, one.key)
            open_gate(self.ledger, epoch)
            self.model.closed_until = datetime(1970, 1, 1)
        self._wake()

    # sums

    @invariant()
    def purses_and_outcomes_agree(self) -> None:
        with self.ledger.reading() as connection:
            rows = connection.execute(text("SELECT purse, used FROM purse")).all()
        sends = self.model.sends
        assert {row.purse: row.used for row in rows} == {n: sends.used[n] for n in sends.caps}
        for plan in list(self.model.plans.values())[-2:]:
            found = outcomes(self.ledger, plan.plan_id)
            assert {key: told[0] for key, told in found.items()} == plan.outcomes


def run_on(fresh: Callable[[], tuple[Path, str]], examples: int) -> None:
    run_state_machine_as_test(
        lambda: Machine(fresh),
        settings=settings(max_examples=examples, stateful_step_count=50, deadline=None,
                          database=None, suppress_health_check=list(HealthCheck)),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("examples", [15, pytest.param(200, marks=pytest.mark.soak)])
def test_a_sqlite_ledger_answers_like_the_model(
    tmp_path_factory: pytest.TempPathFactory, examples: int
) -> None:
    def fresh() -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp("machine")
        return folder, f"sqlite:///{folder}/ledger.db"

    run_on(fresh, examples)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("examples", [2, pytest.param(200, marks=pytest.mark.soak)])
def test_a_postgresql_ledger_answers_like_the_model(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, examples: int
) -> None:
    def fresh() -> tuple[Path, str]:
        engine = create_engine(postgres_url)
        with engine.begin() as connection:
            schema = connection.execute(text("SELECT current_schema()")).scalar_one()
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        engine.dispose()
        return tmp_path_factory.mktemp("machine"), postgres_url

    run_on(fresh, examples)
