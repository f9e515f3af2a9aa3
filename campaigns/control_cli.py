"""guesslike campaigns pause, resume, cancel: a plan that is being sent, under a person's hand."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from campaigns.calendar.cli import By
from campaigns.ledger import control
from campaigns.ledger.ledger import Ledger
from campaigns.plan import read_plan, row_keys
from campaigns.run import Composition

Reason = Annotated[str, typer.Option(help="Why; it stays with the plan.")]


def pause(ctx: typer.Context, plan_id: str, reason: Reason = "", by: By = "") -> None:
    """Stop sending a plan, for all senders. A call in flight may still end."""
    _do(
        ctx,
        lambda composition, ledger: control.pause(
            ledger, plan_id, by=by, reason=reason, now=composition.now()
        ),
        f"Plan {plan_id} is paused: nothing more is sent until `campaigns resume {plan_id}`.",
        f"Plan {plan_id} was paused before.",
    )


def resume(ctx: typer.Context, plan_id: str, reason: Reason = "", by: By = "") -> None:
    """Let the remainder of a paused plan be sent."""
    _do(
        ctx,
        lambda composition, ledger: control.resume(
            ledger, plan_id, by=by, reason=reason, now=composition.now()
        ),
        f"Plan {plan_id} may be sent again; `campaigns send` sends what is left of it.",
        f"Plan {plan_id} is not paused.",
    )


def cancel(ctx: typer.Context, plan_id: str, reason: Reason = "", by: By = "") -> None:
    """End a plan for good: what is left of it is cancelled."""

    def ended(composition: Composition, ledger: Ledger) -> bool:
        keys = row_keys(read_plan(plan_id, composition.plans), ledger)
        return control.cancel(
            ledger, plan_id, keys, by=by, reason=reason, now=composition.now()
        )  # fmt: skip

    _do(
        ctx,
        ended,
        f"Plan {plan_id} is cancelled: what was left of it will not be sent.",
        f"Plan {plan_id} had ended before.",
    )


def _do(
    ctx: typer.Context, act: Callable[[Composition, Ledger], bool], done: str, before: str
) -> None:
    composition = ctx.find_object(Composition)
    if composition is None:
        raise RuntimeError("ctx.obj must be a Composition before a campaigns command runs")
    with composition.open_ledger() as ledger:
        acted = act(composition, ledger)
    Console(soft_wrap=True).print(done if acted else before)
