"""Sends what a plan says. Run it again after anything, and it finishes the remainder.

Claim, call, settle: a crash between any two leaves a row that holds its slot, and that a later
run either makes good under the same key or leaves as `unknown`.
"""

from campaigns.send.report import SendReport
from campaigns.send.run import Render
from campaigns.send.sender import send

__all__ = ["Render", "SendReport", "send"]
