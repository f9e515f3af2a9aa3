"""A campaign every Monday under the rolling cap: nobody's week is lost, and the late are told."""

from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.sending.weeks import Week, shown, weeks

FULL = pytest.param(20_000, 52, marks=pytest.mark.soak)


def run(folder: Path, members: int, number: int, outage: int | None = None) -> list[Week]:
    url = f"sqlite:///{folder}/ledger.db"
    return list(weeks(url, folder, members=members, number=number, outage=outage))


@pytest.mark.slow
@pytest.mark.parametrize(("members", "number"), [(500, 6), FULL])
def test_no_week_is_lost_though_runs_are_an_hour_apart(
    tmp_path: Path, members: int, number: int, measured
) -> None:
    year = run(tmp_path, members, number)
    assert [one.pushed for one in year] == [members] * number
    assert [one.late for one in year] == [0] * number
    assert max(one.last for one in year) < timedelta(hours=4)
    measured(shown(year[-1]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "number"), [(100, 4), pytest.param(2_000, 12, marks=pytest.mark.soak)]
)
def test_after_an_outage_the_late_are_reported_and_still_get_their_push(
    tmp_path: Path, members: int, number: int
) -> None:
    """All of one week went out in the last hour: so they do in all weeks after it."""
    year = run(tmp_path, members, number, outage=1)
    assert [one.pushed for one in year] == [members] * number
    assert [one.late for one in year[:2]] == [0, 0]
    assert [one.late for one in year[2:]] == [members] * (number - 2)
