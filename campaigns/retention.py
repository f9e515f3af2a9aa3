"""Plans name members: they go when they are old and nothing can be sent from them any more."""

from datetime import datetime

from campaigns.ledger.plans import live_plans
from campaigns.run import Composition


def forget_plans(composition: Composition, *, before: datetime) -> list[str]:
    """Delete the plans written before an instant, but for live ones; returns their ids."""
    written = composition.plans.glob("*.parquet")
    old = [path for path in sorted(written) if path.stat().st_mtime < before.timestamp()]
    if not old:
        return []
    with composition.open_ledger() as ledger:
        live = {plan.plan_id for plan in live_plans(ledger)}
    gone = [path for path in old if path.stem not in live]
    for path in gone:  # the rows last: while they are there, the next time finds both
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink()
    return [path.stem for path in gone]
