"""Two kinds of id and the one door between them: text outside, row numbers inside."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NewType

import numpy as np
from numpy.typing import NDArray

MemberId = NewType("MemberId", str)
VisitorId = NewType("VisitorId", str)
ProductId = NewType("ProductId", str)
CouponId = NewType("CouponId", str)
CampaignId = NewType("CampaignId", str)


def stable_hash(text: str) -> int:
    """64 bits of BLAKE2b: the same in every process, machine and year."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def unit_interval(salt: str, key: str) -> float:
    """A number in [0, 1) derived from salt and key; for holdouts, samples and tie-breaks."""
    return stable_hash(f"{salt}\x00{key}") / 2**64


@dataclass(frozen=True, slots=True)
class IdIndex:
    """Text ids and their rows as plain arrays, so that workers share one memory map.

    A look-up is a binary search over sorted hashes; the text is then compared, so two ids
    with one hash stay two ids.
    """

    hashes: NDArray[np.uint64]
    """shape (n,), ascending"""
    rows: NDArray[np.int32]
    """shape (n,): the row whose id has hashes[i]"""
    offsets: NDArray[np.int64]
    """shape (n + 1,): id of row r is blob[offsets[r]:offsets[r + 1]], UTF-8"""
    blob: NDArray[np.uint8]

    @classmethod
    def build(cls, ids: Sequence[str]) -> "IdIndex":
        """Row r gets ids[r]. The ids must be distinct."""
        encoded = [text.encode() for text in ids]
        hashes = np.fromiter((stable_hash(text) for text in ids), np.uint64, len(encoded))
        rows = np.argsort(hashes, kind="stable").astype(np.int32)
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        blob = np.frombuffer(b"".join(encoded), np.uint8)
        return cls(hashes[rows], rows, offsets, blob)

    def plus(self, ids: Sequence[str]) -> "IdIndex":
        """These ids in rows after the last one. They must be distinct and not here yet."""
        more = IdIndex.build(ids)
        hashes = np.concatenate((self.hashes, more.hashes))
        rows = np.concatenate((self.rows, more.rows + np.int32(len(self))))
        order = np.argsort(hashes, kind="stable")
        offsets = np.concatenate((self.offsets, more.offsets[1:] + self.offsets[-1]))
        blob = np.concatenate((self.blob, more.blob))
        return IdIndex(hashes[order], rows[order], offsets, blob)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> "IdIndex":
        """The counterpart of `arrays`; nothing is copied."""
        return cls(*(arrays[f"{prefix}_{name}"] for name in cls.__slots__))  # type: ignore[arg-type]

    def arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """The arrays under the names that `from_arrays` reads."""
        return {f"{prefix}_{name}": getattr(self, name) for name in self.__slots__}

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, text: str) -> int | None:
        """The id's row, or None for an id that is not here."""
        wanted = stable_hash(text)
        at = int(self.hashes.searchsorted(np.uint64(wanted)))
        while at < len(self.hashes) and self.hashes[at] == wanted:
            row = int(self.rows[at])
            if self.text(row) == text:
                return row
            at += 1
        return None

    def text(self, row: int) -> str:
        """The id of a row."""
        start, stop = self.offsets[row : row + 2].tolist()
        return str(self.blob.data[start:stop], "utf-8")

    def take(self, rows: NDArray[np.integer]) -> list[str]:
        """The ids of some rows."""
        blob = self.blob.data
        starts, stops = self.offsets[rows].tolist(), self.offsets[rows + 1].tolist()
        return [str(blob[a:b], "utf-8") for a, b in zip(starts, stops, strict=True)]

    def texts(self) -> list[str]:
        """All ids, in row order."""
        whole = self.blob.tobytes()
        ends = self.offsets.tolist()
        return [whole[a:b].decode() for a, b in pairwise(ends)]
