"""The candidate sources. Adding one is a file beside these and a line in `fit_all`."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from training.config import TrainingSettings
from training.shop import Past
from training.sources import neighbours, own, popular, segment, similar, taste, together
from training.sources.candidates import Source
from training.sources.reaching import Seeded


@dataclass(frozen=True, slots=True)
class Sources:
    """Every source, fitted on one past."""

    popular: popular.Popular
    segment: segment.Segment
    own: own.Own
    together: Seeded
    similar: Seeded
    neighbours: neighbours.Neighbours
    taste: taste.Taste

    def named(self) -> Iterator[tuple[str, Source]]:
        """Each with its name, in this order."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))


def fit_all(past: Past, settings: TrainingSettings) -> Sources:
    """Fit every source on one past."""
    size = settings.candidates
    return Sources(
        popular=popular.fit(past, size=size),
        segment=segment.fit(past, size=size),
        own=own.fit(past),
        together=together.fit(past, neighbours=settings.neighbours, size=size),
        similar=similar.fit(past, neighbours=settings.similar, size=size),
        neighbours=neighbours.fit(past, near=settings.members_near, size=size),
        taste=taste.fit(
            past,
            seed=settings.seed,
            factors=settings.factors,
            iterations=settings.iterations,
            size=size,
        ),
    )
