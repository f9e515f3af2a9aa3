"""The words of the pages that members see, in English and Chinese."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

ENGLISH: Mapping[str, str] = {
    "lang": "en",
    "leave": "No more of these?",
    "stop": "Stop all messages",
    "choose": "Or choose what may come",
    "email": "E-mail",
    "sms": "Text messages",
    "push": "Notifications in the app",
    "keep": "Save",
    "done": "Done",
    "stopped": "You will get no more messages from us.",
    "saved": "Saved. It counts from the next message on.",
    "confirm": "Please confirm",
    "yes": "Yes, I agree",
    "confirmed": "Thank you. We have noted that you agree.",
    "changed": "This link is out of date: the address it was sent to has changed.",
    "barred": "You asked us not to write to you any more, and we keep to that.",
}
CHINESE: Mapping[str, str] = {
    "lang": "zh",
    "leave": "不想再收到这类消息？",
    "stop": "停止接收所有消息",
    "choose": "或者选择希望接收的消息",
    "email": "电子邮件",
    "sms": "短信",
    "push": "应用内通知",
    "keep": "保存",
    "done": "已完成",
    "stopped": "您将不会再收到我们的消息。",
    "saved": "已保存，从下一条消息起生效。",
    "confirm": "请确认",
    "yes": "是的，我同意",
    "confirmed": "谢谢，我们已记录您的同意。",
    "changed": "此链接已失效：收件地址已变更。",
    "barred": "您曾要求我们不再联系您，我们会继续遵守。",
}


def words_for(accept_language: str) -> Mapping[str, str]:
    """Of the two languages the one that the header puts first; English where it names neither."""
    best, found = 0.0, ENGLISH
    for part in accept_language.split(","):
        tag, _, rest = part.strip().partition(";")
        weight = _weight(rest.strip())
        words = {"en": ENGLISH, "zh": CHINESE}.get(tag.strip().lower().partition("-")[0])
        if words is not None and weight > best:
            best, found = weight, words
    return found


def _weight(text: str) -> float:
    if not text:
        return 1.0
    try:
        return float(text.removeprefix("q=")) if text.startswith("q=") else 0.0
    except ValueError:
        return 0.0


def page(words: Mapping[str, str], **facts: object) -> str:
    """A whole page, everything escaped."""
    return _template().render(words=words, **facts)


@cache
def _template() -> Template:
    source = (Path(__file__).parent.parent / "templates" / "page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
