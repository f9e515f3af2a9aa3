"""Turns a template, a coupon and its products into one message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from jinja2 import StrictUndefined, TemplateError
from jinja2 import Template as JinjaTemplate
from jinja2.sandbox import SandboxedEnvironment

from campaigns.definition import Template
from recsys.errors import CampaignError

_PARTS = ("subject", "text", "html")
_BUILT_IN = Path(__file__).parent / "templates"
_SUBJECT = "{{ title }}: {{ coupon.title }}"
_MAX_SUBJECT = 150
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
class Message:
    """One rendered message to one contact point."""

    send_id: str
    to: str
    subject: str
    text: str
    html: str
    unsubscribe: str
    coded: bool = False
    """waits for a code"""

    def __post_init__(self) -> None:
        for name in ("send_id", "to", "subject", "unsubscribe"):
            if _BREAK.search(getattr(self, name)):
                raise CampaignError(
                    f"The {_HEADERS[name]} of send {self.send_id!r} holds a line break, which "
                    "would add headers to the message; mend it where it comes from"
                )

    def with_code(self, code: str | None) -> "Message":
        """The message that is sent."""
        if code is None:
            return self
        said = {name: getattr(self, name).replace(PLACE, code) for name in _PARTS}
        said["subject"] = said["subject"][:_MAX_SUBJECT]
        return replace(self, **said, coded=False)


def whole(template: Template) -> Template:
    """The campaign's template, the built-in one where it says nothing."""
    return Template(
        subject=template.subject or _SUBJECT,
        text=template.text or (_BUILT_IN / "coupon.txt").read_text(encoding="utf-8"),
        html=template.html or (_BUILT_IN / "coupon.html").read_text(encoding="utf-8"),
    )


def render(
    template: Template,
    *,
    send_id: str,
    to: str,
    title: str,
    coupon: Coupon,
    products: Sequence[str],
    valid_until: datetime,
    unsubscribe: str,
) -> Message:
    """The message of a whole template; CampaignError for one that does not render."""
    facts = {
        "title": title,
        "coupon": coupon,
        "products": list(products),
        "valid_until": f"{valid_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "unsubscribe": unsubscribe,
    }
    # A header is one line whatever the coupon is called.
    subject = " ".join(_fill("subject", template.subject, False, facts).split())
    message = Message(
        send_id,
        to,
        subject if coupon.code else subject[:_MAX_SUBJECT],
        _fill("text", template.text, False, facts),
        _fill("html", template.html, True, facts),
        unsubscribe,
        coded=coupon.code == PLACE,
    )
    if message.coded and not (PLACE in message.text and PLACE in message.html):
        raise CampaignError(
            f"Coupon '{coupon.coupon_id}' is sent with codes, and the template does not show one; "
            "write {{ coupon.code }} into text and html"
        )
    return message


def _fill(name: str, source: str | None, escape: bool, facts: dict[str, object]) -> str:
    try:
        return _compiled(source or "", escape).render(facts)
    except TemplateError as error:
        raise CampaignError(
            f"The template's {name} does not render: {error}. It may use {', '.join(sorted(facts))}"
        ) from error


@lru_cache(maxsize=64)  # compiling takes 3 ms a message
def _compiled(source: str, escape: bool) -> JinjaTemplate:
    environment = SandboxedEnvironment(autoescape=escape, undefined=StrictUndefined)
    return environment.from_string(source)
