"""Calendar weeks: Monday 00:00 to Monday 00:00 by the clock on a member's wall (ISO 8601).

Under the policy `week` a member may get one push in each. Who moves between zones gains none: the
weeks of two pushes have to differ in the zone of each. Instants are aware, zones are names as the
ledger has them; what is unknown is read as the default zone, at which everything is decided.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from campaigns.policy.quiet_hours import known_zone

LEAST_GAP = timedelta(hours=26)
"""between two pushes, so that Sunday night and Monday morning are not two"""

_DAYS = 7


def week_of(instant: datetime, zone: str | None, *, default_zone: str) -> int:
    """The week that the wall shows: whole weeks since Monday, 1 January of the year 1."""
    return (instant.astimezone(_place(zone, default_zone)).toordinal() - 1) // _DAYS


def weeks_apart(
    last: datetime,
    last_zone: str | None,
    now: datetime,
    zone: str | None,
    *,
    default_zone: str,
    gap: timedelta = LEAST_GAP,
) -> bool:
    """Whether a push may start now, in `zone`, after one that ended at `last`, in `last_zone`."""
    return now - last >= gap and all(
        week_of(now, one, default_zone=default_zone) > week_of(last, one, default_zone=default_zone)
        for one in (last_zone, zone)
    )


def first_free(
    last: datetime,
    last_zone: str | None,
    zone: str | None,
    *,
    default_zone: str,
    gap: timedelta = LEAST_GAP,
) -> datetime:
    """The first instant, in UTC, from which on `weeks_apart` holds for a member in `zone`."""
    ends = (_week_end(last, _place(one, default_zone)) for one in (last_zone, zone))
    return max(last.astimezone(UTC) + gap, *ends)


def _place(name: str | None, default_zone: str) -> ZoneInfo:
    return known_zone(name) or ZoneInfo(default_zone)


def _week_end(instant: datetime, zone: ZoneInfo) -> datetime:
    """The first instant from which on the wall shows the Monday after this one's, in UTC."""
    today = instant.astimezone(zone).date()
    monday = datetime.combine(today + timedelta(days=_DAYS - today.weekday()), time(), zone)
    # The second of a midnight that comes twice; of a skipped one, what its clock was set to.
    return max(monday.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
