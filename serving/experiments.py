"""Who sees which variant of an experiment: decided by a hash, so that nothing has to be stored."""

from dataclasses import dataclass

from recsys.ids import unit_interval
from serving.placements import Placement

CONTROL = "control"
"""whoever falls to no variant"""


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different for a share of the subjects; None is as for everybody."""

    name: str
    share: float = 0.0
    placement: Placement | None = None
    model: str | None = None
    """a version that is kept beside the published one"""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Of some placements. The rest of the shares is the control."""

    name: str
    variants: tuple[Variant, ...]

    @property
    def models(self) -> frozenset[str]:
        """The versions that it needs."""
        return frozenset(one.model for one in self.variants if one.model is not None)

    def of(self, subject: str) -> Variant:
        """The same variant for a subject for ever, whichever process is asked."""
        at = unit_interval(f"experiment {self.name}", subject)
        for variant in self.variants:
            if at < variant.share:
                return variant
            at -= variant.share
        return _CONTROL

    def label(self, variant: Variant) -> str:
        """As answers and impressions name it."""
        return f"{self.name}:{variant.name}"


_CONTROL = Variant(CONTROL)
