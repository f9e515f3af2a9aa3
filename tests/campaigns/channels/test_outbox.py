import errno
import os
from email import message_from_bytes, policy
from email.utils import formataddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.channels.contract import Delivery
from campaigns.channels.outbox import Outbox, email
from campaigns.definition import Template
from campaigns.message import Coupon, Message, Product, render, whole
from recsys.errors import CampaignError
from tests.campaigns.kit import NOW

MESSAGE = Message(
    "a1b2", "ann@example.invalid", "Grüße 你好", "text", "<p>html</p>", "https://x/u/t"
)


def facts(**changes):
    return {
        "send_id": "a1b2",
        "to": "ann@example.invalid",
        "title": "Your week",
        "coupon": Coupon("c1", "1 € off"),
        "products": [Product("t1", "Tea & <b>cake</b>")],
        "valid_until": NOW,
        "unsubscribe": "https://x/u/t",
    } | changes


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "outbox", "Shop <shop@example.invalid>")


def test_the_file_is_a_message_that_any_mail_program_reads(outbox):
    assert outbox.deliver(MESSAGE, now=NOW).state is Delivery.ACCEPTED
    mail = message_from_bytes((outbox.folder / "a1b2.eml").read_bytes(), policy=policy.default)
    assert mail["Subject"] == "Grüße 你好"
    assert (mail["To"], mail["Message-ID"]) == ("ann@example.invalid", "<a1b2@example.invalid>")
    assert mail["List-Unsubscribe"] == "<https://x/u/t>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.get_body(("html",)).get_content().strip() == "<p>html</p>"


ONE_LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs")))


@given(
    ONE_LINE,
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc",))),
    ONE_LINE,
    st.sampled_from(["", "x" * 2000]),
)
def test_whatever_is_said_is_read_again(subject, text, name, long):
    text = f"{text}\n{long}\n"
    subject = " ".join(subject.split())
    message = Message("a1b2", "ann@example.invalid", subject, text, f"<p>{text}</p>", "https://x/u")
    sender = formataddr((" ".join(name.split()), "shop@example.invalid"))
    content = email(message, sender=sender, now=NOW).as_bytes()
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")
    mail = message_from_bytes(content, policy=policy.default)
    assert mail["Subject"] == subject
    assert mail["From"].addresses[0].addr_spec == "shop@example.invalid"
    assert mail.get_body(("plain",)).get_content().replace("\r\n", "\n") == text
    assert mail["To"] == "ann@example.invalid"
    assert mail["Date"].datetime == NOW
    assert mail.defects == []


def test_the_same_send_twice_is_one_file(outbox):
    outbox.deliver(MESSAGE, now=NOW)
    outbox.deliver(MESSAGE, now=NOW)
    assert [f.name for f in outbox.folder.iterdir()] == ["a1b2.eml"]


def test_a_full_disk_leaves_nothing_half_written(outbox, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        outbox.deliver(MESSAGE, now=NOW)
    assert list(outbox.folder.iterdir()) == []


def test_a_folder_that_cannot_be_flushed_after_the_rename_leaves_it_unknown(outbox, monkeypatch):
    flush, calls = os.fsync, []

    def second_fails(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        flush(handle)

    monkeypatch.setattr(os, "fsync", second_fails)
    assert outbox.deliver(MESSAGE, now=NOW).state is Delivery.UNKNOWN


def test_html_is_escaped_and_plain_text_is_not():
    message = render(whole(Template()), **facts())
    assert "Tea & <b>cake</b>" in message.text
    assert "Tea &amp; &lt;b&gt;cake&lt;/b&gt;" in message.html


def test_a_subject_is_one_line_whatever_the_coupon_is_called():
    coupon = Coupon("c1", "1 € off\r\nBcc: everyone@example.invalid")
    message = render(whole(Template()), **facts(coupon=coupon))
    assert message.subject == "Your week: 1 € off Bcc: everyone@example.invalid"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ surname }}", "'surname' is undefined"),
        ("{{ coupon.", "does not render"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_that_is_wrong_or_reaches_out_is_refused(source, says):
    with pytest.raises(CampaignError, match=says):
        render(whole(Template(text=source)), **facts())
