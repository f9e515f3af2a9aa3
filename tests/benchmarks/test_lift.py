import numpy as np
import pytest

from benchmarks.lift import journey
from benchmarks.lift.run import (
    COVERED,
    FALSE_ALARMS,
    NARROWER,
    Kind,
    kinds,
    look,
    main,
    minimum_table,
    misses,
    seen,
)
from benchmarks.lift.shops import COVARIATES, shop
from campaigns.lift.always import DAYS, LEAST_SPENDERS, OUTCOMES
from campaigns.lift.difference import difference
from recsys.dataset import Dataset


def kind(**changes):
    facts = {"clusters": 4000, "share": 0.1, "orders": 0.05, "tail": 1.0}
    return Kind(**(facts | changes))


def test_made_shops_do_what_their_truth_says():
    """The mean of many estimates is the effect that is stated."""
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        made = shop(kind(share=0.5, times=1.5, tail=0.7), rng, effect=True)
        found.append([
            difference(treat[-1], hold[-1], covariates=COVARIATES).effect
            for treat, hold in zip(made.treat, made.hold, strict=True)
        ])  # fmt: skip
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(mean - made.truth) < 4.5 * error).all()


def test_a_shop_without_effect_changes_nothing():
    made = shop(kind(), np.random.default_rng(0), effect=False)
    assert not made.truth.any()
    assert made.truth.shape == (len(DAYS), len(OUTCOMES))
    counts = [treat.count for treat in made.treat[0]]
    assert counts == sorted(counts)
    assert counts[-1] == made.planned[0]


def test_daily_looks_do_not_raise_false_alarms_and_hold_the_truth():
    none, some = seen(60, effect=False), seen(40, effect=True)
    assert sum(one.missed for one in none) <= 60 * FALSE_ALARMS
    assert sum(one.missed for one in some) <= 40 * (1 - COVERED)
    assert np.mean([one.usual for one in none]) > 0.2  # what the usual formula does here
    assert np.mean([one.shown for one in some]) > 0.7


def test_arms_below_the_minimum_tell_nothing():
    rng = np.random.default_rng(1)
    for share in (0.05, 0.5):
        assert not look(shop(kind(clusters=int(70 / share), share=share), rng, effect=True)).shown


def test_the_minimum_of_spenders_is_what_keeps_rare_events_out():
    rng = np.random.default_rng(2)
    rare = [
        shop(kind(clusters=2000, share=0.05, orders=0.005, times=0.6), rng, effect=True)
        for _ in range(12)
    ]
    assert any(misses(one, least=0) for one in rare)
    assert not any(misses(one, least=LEAST_SPENDERS) for one in rare)
    assert minimum_table(2)[0].count("|") == 6


def test_kinds_are_the_same_every_time():
    one, other = (list(kinds(5, np.random.default_rng(3))) for _ in range(2))
    assert one == other


@pytest.mark.soak
def test_the_bars_are_reached(monkeypatch, measured, capsys):
    monkeypatch.setattr("sys.argv", ["run"])
    assert main() == 0
    measured(capsys.readouterr().out)


@pytest.mark.slow
def test_the_past_of_real_households_narrows_intervals(monkeypatch, complete_journey):
    monkeypatch.setattr(journey, "DRAWS", 3)
    found = journey.narrowed(Dataset(complete_journey))
    assert np.mean([found[day].narrowed for day in (7, 14, 28)]) >= NARROWER
    assert found[28].visible < found[7].visible < 1
