"""What goes over the wire. Requests are checked by pydantic; answers are encoded by msgspec and
described to OpenAPI by the same types."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from serving.feed.news import Fact

Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\n]*\S[^\n]*$")]
"""what a dataset keeps as an id, for it is not blank, and an address can name"""
Label = Annotated[str, Field(min_length=1, max_length=500)]
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""An older row is set aside by a dataset, so an older event is refused: what is answered with 200
is learned from, and nobody can fill the log with rows that stop a training."""
FilterText = Annotated[str, Field(min_length=1, max_length=1_000)]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The facts a reason states; absent where it states none."""

    product_id: str | None = None
    last_days_ago: int | None = None
    every_days: int | None = None
    orders: int | None = None
    """orders that hold both this product and `product_id`"""
    of_orders: int | None = None
    """orders that hold `product_id`"""
    lift: float | None = None
    """times as many as if the two had nothing to do with each other"""


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why a product is in the list."""

    code: str
    text: str
    evidence: Evidence


class Item(msgspec.Struct, frozen=True, gc=False):
    """One place of a list, best first. The score orders one answer; it has no unit."""

    product_id: str
    score: float
    source: str
    reason: Reason


class Removed(msgspec.Struct, frozen=True, gc=False):
    """Products that each rule took away from what the rules before it left."""

    unknown: int
    """candidates that the model does not know; they are not considered at all"""
    out_of_stock: int
    placement: int
    """by the placement's own filter"""
    region: int
    filter: int
    shown: int
    """on the page or in the cart already"""
    excluded: int
    resting: int
    """bought a moment ago"""
    one_variant: int
    at_most: int
    """passed over by these two until the list was full"""


class FilledFrom(msgspec.Struct, frozen=True, gc=False):
    """How many places each step of the chain filled."""

    pins: int
    page: int
    member: int
    catalogue: int
    new: int
    """of the last places of these, given to products too new to be ranked"""
    relaxed: int
    """of all, those that break a limit because nothing else was left"""


class Debug(msgspec.Struct, frozen=True, gc=False):
    """How an answer came about."""

    considered: int
    """products that a list could hold, sold out or not; with candidates, those of them"""
    removed: Removed
    allowed: int
    """what all rules but the last two left"""
    filled: FilledFrom


class Recommendations(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An answer, and which model gave it."""

    request_id: str
    model_version: str
    items: list[Item]
    variant: str | None = None
    """EXPERIMENT:VARIANT, where the placement is in an experiment"""
    debug: Debug | None = None


class CouponItem(msgspec.Struct, frozen=True):
    """A coupon the member can use now, the one worth most first."""

    coupon_id: str
    campaign_id: str | None
    title: str
    kind: str | None
    value: float | None
    """percent: 10 means 10 % off; amount: money"""
    min_spend: float | None
    valid_until: datetime | None
    code: str | None
    """that was sent to the member with it"""
    probability: float
    """that the member redeems it within the model's horizon"""
    products: list[str]
    """of its scope, ranked for this member"""
    reason: Reason


class Coupons(msgspec.Struct, frozen=True):
    """The answer of GET /v1/coupons."""

    request_id: str
    model_version: str
    basis: str
    """what says which orders come because of a push, as plans say it"""
    items: list[CouponItem]


class _Body(BaseModel):
    # strict: true is no price of 1, as the OpenAPI document says
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RecommendBody(_Body):
    """POST /v1/recommendations: as GET, with ids out of the URL."""

    member_id: Id | None = None
    visitor_id: Id | None = None
    placement: Annotated[str, Field(min_length=1, max_length=64)] = "home"
    product_id: Id | None = None
    cart: Annotated[list[Id], Field(max_length=100)] = []
    exclude: Annotated[list[Id], Field(max_length=500)] = []
    candidates: Annotated[list[Id], Field(max_length=500)] | None = None
    """what the shop's own search found, to be ranked again: nothing else is shown"""
    query: Annotated[str, Field(max_length=500)] | None = None
    """what was typed, for placement search: what fits it is shown, and nothing else"""
    filter: FilterText | None = None
    """which products may be shown, in the grammar of `recsys.filters`"""
    region: Id | None = None
    """products that are sold elsewhere alone are left out"""
    limit: Annotated[int, Field(ge=1)] | None = None
    """the placement's where there is none"""
    debug: bool = False
    """say how many products each rule took away"""


class Question(msgspec.Struct, frozen=True, gc=False):
    """What RecommendBody holds, from an address or a body: made in a fraction of the time."""

    member_id: str | None
    visitor_id: str | None
    placement: str
    product_id: str | None
    cart: list[str]
    exclude: list[str]
    candidates: list[str] | None
    query: str | None
    filter: str | None
    region: str | None
    limit: int | None
    debug: bool


class EventBody(_Body):
    """One event. `event_id` makes sending it again harmless."""

    event_id: Id
    kind: Literal["view", "click", "search", "add_to_cart", "purchase", "return"]
    occurred_at: Annotated[AwareDatetime, Field(ge=EARLIEST, strict=False)]
    product_id: Id | None = None
    member_id: Id | None = None
    visitor_id: Id | None = None
    order_id: Id | None = None
    quantity: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    amount: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None
    query: Annotated[str, Field(max_length=500)] | None = None
    session_id: Id | None = None
    placement: Id | None = None
    request_id: Id | None = None

    @model_validator(mode="after")
    def _names_a_product(self) -> "EventBody":
        if self.product_id is None and self.kind != "search":
            raise ValueError(f"product_id is needed for a {self.kind}")
        if self.kind == "purchase" and self.quantity == 0:
            raise ValueError("quantity of a purchase is above 0; leave it out if unknown")
        return self


class EventsBody(_Body):
    """POST /v1/events."""

    events: Annotated[list[EventBody], Field(min_length=1)]


class ProductBody(_Body):
    """What is said of one product. null takes back what was said before."""

    product_id: Id
    in_stock: bool | None = None
    price: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None
    title: Label | None = None
    """with a title a product can be shown that no model knows yet. A model that knows it has its
    own title, category, brand and regions"""
    category: Label | None = None
    """a path, ` > ` between levels"""
    brand: Label | None = None
    regions: Annotated[list[Id], Field(min_length=1, max_length=100)] | None = None
    """where it is sold; everywhere if left out"""

    def said(self) -> dict[str, Fact]:
        """The facts that are named."""
        return self.model_dump(exclude={"product_id"}, exclude_unset=True)

    @model_validator(mode="after")
    def _says_something(self) -> "ProductBody":
        if not self.said():
            raise ValueError(
                "in_stock, price, title, category, brand or regions is needed; null takes back "
                "what was said"
            )
        return self


class ProductsBody(_Body):
    """PATCH /v1/products."""

    products: Annotated[list[ProductBody], Field(min_length=1)]


class Told(BaseModel):
    """How many products were spoken of, and which of them neither the model knows nor a title was
    told of. What is said of those counts once one is."""

    accepted: int
    unknown: list[str]


class Accepted(BaseModel):
    """How many events were new, and how many known already."""

    accepted: int
    duplicates: int


class Ready(BaseModel):
    """GET /readyz while the service answers."""

    ready: Literal[True] = True
    model_version: str
    model_as_of: str
    model_age_days: float
    feed: str
    feed_warnings: list[str]
    feed_answers: bool
    """when it was last asked"""
    answers_from: Literal["model and feed", "model alone"]
    experiments: dict[str, bool]
    """whether each runs: false where a model that it needs is gone"""
    blas_threads: int


class Unready(BaseModel):
    """GET /readyz before the first answer and after the order to stop."""

    ready: Literal[False] = False
    reason: str


class Problem(BaseModel):
    """Any error: what is wrong and, where it is one field's fault, which."""

    detail: str
    field: str | None = None
