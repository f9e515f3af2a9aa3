"""A campaign file: what a marketer writes, checked whole before anything is planned."""

import difflib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from campaigns.ledger.identity import ChannelName
from campaigns.links import check_shop_url
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError, FilterError
from recsys.filters import parse

_Model = TypeVar("_Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FromCampaign(_Part):
    """All coupons that the dataset lists for one of its campaigns."""

    from_campaign: str


class Wording(_Part):
    """A message in one language. What is left out is built in, or the campaign's own."""

    title: str | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None


def _tags(languages: object) -> object:
    """Small letters; YAML reads a bare `no` as a truth value."""
    if not isinstance(languages, dict):
        return languages
    for tag in languages:
        if not isinstance(tag, str):
            raise ValueError(f"the language {tag!r} must be in quotes")
    return {tag.lower(): wording for tag, wording in languages.items()}


Language = Annotated[str, Field(pattern=r"^[a-z]{2,8}(-[a-z0-9]{1,8}){0,3}$")]
"""as in BCP 47, in small letters"""


class Template(_Part):
    """Jinja2 sources; what is left out comes from the built-in ones."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    languages: Annotated[dict[Language, Wording], BeforeValidator(_tags)] = {}
    """for members who said so; everyone else gets the parts above"""

    @property
    def digest(self) -> str:
        """Hash that plans carry."""
        return _digest(self.model_dump_json(exclude=_unsaid(self, "languages")))

    def in_language(self, language: str | None) -> tuple[str | None, Wording]:
        """The nearest there is, zh for zh-Hant-TW, and its tag; None: that of everyone else."""
        tag = (language or "").lower().replace("_", "-")
        while tag:
            if tag in self.languages:
                return tag, self.languages[tag]
            tag = tag.rpartition("-")[0]
        return None, Wording(subject=self.subject, text=self.text, html=self.html)


class Utm(_Part):
    """Which parameters links to products carry."""

    source: Annotated[str, Field(min_length=1)]
    medium: str | None = None
    """the channel, where absent"""
    campaign: str | None = None
    """the campaign's id, where absent"""


class Campaign(_Part):
    """One campaign, once: a window in which each member may get one push."""

    campaign: Annotated[str, Field(min_length=1)]
    title: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    channel: ChannelName = "email"
    audience: str | None = None
    """filter over members' attributes and their past; without one, everyone"""
    coupons: FromCampaign | Annotated[list[str], Field(min_length=1)]
    budget: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """in the shop's currency: what issuing the coupons may cost in all"""
    discount_budget: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """likewise, what may come off orders in all: beyond it no coupon of the campaign is redeemed"""
    coupon_budgets: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    """of single coupons: what issuing them may cost in this campaign"""
    min_sends: Annotated[int, Field(ge=1)] | None = None
    """fewer are not worth running it for: then nobody gets it"""
    max_sends: Annotated[int, Field(ge=1)] | None = None
    max_per_coupon: Annotated[int, Field(ge=1)] | None = None
    holdout: Annotated[float, Field(ge=0, lt=1)] | None = None
    margin_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    coupon_value: Annotated[float, Field(ge=0)] | None = None
    template: Template = Template()
    shop_url: Annotated[str | None, AfterValidator(check_shop_url)] = None
    """a product's page, with {product_id} in it"""
    utm: Utm | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be after starts_at")
        if self.max_sends is not None and (self.min_sends or 0) > self.max_sends:
            raise ValueError(
                f"min_sends {self.min_sends} and max_sends {self.max_sends} contradict each other"
            )
        if self.audience is not None:
            try:
                parse(self.audience)
            except FilterError as error:
                raise ValueError(str(error)) from error
        self._check_template()
        return self

    def _check_template(self) -> None:
        """Mail is text and HTML, in one language; what is short is text alone."""
        languages = self.template.languages
        if self.channel == "email":
            for tag, one in languages.items():
                if (one.text is None) != (one.html is None):
                    raise ValueError(
                        f"template.languages.{tag} needs both text and html, or neither"
                    )
        elif any([self.template.html, *(one.html for one in languages.values())]):
            raise ValueError(f"html is for e-mail; a message by {self.channel} is text alone")

    @property
    def utm_facts(self) -> dict[str, str]:
        """Parameters that links to products carry."""
        if self.utm is None:
            return {}
        return {
            "utm_source": self.utm.source,
            "utm_medium": self.utm.medium or self.channel,
            "utm_campaign": self.utm.campaign or self.campaign,
        }

    @property
    def occasion(self) -> str:
        """The campaign in its window; a later end is still the same occasion."""
        return f"{self.campaign}@{self.starts_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def digest(self) -> str:
        """Hash of the definition, template left out."""
        unsaid = _unsaid(self, "shop_url", "utm", "coupon_budgets")
        return _digest(self.model_dump_json(exclude={"template", *unsaid}))

    def with_defaults(self, settings: CampaignSettings) -> "Campaign":
        """What the file leaves open, from the settings."""
        filled = {
            name: getattr(settings, name)
            for name in ("holdout", "margin_rate", "coupon_value", "shop_url")
            if getattr(self, name) is None
        }
        return self.model_copy(update=filled)


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """What a YAML file says, and on which line; every complaint names file, line, key and mend."""

    path: Path
    node: yaml.Node | None
    data: Mapping[str, Any]

    def checked(
        self, data: Mapping[str, Any], fields: Collection[str] | None = None
    ) -> Campaign:  # fmt: skip
        """The campaign of the file's keys, or of others in their place; CampaignError.

        fields: of which the audience may speak; anything where they are not known.
        """
        campaign = self.validated(Campaign, data)
        if fields is not None and campaign.audience is not None:
            try:
                parse(campaign.audience).check(fields)
            except FilterError as error:
                raise CampaignError(f"{self.place(['audience'])}: {error}") from None
        return campaign

    def validated(self, model: type[_Model], data: Mapping[str, Any]) -> _Model:
        """An object of the model; CampaignError."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            problems = [self._problem(dict(one), model) for one in error.errors()]
            raise CampaignError("\n".join(dict.fromkeys(problems))) from None

    def place(self, where: Sequence[int | str]) -> str:
        """FILE:LINE of the innermost key of the place that the file has."""
        return f"{self.path}:{_line(self.node, where)}"

    def _problem(self, error: dict[str, Any], model: type[BaseModel]) -> str:
        where = [part for at, part in enumerate(error["loc"]) if not _is_branch(at, error["loc"])]
        name = ".".join(str(part) for part in where)
        place = self.place(where)
        if error["type"] == "extra_forbidden":
            parts = (model, Template, Wording, Utm, FromCampaign)
            known = list(dict.fromkeys(key for part in parts for key in part.model_fields))
            near = difflib.get_close_matches(str(where[-1]), known, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            return f"{place}: unknown key '{name}'; {hint}"
        if error["type"] == "missing":
            return f"{place}: the key '{name}' is missing"
        if error["type"] == "timezone_aware":
            return f"{place}: '{name}' needs a time zone, such as 2017-12-01T09:00:00Z"
        message = error["msg"].removeprefix("Value error, ")
        return f"{place}: {name + ': ' if name else ''}{message}"


def read_file(path: Path) -> CampaignFile:
    """A YAML file of keys; CampaignError says what else it is."""
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CampaignError(f"There is no campaign file {path}") from None
    except UnicodeDecodeError:
        raise CampaignError(f"The campaign file {path} is not UTF-8 text") from None
    try:
        node = yaml.compose(source, Loader=yaml.SafeLoader)
        data = yaml.safe_load(source)
    except yaml.YAMLError as error:
        raise CampaignError(f"The campaign file {path} is not YAML: {error}") from None
    if not isinstance(data, dict):
        raise CampaignError(f"The campaign file {path} must hold keys, such as campaign and budget")
    return CampaignFile(path, node, data)


def load_campaign(path: Path, fields: Collection[str] | None = None) -> Campaign:
    """The campaign in a YAML file; CampaignError names the file, the line, the key and the mend.

    fields: of which the audience may speak; anything where they are not known.
    """
    file = read_file(path)
    if "schedule" in file.data:
        raise CampaignError(
            f"{file.place(['schedule'])}: a campaign with a schedule is planned when it is due, by "
            "`campaigns run`; to plan it now, give starts_at and ends_at in its place"
        )
    return file.checked(file.data, fields)


def _is_branch(at: int, where: Sequence[int | str]) -> bool:
    """Pydantic puts the tried branch of `coupons` and of `schedule` into the place."""
    part = where[at]
    if at and where[at - 1] == "schedule":
        return True
    return isinstance(part, str) and (part == "FromCampaign" or "[" in part)


def _line(node: yaml.Node | None, where: Sequence[int | str]) -> int:
    """Line of the innermost key of the place that the file has."""
    line = 1
    for part in where:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((k, v) for k, v in node.value if k.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _unsaid(part: BaseModel, *names: str) -> set[str]:
    """Keys that came later: where they are not used, a plan of before is still what it was."""
    return {name for name in names if not getattr(part, name)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
