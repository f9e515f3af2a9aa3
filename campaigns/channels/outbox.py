"""A folder of files that a person can open; mail programs open those of e-mail."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr, parseaddr
from pathlib import Path

from campaigns.channels.contract import ACCEPTED, Answer, Delivery
from campaigns.files import sync_folder, write_whole
from campaigns.ledger.identity import ChannelName
from campaigns.message import Message

# Every server takes 7 bit; a folded link is a link that some programs do not find.
_POLICY = compat32.clone(linesep="\r\n", cte_type="7bit", max_line_length=None)
_LINE_END = re.compile(r"\r\n?|\n")
_LONGEST_LINE = 900  # RFC 5322: 998, and some servers count with what they add


@dataclass(frozen=True, slots=True)
class Outbox:
    """One file a send: its name is the send id, so a second delivery replaces the first.

    The promise ends where files are taken out of the folder and a call is then repeated.
    """

    folder: Path
    sender: str
    channel: ChannelName = "email"
    idempotent: bool = True
    lanes: int = 1
    seconds: float = 1.0

    def deliver(self, message: Message, /, *, now: datetime) -> Answer:
        """Writes the whole file or none."""
        if self.channel == "email":
            content = email(message, sender=self.sender, now=now).as_bytes()
            write_whole(self.folder / f"{message.send_id}.eml", content)
        else:
            head = f"{self.channel} to {message.to} at {now.isoformat()}"
            said = "\n".join([head, message.subject, "", message.text, ""])
            write_whole(self.folder / f"{message.send_id}.{self.channel}.txt", said.encode())
        try:
            sync_folder(self.folder)
        except OSError:
            return Answer(Delivery.UNKNOWN, "the folder may not have kept it")
        return ACCEPTED

    def close(self) -> None:
        """Nothing is open."""


def email(message: Message, *, sender: str, now: datetime) -> MIMEMultipart:
    """Plain text and HTML, with the one-click unsubscribe headers of RFC 8058.

    By the older classes: `EmailMessage` parses each header that it is given, for 2.5 ms in all.
    """
    name, address = parseaddr(sender)
    mail = MIMEMultipart("alternative", policy=_POLICY)
    mail["From"] = formataddr((name, address))
    mail["To"] = message.to
    mail["Subject"] = Header(
        message.subject, None if message.subject.isascii() else "utf-8", header_name="Subject"
    ).encode()
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.send_id}@{address.partition('@')[2]}>"
    mail["List-Unsubscribe"] = f"<{message.unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for kind, said in (("plain", message.text), ("html", message.html)):
        lines = _LINE_END.sub("\r\n", said)
        mail.attach(MIMEText(lines, kind, _charset(lines), policy=_POLICY))
    return mail


def _charset(lines: str) -> str:
    """US-ASCII stays as it is; everything else goes as base64, so do lines that are too long."""
    short = max(map(len, lines.split("\r\n"))) <= _LONGEST_LINE
    return "us-ascii" if short and lines.isascii() else "utf-8"
