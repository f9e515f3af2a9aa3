"""Texts of many rows as plain arrays, so that workers share one memory map."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsys.filters import Coded

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Texts:
    """One text for each row, empty where unknown."""

    offsets: NDArray[np.int64]
    blob: NDArray[np.uint8]

    @classmethod
    def build(cls, texts: list[str]) -> "Texts":
        """Row r gets texts[r]."""
        encoded = [text.encode() for text in texts]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8))

    def plus(self, texts: list[str]) -> "Texts":
        """These texts in rows after the last one."""
        more = Texts.build(texts)
        offsets = np.concatenate((self.offsets, more.offsets[1:] + self.offsets[-1]))
        return Texts(offsets, np.concatenate((self.blob, more.blob)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        return self.blob[self.offsets[row] : self.offsets[row + 1]].tobytes().decode()

    def all(self) -> list[str]:
        """In row order."""
        whole = self.blob.tobytes()
        return [whole[start:stop].decode() for start, stop in pairwise(self.offsets.tolist())]


@dataclass(frozen=True, slots=True)
class Labels:
    """Texts that many rows share: a code for each row, a text for each code; in text order, but
    for those that came later."""

    codes: NDArray[np.int32]
    """shape (rows,), UNKNOWN where there is none"""
    offsets: NDArray[np.int64]
    """shape (codes + 1,)"""
    blob: NDArray[np.uint8]

    @classmethod
    def build(cls, texts: Sequence[str | None]) -> "Labels":
        """Row r gets texts[r]."""
        distinct = sorted({text for text in texts if text is not None})
        code_of = {text: code for code, text in enumerate(distinct)}
        codes = [UNKNOWN if text is None else code_of[text] for text in texts]
        named = Texts.build(distinct)
        return cls(np.array(codes, np.int32), named.offsets, named.blob)

    def plus(self, texts: Sequence[str | None]) -> "Labels":
        """These texts in rows after the last one."""
        before = self.texts
        code_of = {text: code for code, text in enumerate(before.all())}
        known = len(code_of)
        codes = [
            UNKNOWN if text is None else code_of.setdefault(text, len(code_of)) for text in texts
        ]
        named = before.plus(list(code_of)[known:])
        appended = np.concatenate((self.codes, np.array(codes, np.int32)))
        return Labels(appended, named.offsets, named.blob)

    @property
    def texts(self) -> Texts:
        """By code."""
        return Texts(self.offsets, self.blob)

    def __getitem__(self, row: int) -> str:
        code = int(self.codes[row])
        return "" if code == UNKNOWN else self.texts[code]

    def coded(self) -> Coded:
        """The column as a filter reads it."""
        return Coded(self.codes, np.array([*self.texts.all(), None], object))


Attribute = NDArray[np.float64] | NDArray[np.int8] | Labels
"""a product's further fact: a number (NaN unknown), yes or no (1, 0, UNKNOWN), or a text"""
