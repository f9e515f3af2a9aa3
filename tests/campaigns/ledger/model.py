"""The ledger's promises told once more, in dictionaries, lists and naive datetimes in UTC.

Nothing of the ledger is used here: who may be pushed to when, what a purse holds, and what becomes
of every row are worked out from the words of the promises alone.
"""
# ruff: noqa: DTZ001, PLR0917 -- datetimes are naive on purpose

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
FOREVER = datetime(9000, 1, 1)
OFFSETS = {
    "UTC": 0 * HOUR,
    "Pacific/Kiritimati": 14 * HOUR,
    "Pacific/Pago_Pago": -11 * HOUR,
    "Asia/Kathmandu": 5.75 * HOUR,
    "America/Phoenix": -7 * HOUR,
    "Mars/Base": 0 * HOUR,  # unknown: read as UTC
}
"""zones without clock changes"""
UNDELIVERED = ("bounced", "unregistered", "failed")


@dataclass
class Try:
    """One try of a send."""

    key: str
    number: int
    plan: str
    person: str
    contact: str
    channel: str
    at: datetime
    until: datetime
    state: str
    zone: str = "UTC"
    taken: dict[str, int] = field(default_factory=dict)
    """from purses"""
    ghost: bool = False
    weeks: bool = True
    """False: nobody knows its week"""
    links: tuple[bool, bool] = (True, True)
    """whether it holds a slot of its person, of its contact point"""


@dataclass
class Plan:
    """One plan, and what its rows came to."""

    plan_id: str
    occasion: str
    campaign: str
    rows: int
    state: str = "live"
    outcomes: dict[str, str] = field(default_factory=dict)


@dataclass
class Address:
    """One row of where somebody is reached."""

    at: datetime
    contact: str
    zone: str
    language: str = ""
    erased: bool = False


@dataclass
class Policy:
    """Rolling or calendar weeks, and a further cap of one channel."""

    weeks: bool = False
    channel: str = ""
    most: int = 0
    days: int = 0


@dataclass
class Asked:
    """One claim."""

    plan: str
    key: str
    campaign: str
    channel: str
    person: str
    contact: str
    takes: dict[str, int]
    ghost: bool


Answer = tuple[str, datetime | int | None]
"""("claimed", try), or a reason and when it ends"""


def monday_after(at: datetime, zone: str) -> datetime:
    """When the wall shows the next Monday, 00:00."""
    wall = at + OFFSETS[zone]
    monday = datetime(wall.year, wall.month, wall.day) - wall.weekday() * DAY + WEEK
    return monday - OFFSETS[zone]


def awake_from(at: datetime, zone: str, lasting: timedelta) -> datetime:
    """The first instant from which on a call may last so long; nights are 21:00 to 09:00."""
    margin = 2 * HOUR if zone == "Mars/Base" else 0 * HOUR
    wall = at + OFFSETS[zone]
    midnight = datetime(wall.year, wall.month, wall.day)
    opens, closes = midnight + 9 * HOUR + margin, midnight + 21 * HOUR - margin
    if wall + lasting > closes:
        opens += DAY
    return max(at, opens - OFFSETS[zone])


def free_after(push: Try, zone: str, *, weeks: bool) -> datetime:
    """When somebody in a zone may be pushed to after a push."""
    rolling = push.until + WEEK
    if not weeks or not push.weeks:
        return rolling
    mondays = [monday_after(push.at, one) for one in (push.zone, zone)]
    return min(rolling, max(push.until + 26 * HOUR, *mondays))


class People:
    """What members said, where they are reached, and who left."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], list[tuple[datetime, bool, str]]] = defaultdict(list)
        self.reached: dict[tuple[str, str], list[Address]] = defaultdict(list)
        self.barred: set[str] = set()
        self.into: dict[str, str] = {}
        self.arms: dict[str, list[tuple[str, str, bool]]] = defaultdict(list)

    def granted(self, person: str, channel: str) -> bool:
        """The latest word counts; of two at one instant the no."""
        said = self.said[person, channel]
        return bool(said) and max(said, key=lambda one: (one[0], not one[1]))[1]

    def where(self, person: str, channel: str) -> Address | None:
        """The latest address; of two at one instant the one that was told last."""
        rows = list(enumerate(self.reached[person, channel]))
        return max(rows, key=lambda row: (row[1].at, row[0]))[1] if rows else None

    def tell(self, person: str, channel: str, row: tuple[datetime, bool, str]) -> None:
        if row not in self.said[person, channel]:
            self.said[person, channel].append(row)

    def say(self, person: str, channel: str, granted: bool, now: datetime, source: str) -> None:
        """Something that counts from now on, whatever was said before."""
        latest = max((one[0] for one in self.said[person, channel]), default=None)
        at = now if latest is None or latest < now else latest + TICK
        self.tell(person, channel, (at, granted, source))

    def move(self, person: str, channel: str, row: Address) -> None:
        rows = self.reached[person, channel]
        if not any((one.at, one.contact) == (row.at, row.contact) for one in rows):
            rows.append(row)

    def speak(self, person: str, channel: str, language: str, now: datetime) -> None:
        last = self.where(person, channel)
        if last is not None and not last.erased and last.language != language:
            at = now if last.at < now else last.at + TICK
            row = Address(at, last.contact, last.zone, language)
            self.reached[person, channel].append(row)

    def erase(self, person: str, channels: tuple[str, ...], now: datetime) -> None:
        for channel in channels:
            if self.granted(person, channel):
                self.say(person, channel, False, now, "erasure")
            for row in self.reached[person, channel]:
                row.erased = True

    def held(self, campaign: str, person: str, contact: str) -> bool:
        arms = self.arms[campaign]
        return any(out and (person == p or contact == c) for p, c, out in arms)

    def assign(self, campaign: str, people: list[tuple[str, str]], drawn: list[bool]) -> list[bool]:
        """What the arms have to be; `drawn` counts for those alone who share nothing."""
        found = []
        for (person, contact), lot in zip(people, drawn, strict=True):
            arms = self.arms[campaign]
            of_contact = [out for _, c, out in arms if c == contact]
            of_person = [out for p, _, out in arms if p == person]
            out = of_person[0] if of_person else of_contact[0] if of_contact else lot
            found.append(out or any(of_contact))
            if not of_person:
                arms.append((person, contact, out))
        return found


class Sends:
    """Tries, slots, tokens and purses."""

    def __init__(self) -> None:
        self.tries: dict[str, list[Try]] = defaultdict(list)
        self.slots: list[Try] = []
        """in the order in which they were taken"""
        self.tokens: dict[tuple[str, str], list[tuple[str, datetime]]] = defaultdict(list)
        self.used: Counter[str] = Counter()
        self.caps: dict[str, int] = {}
        self.heard: set[str] = set()

    def live(self, key: str) -> Try | None:
        return next((one for one in self.tries[key] if one.state != "refused"), None)

    def of_person(self, person: str) -> list[Try]:
        return [one for one in self.slots if one.person == person and one.links[0]]

    def of_contact(self, contact: str) -> list[Try]:
        return [one for one in self.slots if one.contact == contact and one.links[1]]

    def flying(self, person: str, contact: str | None = None) -> bool:
        return any(
            one.state == "attempting" and (one.person == person or one.contact == contact)
            for one in self.slots
        )

    def followed(self, push: Try) -> bool:
        later = self.slots[self.slots.index(push) + 1 :]
        return any(
            (one.person == push.person and one.links[0])
            or (one.contact == push.contact and one.links[1])
            for one in later
        )

    def free_at(
        self, person: str, contact: str, channel: str, zone: str, policy: Policy, now: datetime
    ) -> datetime:
        """When every push before is far enough away, and the channel has a token."""
        before = self.of_person(person) + self.of_contact(contact)
        found = [free_after(one, zone, weeks=policy.weeks) for one in before]
        if channel == policy.channel:
            for unit in {person, contact}:
                ends = sorted(end for _, end in self.tokens[unit, channel] if end > now)
                found += ends[len(ends) - policy.most :][:1] if len(ends) >= policy.most else []
        return max(found, default=now)

    def take(self, push: Try, policy: Policy) -> None:
        """Its slot, its tokens and its money."""
        self.tries[push.key].append(push)
        self.slots.append(push)
        if push.channel == policy.channel:
            for unit in {push.person, push.contact}:
                end = push.until + policy.days * DAY
                self.tokens[unit, push.channel].append((push.key, end))
        self.used.update(push.taken)

    def drop(self, push: Try) -> None:
        """Back with all that it took."""
        push.state = "refused"
        self.slots.remove(push)
        for held in self.tokens.values():
            held[:] = [one for one in held if one[0] != push.key]
        self.refund(push)

    def refund(self, push: Try) -> None:
        self.used.subtract(push.taken)
        push.taken = {}

    def carry(self, push: Try) -> None:
        """A push of somebody else: a slot where it is later than what is there."""
        ends = self.of_person(push.person), self.of_contact(push.contact)
        push.links = tuple(all(one.until < push.at for one in chain) for chain in ends)  # type: ignore[assignment]
        self.tries[push.key].append(push)
        self.slots.append(push)
