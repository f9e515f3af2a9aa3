"""Look-ups in sparse tables, and products of two of which only a few cells are wanted.

Tables are rows with offsets. The loops are compiled: as matrix products with their sorting they
take three times as long. Each runs on one core without the interpreter's lock; whoever has much to
do hands it out in parts (`training.parallel`).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Wide = NDArray[np.int64]
Rows = NDArray[np.int32]
Floats = NDArray[np.float32]


def locate(
    offsets: NDArray[np.integer],
    columns: NDArray[np.integer],
    rows_wanted: NDArray[np.integer],
    columns_wanted: NDArray[np.integer],
) -> tuple[Wide, NDArray[np.bool_]]:
    """Where each wanted cell stands in `columns`, which ascend within a row, and whether it does
    (0 where it does not)."""
    if not len(columns):  # perhaps without a row, too
        return np.zeros(len(rows_wanted), np.int64), np.zeros(len(rows_wanted), np.bool_)
    at = _locate(
        offsets.astype(np.int64, copy=False),
        columns.astype(np.int32, copy=False),
        rows_wanted.astype(np.int64, copy=False),
        columns_wanted.astype(np.int32, copy=False),
    )
    return np.maximum(at, 0), at >= 0


def cells(matrix: csr_matrix, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Floats:
    """shape (rows,): the values at some cells; 0 where there is none, or the column is -1."""
    matrix.sort_indices()
    at, found = locate(matrix.indptr, matrix.indices, rows, columns)
    values = matrix.data[at] if len(matrix.data) else np.zeros(len(at))
    return np.where(found, values, 0).astype(np.float32)


def rows_of(offsets: Wide, rows: NDArray[np.integer]) -> tuple[Wide, Wide]:
    """The entries of some rows of an offset table, and whose (position in `rows`) each is."""
    counts = offsets[rows + 1] - offsets[rows]
    owners = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return offsets[rows][owners] + within, owners


def top_cells(matrix: csr_matrix, most: int) -> csr_matrix:
    """The `most` largest cells of each row, column numbers ascending if they did before."""
    counts = np.minimum(np.diff(matrix.indptr), most)
    starts = np.concatenate(([0], np.cumsum(counts)))
    kept = _top_cells(matrix.indptr, matrix.data, starts, most)
    return csr_matrix((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)


def top_of_product(left: csr_matrix, right: csr_matrix, most: int) -> csr_matrix:
    """The `most` largest positive cells of each row of left x right, column numbers ascending.

    Of the product, nothing but one row and the result is held.
    """
    n_rows, width = left.shape[0], right.shape[1]
    most = min(most, width)
    columns = np.empty((n_rows, most), np.int32)
    values = np.empty((n_rows, most), np.float32)
    counts = np.zeros(n_rows, np.int64)
    _top_of_product(*_arrays(left), *_arrays(right), width, columns, values, counts)
    kept = np.arange(most) < counts[:, None]
    starts = np.concatenate(([0], np.cumsum(counts)))
    return csr_matrix((values[kept], columns[kept], starts), shape=(n_rows, width))


def product_cells(
    left: csr_matrix, right: csr_matrix, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> Floats:
    """shape (rows,): left x right at some cells, `rows` ascending."""
    starts = np.searchsorted(rows, np.arange(left.shape[0] + 1))
    found = np.zeros(len(columns), np.float32)
    _product_cells(*_arrays(left), *_arrays(right), right.shape[1], starts, columns, found)
    return found


def top_of_rows(block: Floats, most: int) -> tuple[Wide, Rows]:
    """The columns of the `most` largest positive cells of each row of a dense block, and their
    offsets, shape (rows + 1,)."""
    most = min(most, block.shape[1])
    columns = np.empty((len(block), most), np.int32)
    counts = np.zeros(len(block), np.int64)
    _top_of_rows(block, columns, counts)
    kept = np.arange(most) < counts[:, None]
    return np.concatenate(([0], np.cumsum(counts))), columns[kept]


def dots(
    left: Floats, right: Floats, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> Floats:
    """shape (rows,): the dot products of some rows of two dense tables."""
    found = np.empty(len(rows), np.float32)
    _dots(left, right, rows, columns, found)
    return found


def distinct(keys: Wide) -> Wide:
    """The distinct keys, ascending. np.unique hashes since numpy 2.3, which is slower here."""
    ordered = np.sort(keys)
    return ordered[np.diff(ordered, prepend=-1) != 0] if len(ordered) else ordered


def _arrays(matrix: csr_matrix) -> tuple[Wide, Rows, Floats]:
    """Of one type each: the loops are compiled once."""
    return (
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
    )


@njit(cache=True, nogil=True)
def _locate(offsets, columns, rows_wanted, columns_wanted):  # type: ignore[no-untyped-def]
    found = np.full(len(rows_wanted), -1, np.int64)
    for at in range(len(rows_wanted)):
        wanted = columns_wanted[at]
        low, high = offsets[rows_wanted[at]], offsets[rows_wanted[at] + 1]
        end = high
        while low < high:
            middle = (low + high) // 2
            if columns[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        if low < end and columns[low] == wanted:
            found[at] = low
    return found


@njit(cache=True, nogil=True)
def _offer(values, places, size, value, place):  # type: ignore[no-untyped-def]
    """Put a value and its place on a heap whose least is at 0, if it is among the largest;
    returns the new size."""
    at = size
    if size < len(values):
        while at > 0 and values[(at - 1) // 2] > value:
            values[at], places[at] = values[(at - 1) // 2], places[(at - 1) // 2]
            at = (at - 1) // 2
        values[at], places[at] = value, place
        return size + 1
    if value <= values[0]:
        return size
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and values[child + 1] < values[child]:
            child += 1
        if values[child] >= value:
            break
        values[at], places[at] = values[child], places[child]
        at = child
    values[at], places[at] = value, place
    return size


@njit(cache=True, nogil=True)
def _top_cells(offsets, data, starts, most):  # type: ignore[no-untyped-def]
    kept = np.empty(starts[-1], np.int64)
    for row in range(len(offsets) - 1):
        low, high = offsets[row], offsets[row + 1]
        if high - low <= most:
            kept[starts[row] : starts[row + 1]] = np.arange(low, high)
            continue
        values, size = np.empty(most, data.dtype), 0
        places = np.empty(most, np.int64)
        for at in range(low, high):
            size = _offer(values, places, size, data[at], at)
        kept[starts[row] : starts[row + 1]] = np.sort(places)
    return kept


@njit(cache=True, nogil=True)
def _add_row(  # type: ignore[no-untyped-def]
    row, l_offsets, l_columns, l_data, r_offsets, r_columns, r_data, sums, seen, touched
):
    """Add a row of the product to `sums`; returns how many columns it touches, which stand in
    `touched` and have `seen` set."""
    count = 0
    for left in range(l_offsets[row], l_offsets[row + 1]):
        weight, middle = l_data[left], l_columns[left]
        for right in range(r_offsets[middle], r_offsets[middle + 1]):
            column = r_columns[right]
            if not seen[column]:
                seen[column] = True
                touched[count] = column
                count += 1
            sums[column] += weight * r_data[right]
    return count


@njit(cache=True, nogil=True)
def _top_of_product(  # type: ignore[no-untyped-def]
    l_offsets, l_columns, l_data, r_offsets, r_columns, r_data, width, columns, values, counts
):
    n_rows, most = columns.shape
    sums, seen = np.zeros(width, np.float32), np.zeros(width, np.bool_)
    touched = np.empty(width, np.int32)
    best, places = np.empty(most, np.float32), np.empty(most, np.int64)
    for row in range(n_rows):
        count = _add_row(
            row, l_offsets, l_columns, l_data, r_offsets, r_columns, r_data, sums, seen, touched
        )
        size = 0
        for at in range(count):
            column = touched[at]
            value = sums[column]
            sums[column], seen[column] = 0, False
            if value > 0 and (size < most or value > best[0]):
                size = _offer(best, places, size, value, column)
        order = np.argsort(places[:size])
        columns[row, :size] = places[:size][order]
        values[row, :size] = best[:size][order]
        counts[row] = size


@njit(cache=True, nogil=True)
def _product_cells(  # type: ignore[no-untyped-def]
    l_offsets, l_columns, l_data, r_offsets, r_columns, r_data, width, starts, wanted, found
):
    sums, seen = np.zeros(width, np.float32), np.zeros(width, np.bool_)
    touched = np.empty(width, np.int32)
    for row in range(len(starts) - 1):
        if starts[row] == starts[row + 1]:
            continue
        count = _add_row(
            row, l_offsets, l_columns, l_data, r_offsets, r_columns, r_data, sums, seen, touched
        )
        for at in range(starts[row], starts[row + 1]):
            found[at] = sums[wanted[at]]
        for at in range(count):
            sums[touched[at]], seen[touched[at]] = 0, False


@njit(cache=True, nogil=True)
def _top_of_rows(block, columns, counts):  # type: ignore[no-untyped-def]
    n_rows, most = columns.shape
    values, places = np.empty(most, np.float32), np.empty(most, np.int64)
    for row in range(n_rows):
        size, least = 0, np.float32(0)
        for column in range(block.shape[1]):
            if block[row, column] > least:
                size = _offer(values, places, size, block[row, column], column)
                if size == most:
                    least = values[0]
        columns[row, :size] = np.sort(places[:size])
        counts[row] = size


# the order of a sum is free: without that a loop over factors is not vectorised
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dots(left, right, rows, columns, found):  # type: ignore[no-untyped-def]
    for at in range(len(rows)):
        one, other = left[rows[at]], right[columns[at]]
        total = np.float32(0)
        for factor in range(len(one)):
            total += one[factor] * other[factor]
        found[at] = total
