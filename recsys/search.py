"""Products by what somebody types: an index of titles, categories and brands in one SQLite file.

Text becomes words by one function on both sides. What is typed holds nothing but letters and digits
by then, and stands in quotes: it is never taken for the index's own query language.

The file is SQLite's FTS5 (sqlite.org/fts5.html). Products stand in it best first, so that the first
few of a broad word are found without a look at the others.
"""

import re
import sqlite3
import unicodedata
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelError
from recsys.ids import stable_hash

FILE = "search.sqlite"
MATCHES = 2_000
"""after so many, the closest and of those the best by themselves, nothing more is looked for"""
READ = 100
"""characters of a text that are searched for: the last word may be cut, and is a beginning then"""
REMEMBERED = 256
"""texts whose matches a worker remembers: up to 20 KB each"""
MAPPED_BYTES = 1 << 30
"""pages are the system's, and all workers' together"""
# Han, kana and Hangul: written without spaces, or with words that grow at their ends
_BY_CHARACTER = (
    "\u3005\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUNS = re.compile(rf"[{_BY_CHARACTER}]+|[^\W\d_{_BY_CHARACTER}]+|\d+")
_STARTS_BY_CHARACTER = re.compile(rf"[{_BY_CHARACTER}]")
_ACCENTS = re.compile("[\u0300-\u036f]")


class Description(NamedTuple):
    """What one product can be found by."""

    title: str
    category: str
    brand: str


class Matches(NamedTuple):
    """What fits a text, of the equally close the best by itself first. Both have shape (found,)."""

    products: NDArray[np.int32]
    """rows of the model"""
    closeness: NDArray[np.uint8]
    """2: the title is the text; 1: the title has all its words, whole; 0: title, category and
    brand have them, the last one at least as a beginning"""

    def first(self, most: int) -> list[int]:
        """Rows of the closest."""
        order = np.argsort(-self.closeness.astype(np.int8), kind="stable")
        rows: list[int] = self.products[order[:most]].tolist()
        return rows

    def plus(self, others: "Matches") -> "Matches":
        """Of both; of equals these first."""
        return Matches(
            np.concatenate((self.products, others.products)),
            np.concatenate((self.closeness, others.closeness)),
        )


NO_MATCHES = Matches(np.zeros(0, np.int32), np.zeros(0, np.uint8))


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """A model's file, and the product row of each place in it."""

    path: Path
    order: NDArray[np.int32]


def words(text: str) -> list[str]:
    """Runs of letters, of digits, and of characters that are written without spaces; without case,
    accents and widths."""
    small = unicodedata.normalize("NFKD", text).casefold()
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", small))
    return _RUNS.findall(unicodedata.normalize("NFKC", bare))


def index(products: Sequence[Description]) -> bytes:
    """The file over products, best first: the same bytes for the same products, while SQLite's
    version is the same."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        with _needs_fts5():
            memory.execute(
                "CREATE VIRTUAL TABLE texts USING fts5(title, category, brand, whole, content='', "
                "columnsize=0, tokenize='ascii', prefix='2 3')"
            )
        memory.execute("BEGIN")
        memory.executemany(
            "INSERT INTO texts (rowid, title, category, brand, whole) VALUES (?, ?, ?, ?, ?)",
            (
                (place, *(" ".join(map(_spaced, words(text))) for text in one), _whole(one.title))
                for place, one in enumerate(products, start=1)
            ),
        )
        memory.execute("INSERT INTO texts (texts) VALUES ('optimize')")
        memory.execute("COMMIT")
        memory.execute("VACUUM")
        return memory.serialize()


class Search:
    """An open index. Every look-up is bounded, so the event loop may make it."""

    def __init__(self, file: sqlite3.Connection, order: NDArray[np.int32]) -> None:
        """order: the product row of each place in the file."""
        self._file, self._order = file, order
        weakref.finalize(self, file.close)
        self.matches = lru_cache(REMEMBERED)(self._matches)
        """by text; any text will do, and what fits no product finds none"""

    @classmethod
    def open(cls, of: SearchIndex) -> "Search":
        """A model's. ModelError where this Python cannot read it."""
        address = f"{of.path.absolute().as_uri()}?mode=ro&immutable=1"
        file = sqlite3.connect(address, uri=True, check_same_thread=False)
        file.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        opened = cls(file, of.order)
        try:
            with _needs_fts5():
                opened._places("whole", '"x"', 1)
        except sqlite3.DatabaseError as error:
            raise ModelError(
                f"{of.path} is no search index ({error}). Train again, or publish another version "
                "(guesslike models list)."
            ) from error
        return opened

    @classmethod
    def over(cls, products: Sequence[Description], order: NDArray[np.int32]) -> "Search":
        """Of a few products, in memory."""
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        memory.deserialize(index(products))
        return cls(memory, order)

    def _matches(self, text: str) -> Matches:
        runs = list(dict.fromkeys(words(text[:READ])))
        if not runs:
            return NO_MATCHES
        *before, last = runs
        found: dict[int, int] = {}
        for closeness, columns, asked in (
            (2, "whole", [_quoted(_whole(text))]),
            (1, "title", [_phrase(run) for run in runs]),
            (0, "title category brand", [*map(_anywhere, before), _begun(last)]),
        ):
            if len(found) < MATCHES:
                for place in self._places(columns, " AND ".join(asked), MATCHES):
                    found.setdefault(place, closeness)
        places = sorted(found)
        closeness_of = np.array([found[place] for place in places], np.uint8)
        return Matches(self._order[np.array(places, np.int32) - 1], closeness_of)

    def _places(self, columns: str, asked: str, most: int) -> list[int]:
        """From 1, the first ones in the file."""
        select = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid LIMIT ?"
        rows = self._file.execute(select, (f"{{{columns}}} : ({asked})", most))
        return [place for (place,) in rows]


def _spaced(run: str) -> str:
    return " ".join(run) if _STARTS_BY_CHARACTER.match(run) else run


def _whole(title: str) -> str:
    """A word that stands for all words of a title; no text has it. Empty where there are none."""
    runs = words(title)
    return f"¶{stable_hash(' '.join(runs)):x}" if runs else ""


def _quoted(text: str) -> str:
    return f'"{text}"'


def _phrase(run: str) -> str:
    """The characters one after the other, or the word in one of its forms."""
    return "(" + " OR ".join(_quoted(_spaced(form)) for form in _forms(run)) + ")"


def _anywhere(run: str) -> str:
    """The word, or the characters; of three and more in any order, for words are not marked."""
    if len(run) > 2 and _STARTS_BY_CHARACTER.match(run):
        return " AND ".join(map(_quoted, dict.fromkeys(run)))
    return _phrase(run)


def _begun(run: str) -> str:
    """The same, or a longer word that begins so."""
    if len(run) < 2 or _STARTS_BY_CHARACTER.match(run):
        return _anywhere(run)
    return f"({_anywhere(run)} OR {_quoted(run)} *)"


def _forms(word: str) -> list[str]:
    """What may be singular and plural of an English word, and the word itself."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return [word]
    if word.endswith("ies"):
        return [word, f"{word[:-3]}y", word[:-1]]
    if word.endswith("es"):
        return [word, word[:-1], word[:-2]]
    if word.endswith("s") and not word.endswith("ss"):
        return [word, word[:-1]]
    if word.endswith("y"):
        return [word, f"{word}s", f"{word[:-1]}ies"]
    return [word, f"{word}s", f"{word}es"]


@contextmanager
def _needs_fts5() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "fts5" not in str(error):
            raise
        raise ModelError(
            f"this Python's SQLite {sqlite3.sqlite_version} lacks FTS5, which the search index is "
            "made with. Use a Python whose SQLite has it, such as python.org's or the system's."
        ) from error
