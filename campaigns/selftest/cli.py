"""guesslike campaigns selftest: kill it everywhere, over a provider that fails, and count."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from campaigns.run import Composition
from campaigns.selftest.kills import Kills
from campaigns.selftest.scratch import scratch
from campaigns.selftest.trial import SENDERS, Result, Trial

_MODES = (False, True)


def selftest(
    ctx: typer.Context,
    minutes: Annotated[float, typer.Option(min=0.1, help="To kill in, at most.")] = 2.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the faults and the kills; by default by lot.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Kill senders everywhere over a provider that fails, and count what reached whom.

    In a scratch ledger in your own database; nothing leaves the machine. Exit code 1 if a promise
    was broken.
    """
    composition = ctx.find_object(Composition)
    if composition is None:
        raise RuntimeError("ctx.obj must be a Composition before a campaigns command runs")
    drawn = secrets.randbelow(2**32) if seed is None else seed
    with Console(stderr=True, quiet=as_json).status("Killing …") as status:

        def tell(one: Result) -> None:
            status.update(f"Killing … {one.kills_at_steps + one.kills_at_instants:,} times")

        seconds = 60 * minutes / len(_MODES)
        results = [_try(composition, one, seed=drawn, seconds=seconds, tell=tell) for one in _MODES]
    if as_json:
        typer.echo(json.dumps({"runs": [asdict(one) for one in results]}))
    else:
        for one in results:
            _show(Console(soft_wrap=True), one)
    if any(one.breaches for one in results):
        raise typer.Exit(1)


def _try(
    composition: Composition, idempotent: bool, *, seed: int, seconds: float,
    tell: Callable[[Result], None],
) -> Result:  # fmt: skip
    ends = time.monotonic() + seconds
    with scratch(composition.settings.ledger_url, composition.folder) as (folder, url):
        kills = Kills(np.random.default_rng(seed))
        trial = Trial(folder, url, idempotent=idempotent, seed=seed, kills=kills, tell=tell)
        return trial.run(lambda: time.monotonic() > ends)


def _show(console: Console, one: Result) -> None:
    takes = "one key once" if one.idempotent else "whatever comes"
    kills = one.kills_at_steps + one.kills_at_instants
    wanted = "all of them" if one.complete else "as many as the time allowed"
    faults = sum(one.faults.values())
    lines = [
        f"{one.database}, a provider that takes {takes}: {one.cycles} times three campaigns, "
        f"{SENDERS} senders, {one.seconds:,.0f} s, seed {one.seed}",
        f"  killed {kills:,} times: {one.kills_at_steps:,} at steps 1 to {one.last_step} before "
        f"and after, {one.kills_at_instants:,} at random instants; {wanted}",
        f"  {one.calls:,} calls, {faults:,} of them failed in {len(one.faults)} ways; "
        f"{one.taken:,} messages taken, {one.repeats:,} repeats of a key known for what they are",
        f"  a kill left {one.stranded_most} calls open at most",
        "  outcomes: " + ", ".join(f"{name} {rows:,}" for name, rows in one.outcomes.items()),
    ]
    lines += [f"  stopped and started again {n} times: {why}" for why, n in one.stopped.items()]
    lines += [f"  BROKEN: {breach}" for breach in one.breaches]
    if not one.breaches:
        lines.append("  duplicates 0: nobody got two within a week, nobody was lost")
    for line in lines:
        console.print(line, markup=False, highlight=False)
