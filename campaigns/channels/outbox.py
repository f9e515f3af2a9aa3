"""A folder of .eml files that a person, or a mail program, can open."""

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path

from campaigns.channels.contract import ACCEPTED, Answer, Delivery
from campaigns.files import sync_folder, write_whole
from campaigns.message import Message


@dataclass(frozen=True, slots=True)
class Outbox:
    """One file a send: its name is the send id, so a second delivery replaces the first.

    The promise ends where files are taken out of the folder and a call is then repeated.
    """

    folder: Path
    sender: str
    idempotent: bool = True
    lanes: int = 1

    def deliver(self, message: Message, /, *, now: datetime) -> Answer:
        """Writes the whole file or none."""
        content = email(message, sender=self.sender, now=now).as_bytes(policy=SMTP)
        write_whole(self.folder / f"{message.send_id}.eml", content)
        try:
            sync_folder(self.folder)
        except OSError:
            return Answer(Delivery.UNKNOWN, "the folder may not have kept it")
        return ACCEPTED

    def close(self) -> None:
        """Nothing is open."""


def email(message: Message, *, sender: str, now: datetime) -> EmailMessage:
    """Plain text and HTML, with the one-click unsubscribe headers of RFC 8058."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.send_id}@{parseaddr(sender)[1].partition('@')[2]}>"
    mail["List-Unsubscribe"] = f"<{message.unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    return mail
