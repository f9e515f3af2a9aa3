"""Plans what is due and sends what is planned: the one line for cron.

Several of these at once, or one after another, do the same as one: each occasion gets one plan,
the first that is registered, and senders share what is left of it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from campaigns.calendar.dated import Dated, Repeating
from campaigns.calendar.due import Due, Present, agenda
from campaigns.ledger.occasions import Missed, open_plans, record_missed
from campaigns.ledger.plans import Registered
from campaigns.plan import Plan
from campaigns.run import Composition, check_campaign, plan_together, send_or_wait
from campaigns.send import SendReport
from recsys.errors import CampaignError, FilterError


@dataclass(slots=True)
class Ran:
    """What one run did."""

    planned: list[Plan] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    """those that were not known to be missed before"""
    sent: list[SendReport] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """for each plan that is held back, why"""
    failed: list[str] = field(default_factory=list)
    """for each campaign or plan that something is wrong with, what"""

    @property
    def is_news(self) -> bool:
        """Whether anything happened."""
        made = any(report.made for report in self.sent)
        return bool(made or self.planned or self.missed or self.failed)


def run_due(composition: Composition, campaigns: Sequence[Dated], *, by: str) -> Ran:
    """One round over these campaigns. What is wrong with one of them does not keep the others.

    by: who is said to have planned.
    """
    names = [_name(one) for one in campaigns]
    for name, count in Counter(names).items():
        if count > 1:
            raise CampaignError(f"Campaign '{name}' is given twice; give each file once")
    ran = Ran()
    due = _look(composition, campaigns, ran)
    for together in _rounds(due):
        ran.planned += _plan(composition, together, ran, by=by)
    with composition.open_ledger() as ledger:
        plans = open_plans(ledger, names)
    for plan in plans:
        _send(composition, plan, ran)
    return ran


def _name(dated: Dated) -> str:
    return (dated.example if isinstance(dated, Repeating) else dated).campaign


def _look(composition: Composition, campaigns: Sequence[Dated], ran: Ran) -> list[Due]:
    now, due, missed = composition.now(), [], []
    with composition.open_ledger() as ledger:
        at = Present(
            ledger, composition.dataset(), composition.settings, composition.plans, now
        )  # fmt: skip
        for one in campaigns:
            try:
                found = agenda(one, at)
            except (CampaignError, FilterError) as error:
                ran.failed.append(str(error))
                continue
            due += found.due
            missed += found.missed
        ran.missed = record_missed(ledger, missed, now=now)
    return due


def _rounds(due: Sequence[Due]) -> list[list[Due]]:
    """Those that share members' slots: one occasion a campaign, of one channel."""
    rounds: dict[tuple[int, str], list[Due]] = {}
    seen: Counter[str] = Counter()
    for one in due:
        key = (seen[one.campaign.campaign], one.campaign.channel)
        seen[one.campaign.campaign] += 1
        rounds.setdefault(key, []).append(one)
    return [rounds[key] for key in sorted(rounds)]


def _plan(composition: Composition, due: Sequence[Due], ran: Ran, *, by: str) -> list[Plan]:
    """Plans all together; if that fails, those together that nothing is wrong with."""
    among = {one.campaign.occasion: one.members for one in due if one.members is not None}
    campaigns = [one.campaign for one in due]
    try:
        made = plan_together(composition, campaigns, among=among, by=by, replace=False)
    except (CampaignError, FilterError) as error:
        sound = _sound(composition, due, ran)
        if sound and len(sound) < len(due):
            return _plan(composition, sound, ran, by=by)
        if sound:
            ran.failed.append(str(error))
        return []
    return [plan for plan, new in made if new]


def _sound(composition: Composition, due: Sequence[Due], ran: Ran) -> list[Due]:
    sound = []
    with composition.open_ledger() as ledger:
        for one in due:
            try:
                check_campaign(composition, one.campaign, ledger)
            except (CampaignError, FilterError) as error:
                ran.failed.append(str(error))
            else:
                sound.append(one)
    return sound


def _send(composition: Composition, registered: Registered, ran: Ran) -> None:
    if registered.state == "paused":
        ran.waiting.append(f"Plan {registered.plan_id} of {registered.occasion} is paused")
        return
    try:
        ended = send_or_wait(composition, registered.plan_id)
    except CampaignError as error:
        ran.failed.append(str(error))
        return
    if isinstance(ended, str):
        ran.waiting.append(ended)
    else:
        ran.sent.append(ended)
