"""The documents and the code tell the same: settings, commands, versions, links, languages."""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel

from commands import app
from composition import Settings

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
GUIDES = [*READMES, *sorted((ROOT / "docs").glob("**/*.md"))]
PAGES = [*GUIDES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OF_TESTS = "GUESSLIKE_TEST_"


def settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The environment's name of every setting: GUESSLIKE_SERVING__PORT."""
    for name, field in model.model_fields.items():
        full = f"{prefix}{name.upper()}"
        nested = [
            kind
            for kind in [field.annotation, *get_args(field.annotation)]
            if is_model(kind) and get_origin(field.annotation) is not Mapping
        ]
        if nested:
            yield from settings(nested[0], f"{full}__")
        else:
            yield full


def is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def commands(
    command: Any, path: tuple[str, ...] = ("guesslike",)
) -> dict[tuple[str, ...], set[str]]:
    """Every command that does something, by its words, with the options that it takes."""
    if inner := getattr(command, "commands", None):
        return {
            k: v for name, sub in inner.items() for k, v in commands(sub, (*path, name)).items()
        }
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    return {path: options | {"--help"}}


def code(text: str) -> str:
    """All that stands in code fences and in back-ticks."""
    fenced = "".join(body for _, body in FENCE.findall(text))
    return fenced + "\n".join(re.findall(r"`([^`\n]+)`", FENCE.sub("", text)))


def command_lines(text: str) -> list[list[str]]:
    """The words of each `guesslike …` and `make …` line in the code fences, comments dropped."""
    lines = "".join(body for _, body in FENCE.findall(text)).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if tells(line)]
    return [line for line in words if line]


def tells(line: str) -> bool:
    return line.removeprefix("$ ").startswith(("guesslike ", "make ", ".venv/bin/guesslike "))


def undocumented(names: set[str], text: str) -> set[str]:
    return {name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)}


def wrong_commands(lines: list[list[str]], known: Mapping[tuple[str, ...], set[str]]) -> list[str]:
    """The guesslike lines that name a command or an option which is not there."""
    wrong = []
    for line in lines:
        if not line[0].endswith("guesslike"):
            continue
        words = ("guesslike", *line[1:])
        path = next((words[:n] for n in (4, 3, 2) if words[:n] in known), None)
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if path is None or options - known[path]:
            wrong.append(" ".join(line))
    return wrong


def slugs(text: str) -> set[str]:
    """The anchors that a page's headings have."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in headings}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page to a file or a heading that is not there."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        in_page = not anchor or target.suffix != ".md"
        if not target.exists() or not (in_page or anchor in slugs(target.read_text())):
            broken.append(link)
    return broken


KNOWN = commands(typer.main.get_command(app))
SETTINGS = set(settings(Settings, "GUESSLIKE_"))


@pytest.fixture(scope="module")
def written() -> str:
    return "\n".join(page.read_text() for page in GUIDES)


def test_every_setting_is_documented_under_its_name(written: str) -> None:
    assert undocumented(SETTINGS, written) == set()


def test_every_setting_in_the_documents_exists(written: str) -> None:
    named = {name for name in re.findall(r"\bGUESSLIKE_\w+", written) if not name.endswith("_")}
    assert {name for name in named if not name.startswith(OF_TESTS)} <= SETTINGS


def test_every_command_is_documented(written: str) -> None:
    assert undocumented({" ".join(path) for path in KNOWN}, code(written)) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_in_the_documents_exists(page: Path) -> None:
    assert wrong_commands(command_lines(page.read_text()), KNOWN) == []


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for page in PAGES for line in command_lines(page.read_text())]
    assert {line[1] for line in lines if line[0] == "make"} <= targets


def test_the_change_log_tops_with_the_package_version() -> None:
    released = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$", text_of("CHANGELOG.md"), re.M)
    assert released[0] == tomllib.loads(text_of("pyproject.toml"))["project"]["version"]


def test_both_languages_show_the_same_commands() -> None:
    english, chinese = (command_lines(page.read_text()) for page in READMES)
    assert english
    assert chinese == english


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    wanted = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[^\w-]", line)[0] for lines in wanted for line in lines} - {"guesslike"}
    assert undocumented(names, text_of("docs/dependencies.md")) == set()


def test_the_lock_names_no_address() -> None:
    assert "://" not in text_of("requirements.lock")


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


# The checks themselves, on made-up documents.


def test_a_longer_name_does_not_document_a_shorter_one() -> None:
    assert undocumented({"GUESSLIKE_PORT"}, "`GUESSLIKE_PORTS` MY_GUESSLIKE_PORT") == {
        "GUESSLIKE_PORT"
    }
    assert undocumented({"GUESSLIKE_PORT"}, "`GUESSLIKE_PORT=8080`") == set()


def test_nested_and_optional_settings_are_walked() -> None:
    class Inner(BaseModel):
        port: int = 1

    class Outer(BaseModel):
        folder: str = ""
        serving: Inner = Inner()
        maybe: Inner | None = None
        by_name: Mapping[str, Inner] = {}  # one setting: a mapping, as JSON

    assert list(settings(Outer, "G_")) == [
        "G_FOLDER", "G_SERVING__PORT", "G_MAYBE__PORT", "G_BY_NAME",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ("guesslike train var/dataset --as-of 2017-12-01", False),
        ("$ guesslike models list # what is there", False),
        ("guesslike train \\\n  --as-of=2017-12-01", False),
        ("guesslike trian var/dataset", True),
        ("guesslike models", True),
        ("guesslike train --as-off 2017-12-01", True),
        ("echo guesslike trian", False),
    ],
)
def test_a_command_line_that_rotted_is_found(line: str, is_wrong: bool) -> None:
    known = {("guesslike", "train"): {"--as-of"}, ("guesslike", "models", "list"): set[str]()}
    assert bool(wrong_commands(command_lines(f"```sh\n{line}\n```\n"), known)) is is_wrong


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Known: when?\n```\n# not a heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#known-when) [c](https://x.org) [d](#here)\n## Here\n"
        "[e](gone.md) [f](other.md#gone) [g](other.md#not-a-heading)\n```\n[h](gone.md)\n```\n"
    )
    assert broken_links(page) == ["gone.md", "other.md#gone", "other.md#not-a-heading"]
