"""What a training run may vary. The whole of it stands in the model's manifest."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class TrainingSettings(BaseModel):
    """GUESSLIKE_TRAINING__NAME sets one of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 1
    min_support: Annotated[int, Field(ge=1)] = 5
    """a product of the catalogue stands in at least so many orders"""
    horizon_days: Annotated[float, Field(gt=0, le=365)] = 7.0
    """the blend learns what is bought within so many days"""
    windows: Annotated[int, Field(ge=1, le=52)] = 4
    """horizons before the as-of date that the blend learns from"""
    window_members: Annotated[int, Field(ge=1)] = 20_000
    """members sampled for each window"""
    negatives: Annotated[int, Field(ge=1)] = 30
    """pairs not bought that are kept for each pair bought"""
    factors: Annotated[int, Field(ge=1, le=1024)] = 64
    iterations: Annotated[int, Field(ge=1, le=100)] = 10
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 50
    """products kept as bought together with one product"""
    candidates: Annotated[int, Field(ge=1, le=1000)] = 100
    """products that one source proposes for one member"""
    base_size: Annotated[int, Field(ge=1, le=1000)] = 128
    """products in a member's base list"""
    browsing_needed: Annotated[int, Field(ge=0)] = 1_000
    """views, clicks and carts in a month that a session's weight is learned from; with fewer it
    keeps its prior"""
    session_prior: Annotated[float, Field(ge=0)] = 1.0
    """weight of the session where the data has no sessions to learn from"""
    gate_ratio: Annotated[float, Field(ge=0)] = 0.95
    """a new model's recall against that of CURRENT's recipe on the same data"""
    gate_coverage: Annotated[float, Field(ge=0, le=1)] = 0.01
    """least share of the catalogue that the base lists show"""
    gate_size: Annotated[float, Field(ge=0, le=1)] = 0.5
    """a new model's members and products against those of CURRENT"""
    keep_models: Annotated[int, Field(ge=1)] = 5
