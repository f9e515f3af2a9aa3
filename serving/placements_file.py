"""The shop's placements in a YAML file, checked whole before anything is answered."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from recsys.errors import FilterError, SettingsError
from recsys.filters import parse
from recsys.model import Model
from serving import experiments_file
from serving.experiments import Experiment
from serving.feed.impressions import KEPT_DAYS, MOST_SHOWINGS
from serving.masks import Masks
from serving.placements import BUILT_IN, Kind, Placement, Source
from serving.rotation import Rotation
from serving.rules import AtMost, Boost, Pin, Rules


def _parses(text: str) -> str:
    try:
        parse(text)
    except FilterError as error:
        raise ValueError(str(error)) from None
    return text


_Filter = Annotated[str, AfterValidator(_parses)]
_Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _AtMost(_Part):
    of: Literal["brand", "category"]
    most: Annotated[int, Field(ge=1)]
    level: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _has_levels(self) -> Self:
        if self.of == "brand" and self.level is not None:
            raise ValueError("a brand has no levels; leave level out")
        return self


class _Boost(_Part):
    filter: _Filter
    logit: Annotated[float, Field(ge=-100, le=100)]


_USUAL = Rotation()


class _Rotation(_Part):
    showings: Annotated[int, Field(ge=1, le=MOST_SHOWINGS)] = _USUAL.showings
    days: Annotated[float, Field(gt=0, le=KEPT_DAYS)] = _USUAL.days
    logit: Annotated[float, Field(gt=0, le=100)] = _USUAL.logit


def _said(rotate: object) -> object:
    """false is nothing, too."""
    return None if rotate is False else rotate


class _Placement(_Part):
    """What the file may say of one; what it leaves out is as in the placement that it is like."""

    like: Kind | None = None
    sources: list[Source] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    rest_hours: Annotated[float, Field(ge=0)] | None = None
    filter: _Filter | None = None
    one_variant: bool | None = None
    at_most: list[_AtMost] = []
    boosts: list[_Boost] = []
    bury: _Filter | None = None
    pins: dict[Annotated[int, Field(ge=1)], Annotated[str, Field(min_length=1)]] = {}
    rotate: Annotated[_Rotation | None, BeforeValidator(_said)] = None

    @model_validator(mode="after")
    def _pins_once(self) -> Self:
        if len(set(self.pins.values())) < len(self.pins):
            raise ValueError("pins: a product has one place; name each product once")
        return self


_FILE = TypeAdapter(dict[_Name, _Placement])
_KEYS = [
    *_Placement.model_fields,
    *_AtMost.model_fields,
    *_Boost.model_fields,
    *_Rotation.model_fields,
]
_EXPERIMENTS = "experiments"
"""a key beside the placements, and no placement's name"""


@dataclass(frozen=True, slots=True)
class Placements:
    """All that a request can name."""

    named: Mapping[str, Placement]
    path: Path | None = None
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
    """by the placement that each changes"""

    @property
    def models(self) -> frozenset[str]:
        """The versions that experiments need beside the published one."""
        return frozenset().union(*(one.models for one in self.experiments.values()))

    def check(self, model: Model) -> None:
        """SettingsError for a filter that asks what this model's products do not have."""
        masks = Masks(model)
        for where, _, text in self._filters():
            try:
                masks.passing(text)
            except FilterError as error:
                raise SettingsError(f"{where}: {error}") from None

    def misfits(self, model: Model) -> list[str]:
        """What speaks against publishing a model: what `check` refuses, and a placement's filter
        that no product passes, as with a category or brand that there is none of."""
        masks, found = Masks(model), []
        for where, key, text in self._filters():
            try:
                passing = masks.passing(text)
            except FilterError as error:
                found.append(f"{where}: {error}")
                continue
            if key == "filter" and not passing.any():
                found.append(f"{where}: no product passes {text}, so nothing could stand there")
        return found

    def _filters(self) -> Iterator[tuple[str, str, str]]:
        """Where each filter stands in the file, its key, and the filter."""
        for name, placement in self.named.items():
            for key, text in _filters(placement.rules):
                yield f"{self.path}: {name}.{key}", key, text


def load_placements(path: Path | None) -> Placements:
    """The built-in ones, and what the file says; SettingsError names file, line, key and mend."""
    if path is None:
        return Placements(BUILT_IN)
    try:
        source = path.read_text(encoding="utf-8")
        node = yaml.compose(source, Loader=yaml.SafeLoader)
        data = yaml.safe_load(source)
    except OSError as error:
        raise SettingsError(f"the placements file {path} cannot be read: {error}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"the placements file {path} is not YAML: {error}") from None
    tried = data.pop(_EXPERIMENTS, {}) if isinstance(data, dict) else {}
    try:
        stated = _FILE.validate_python({} if data is None else data)
    except ValidationError as error:
        raise _problems(path, node, error, [], _KEYS) from None
    own = {}
    for name, body in stated.items():
        if (name in BUILT_IN) == (body.like is not None):
            mend = "leave 'like' out" if body.like else f"say like: one of {', '.join(BUILT_IN)}"
            known = "is built in" if body.like else "is the shop's own"
            raise SettingsError(f"{path}:{_line(node, [name])}: {name} {known}; {mend}")
        own[name] = _placement(body, BUILT_IN[body.like or name])
    named = {**BUILT_IN, **own}
    try:
        whole = experiments_file.FILE.validate_python(tried)
        experiments = experiments_file.experiments(whole, named)
    except ValidationError as error:
        raise _problems(path, node, error, [_EXPERIMENTS], experiments_file.KEYS) from None
    except experiments_file.SlipError as error:
        where = [_EXPERIMENTS, *error.where]
        place = f"{path}:{_line(node, where)}: {'.'.join(map(str, where))}"
        raise SettingsError(f"{place}: {error}") from None
    return Placements(named, path, experiments)


def _placement(body: _Placement, like: Placement) -> Placement:
    stated = body.model_dump(include={"limit", "rest_hours"}, exclude_none=True)
    variants = like.rules.one_variant if body.one_variant is None else body.one_variant
    rules = Rules(
        body.filter,
        variants,
        tuple(AtMost(one.of, one.most, one.level or 1) for one in body.at_most),
        tuple(Boost(one.filter, one.logit) for one in body.boosts),
        body.bury,
        tuple(Pin(*pin) for pin in body.pins.items()),
    )
    sources = like.sources if body.sources is None else frozenset(body.sources)
    rotation = like.rotation
    if "rotate" in body.model_fields_set:
        rotation = None if body.rotate is None else Rotation(**body.rotate.model_dump())
    return replace(like, sources=sources, rules=rules, rotation=rotation, **stated)


def _filters(rules: Rules) -> list[tuple[str, str]]:
    """Each filter under its key."""
    boosts = [(f"boosts.{at}.filter", one.filter) for at, one in enumerate(rules.boosts)]
    named = [("filter", rules.filter), ("bury", rules.bury), *boosts]
    return [(key, text) for key, text in named if text is not None]


def _problems(
    path: Path, node: yaml.Node | None, error: ValidationError, above: list[str], keys: list[str]
) -> SettingsError:
    found = (dict(one) for one in error.errors())
    return SettingsError("\n".join(_problem(path, node, one, above, keys) for one in found))


def _problem(
    path: Path, node: yaml.Node | None, error: dict[str, Any], above: list[str], keys: list[str]
) -> str:
    where = [*above, *(part for part in error["loc"] if part != "[key]")]
    place, name = f"{path}:{_line(node, where)}", ".".join(map(str, where))
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(where[-1]), keys, 1, 0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(keys)}"
        return f"{place}: {name}: unknown key; {hint}"
    if error["type"] == "dict_type" and not where:
        return f"{place}: the file must hold placements by name, such as home: {{limit: 10}}"
    return f"{place}: {name}: {error['msg'].removeprefix('Value error, ')}"


def _line(node: yaml.Node | None, where: list[Any]) -> int:
    """Line of the innermost part of the place that the file has."""
    line = 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
