"""A made-up consent file for data that has none. Its addresses can reach nobody (RFC 2606)."""

import csv
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from recsys.ids import stable_hash, unit_interval


def write_synthetic_consent(
    members: Iterable[str], path: Path, *, share: float = 0.8, at: datetime
) -> int:
    """A row for each member, yes for about `share` of them by hash. Returns how many said yes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    yes = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["member_id", "channel", "address", "consent", "at", "source", "timezone", "language"]
        )
        for member in members:
            granted = unit_interval("synthetic-consent", member) < share
            yes += granted
            address = f"member-{stable_hash(member):016x}@example.invalid"
            answer = "yes" if granted else "no"
            rows.writerow(
                [member, "email", address, answer, at.isoformat(), "synthetic", "UTC", "en"]
            )
    return yes
