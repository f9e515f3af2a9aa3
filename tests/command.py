"""The `guesslike` command in this process: what it prints, where, and how it ends."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import guesslike


@dataclass(frozen=True)
class Ended:
    """What a person or a script sees."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """Runs commands against one local folder, with no setting but the given ones."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    home: Path

    def __call__(self, *words: object, **settings: str) -> Ended:
        with self.monkeypatch.context() as patch:
            for name, value in {"GUESSLIKE_HOME": str(self.home), **settings}.items():
                patch.setenv(name, value)
            # wide enough that no message is folded
            patch.setenv("COLUMNS", "400")
            patch.setattr(sys, "argv", ["guesslike", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                guesslike.main()
        said = self.capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    def refused(self, *words: object, **settings: str) -> str:
        """The one message of a command that ends with 2."""
        ended = self(*words, **settings)
        assert ended.code == 2, ended
        assert ended.out == ""
        assert "Traceback" not in ended.err
        assert ended.err.startswith("guesslike: ")
        return ended.err
