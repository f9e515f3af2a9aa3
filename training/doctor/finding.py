"""One thing that is wrong with a dataset."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What it is, how much of it there is, and what mends it."""

    name: str
    gravity: str
    """error: a model of it would mislead; warning: it would be worse than it could; note: nothing
    is wrong, but something is missing"""
    what: str
    mend: str
    examples: tuple[str, ...] = ()
