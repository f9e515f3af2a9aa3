"""Turns a template, a coupon and its products into one message."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from jinja2 import StrictUndefined, TemplateError, meta
from jinja2 import Template as JinjaTemplate
from jinja2.exceptions import UndefinedError
from jinja2.sandbox import SandboxedEnvironment

from campaigns.definition import Campaign, Template, Wording
from campaigns.ledger.identity import ChannelName
from recsys.errors import CampaignError

_PARTS = ("subject", "text", "html")
_BUILT_IN = Path(__file__).parent / "templates"
_SPOKEN = ("zh",)
"""languages that are built in, beside English"""
_FACTS = ("title", "coupon", "products", "valid_until", "unsubscribe")
_MAX_SUBJECT = 150
_MAX: Mapping[ChannelName, int] = {"email": 100_000, "sms": 1_600, "push": 1_200}
"""characters of a part: Gmail clips at 102 KB, providers of SMS take 10 parts, FCM takes 4 KB"""
_BREAK = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_HEADERS = {
    "send_id": "id", "to": "address", "subject": "subject", "unsubscribe": "unsubscribe link",
}  # fmt: skip
PLACE = "CODE-OF-THIS-COUPON"
"""stands in a rendered message until the claim has taken a code; of letters that codes may have,
so that a template may put it into a link"""


@dataclass(frozen=True, slots=True)
class Coupon:
    """What a message says of a coupon."""

    coupon_id: str
    title: str
    code: str | None = None
    """for a coupon that has codes"""


@dataclass(frozen=True, slots=True)
class Product:
    """What a message says of a product; as text its title."""

    product_id: str
    title: str
    url: str | None = None
    """where the shop's address of products is known"""

    def __str__(self) -> str:
        return self.title


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message to one contact point."""

    send_id: str
    to: str
    subject: str
    text: str
    html: str
    """empty on channels of text alone"""
    unsubscribe: str
    coded: bool = False
    """waits for a code"""

    def __post_init__(self) -> None:
        for name, called in _HEADERS.items():
            if _BREAK.search(getattr(self, name)):
                raise CampaignError(
                    f"The {called} of send {self.send_id!r} holds a line break, which "
                    "would add headers to the message; mend it where it comes from"
                )

    def with_code(self, code: str | None) -> "Message":
        """The message that is sent."""
        if code is None:
            return self
        said = {name: getattr(self, name).replace(PLACE, code) for name in _PARTS}
        said["subject"] = said["subject"][:_MAX_SUBJECT]
        return replace(self, **said, coded=False)


def whole(template: Template, channel: ChannelName = "email") -> Template:
    """The campaign's template, the built-in one where it says nothing.

    The built-in other languages are for campaigns without parts of their own, or that name them.
    """
    languages = dict(template.languages)
    if not any(getattr(template, name) for name in _PARTS):
        languages = dict.fromkeys(_SPOKEN, Wording()) | languages
    english = _filled(template, _built_in(channel, None))
    return Template(
        **english,
        languages={
            tag: Wording(
                title=one.title, **_filled(one, english | _built_in(channel, tag.partition("-")[0]))
            )
            for tag, one in languages.items()
        },
    )


def _filled(own: Template | Wording, others: Mapping[str, str]) -> dict[str, str]:
    return {name: getattr(own, name) or other for name, other in others.items()}


@lru_cache
def _built_in(channel: ChannelName, language: str | None) -> dict[str, str]:
    """Empty for a language that is not built in; None: English."""
    if language is not None and language not in _SPOKEN:
        return {}
    name = "coupon" if channel == "email" else channel
    stem = name if language is None else f"{name}.{language}"
    parts = {"text": (_BUILT_IN / f"{stem}.txt").read_text(encoding="utf-8")}
    if channel == "email":
        parts["html"] = (_BUILT_IN / f"{stem}.html").read_text(encoding="utf-8")
    if language is None:
        parts["subject"] = "{{ title }}" + (": {{ coupon.title }}" if channel != "push" else "")
    return parts


def render(
    template: Template,
    *,
    channel: ChannelName = "email",
    language: str | None = None,
    send_id: str,
    to: str,
    title: str,
    coupon: Coupon,
    products: Sequence[Product],
    valid_until: datetime,
    unsubscribe: str,
) -> Message:
    """The message of a whole template; CampaignError for one that does not render.

    language: the contact point's, such as zh-CN; None: nothing is known of it.
    """
    tag, spoken = template.in_language(language)
    facts = {
        "title": spoken.title or title,
        "coupon": coupon,
        "products": list(products),
        "valid_until": f"{valid_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "unsubscribe": unsubscribe,
    }
    of = "" if tag is None else f" in {tag}"
    most = _MAX[channel]
    # A header is one line whatever the coupon is called.
    subject = " ".join(_fill(f"subject{of}", spoken.subject, False, facts, most).split())
    message = Message(
        send_id,
        to,
        subject if coupon.code else subject[:_MAX_SUBJECT],
        _fill(f"text{of}", spoken.text, False, facts, most),
        _fill(f"html{of}", spoken.html, True, facts, most),
        unsubscribe,
        coded=coupon.code == PLACE,
    )
    parts = ("text", "html") if channel == "email" else ("text",)
    if message.coded and not all(PLACE in getattr(message, part) for part in parts):
        raise CampaignError(
            f"Coupon '{coupon.coupon_id}' is sent with codes, and the template{of} does not show "
            f"one; write {{{{ coupon.code }}}} into {' and '.join(parts)}"
        )
    return message


def try_out(campaign: Campaign) -> None:
    """CampaignError for a campaign whose messages do not render, in any of its languages.

    Before anything is planned: the template must be whole.
    """
    if campaign.utm is not None and campaign.shop_url is None:
        raise CampaignError(
            f"Campaign '{campaign.campaign}' has utm, and no shop_url whose links could carry it"
        )
    shown = [Product("preview", "A product", "https://example.invalid/p/preview")]
    for language in (None, *campaign.template.languages):
        for products in ([], shown):
            render(
                campaign.template,
                channel=campaign.channel,
                language=language,
                send_id="preview",
                to="somebody@example.invalid",
                title=campaign.title,
                coupon=Coupon("preview", "A coupon"),
                products=products,
                valid_until=campaign.ends_at,
                unsubscribe="https://example.invalid/u/preview",
            )


def _fill(
    name: str, source: str | None, escape: bool, facts: Mapping[str, object], most: int
) -> str:
    pieces, size = [], 0
    try:
        for piece in _compiled(source or "", escape).generate(facts):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise CampaignError(
                    f"The template's {name} comes to more than {most:,} characters; shorten it"
                )
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise CampaignError(
            f"The template's {name} does not render: {error}. It may use {', '.join(_FACTS)}"
        ) from error
    return "".join(pieces)


@lru_cache(maxsize=64)  # compiling takes 3 ms a message
def _compiled(source: str, escape: bool) -> JinjaTemplate:
    """UndefinedError for a name that no message has, also where it would rarely be looked up."""
    environment = SandboxedEnvironment(autoescape=escape, undefined=StrictUndefined)
    strange = meta.find_undeclared_variables(environment.parse(source))
    unknown = sorted(strange - {*_FACTS, *environment.globals})
    if unknown:
        raise UndefinedError(f"'{unknown[0]}' is undefined")
    return environment.from_string(source)
