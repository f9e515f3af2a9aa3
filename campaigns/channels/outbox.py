"""A folder of files that a person can open; mail programs open those of e-mail."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path

from campaigns.channels.contract import ACCEPTED, Answer, Delivery
from campaigns.files import sync_folder, write_whole
from campaigns.ledger.identity import ChannelName
from campaigns.message import Message

_POLICY = SMTP.clone(cte_type="7bit")  # every server takes it


@dataclass(frozen=True, slots=True)
class Outbox:
    """One file a send: its name is the send id, so a second delivery replaces the first.

    The promise ends where files are taken out of the folder and a call is then repeated.
    """

    folder: Path
    sender: str
    channel: ChannelName = "email"
    idempotent: bool = True
    key_life: timedelta | None = None
    lanes: int = 1

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


def email(message: Message, *, sender: str, now: datetime) -> EmailMessage:
    """Plain text and HTML, with the one-click unsubscribe headers of RFC 8058."""
    mail = EmailMessage(policy=_POLICY)
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
