"""Lists of an older system: whom not to reach, where people are, when they were written to."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from campaigns.ledger.carry import Carried, carry
from campaigns.ledger.contacts import Contact, add_contacts, people_at
from campaigns.ledger.identity import Identity
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.suppressions import Suppression, add_suppressions
from campaigns.ways_in import rows
from campaigns.ways_in.rows import BadCellError, Cells, Columns, Imported, Reject

SUPPRESSIONS = Columns("suppression file", ("reason",), ("member_id", "channel", "address"))
CONTACTS = Columns(
    "contact file", ("member_id", "channel", "address", "at"), ("source", "timezone", "language")
)
PUSHES = Columns("push file", ("channel", "address", "sent_at"), ("member_id", "send_id"))


def import_suppressions(path: Path, ledger: Ledger, *, now: datetime) -> Imported:
    """Adds the members and contact points that must never be reached; nothing reopens one."""
    rejects: list[Reject] = []
    new = read = 0
    made = rows.read(path, SUPPRESSIONS, lambda cells: _suppressions(cells, ledger.identity))
    for batch in rows.batches(made, rejects):
        added = add_suppressions(ledger, [one for _, one in batch], now=now)
        new, read = new + added, read + len(batch)
    return Imported(new, read - new, tuple(rejects))


def _suppressions(cells: Cells, identity: Identity) -> Suppression:
    reason = rows.named(cells, "reason")
    keys = []
    if cells["member_id"].strip():
        keys.append(identity.person(cells["member_id"].strip()))
    if cells["channel"].strip() or cells["address"].strip():
        keys.append(rows.contact(cells, identity)[1])
    if not keys:
        raise BadCellError("member_id", "empty, and there is no channel and address either")
    return Suppression(tuple(keys), reason)


def import_contacts(path: Path, ledger: Ledger, *, now: datetime) -> Imported:
    """Adds contact points without any consent; the same file again adds nothing."""
    rejects: list[Reject] = []
    new = read = 0
    made = rows.read(path, CONTACTS, lambda cells: _contact(cells, ledger.identity, now))
    for batch in rows.batches(made, rejects):
        added = add_contacts(ledger, [one for _, one in batch], now=now)
        new, read = new + added, read + len(batch)
    return Imported(new, read - new, tuple(rejects))


def _contact(cells: Cells, identity: Identity, now: datetime) -> Contact:
    member_id = rows.named(cells, "member_id")
    channel, contact = rows.contact(cells, identity)
    return Contact(
        member_id,
        channel,
        contact,
        cells["address"].strip(),
        rows.instant(cells, "at", now=now),
        source=cells["source"].strip() or "import",
        timezone=rows.zone(cells, "timezone"),
        language=cells["language"].strip() or None,
    )


def import_pushes(path: Path, ledger: Ledger, *, source: str, now: datetime) -> Imported:
    """Adds what another sender, or a ledger that was lost, has pushed: the cap counts it.

    Without a member the push counts for everyone at the contact point. A `send_id` of ours is
    not sent again.
    """
    rejects: list[Reject] = []
    new = read = 0
    made = rows.read(path, PUSHES, lambda cells: _push(cells, ledger.identity, now))
    for batch in rows.batches(made, rejects):
        fates = _carry(ledger, [one for _, one in batch], source)
        flying = [row for (row, _), fate in zip(batch, fates, strict=True) if fate == "in_flight"]
        rejects += [
            Reject(row, "sent_at", "a call to them is in flight; import again when it has ended")
            for row in flying
        ]
        new, read = new + fates.count("new"), read + len(batch) - len(flying)
    return Imported(new, read - new, tuple(sorted(rejects, key=lambda reject: reject.row)))


def _push(cells: Cells, identity: Identity, now: datetime) -> Carried:
    channel, contact = rows.contact(cells, identity)
    member_id = cells["member_id"].strip()
    person = identity.person(member_id) if member_id else ""
    sent_at = rows.instant(cells, "sent_at", now=now)
    return Carried(person, contact, channel, sent_at, cells["send_id"].strip())


def _carry(ledger: Ledger, pushes: Sequence[Carried], source: str) -> list[str]:
    """One fate a push: that of the first of those whom it counts for."""
    strangers = {one.contact for one in pushes if not one.person}
    people = people_at(ledger, sorted(strangers))
    spread: list[Carried] = []
    places = []
    for one in pushes:
        places.append(len(spread))
        whom = [one.person] if one.person else people.get(one.contact, [""])
        spread.append(Carried(whom[0], one.contact, one.channel, one.sent_at, one.send_id))
        # The contact point has one link; the others at it have one of their own.
        spread += [Carried(other, "", one.channel, one.sent_at) for other in whom[1:]]
    fates = carry(ledger, spread, source=source)
    return [fates[place] for place in places]
