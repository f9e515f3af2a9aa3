"""The project's table of imports and its pure parts, held over every source file."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.source_rules import (
    CLOCK_AND_ENVIRONMENT,
    cycle,
    foreign_imports,
    imports,
    pickling,
    reached,
    readings,
)

ROOT = Path(__file__).parents[1]
PACKAGES = ("recsys", "training", "serving", "campaigns", "demo")
MAIN = ("composition.py", "commands.py", "guesslike.py")
OURS = {*PACKAGES, "composition", "commands", "guesslike", "tests", "benchmarks"}
NETWORK = {"http", "httpx", "smtplib", "socket", "ssl", "urllib.request", "uvicorn"}

MAY_IMPORT = {
    "recsys": {"recsys"},
    "training": {"training", "recsys"},
    "serving": {"serving", "recsys"},
    "campaigns": {"campaigns", "recsys"},
    "demo": {*PACKAGES},
    "composition.py": {*PACKAGES},
    "commands.py": {*PACKAGES, "composition"},
    "guesslike.py": {"recsys", "commands"},
}
NEVER = {
    "recsys": {"fastapi", "starlette", "redis", "sqlalchemy", "implicit", *NETWORK},
    "training": {"fastapi", "starlette", "redis"},
    "serving": {"implicit"},
    "campaigns": {"implicit"},
    "demo": {"implicit"},
    **{file: {"implicit"} for file in MAIN},
}
MAY_IMPORT_IMPLICIT = {
    "training/sources/taste.py",
    "training/sources/similar.py",
    "training/references/factors.py",  # the fixed recipes that an evaluation is compared with
}
OFF_THE_REQUEST_PATH = {
    "serving/cli.py",
    "serving/drain.py",
    "serving/erasing.py",
    "serving/drain_impressions.py",
    "serving/drain_promised.py",
    "serving/drain_told.py",
    "serving/parts.py",
}
MAY_READ: dict[tuple[str, str], str] = {
    # ("campaigns/smtp.py", "time.time"): "why this file must read the clock itself",
}


def sources(*parts: str) -> dict[str, str]:
    """Text of every Python file under the given folders or files, by path in the project."""
    files = [file for part in parts for file in sorted((ROOT / part).rglob("*.py"))]
    files += [ROOT / part for part in parts if part.endswith(".py")]
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in files}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_only_what_the_table_allows(part: str) -> None:
    found = foreign_imports(sources(part), ours=OURS, allowed=MAY_IMPORT[part], never=NEVER[part])
    assert found == []


def test_only_sources_and_references_import_implicit() -> None:
    elsewhere = {k: v for k, v in sources("training").items() if k not in MAY_IMPORT_IMPLICIT}
    assert foreign_imports(elsewhere, ours=set(), allowed=set(), never={"implicit"}) == []


def test_no_request_path_reaches_polars() -> None:
    everything = sources("serving", "recsys")
    start = {path for path in everything if path.startswith("serving/")} - OFF_THE_REQUEST_PATH
    path = {name: everything[name] for name in reached(everything, start)}
    assert foreign_imports(path, ours=set(), allowed=set(), never={"polars"}) == []


def test_no_modules_import_each_other() -> None:
    assert cycle(sources(*PACKAGES, *MAIN)) == []


def test_nothing_below_main_reads_the_clock_or_the_environment() -> None:
    found = {
        (path, name): line
        for path, text in sources(*PACKAGES).items()
        for line, name in readings(path, text, of=CLOCK_AND_ENVIRONMENT)
    }
    assert {key: line for key, line in found.items() if key not in MAY_READ} == {}
    assert set(MAY_READ) <= set(found), "an exception that nothing needs any more"


def test_nothing_pickles() -> None:
    every = sources(*PACKAGES, *MAIN, "benchmarks")
    assert [line for path, text in every.items() for line in pickling(path, text)] == []


def test_the_wheel_holds_the_packages_and_main_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("guesslike-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {*PACKAGES, *MAIN}
    assert any(name.endswith("licenses/LICENSE") for name in names)


# The checker itself, on made-up sources.


@pytest.mark.parametrize(
    "text",
    [
        "import training",
        "import os, training.blend as b",
        "from training import blend",
        "from training.blend import fit",
        "def f():\n    from training import blend",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import training",
        "try:\n    import training\nexcept ImportError:\n    pass",
        "import importlib\nimportlib.import_module('training.blend')",
        "from importlib import import_module\nimport_module(name)",
        "__import__('training')",
        "from urllib import request",
        "import urllib.request",
    ],
)
def test_a_forbidden_import_is_found_however_it_is_written(text: str) -> None:
    made_up = {"recsys/x.py": text}
    rule = {"ours": {"recsys", "training"}, "allowed": {"recsys"}, "never": {"urllib.request"}}
    assert len(foreign_imports(made_up, **rule)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import numpy, recsys.ids",
        "from recsys import ids",
        "from . import ids",
        "from .training import fit",
        "'import training'",
        "# import training",
        "from urllib.parse import quote",
        "import trainingwheels",
    ],
)
def test_an_allowed_import_is_left_alone(text: str) -> None:
    made_up = {"recsys/x.py": text}
    rule = {"ours": {"recsys", "training"}, "allowed": {"recsys"}, "never": {"urllib.request"}}
    assert foreign_imports(made_up, **rule) == []


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("a/b/c.py", "from . import d", "a.b.d"),
        ("a/b/c.py", "from .d import e", "a.b.d.e"),
        ("a/b/c.py", "from ..d import e", "a.d.e"),
        ("a/b/__init__.py", "from .d import e", "a.b.d.e"),
    ],
)
def test_relative_imports_are_resolved(path: str, text: str, name: str) -> None:
    assert [found for _, found in imports(path, text)] == [name]


def test_a_cycle_is_found_through_packages_and_lazy_imports() -> None:
    made_up = {
        "a/__init__.py": "",
        "a/one.py": "from a import two",
        "a/two.py": "def f():\n    from b import three",
        "b/__init__.py": "from b.three import three",
        "b/three.py": "import a.one",
    }
    assert set(cycle(made_up)) == {"a.one", "a.two", "b.three"}
    assert cycle(made_up | {"b/three.py": "import a"}) == []


def test_what_a_request_reaches_is_followed_through_modules() -> None:
    made_up = {
        "serving/app.py": "from recsys import features",
        "serving/drain.py": "import recsys.tables",
        "recsys/features.py": "def f():\n    from recsys.arrays import g",
        "recsys/arrays.py": "import polars",
        "recsys/tables.py": "import polars",
    }
    assert reached(made_up, {"serving/app.py"}) == {
        "serving/app.py",
        "recsys/features.py",
        "recsys/arrays.py",
    }


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "import time as t\nt.time_ns()",
        "from time import time\nf(clock=time)",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "import datetime as d\nd.date.today()",
        "from datetime import datetime\ndef f(now=datetime.now): ...",
        "from datetime import datetime as dt\ndt.utcnow()",
        "import os\nos.environ['A']",
        "from os import environ as e\ne.get('A')",
        "from os import getenv\ngetenv('A')",
    ],
)
def test_a_clock_or_environment_is_found_under_any_name(text: str) -> None:
    assert len(readings("x.py", text, of=CLOCK_AND_ENVIRONMENT)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.monotonic()",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
        "def f(now): return now.time()",
        "import os\nos.fsync(3)",
        "class time: ...\ntime.time",
    ],
)
def test_what_is_no_clock_is_left_alone(text: str) -> None:
    assert readings("x.py", text, of=CLOCK_AND_ENVIRONMENT) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
    ],
)
def test_a_pickle_is_found(text: str) -> None:
    assert len(pickling("x.py", text)) == 1


def test_an_array_without_pickles_is_left_alone() -> None:
    assert pickling("x.py", "np.load(f, allow_pickle=False)") == []
