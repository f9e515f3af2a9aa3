"""Wall-clock time and peak memory of a command with all the processes that it starts.

    python -m benchmarks.demo_run --max-seconds 180 --max-gib 4 -- make demo ARGS=--no-serve

Memory is the sum of the resident sets, looked at ten times a second: what processes share is
counted once for each, so the figure is an upper bound; a peak shorter than a tenth of a second
may be missed. Exits with the command's code, or with 1 when a limit was passed. Linux only.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import perf_counter

PAUSE_SECONDS = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> set[int]:
    """The process, what descends from it, and what is left in its session."""
    parents: dict[int, int] = {}
    members = {root}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        if int(fields[3]) == root:
            members.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in members} - members:
        members |= more
    return members


def resident(pids: set[int]) -> int:
    """Bytes in memory, summed."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def watch(command: list[str]) -> tuple[int, float, int]:
    """Exit code, seconds and peak bytes of a command. An interrupt is handed on to all of it."""
    started, peak = perf_counter(), 0
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            while True:
                peak = max(peak, resident(tree(process.pid)))
                try:
                    code = process.wait(PAUSE_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
                return code, perf_counter() - started, peak
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            raise


def main(arguments: argparse.Namespace) -> int:
    """Runs the command, prints one line, and returns the exit code."""
    code, seconds, peak = watch(arguments.command)
    gib = peak / 2**30
    if arguments.json:
        print(json.dumps({"exit": code, "seconds": round(seconds, 2), "peak_gib": round(gib, 3)}))
    else:
        print(f"{seconds:.1f} s, at most {gib:.2f} GiB at once, exit code {code}", flush=True)
    failed = False
    for what, value, limit in (
        ("seconds", seconds, arguments.max_seconds),
        ("GiB", gib, arguments.max_gib),
    ):
        if limit is not None and value > limit:
            print(f"FAILED: {value:.2f} {what}, and {limit} were allowed", file=sys.stderr)
            failed = True
    return code or int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="time and memory of a command")
    parser.add_argument("--max-seconds", type=float)
    parser.add_argument("--max-gib", type=float)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("command", nargs="+")
    sys.exit(main(parser.parse_args()))
