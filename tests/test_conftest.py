"""The rules of a run, seen from a run of pytest over made-up tests."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
MADE_UP = """
import pytest

@pytest.fixture
def server():
    pytest.skip("redis-server is not installed")

@pytest.mark.slow
def test_slow(): ...

@pytest.mark.redis
def test_redis(server): ...

def test_other():
    pytest.skip("not here")

def test_quick(): ...
"""
MARKS = "[pytest]\nmarkers =\n  redis\n  browser\n  slow\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text())
    pytester.makeini(MARKS)
    pytester.makepyfile(MADE_UP)
    return pytester


def test_a_skipped_redis_test_fails_in_ci_only(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    project.runpytest_inprocess().assert_outcomes(passed=2, skipped=2)
    monkeypatch.setenv("CI", "true")
    in_ci = project.runpytest_inprocess()
    in_ci.assert_outcomes(passed=2, skipped=1, errors=1)
    in_ci.stdout.fnmatch_lines("*in CI a redis test must run*redis-server is not installed*")


@pytest.mark.parametrize("seed", ["1", "2"])
def test_slow_tests_come_last_whatever_the_shuffle(project: pytest.Pytester, seed: str) -> None:
    run = project.runpytest_inprocess("-v", f"--randomly-seed={seed}")
    order = [line for line in run.outlines if "::" in line and "%]" in line]
    assert len(order) == 4
    assert "test_slow" in order[-1]
