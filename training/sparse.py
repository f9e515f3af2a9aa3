"""Look-ups in sparse tables: rows with offsets, column numbers ascending within a row."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def locate(
    offsets: NDArray[np.integer],
    columns: NDArray[np.integer],
    rows_wanted: NDArray[np.integer],
    columns_wanted: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each wanted cell stands in `columns`, and whether it does (0 where it does not)."""
    if not len(rows_wanted) or not len(columns):
        return np.zeros(len(rows_wanted), np.int64), np.zeros(len(rows_wanted), np.bool_)
    low, high = int(rows_wanted.min()), int(rows_wanted.max()) + 1
    start, stop = int(offsets[low]), int(offsets[high])
    if start == stop:
        return np.zeros(len(rows_wanted), np.int64), np.zeros(len(rows_wanted), np.bool_)
    width = np.int64(max(columns[start:stop].max(), columns_wanted.max()) + 1)
    owners = np.repeat(np.arange(high - low, dtype=np.int64), np.diff(offsets[low : high + 1]))
    keys = owners * width + columns[start:stop]
    wanted = (rows_wanted - low).astype(np.int64) * width + columns_wanted
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = (keys[at] == wanted) & (columns_wanted >= 0)
    return np.where(found, at + start, 0), found


def cells(
    matrix: csr_matrix, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> NDArray[np.float32]:
    """shape (rows,): the values at some cells; 0 where there is none, or the column is -1."""
    matrix.sort_indices()
    at, found = locate(matrix.indptr, matrix.indices, rows, columns)
    values = matrix.data[at] if len(matrix.data) else np.zeros(len(at))
    return np.where(found, values, 0).astype(np.float32)


def rows_of(
    offsets: NDArray[np.int64], rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The entries of some rows of an offset table, and whose (position in `rows`) each is."""
    counts = offsets[rows + 1] - offsets[rows]
    owners = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return offsets[rows][owners] + within, owners


def top_cells(matrix: csr_matrix, most: int) -> csr_matrix:
    """The `most` largest cells of each row, in no order; column numbers no longer ascend."""
    data, offsets = matrix.data, matrix.indptr.tolist()
    kept = []
    for start, stop in pairwise(offsets):
        if stop - start <= most:
            kept.append(np.arange(start, stop))
        else:  # a partition of each row: sorting all cells at once takes ten times as long
            kept.append(start + np.argpartition(-data[start:stop], most)[:most])
    rows = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    sizes = np.minimum(np.diff(matrix.indptr), most)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    return csr_matrix((data[rows], matrix.indices[rows], starts), shape=matrix.shape)


def distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct keys, ascending. np.unique hashes since numpy 2.3, which is slower here."""
    ordered = np.sort(keys)
    return ordered[np.diff(ordered, prepend=-1) != 0] if len(ordered) else ordered
