"""Which sender dies when: before and after each step, and at random instants."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from campaigns.selftest.senders import Life, Order

_TRIES = 6
_SOONEST = 0.05
"""seconds; earlier no sender has come to anything"""


class Kills:
    """Gives orders, and keeps those whose step a sender did not come to."""

    def __init__(
        self, rng: np.random.Generator, *, instants: int = 1_000, part: tuple[int, int] = (0, 1)
    ) -> None:
        """instants: random kills wanted. part: of the numbered ones the i-th of n parts."""
        self._rng, self._instants, self._part = rng, instants, part
        self._steps: deque[tuple[Order, int]] = deque()
        self._tries: dict[Order, int] = {}
        """of the orders that are given"""
        self._asked = 0
        self._seconds = 0.0
        self.last_step = 0
        self.at_steps = 0
        self.at_instants = 0
        self.unreached = 0

    def learn(self, whole: Iterable[Life]) -> None:
        """From senders that shared fresh work and were left alone: how long, how many steps."""
        lives = list(whole)
        self._seconds = max(life.seconds for life in lives)
        # The lot gives them shares of the work that differ; half of them come so far.
        self.last_step = sorted(life.steps for life in lives)[len(lives) // 2]
        steps = range(1, self.last_step + 1)
        every = [Order(step, after) for step in steps for after in (False, True)]
        first, parts = self._part
        self._steps.extend((order, 0) for order in every[first::parts])

    @property
    def over(self) -> bool:
        """Whether every kill was made."""
        return self._seconds > 0 and not self._steps and self.at_instants >= self._instants

    def order(self, *, fresh: bool) -> Order:
        """For the next sender. fresh: all its work lies before it, so a late step will come."""
        if not self._seconds:
            return Order()
        wants = self.at_instants + self._asked < self._instants
        if self._steps and (not wants or self._rng.random() < 0.5):
            order, tries = self._steps.pop() if fresh else self._steps.popleft()
            self._tries[order] = tries
            return order
        if not wants:
            return Order()
        self._asked += 1
        return Order(seconds=float(self._rng.uniform(_SOONEST, max(self._seconds, 2 * _SOONEST))))

    def ended(self, life: Life) -> None:
        """Counts it, or puts the order back."""
        order = life.order
        if order.step is not None:
            tries = self._tries.pop(order) + 1
            if life.killed:
                self.at_steps += 1
            elif tries < _TRIES:
                self._steps.append((order, tries))
            else:
                self.unreached += 1
        elif order.seconds is not None:
            self._asked -= 1
            self.at_instants += life.killed
