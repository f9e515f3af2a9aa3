"""Whatever is sent to any route under any key, the answer is one that its description promises."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.core.result import Ok

from recsys.dataset import Dataset
from serving.doors import keys
from serving.doors.rules import RULES
from tests.serving.doors.shop import ENDLESS, bearer
from tests.serving.live import NOW
from tests.serving.served import ROOT, Served, environment, served
from tests.small_shop import MEMBERS, PRODUCTS

pytestmark = pytest.mark.slow
Operation = schemathesis.APIOperation[Any, Any, Any, Any]
REAL: dict[str, list[Any]] = {
    "member_id": MEMBERS[:5],
    "visitor_id": ["v1", "v2"],
    "product_id": PRODUCTS[:9],
    "cart": [PRODUCTS[:2]],
    "exclude": [PRODUCTS[3:6]],
    "candidates": [None, PRODUCTS[10:30]],
    "channels": [{"email": {"push": False, "language": "de"}}, {"email": {"push": True}}],
    "placement": ["home", "product", "cart", "search"],
    "filter": ['category startswith "DEPARTMENT 0"', "not (price < 5) and brand is not null"],
    "region": ["north"],
    "kind": ["search"],
    "occurred_at": [NOW.isoformat()],
    "event_id": [f"e{number}" for number in range(50)],
    "limit": [1, 20],
    "order_id": ["o1", "o2"],
    "coupon_id": ["c1", "c3", "c4"],
    "code": [None],
    "discount": [1.0, 0.5],
    "redeemed_at": [None, NOW.isoformat()],
    "ttl": [60],
    "query": ["product 1"],
}
"""by name of a field: what a made-up value seldom hits, so that cases get past the first check"""

LONGEST_ADDRESS = 65_536
"""from there on the HTTP parser refuses a request, before there is a route"""


@dataclass(frozen=True)
class Shop:
    """The command behind its doors, and one credential of each kind."""

    running: Served
    home: Path
    credentials: dict[str, dict[str, str]]
    """headers by kind"""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.running.port}"


@pytest.fixture
def shop(small_model: Path, tmp_path: Path) -> Iterator[Shop]:
    home = tmp_path / "home"
    (home / "dataset").mkdir(parents=True)
    shutil.copy(small_model / "dataset" / "coupons.parquet", home / "dataset")
    _, server = keys.add(home, "server", name="shop", now=NOW)
    _, publishable = keys.add(home, "publishable", name="page", now=NOW)
    endless: dict[str, Any] = {f"doors__{name}": value for name, value in ENDLESS.items()}
    with served(small_model, home, doors__token_seconds=86_400, **endless) as running:
        kinds = {"server": bearer(server), "publishable": bearer(publishable), "none": {}}
        of_tokens = Shop(running, home, kinds)
        for body in ({"member_id": MEMBERS[0]}, {"visitor_id": "v1"}):
            url = f"{of_tokens.url}/v1/tokens"
            answer = httpx.post(url, json=body, headers=kinds["server"])
            kinds[f"token of a {min(body)}"] = bearer(answer.json()["token"])
        yield of_tokens


@st.composite
def cases(draw: st.DrawFn, operation: Operation, mode: GenerationMode) -> Any:
    """Requests made from the description, to the letter or against it; half of the right ones name
    what there is."""
    case = draw(operation.as_strategy(mode))
    if mode is GenerationMode.POSITIVE and draw(st.booleans()):
        for part in (case.path_parameters, case.query, case.body):
            make_real(draw, part)
    return case


def make_real(draw: st.DrawFn, part: Any) -> None:
    if isinstance(part, dict):
        for name, value in part.items():
            if name in REAL:
                part[name] = draw(st.sampled_from(REAL[name]))
            else:
                make_real(draw, value)
    elif isinstance(part, list):
        for value in part:
            make_real(draw, value)


def many(examples: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=slow,
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip


SIZES = [300, pytest.param(20_000, marks=pytest.mark.soak)]


@pytest.mark.parametrize("total", SIZES)
def test_every_answer_is_as_described(
    shop: Shop, total: int, measured: Callable[[str], None]
) -> None:
    description = schemathesis.openapi.from_url(f"{shop.url}/openapi.json")
    operations: list[Operation] = []
    for found in description.get_all_operations():
        assert isinstance(found, Ok), found
        operations.append(found.ok())
    pairs = [(one, mode) for one in operations for mode in GenerationMode]
    statuses: Counter[int] = Counter()
    reached: set[str] = set()
    numbered = 0

    def ask(operation: Operation, mode: GenerationMode, examples: int) -> None:
        @many(examples)
        @given(cases(operation, mode), st.sampled_from(list(shop.credentials.values())))
        def one(case: schemathesis.Case[Any], credential: dict[str, str]) -> None:
            nonlocal numbered
            answer = case.call(base_url=shop.url, session=session, headers=credential)
            assume(len(answer.request.url or "") < LONGEST_ADDRESS)
            statuses[answer.status_code] += 1
            if answer.status_code < 300:
                reached.add(operation.label)
                if operation.label == "POST /v1/events":
                    numbered += answer.json()["accepted"]
                # the feed numbers these, too
                elif operation.label.endswith("/identify"):
                    numbered += answer.json()["new"]
                elif operation.label.startswith("DELETE /v1/members/"):
                    numbered += 1
            # what a rule refuses although it is of the right form, no description can say; and in
            # an address all is text, where a name may stand twice
            not_held = [
                positive_data_acceptance,
                *([negative_data_rejection] if case.query else []),
            ]
            case.validate_response(answer, headers=credential, excluded_checks=not_held)

        with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked for
            one()

    with requests.Session() as session:
        while (left := total - statuses.total()) > 0:
            for operation, mode in pairs:
                ask(operation, mode, math.ceil(left / len(pairs)))
    missed = {operation.label for operation in operations} - reached
    assert statuses[200]
    assert not missed or total < 1_000, f"no case was ever answered as it wishes: {missed}"
    assert "Traceback" not in shop.running.log
    assert shop.running.terminated() == 0
    assert drained(shop.home) == numbered
    measured(f"{statuses.total()} cases, {len(operations)} operations: {dict(statuses)}")
    measured(f"{numbered} events, logins and erasures were accepted, and each was drained")


def drained(home: Path) -> int:
    """How many entries the feed held; what a dataset has of them is all good rows."""
    dataset = home / "dataset"
    drain = [sys.executable, "-m", "guesslike", "drain", str(dataset), "--json"]
    ended = subprocess.run(drain, cwd=ROOT, env=environment(home), check=True, capture_output=True)
    kept = Dataset(dataset)
    for table in ("events", "identities", "erasures", "impressions"):
        # a drain of nothing but logins leaves a part of events without a row
        if kept.has(table) and len(kept.scan(table).head(1).collect()):
            kept.read(table)
    assert not any(kept.rejected.values())
    parts = [
        part["held"]
        for part in json.loads(ended.stdout)["parts"]
        if Path(part["path"]).parent.name != "impressions"
    ]
    return sum(held["stop"] - held["start"] + 1 for held in parts)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@pytest.mark.parametrize("total", [200, pytest.param(4_000, marks=pytest.mark.soak)])
def test_no_address_and_no_method_makes_a_defect(shop: Shop, total: int) -> None:
    """Pages that the description leaves out, and what is no route at all."""
    known = [name.partition(" ")[2] for name in RULES]
    templates = st.sampled_from(known) | TEXTS.map("/{}".format)

    @many(total)
    @given(
        template=templates,
        text=TEXTS,
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        credential=st.sampled_from(list(shop.credentials.values())),
        body=st.none() | st.binary(max_size=100),
    )
    def ask(
        template: str, text: str, method: str, credential: dict[str, str], body: bytes | None
    ) -> None:
        path = re.sub(r"\{[^}]*\}", lambda _: quote(text), template)
        answer = client.request(method, quote(path, safe="/%"), headers=credential, content=body)
        assert answer.status_code < 500, answer.text

    with httpx.Client(base_url=shop.url) as client:
        ask()
    assert "Traceback" not in shop.running.log
