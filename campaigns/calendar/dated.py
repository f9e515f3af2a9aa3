"""A campaign file with its dates: a window, or a schedule that makes one each time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from campaigns.calendar.schedule import Schedule, Window
from campaigns.definition import Campaign, read_file
from recsys.errors import CampaignError

_WINDOW = ("starts_at", "ends_at")
_TRIED = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


class _Scheduled(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Repeating:
    """A campaign that comes round."""

    schedule: Schedule
    keys: Mapping[str, Any]
    """the file's others, which make a campaign together with a window"""

    @property
    def example(self) -> Campaign:
        """It in some window."""
        return self.within(_TRIED)

    def within(self, window: Window) -> Campaign:
        """One occasion of it."""
        return Campaign.model_validate(dict(self.keys) | _dates(window))


Dated = Campaign | Repeating


def load_dated(path: Path, fields: Collection[str] | None = None) -> Dated:
    """A campaign file with a window or a schedule; CampaignError names the line and the mend.

    fields: of which the audience may speak; anything where they are not known.
    """
    file = read_file(path)
    if "schedule" not in file.data:
        return file.checked(file.data, fields)
    both = [name for name in _WINDOW if name in file.data]
    if both:
        raise CampaignError(
            f"{file.place(both)}: '{both[0]}' and 'schedule' contradict each other; keep one"
        )
    keys = {name: value for name, value in file.data.items() if name != "schedule"}
    told = file.validated(_Scheduled, {"schedule": file.data["schedule"]})
    file.checked(keys | _dates(_TRIED), fields)
    return Repeating(told.schedule, keys)


def _dates(window: Window) -> dict[str, datetime]:
    return {"starts_at": window.starts_at, "ends_at": window.ends_at}
