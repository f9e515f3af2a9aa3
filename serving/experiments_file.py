"""What a placements file says of experiments, checked against its placements."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from serving.experiments import CONTROL, Experiment, Variant
from serving.placements import Placement

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Variant(_Part):
    share: Annotated[float, Field(gt=0, le=1)]
    placement: str | None = None
    model: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if self.placement is None and self.model is None:
            raise ValueError("say what is different: a placement, a model, or both")
        return self


class _Experiment(_Part):
    placements: Annotated[list[str], Field(min_length=1)]
    variants: Annotated[dict[_Word, _Variant], Field(min_length=1)]

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if CONTROL in self.variants:
            raise ValueError(f"variants: {CONTROL} is whoever gets none; give it another name")
        if sum(one.share for one in self.variants.values()) > 1 + 1e-9:
            raise ValueError("variants: their shares are more than 1 together")
        return self


FILE = TypeAdapter(dict[_Word, _Experiment])
KEYS = [*_Experiment.model_fields, *_Variant.model_fields]


class SlipError(ValueError):
    """The experiments do not fit the placements; `where` leads to the place in the file."""

    def __init__(self, where: Sequence[Any], said: str) -> None:
        super().__init__(said)
        self.where = where


def experiments(
    stated: Mapping[str, _Experiment], named: Mapping[str, Placement]
) -> dict[str, Experiment]:
    """By the placement that each changes."""
    found: dict[str, Experiment] = {}
    for name, body in stated.items():
        variants = tuple(
            Variant(one, facts.share, named.get(facts.placement or ""), facts.model)
            for one, facts in body.variants.items()
        )
        for at, place in enumerate(body.placements):
            where = [name, "placements", at]
            if place not in named:
                raise SlipError(where, f"there is no placement '{place}'")
            if place in found:
                raise SlipError(
                    where, f"'{place}' is in {found[place].name} already; a placement is in one"
                )
            found[place] = Experiment(name, variants)
            for one, facts in body.variants.items():
                _check_kind([name, "variants", one, "placement"], facts.placement, place, named)
    return found


def _check_kind(
    where: Sequence[Any], other: str | None, place: str, named: Mapping[str, Placement]
) -> None:
    """A variant's placement is asked with what requests for the experiment's one bring."""
    if other is None:
        return
    if other not in named:
        raise SlipError(where, f"there is no placement '{other}'; define it beside the others")
    if named[other].kind != named[place].kind:
        raise SlipError(
            where,
            f"'{other}' is like {named[other].kind} and '{place}' like {named[place].kind}: "
            "they must be alike",
        )
