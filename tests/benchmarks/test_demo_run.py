import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIB = 2**20
HOLD = "import time; held = b'x' * (60 * 2**20); time.sleep(1)"


def measured(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.demo_run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_memory_of_grandchildren_is_summed() -> None:
    two = f'{sys.executable} -c "{HOLD}" & {sys.executable} -c "{HOLD}" & wait'
    found = json.loads(measured("--json", "--", "sh", "-c", f"({two}); true").stdout)
    assert found["exit"] == 0
    assert found["seconds"] >= 1
    assert 2 * 60 * MIB < found["peak_gib"] * 2**30 < 2 * 120 * MIB


def test_the_exit_code_is_the_commands() -> None:
    assert measured("--", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize(
    ("limit", "code"), [("--max-seconds=0.05", 1), ("--max-gib=0.0001", 1), ("--max-gib=9", 0)]
)
def test_a_passed_limit_fails(limit: str, code: int) -> None:
    run = measured(limit, "--", sys.executable, "-c", "import time; time.sleep(0.3)")
    assert run.returncode == code
    assert ("FAILED" in run.stderr) is bool(code)
