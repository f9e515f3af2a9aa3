"""What is run on which shop, and what it is held against."""

from dataclasses import dataclass

SINGLES = ("popular", "als", "bm25")
BASKETS = ("up-cf", "tifuknn")


@dataclass(frozen=True, slots=True)
class Bar:
    """How far above the best of some references the ranker's mean over the windows shall be."""

    task: str
    references: tuple[str, ...]
    """none: `recall` and `ndcg` are no ratios but the figures themselves"""
    recall: float
    ndcg: float | None = None
    slice: str | None = None
    """of members by orders before"""


@dataclass(frozen=True, slots=True)
class Group:
    """Windows of one shop under one protocol. Each is one `guesslike evaluate`."""

    name: str
    title: str
    shop: str
    options: tuple[str, ...]
    dates: tuple[str | None, ...]
    bars: tuple[Bar, ...]

    def commands(self) -> list[tuple[str, list[str]]]:
        """A name for each window, and the options of `guesslike evaluate DATASET --json`."""
        return [
            (f"{self.name}-{date or 'end'}", [*self.options, *(["--as-of", date] if date else [])])
            for date in self.dates
        ]


GROUPS = (
    Group(
        "journey",
        "Complete Journey, 7 days, mean of eight weeks from 2017-10-06",
        "complete-journey",
        ("--horizon", "7d"),
        (
            "2017-10-06", "2017-10-13", "2017-10-20", "2017-10-27", "2017-11-03", "2017-11-10",
            "2017-11-17", "2017-11-24",
        ),
        (Bar("all", ("repeat",), 1.10, 1.07), Bar("new", SINGLES, 1.3, 1.25)),
    ),
    Group(
        "retail",
        "Online Retail II, 28 days, mean of 2011-06-01, 09-01 and 11-01",
        "online-retail-2",
        ("--horizon", "28d"),
        ("2011-06-01", "2011-09-01", "2011-11-01"),
        (
            Bar("all", ("repeat",), 1.10, 1.06),
            Bar("new", SINGLES, 1.25, 1.2),
            Bar("all", ("popular-segment",), 1.15, slice="1-2"),
        ),
    ),
    Group(
        "amazon",
        "Amazon-CDs m1, k = 20",
        "amazon-cds",
        ("--k", "20", "--min-support", "1"),
        ("2020-01-02",),
        (Bar("new", (), 0.188, 0.124),),
    ),
    Group(
        "journey-last",
        "Complete Journey, the last order",
        "complete-journey",
        ("--split", "last-basket"),
        (None,),
        (Bar("all", BASKETS, 1.08, 1.08),),
    ),
    Group(
        "retail-last",
        "Online Retail II, the last order",
        "online-retail-2",
        ("--split", "last-basket"),
        (None,),
        (Bar("all", BASKETS, 1.08, 1.08),),
    ),
    Group(
        "journey-newcomers",
        "Complete Journey, 7 days, members cut to one or two orders, mean of three weeks",
        "complete-journey",
        ("--horizon", "7d", "--newcomers", "0.4"),
        ("2017-10-06", "2017-10-27", "2017-11-24"),
        (Bar("all", ("popular-segment",), 1.15),),
    ),
)  # fmt: skip
