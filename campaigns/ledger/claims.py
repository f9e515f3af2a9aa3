"""A claim is the last write before a call; a settlement is the first one after it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import WEEK, from_micros, to_micros
from campaigns.ledger.codes import code_of, free_code, take_code
from campaigns.ledger.identity import send_id
from campaigns.ledger.ledger import Ledger, pass_gate
from campaigns.ledger.purses import campaign_purse, purses, put_back, take
from campaigns.policy.quiet_hours import USUAL, QuietHours
from recsys.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sender is about to do for one person."""

    plan_id: str
    occasion: str
    campaign: str
    coupon: str
    channel: str
    person: str
    contact: str
    """the contact point that the message was rendered for"""
    cost: int
    """minor units; what the budget pays"""
    ghost: bool = False
    """held out: takes the slot, costs nothing, makes no call"""
    coded: bool = False
    """the message has room for one of the coupon's codes, and needs it"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The slot, the coupon and the money are taken: make the call, then settle."""

    send_id: str
    attempt: int
    until: datetime
    """the call may not begin after this"""
    code: str | None = None
    """that the message carries"""


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing was taken, and why."""

    send_id: str
    reason: str
    free_at: datetime | None = None
    """for `capped` and `quiet_hours`: when they end"""


FirstCall = Callable[[str | None], datetime]
"""zone → when a member of it may be called first; later than now in quiet hours"""

_INSERT = text("""
INSERT INTO send (send_id, try, plan_id, occasion, campaign, coupon, channel, person, contact,
                  ghost, cost, state, at, until, pseq, pprev_until, cseq, cprev_until)
SELECT :send_id, 1 + COALESCE((SELECT MAX(try) FROM send WHERE send_id = :send_id), 0),
       :plan_id, :occasion, :campaign, :coupon, :channel, :person, :contact,
       :ghost, :cost, :state, :now, :until,
       COALESCE(pl.pseq, 0) + 1, pl.until, COALESCE(cl.cseq, 0) + 1, cl.until
FROM (SELECT 1 AS one) o
LEFT JOIN (SELECT pseq, until FROM send WHERE person = :person AND pseq IS NOT NULL
           ORDER BY pseq DESC LIMIT 1) pl ON 1 = 1
LEFT JOIN (SELECT cseq, until FROM send WHERE contact = :contact AND cseq IS NOT NULL
           ORDER BY cseq DESC LIMIT 1) cl ON 1 = 1
WHERE (pl.until IS NULL OR :now - pl.until >= :gap) AND (cl.until IS NULL OR :now - cl.until >= :gap)
ON CONFLICT DO NOTHING RETURNING try
""")  # noqa: E501


def claim(
    ledger: Ledger,
    claims: Sequence[Claim],
    *,
    now: datetime,
    until: datetime,
    gap: int = WEEK,
    quiet: QuietHours = USUAL,
) -> list[Claimed | Declined]:
    """Checks and takes everything for each claim, in one transaction, in the given order.

    `until` is the latest end of the calls; a member whose quiet hours begin earlier is declined.
    LedgerError when the gate is shut; then nothing is
    taken.
    """
    at, end = to_micros(now), to_micros(until)
    first_call = quiet.first_calls(now, until - now)
    with ledger.writing() as connection:
        pass_gate(connection, ledger, at)
        return [
            _claim(connection, one, at=at, until=end, gap=gap, first_call=first_call)
            for one in claims
        ]


def _claim(
    connection: Connection, one: Claim, *, at: int, until: int, gap: int, first_call: FirstCall
) -> Claimed | Declined:
    key = send_id(one.occasion, one.person)
    barred = _barred(connection, one, key, at=at, first_call=first_call)
    if barred is not None:
        return barred
    step = connection.begin_nested()
    wanted = [] if one.ghost else purses(one.campaign, one.coupon, one.cost)
    broke = take(connection, wanted)
    code = None
    if broke is None and one.coded and not one.ghost:
        code = take_code(connection, one.coupon, key)
        broke = "codes_used_up" if code is None else None
    if broke is not None:
        step.rollback()
        return Declined(key, broke)
    values = {
        "send_id": key,
        "plan_id": one.plan_id,
        "occasion": one.occasion,
        "campaign": one.campaign,
        "coupon": one.coupon,
        "channel": one.channel,
        "person": one.person,
        "contact": one.contact,
        "ghost": int(one.ghost),
        "cost": 0 if one.ghost else one.cost,
        "state": "accepted" if one.ghost else "attempting",
        "now": at,
        "until": at if one.ghost else until,
        "gap": gap,
    }
    attempt = connection.execute(_INSERT, values).scalar()
    if attempt is None:
        step.rollback()
        return _why_not(connection, one, key, gap=gap)
    step.commit()
    if one.ghost:
        record_outcome(connection, one.plan_id, key, outcome="held_out", reason="holdout", at=at)
    return Claimed(key, attempt, from_micros(until), code)


def _barred(
    connection: Connection, one: Claim, key: str, *, at: int, first_call: FirstCall
) -> Declined | None:
    """What forbids this call whatever the slots and the money say."""
    row = connection.execute(
        text("""
        SELECT (SELECT state FROM plan WHERE plan_id = :plan_id) AS plan_state,
          (SELECT granted FROM consent WHERE person = :person AND channel = :channel
            ORDER BY at DESC, granted, seq DESC LIMIT 1) AS granted,
          (SELECT contact FROM contact_point WHERE person = :person AND channel = :channel
            ORDER BY at DESC, seq DESC LIMIT 1) AS contact,
          (SELECT timezone FROM contact_point WHERE person = :person AND channel = :channel
            ORDER BY at DESC, seq DESC LIMIT 1) AS timezone,
          (SELECT live FROM purse WHERE purse = :purse) AS campaign_live,
          EXISTS (SELECT 1 FROM outcome WHERE plan_id = :plan_id AND send_id = :key
            AND outcome <> 'unknown') AS settled,
          EXISTS (SELECT 1 FROM suppression WHERE key IN (:person, :contact)) AS suppressed,
          EXISTS (SELECT 1 FROM assignment a WHERE a.campaign = :campaign AND a.arm = 'holdout'
            AND a.epoch = (SELECT MAX(epoch) FROM holdout_epoch e WHERE e.campaign = :campaign)
            AND (a.person = :person OR a.contact = :contact)) AS held_out
        """),
        {
            "plan_id": one.plan_id,
            "person": one.person,
            "channel": one.channel,
            "contact": one.contact,
            "campaign": one.campaign,
            "purse": campaign_purse(one.campaign),
            "key": key,
        },
    ).one()
    checks = (
        (row.settled, "already_settled"),
        (row.plan_state != "live", "plan_replaced"),
        (row.campaign_live != 1, "campaign_stopped"),
        (row.suppressed, "suppressed"),
        (row.granted != 1, "no_consent"),
        (row.contact != one.contact, "contact_changed"),
        (row.held_out and not one.ghost, "held_out"),
        (one.ghost and not row.held_out, "not_held_out"),
    )
    reason = next((reason for found, reason in checks if found), None)
    if reason is not None:
        return Declined(key, reason)
    awake = first_call(row.timezone)
    return Declined(key, "quiet_hours", awake) if to_micros(awake) > at else None


def _why_not(connection: Connection, one: Claim, key: str, *, gap: int) -> Declined:
    live = connection.execute(
        text("SELECT plan_id, state FROM send WHERE send_id = :key AND state <> 'refused'"),
        {"key": key},
    ).first()
    if live is not None:
        ours = live.plan_id == one.plan_id and live.state != "accepted"
        return Declined(key, "in_flight" if ours else "already_sent")
    last = connection.execute(
        text("SELECT MAX(until) FROM send WHERE (person = :p AND pseq IS NOT NULL)"
             " OR (contact = :c AND cseq IS NOT NULL)"),
        {"p": one.person, "c": one.contact},
    ).scalar_one()  # fmt: skip
    return Declined(key, "capped", from_micros(last + gap))


def reclaim(
    ledger: Ledger,
    one: Claim,
    *,
    now: datetime,
    until: datetime,
    quiet: QuietHours = USUAL,
) -> Claimed | Declined:
    """Takes over a call whose end nobody recorded, to make it again under the same key.

    Only for channels on which the same key twice is the same message. Slot, coupon and money are
    held already, and so is a code unless the coupon had none then; consent, suppression, plan
    and quiet hours are looked up again.
    """
    at, end = to_micros(now), to_micros(until)
    key = send_id(one.occasion, one.person)
    with ledger.writing() as connection:
        pass_gate(connection, ledger, at)
        first_call = quiet.first_calls(now, until - now)
        barred = _barred(connection, one, key, at=at, first_call=first_call)
        if barred is not None:
            return barred
        code = code_of(connection, key)
        row = connection.execute(
            text(
                "UPDATE send SET state = 'attempting', calls = calls + 1, until = :until"
                " WHERE send_id = :key AND plan_id = :plan_id AND contact = :contact"
                " AND state IN ('attempting', 'unknown') AND until <= :until"
                " AND NOT EXISTS (SELECT 1 FROM send n WHERE n.person = send.person"
                "   AND n.pseq = send.pseq + 1)"
                " AND NOT EXISTS (SELECT 1 FROM send n WHERE n.contact = send.contact"
                "   AND n.cseq = send.cseq + 1) RETURNING try"
            ),
            {
                "key": key,
                "plan_id": one.plan_id,
                "contact": one.contact,
                "until": end,
            },
        ).first()
        if row is not None and one.coded and code is None:
            code = take_code(connection, one.coupon, key)
            if code is None:
                connection.rollback()
                return Declined(key, "codes_used_up")
    if row is None:
        return Declined(key, "already_settled")
    return Claimed(key, row[0], until, code)


def settle(ledger: Ledger, done: Sequence[Claimed], state: str, *, ended: datetime) -> list[str]:
    """Records `accepted` or `unknown` for calls that ended by `ended`, with their outcomes.

    Returns the send ids that were still open; one that was settled before is left as it is. A slot
    whose call was made once moves to the call's real end.
    """
    end = to_micros(ended)
    open_ones = []
    with ledger.writing() as connection:
        for one in done:
            row = connection.execute(
                text(
                    "UPDATE send SET state = :state,"
                    " until = CASE WHEN :ended > until THEN :ended"
                    "   WHEN :state = 'accepted' AND calls = 1 AND at <= :ended THEN :ended"
                    "   ELSE until END"
                    " WHERE send_id = :key AND try = :try AND state IN ('attempting', 'unknown')"
                    " RETURNING plan_id"
                ),
                {"state": state, "ended": end, "key": one.send_id, "try": one.attempt},
            ).first()
            if row is not None:
                open_ones.append(one.send_id)
                record_outcome(
                    connection, row.plan_id, one.send_id, outcome=state, reason=state, at=end
                )
    return open_ones


def give_back(ledger: Ledger, done: Sequence[Claimed]) -> list[str]:
    """Returns slot, coupon, code and money of calls that surely delivered nothing.

    A send that was taken over by another sender is left alone: its other call may have delivered.
    Returns the send ids that were given back.
    """
    returned = []
    with ledger.writing() as connection:
        for one in done:
            row = connection.execute(
                text(
                    "UPDATE send SET state = 'refused',"
                    " pseq = NULL, pprev_until = NULL, cseq = NULL, cprev_until = NULL"
                    " WHERE send_id = :key AND try = :try AND calls = 1 AND state = 'attempting'"
                    " RETURNING campaign, coupon, cost"
                ),
                {"key": one.send_id, "try": one.attempt},
            ).first()
            if row is not None:
                returned.append(one.send_id)
                put_back(connection, purses(row.campaign, row.coupon, row.cost))
                free_code(connection, one.send_id)
    return returned


def record_outcome(
    connection: Connection, plan_id: str, key: str, *, outcome: str, reason: str, at: int
) -> None:
    """One outcome a planned row; only `unknown` may still turn out."""
    changed = connection.execute(
        text(
            "INSERT INTO outcome (plan_id, send_id, outcome, reason, at)"
            " VALUES (:plan_id, :key, :outcome, :reason, :at)"
            " ON CONFLICT (plan_id, send_id) DO UPDATE SET outcome = excluded.outcome,"
            " reason = excluded.reason, at = excluded.at WHERE outcome.outcome = 'unknown'"
            " RETURNING send_id"
        ),
        {"plan_id": plan_id, "key": key, "outcome": outcome, "reason": reason, "at": at},
    ).first()
    if changed is None:
        raise LedgerError(f"Send {key} already has an outcome in plan {plan_id}; run verify")
