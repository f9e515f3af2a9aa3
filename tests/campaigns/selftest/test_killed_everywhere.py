"""Senders that die at every step and at random instants, counted at a provider that fails."""

import sqlite3
import time

import numpy as np
import pytest
from sqlalchemy import create_engine, inspect

from campaigns.selftest import trial
from campaigns.selftest.kills import Kills
from campaigns.selftest.scratch import scratch
from campaigns.selftest.trial import Trial

PARTS = 8
INSTANTS = 1_000
MINUTES = 8


def killed(ledger_url, folder, kills, *, idempotent, seconds, seed, tell=lambda _: None):
    ends = time.monotonic() + seconds
    with scratch(ledger_url, folder) as (place, url):
        one = Trial(place, url, idempotent=idempotent, seed=seed, kills=kills, tell=tell)
        return one.run(lambda: time.monotonic() > ends)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "idempotent"),
    [("sqlite", False), pytest.param("postgres", True, marks=pytest.mark.postgres)],
)
def test_whatever_is_killed_nobody_gets_two_and_nobody_is_lost(
    database, idempotent, request, tmp_path, measured
):
    url = request.getfixturevalue(f"{database}_url")
    request.getfixturevalue("monkeypatch").setattr(trial, "MEMBERS", 32)
    kills = Kills(np.random.default_rng(7), instants=4, part=(0, 16))
    found = killed(url, tmp_path, kills, idempotent=idempotent, seconds=40, seed=7)
    measured(found)
    assert found.breaches == []
    assert found.kills_at_steps + found.kills_at_instants > 0
    assert found.taken > 32
    assert found.faults
    assert found.outcomes["accepted"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_step_and_at_a_thousand_instants(ledger_url, part, tmp_path, measured):
    kills = Kills(np.random.default_rng(part), instants=INSTANTS // PARTS, part=(part, PARTS))
    found = killed(
        ledger_url, tmp_path, kills, idempotent=bool(part % 2), seconds=60 * MINUTES, seed=part
    )
    measured(found)
    assert found.breaches == []
    assert found.stranded_most <= 64


@pytest.mark.slow
def test_a_ledger_that_forgets_is_found_out_at_the_provider(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "MEMBERS", 24)
    forgot = []

    def forget(_):
        if forgot:
            return
        (file,) = tmp_path.glob("*/ledger.db")
        with sqlite3.connect(file) as ledger:
            forgot.append(ledger.execute("DELETE FROM send").rowcount)
            ledger.execute("DELETE FROM outcome")
            ledger.execute("UPDATE plan SET state = 'live'")

    kills = Kills(np.random.default_rng(1), instants=1)
    found = killed(None, tmp_path, kills, idempotent=False, seconds=0, seed=1, tell=forget)
    assert forgot[0] > 0
    assert any("less than 7 days apart" in one for one in found.breaches), found.breaches


@pytest.mark.slow
def test_the_command_proves_it_in_a_ledger_of_its_own(run, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "MEMBERS", 24)
    before = (tmp_path / "ledger.db").read_bytes()
    said = run("selftest", "--minutes", "0.1", "--seed", "5")
    assert said.count("duplicates 0") == 2, said
    assert (tmp_path / "ledger.db").read_bytes() == before
    assert list(tmp_path.glob("guesslike_selftest_*")) == []


def test_a_scratch_schema_is_gone_afterwards(postgres_url, tmp_path):
    with scratch(postgres_url, tmp_path) as (place, url):
        engine = create_engine(url)
        schema = place.name
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (n int)")
            assert inspect(connection).has_table("t", schema=schema)
        engine.dispose()
    assert not place.exists()
    engine = create_engine(postgres_url)
    assert schema not in inspect(engine).get_schema_names()
    engine.dispose()
