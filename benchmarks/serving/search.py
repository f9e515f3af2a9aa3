"""The search index of a generated catalogue: its size, and what a look-up costs.

    python -m benchmarks.serving.search --products 100000

Titles are of six words, by turns of a Latin script and of Chinese; few words are common, and one
stands in half of all titles. No text is asked twice, so that nothing is remembered. Time is the
processor's.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from recsys.search import FILE, Description, Search, SearchIndex, index

TEXTS = 300
COMMON = "organic"
COMMON_ZH = "牛奶"


def catalogue(products: int, rng: np.random.Generator) -> list[Description]:
    """Products with titles, categories and brands."""
    letters = np.array(list("bcdfghklmnprst")), np.array(list("aeiou"))
    sizes = rng.integers(2, 5, 20_000)
    latin = ["".join(rng.choice(one) for _ in range(size) for one in letters) for size in sizes]
    characters = rng.integers(0x4E00, 0x4E00 + 3000, (8_000, 2))
    chinese = ["".join(map(chr, pair)) for pair in characters.tolist()]

    def some(words: Sequence[str], count: int) -> list[str]:
        return [words[int(len(words) * place**4)] for place in rng.random(count)]

    shelf = []
    for number in range(products):
        title = "".join(some(chinese, 5)) if number % 2 else " ".join(some(latin, 5))
        common = (COMMON_ZH if number % 2 else f" {COMMON}") if rng.random() < 0.5 else ""
        path = " > ".join(some(latin[:300], 3))
        shelf.append(Description(title + common, path, *some(latin[:2000], 1)))
    return shelf


def texts(shelf: list[Description], rng: np.random.Generator) -> dict[str, list[str]]:
    """By kind, distinct ones."""

    def asked(of: Callable[[list[str]], str], script: int) -> list[str]:
        rows = rng.permutation(len(shelf) // 2)[: 3 * TEXTS] * 2 + script
        split = [shelf[row].title.split() if not script else [*shelf[row].title] for row in rows]
        return list(dict.fromkeys(map(of, split)))[:TEXTS]

    return {
        "two words": asked(lambda words: f"{words[0]} {words[1]}", 0),
        "the beginning of a word": asked(lambda words: words[2][:3], 0),
        "two characters": asked(lambda run: "".join(run[:2]), 1),
        "six characters": asked(lambda run: "".join(run[:6]), 1),
        "a word in half of the titles, and another": asked(lambda w: f"{COMMON} {w[0]}", 0),
        "eight words of eight products": [
            " ".join(shelf[2 * row].title.split()[0] for row in rng.integers(0, len(shelf) // 2, 8))
            for _ in range(TEXTS)
        ],
        "a hundred characters": [
            "".join(shelf[2 * row + 1].title for row in rng.integers(0, len(shelf) // 2, 10))
            for _ in range(TEXTS)
        ],
        "a word in half of the titles": [COMMON, COMMON.upper(), f"{COMMON}!", f"-{COMMON}"],
    }


def main(arguments: argparse.Namespace) -> int:
    """Prints size and times."""
    rng = np.random.default_rng(1)
    shelf = catalogue(arguments.products, rng)
    begun = time.process_time()
    content = index(shelf)
    built = time.process_time() - begun
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_bytes(content)
        search = Search.open(SearchIndex(path, np.arange(len(shelf), dtype=np.int32)))
        for kind, some in texts(shelf, rng).items():
            spent, sizes = [], []
            for text in some:
                begun = time.process_time()
                sizes.append(len(search.matches(text).products))
                spent.append((time.process_time() - begun) * 1_000)
            late = quantiles(spent, n=100)[-1]
            found[kind] = {
                "products": median(sizes),
                "median_ms": round(median(spent), 3),
                "p99_ms": round(late, 3),
                "most_ms": round(max(spent), 3),
            }
    size = len(content) / 1e6
    if arguments.json:
        print(json.dumps({"mb": round(size, 1), "build_seconds": round(built, 1), "texts": found}))
        return 0
    print(f"{len(shelf):,} products: {size:.1f} MB, made in {built:.1f} s")
    for kind, one in found.items():
        print(
            f"{kind}: {one['products']:g} products, median {one['median_ms']:.2f} ms, "
            f"p99 {one['p99_ms']:.2f} ms, at most {one['most_ms']:.2f} ms"
        )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="what the search index costs")
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
