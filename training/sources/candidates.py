"""What every candidate source gives: short lists for many members at once."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Candidates(NamedTuple):
    """Lists of products for `len(offsets) - 1` members, the best not necessarily first."""

    offsets: NDArray[np.int64]
    products: NDArray[np.int32]

    def owners(self) -> NDArray[np.int32]:
        """The position (not the row) of the member of each entry."""
        counts = np.diff(self.offsets)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


class Source(Protocol):
    """A fitted source: knows one past and nothing later."""

    def candidates(self, members: NDArray[np.int32]) -> Candidates:
        """Products of the catalogue worth considering for these member rows."""
        ...

    def scores(
        self, members: NDArray[np.int32], products: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """shape (pairs,): how much the source says for each pair; 0 is nothing. Rows of one
        member stand together."""
        ...
