"""Who is held out of a campaign: drawn once, and kept."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select, text

from campaigns.instants import to_micros
from campaigns.ledger import tables
from campaigns.ledger.ledger import Ledger, wait_for_claims
from recsys.ids import unit_interval


def assign_arms(
    ledger: Ledger,
    campaign: str,
    *,
    share: float,
    people: Sequence[tuple[str, str]],
    now: datetime,
    keep: bool = True,
) -> list[bool]:
    """True where a (person, contact) is held out of the campaign.

    The unit is the contact point first seen with the person, so people who share one share the
    arm; who has an arm keeps it for as long as the share stays the same. A new share is a new
    epoch. Without `keep` the arms are only looked at.
    """
    with ledger.writing() as connection:
        wait_for_claims(connection)
        epoch = _epoch(connection, campaign, share=share, at=to_micros(now))
        known = connection.execute(
            select(tables.assignment.c.person, tables.assignment.c.contact, tables.assignment.c.arm)
            .where(tables.assignment.c.campaign == campaign, tables.assignment.c.epoch == epoch)
        ).all()  # fmt: skip
        by_person = {row.person: row.arm for row in known}
        by_contact = {row.contact: row.arm for row in known}
        common = {"campaign": campaign, "epoch": epoch, "assigned_at": to_micros(now)}
        arms, new = [], []
        for person, contact in people:
            arm = by_person.get(person) or by_contact.get(contact)
            if arm is None:
                below = unit_interval(f"holdout/{campaign}/{epoch}", contact) < share
                arm = "holdout" if below else "treat"
            arms.append(arm == "holdout" or by_contact.get(contact) == "holdout")
            if person not in by_person:
                by_person[person] = by_contact[contact] = arm
                new.append({"person": person, "contact": contact, "arm": arm} | common)
        if not keep:
            connection.rollback()
        elif new:
            connection.execute(insert(tables.assignment), new)
    return arms


def _epoch(connection: Connection, campaign: str, *, share: float, at: int) -> int:
    last = connection.execute(
        text("SELECT epoch, share FROM holdout_epoch WHERE campaign = :c ORDER BY epoch DESC"),
        {"c": campaign},
    ).first()
    if last is not None and float(last.share) == share:
        return int(last.epoch)
    epoch = 1 if last is None else int(last.epoch) + 1
    connection.execute(
        insert(tables.holdout_epoch).values(
            campaign=campaign, epoch=epoch, share=repr(share), started_at=at
        )
    )
    return epoch
