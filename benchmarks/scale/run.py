"""Training on generated shops of two sizes: seconds, peak memory, and how the seconds grow.

    python -m benchmarks.scale.run --folder var/scale

Each size is one `guesslike train` in a process of its own, load to written model. Exits with 1
where a bar is missed. `--small` and `--large` take events,members,products.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.demo_run import watch
from benchmarks.scale.shop import Size, write_shop

SMALL = Size(5_000_000, 125_000, 100_000)
LARGE = Size(20_000_000, 500_000, 100_000)
MOST_GIB = 16.0
MOST_TIMES = 4.6


def size(text: str) -> Size:
    """5000000,125000,100000 as a size."""
    events, members, products = (int(part) for part in text.split(","))
    return Size(events, members, products)


def trained(folder: Path, shop: Size) -> dict[str, float]:
    """Generate a shop once, train on it, and say what that took."""
    home = folder / f"{shop.events}-{shop.members}-{shop.products}"
    if not (home / "made").exists():
        shutil.rmtree(home, ignore_errors=True)
        write_shop(home / "dataset", shop)
        (home / "made").touch()
    shutil.rmtree(home / "models", ignore_errors=True)
    os.environ["GUESSLIKE_HOME"] = str(home)
    command = [sys.executable, "-m", "guesslike", "train", str(home / "dataset")]
    code, seconds, peak = watch(command)
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    written = sum(file.stat().st_size for file in (home / "models").rglob("*") if file.is_file())
    return {
        "seconds": round(seconds, 1),
        "peak_gib": round(peak / 2**30, 2),
        "model_gb": round(written / 1e9, 3),
    }


def main(arguments: argparse.Namespace) -> int:
    """Runs both sizes, prints them and their ratio, and returns the exit code."""
    found = {}
    for name in ("small", "large"):
        shop: Size = getattr(arguments, name)
        found[name] = trained(arguments.folder, shop)
        facts = found[name]
        if not arguments.json:
            print(
                f"{name}: {shop.events:,} events, {shop.members:,} members, "
                f"{shop.products:,} products: {facts['seconds']} s, "
                f"at most {facts['peak_gib']} GiB, model {facts['model_gb']} GB",
                flush=True,
            )
    times = found["large"]["seconds"] / found["small"]["seconds"]
    if arguments.json:
        print(json.dumps({**found, "times": round(times, 2)}))
    else:
        print(f"the large one takes {times:.2f} times as long (at most {MOST_TIMES} wanted)")
    return int(times > MOST_TIMES or found["large"]["peak_gib"] >= MOST_GIB)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="how training grows with the shop")
    parser.add_argument("--folder", type=Path, default=Path("var/scale"))
    parser.add_argument("--small", type=size, default=SMALL)
    parser.add_argument("--large", type=size, default=LARGE)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
