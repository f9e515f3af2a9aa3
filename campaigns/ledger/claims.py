"""A claim is the last write before a call: it checks and takes everything, or nothing.

All that a claim looks at is read anew in its own transaction, and claims follow one another: the
gate is the first row that each of them locks. What is worked out here, the tables' constraints
hold as well.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from campaigns.instants import to_micros
from campaigns.ledger.batch import Batch
from campaigns.ledger.calls import Claim, Claimed, Declined
from campaigns.ledger.chains import FOLLOWED
from campaigns.ledger.codes import code_of, some_codes, take_codes
from campaigns.ledger.ledger import Ledger, pass_gate
from campaigns.ledger.settling import Ends, write_ends
from campaigns.ledger.standing import barred, look_up
from campaigns.policy.cap import ROLLING, Cap
from campaigns.policy.quiet_hours import USUAL, QuietHours


def claim(
    ledger: Ledger,
    claims: Sequence[Claim],
    *,
    now: datetime,
    until: datetime,
    cap: Cap = ROLLING,
    quiet: QuietHours = USUAL,
    ends: Sequence[Ends] = (),
) -> list[Claimed | Declined]:
    """Checks and takes everything for each claim, in one transaction, in the given order.

    `until` is the latest end of the calls; a member whose quiet hours begin earlier is declined.
    `ends`: earlier calls of this sender that are settled with it. LedgerError when the gate is
    shut; then nothing is taken, and nothing settled.
    """
    keys = [ledger.identity.send_id(one.occasion, one.person) for one in claims]
    with ledger.writing() as connection:
        pass_gate(connection, ledger, to_micros(now))
        write_ends(connection, ends)
        if not claims:
            return []
        batch = Batch(connection, claims, keys, cap, span=(to_micros(now), to_micros(until)))
        answers = batch.answer(quiet.first_calls(now, until - now))
        batch.write()
    return answers


def reclaim(
    ledger: Ledger, one: Claim, *, now: datetime, until: datetime, quiet: QuietHours = USUAL
) -> Claimed | Declined:
    """Takes over a call whose end nobody recorded, to make it again under the same key.

    Only for channels on which the same key twice is the same message. Slot, coupon and money are
    held already, and so is a code unless the coupon had none then; consent, suppression, plan
    and quiet hours are looked up again.
    """
    at, end = to_micros(now), to_micros(until)
    key = ledger.identity.send_id(one.occasion, one.person)
    with ledger.writing() as connection:
        pass_gate(connection, ledger, at)
        row = look_up(connection, [one], [key])[0]
        reason = barred(row, one)
        if reason is not None:
            return Declined(key, reason)
        awake = quiet.first_calls(now, until - now)(row.timezone)
        if to_micros(awake) > at:
            return Declined(key, "quiet_hours", awake)
        code = code_of(connection, key)
        if one.coded and code is None:
            code = next(iter(some_codes(connection, one.coupon, 1)), None)
            if code is None:
                return Declined(key, "codes_used_up")
            take_codes(connection, [(code, key)])
        taken = connection.execute(
            _TAKE_OVER, {"key": key, "plan_id": one.plan_id, "contact": one.contact, "until": end}
        ).first()
        if taken is None:
            connection.rollback()
            return Declined(key, "already_settled")
    return Claimed(key, taken[0], until, code)


_TAKE_OVER = text(f"""
UPDATE send SET state = 'attempting', calls = calls + 1, until = :until
WHERE send_id = :key AND plan_id = :plan_id AND contact = :contact
  AND state IN ('attempting', 'unknown') AND until <= :until
  AND NOT {FOLLOWED}
RETURNING try
""")
