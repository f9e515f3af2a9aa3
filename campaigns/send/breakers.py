"""When a run has to stop by itself: too many calls fail, or too many messages are not wanted."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from campaigns.channels.contract import Answer, Delivery
from campaigns.settings import Breakers

_LATEST = 500
"""calls that the error rate is of"""


@dataclass(slots=True)
class Watch:
    """What one sender sees of its calls."""

    limits: Breakers
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=_LATEST))

    def see(self, answers: Iterable[Answer]) -> None:
        """Calls that were made. One that the provider asked to wait for has not failed."""
        self.failed.extend(
            one.state is not Delivery.ACCEPTED for one in answers if one.wait is None
        )

    def errors(self) -> str | None:
        """Why to stop, by the latest calls."""
        made, failed = len(self.failed), sum(self.failed)
        if made < self.limits.least_calls or failed <= self.limits.errors * made:
            return None
        return f"{failed} of the latest {made} calls failed, more than {self.limits.errors:.1%}"

    def unwanted(self, accepted: int, news: dict[str, int]) -> str | None:
        """Why to stop, by what was heard of a plan's messages."""
        if accepted < self.limits.least_calls:
            return None
        bounced = news.get("bounced", 0) + news.get("unregistered", 0)
        for found, most, what in (
            (bounced, self.limits.bounces, "bounced"),
            (news.get("complained", 0), self.limits.complaints, "brought a complaint"),
        ):
            if found > most * accepted:
                return f"{found} of {accepted} messages {what}, more than {most:.1%}"
        return None
