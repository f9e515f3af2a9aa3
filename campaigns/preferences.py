"""GET and PUT /v1/members/{member_id}/preferences: what a member wants, from the ledger alone."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from campaigns.answering import answering
from campaigns.ledger.identity import CHANNELS, ChannelName
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.preferences import Change, Preference, prefer, preference
from campaigns.run import Composition

_AGAIN = "the ledger cannot be reached now; send it again"

MemberId = Annotated[str, Path(min_length=1, max_length=128)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChannelChange(_Body):
    """What is said of one channel; what is left out stays as it is."""

    push: bool | None = None
    """whether messages may come"""
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$")] | None = (
        None
    )
    """of the messages, such as de or pt-BR (BCP 47); kept where the channel has an address"""

    @model_validator(mode="after")
    def _says_something(self) -> "ChannelChange":
        if self.push is None and self.language is None:
            raise ValueError("push or language is needed")
        return self


class PreferencesBody(_Body):
    """PUT: the channels that are not named stay as they are."""

    channels: Annotated[dict[ChannelName, ChannelChange], Field(min_length=1)]


class ChannelPreference(BaseModel):
    """What counts on one channel."""

    push: bool
    """whether messages may come; false where nothing was ever said"""
    stopped: bool
    """the member left by the link in a message: nothing comes any more, whatever is said here"""
    language: str | None


class Preferences(BaseModel):
    """Every channel. Of a member that nobody knows, what holds for one who never said anything."""

    channels: dict[ChannelName, ChannelPreference]


def routes(composition: Composition) -> APIRouter:
    """The two routes. Who may ask for whom is decided before them."""
    router = APIRouter()

    @router.get("/v1/members/{member_id:path}/preferences")
    def get_preferences(member_id: MemberId) -> Preferences:
        """What the member wants, by channel."""
        if not composition.ledger_exists():
            return _answer(dict.fromkeys(CHANNELS, Preference()))
        with answering(composition, instead=_AGAIN) as ledger:
            return _answer(_all(ledger, member_id))

    @router.put("/v1/members/{member_id:path}/preferences")
    def put_preferences(member_id: MemberId, body: PreferencesBody) -> Preferences:
        """Say what the member wants from now on. A no that was answered holds for every later
        push; a call in flight may still end."""
        changes: dict[str, Change] = {
            channel: Change(said.push, said.language) for channel, said in body.channels.items()
        }
        with answering(composition, instead=_AGAIN) as ledger:
            double = composition.settings.double_opt_in
            prefer(ledger, member_id, changes, now=composition.now(), double=double)
            return _answer(_all(ledger, member_id))

    return router


def _all(ledger: Ledger, member_id: str) -> dict[str, Preference]:
    return {channel: preference(ledger, member_id, channel) for channel in CHANNELS}


def _answer(found: dict[str, Preference]) -> Preferences:
    return Preferences.model_validate({"channels": found}, from_attributes=True)
