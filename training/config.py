"""What a training run may vary. The whole of it stands in the model's manifest."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

SourceName = Literal["popular", "segment", "own", "together", "similar", "neighbours", "taste"]
EvidenceName = Literal["clock", "category", "promoted"]
"""what no source of candidates brings"""
Ablated = SourceName | EvidenceName


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
    window_members: Annotated[int, Field(ge=1)] = 5_000
    """members sampled for each window"""
    negatives: Annotated[int, Field(ge=1)] = 8
    """pairs not bought that the blend learns from for each pair bought"""
    listed_repeats: Annotated[int, Field(ge=1, le=1000)] = 60
    listed_new: Annotated[int, Field(ge=1, le=1000)] = 60
    """products of either kind that the blend hands to the trees, for one member"""
    tree_positives: Annotated[int, Field(ge=1)] = 1_000
    """fewer bought pairs of one kind than this teach trees more noise than rules"""
    trees: Annotated[int, Field(ge=1, le=1000)] = 60
    tree_rate: Annotated[float, Field(gt=0, le=1)] = 0.13
    tree_leaves: Annotated[int, Field(ge=4, le=256)] = 15
    """at most; with little to learn from fewer"""
    factors: Annotated[int, Field(ge=1, le=1024)] | None = None
    """of taste; by default chosen by the density of the catalogue"""
    iterations: Annotated[int, Field(ge=1, le=100)] | None = None
    """of taste; by default likewise"""
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 50
    """products kept as bought together with one product"""
    similar: Annotated[int, Field(ge=1, le=1000)] = 200
    """products kept as similar to one product"""
    members_near: Annotated[int, Field(ge=1, le=1000)] = 100
    """members whose habits speak for one member"""
    candidates: Annotated[int, Field(ge=1, le=1000)] = 100
    """products that one source proposes for one member"""
    base_size: Annotated[int, Field(ge=1, le=1000)] = 128
    """products in a member's base list"""
    browsing_needed: Annotated[int, Field(ge=0)] = 1_000
    """views, clicks and carts in a month that a session's weight is learned from; with fewer it
    keeps its prior"""
    session_prior: Annotated[float, Field(ge=0)] = 1.0
    """weight of the session where the data has no sessions to learn from: of what was bought
    together with its products; that of their categories is 0.3 of it"""
    without: tuple[Ablated, ...] = ()
    """left out, candidates and features, to see what it earns"""
    exploring: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """share of the places of a home list that go to products too new to be ranked"""
    new_days: Annotated[float, Field(gt=0, le=365)] = 28.0
    """a product is new for so long after its launch"""
    gate_ratio: Annotated[float, Field(ge=0)] = 0.95
    """a new model's recall against that of CURRENT's recipe on the same data"""
    gate_coverage: Annotated[float, Field(ge=0, le=1)] = 0.01
    """least share of the catalogue that the base lists show"""
    gate_size: Annotated[float, Field(ge=0, le=1)] = 0.5
    """a new model's members and products against those of CURRENT"""
    keep_models: Annotated[int, Field(ge=1)] = 5

    @field_validator("without")
    @classmethod
    def _something_is_left(cls, without: tuple[Ablated, ...]) -> tuple[Ablated, ...]:
        if set(without) >= set(get_args(SourceName)):
            raise ValueError("it leaves no source of candidates; take at least one out of it")
        return without
