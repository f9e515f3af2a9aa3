"""Joins the packages: settings, the clock, and what serving and campaigns declared that they need.

A worker process has this file and not `commands.py`: what only commands need, training above all,
would cost each worker some 20 MB.
"""

import difflib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_origin

import polars as pl
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

import campaigns.app
import serving.cli
from campaigns import past
from campaigns.definition import Campaign
from campaigns.erasing import forget_member
from campaigns.held import Holdings
from campaigns.ledger.holdings import Holding
from campaigns.run import Composition as CampaignComposition
from campaigns.settings import CampaignSettings
from campaigns.valuation import ModelOffers
from recsys.coupons import Terms
from recsys.dataset import Dataset
from recsys.errors import SettingsError
from serving.models import open_current
from serving.settings import ServingSettings
from training.config import TrainingSettings

PREFIX = "GUESSLIKE_"
OF_TESTS = "GUESSLIKE_TEST_"


class Settings(BaseSettings):
    """Every setting, from GUESSLIKE_* in the environment; frozen, and passed down."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    home: Path = Path("var")
    """the one folder of everything local"""
    dataset: Path | None = None
    """where campaigns look up members and coupons; without one, dataset in the local folder"""
    retain_days: Annotated[int, Field(ge=1)] = 30
    """`retrain` deletes models and plans that are older: they may name members erased since"""
    training: TrainingSettings = TrainingSettings()
    serving: ServingSettings = ServingSettings()
    campaigns: CampaignSettings = CampaignSettings()

    @property
    def models(self) -> Path:
        """Where versions lie."""
        return self.home / "models"

    @property
    def terms(self) -> Terms:
        """What no event log says."""
        return Terms(
            margin_rate=self.campaigns.margin_rate,
            coupon_value=self.campaigns.coupon_value,
            redemption_rate=self.campaigns.redemption_rate,
            incremental_share=self.campaigns.incremental_share,
        )


def load_settings(environment: dict[str, str]) -> Settings:
    """Check every name and value; SettingsError names the setting and the mend."""
    known = dict(_fields(Settings, PREFIX))
    for name in environment:
        if name.startswith(PREFIX) and not name.startswith(OF_TESTS) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SettingsError(f"unknown setting {name}; did you mean {near[0]}?")
    for name, kind in known.items():
        if get_origin(kind) in (Mapping, dict, list, tuple) and name in environment:
            _check_json(name, environment[name])
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'__'.join(str(part) for part in one['loc'] if part != '[key]').upper()}: "
            f"{one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None


def _check_json(name: str, value: str) -> None:
    try:
        json.loads(value)
    except ValueError as error:
        raise SettingsError(f"{name} is not JSON: {error}") from None


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, facts in model.model_fields.items():
        full = f"{prefix}{name.upper()}"
        if isinstance(facts.annotation, type) and issubclass(facts.annotation, BaseModel):
            yield from _fields(facts.annotation, f"{full}__")
        else:
            yield full, facts.annotation


def clock(start: str | None, begun: float | None = None) -> Callable[[], datetime]:
    """The system's clock, or one that starts at an instant and ticks from there.

    begun: the monotonic second at which it started, in another process of this machine.
    """
    if start is None:
        return lambda: datetime.now(UTC)
    try:
        first = datetime.fromisoformat(start)
    except ValueError:
        raise SettingsError(
            f"--clock {start!r} is no instant; write it as 2018-01-02T09:00:00Z"
        ) from None
    if first.tzinfo is None:
        raise SettingsError(f"--clock {start!r} needs a time zone, such as {start}Z")
    since = time.monotonic() if begun is None else begun
    return lambda: first.astimezone(UTC) + timedelta(seconds=time.monotonic() - since)


def serving_composition(settings: Settings) -> serving.cli.Composition:
    """What serving needs; its process also answers the links that messages carry."""

    def campaigning(now: Callable[[], datetime], simulated: bool) -> CampaignComposition:
        return campaign_composition(settings, now, name="simulated" if simulated else "system")

    def pages(now: Callable[[], datetime], simulated: bool) -> APIRouter:
        return campaigns.app.routes(campaigning(now, simulated))

    def forget(now: Callable[[], datetime], simulated: bool) -> Callable[[str], None]:
        return partial(forget_member, campaigning(now, simulated))

    def held(now: Callable[[], datetime], simulated: bool) -> Callable[[str], Holding]:
        return Holdings(campaigning(now, simulated)).of

    def promised() -> dict[str, pl.DataFrame]:
        return past.promised(campaign_composition(settings, clock(None), name=None))

    return serving.cli.Composition(
        settings=settings.serving,
        folder=settings.home,
        models=settings.models,
        terms=settings.terms,
        clock=clock,
        pages=pages,
        forget=forget,
        held=held,
        promised=promised,
        worker=served,
        export=os.environ.__setitem__,
    )


def served(clock_start: str | None, begun: float) -> FastAPI:
    """The whole service, in a worker process of its own: settings come with the environment."""
    at = serving_composition(load_settings(dict(os.environ)))
    return at.app(clock(clock_start, begun), simulated=clock_start is not None)


def campaign_composition(
    settings: Settings, now: Callable[[], datetime], *, name: str | None
) -> CampaignComposition:
    """What campaigns need, under a clock of this name."""

    def offers(campaign: Campaign, coupons: list[str], at: datetime) -> ModelOffers:
        terms = Terms(
            margin_rate=campaign.margin_rate or settings.terms.margin_rate,
            coupon_value=(
                settings.terms.coupon_value
                if campaign.coupon_value is None
                else campaign.coupon_value
            ),
            redemption_rate=settings.terms.redemption_rate,
            incremental_share=settings.terms.incremental_share,
        )
        return ModelOffers(open_current(settings.models), coupons, terms, at.timestamp() / 86_400)

    return CampaignComposition(
        settings=settings.campaigns,
        now=now,
        clock=name,
        folder=settings.home,
        dataset=lambda: Dataset(settings.dataset or settings.home / "dataset"),
        offers=offers,
    )
