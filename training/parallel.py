"""Work on all cores: numpy, scipy and the compiled loops leave the interpreter's lock alone while
they compute, so threads are enough, and they share every array."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

Part = TypeVar("Part")
Result = TypeVar("Result")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


LEAST_SPANS = 4


def in_order(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """The result of each part, in the order of the parts. An error of one is raised."""
    with ThreadPoolExecutor(CORES) as threads:
        return list(threads.map(work, parts))


def spans(size: int, most: int) -> Iterator[slice]:
    """`size` rows in slices of about the same length, at most `most`: LEAST_SPANS or more, whatever
    the machine, since the last bit of a dense product hangs on the rows beside it."""
    count = max(-(-size // most), min(LEAST_SPANS, size))
    return (slice(low, high) for low, high in pairwise(np.linspace(0, size, count + 1, dtype=int)))
