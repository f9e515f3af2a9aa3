import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.logs import dataset_of, on
from training.doctor import Examination, examine

NOW = on(65)
Rows = list[dict[str, Any]]
MEMBERS = [{"member_id": f"m{n}"} for n in range(40)]
PRODUCTS = [
    {"product_id": f"p{n}", "title": f"P {n}", "category": f"C > {n % 3}"} for n in range(30)
]


def sound() -> Rows:
    """Forty members buy two products every third day for two months, and look at them first."""
    rows = []
    for member in range(40):
        for order in range(20):
            for product in ((member + order) % 30, (member * 7 + order * 3) % 30):
                line = {"member_id": f"m{member}", "product_id": f"p{product}"}
                day = 3.0 * order + member % 3 + member / 50
                bought = {"kind": "purchase", "order_id": f"{member}-{order}", "quantity": 1.0}
                rows.append({**line, "day": day, **bought})
                rows.append({**line, "day": day - 0.01, "kind": "view"})
    return rows


def names(folder: Path, rows: Rows, **tables: Rows) -> set[str]:
    whole = {"members": MEMBERS, "products": PRODUCTS, **tables}
    given = {name: table for name, table in whole.items() if table}
    return {one.name for one in examined(folder, rows, **given).findings}


def examined(folder: Path, rows: Rows, **tables: Rows) -> Examination:
    return examine(dataset_of(folder, rows, **tables), now=NOW)


def test_nothing_is_found_in_a_sound_shop(tmp_path: Path) -> None:
    assert names(tmp_path, sound()) == set()


def ill(illness: str) -> tuple[Rows, dict[str, Rows]]:  # noqa: PLR0911, PLR0912
    rows = sound()
    only = [row for row in rows if row["kind"] == "purchase"]
    buy = {"kind": "purchase", "member_id": "m1"}
    match illness:
        case "no purchases":
            return [row for row in rows if row["kind"] == "view"], {}
        case "one kind of event":
            return only, {}
        case "swapped ids":
            swap = {"member_id": "product_id", "product_id": "member_id"}
            return [{swap.get(k, k): v for k, v in row.items()} for row in rows], {}
        case "events of nobody":
            return [
                {**row, "member_id": None if row["kind"] == "view" or n % 4 else row["member_id"]}
                for n, row in enumerate(rows)
            ], {}
        case "bots or collective accounts":
            return rows + [{**buy, "product_id": "p1", "day": 9 + n / 9_000, "kind": "view"}
                           for n in range(1_100)], {}  # fmt: skip
        case "duplicate orders":
            return rows + [{**row, "order_id": f"again {row['order_id']}"} for row in only[:60]], {}
        case "bad rows":
            return [*rows, {**buy, "product_id": "p1", "day": 9.0, "quantity": -1.0}], {}
        case "in nearly every order":
            bags = {row["order_id"]: {**row, "product_id": "bag"} for row in only}
            return rows + list(bags.values()), {"products": [*PRODUCTS, {
                "product_id": "bag", "title": "Bag", "category": "Bags"}]}  # fmt: skip
        case "dates from the future":
            return [*rows, {**buy, "product_id": "p1", "day": 65.2}], {}
        case "one instant":
            return [{**row, "day": 9.0} for row in rows], {}
        case "a short log":
            return [{**row, "day": row["day"] / 4} for row in rows], {}
        case "holes in the log":
            return [{**row, "day": row["day"] - 20 * (row["day"] < 30)} for row in rows], {}
        case "promotions known late":
            row = {"product_id": "p1", "starts_at": on(5), "ends_at": on(9), "known_from": on(6)}
            return rows, {"promotions": [row]}
        case "undated facts of members":
            return rows, {"members": [{**row, "tier": "gold"} for row in MEMBERS]}
        case "no catalogue":
            return rows, {"products": []}
        case "catalogue gaps":
            return rows, {"products": PRODUCTS[:20]}
        case "no category":
            return rows, {"products": [{**row, "category": None} for row in PRODUCTS[:3]]
                          + PRODUCTS[3:]}  # fmt: skip
        case "no title":
            return rows, {"products": [{**row, "title": None} for row in PRODUCTS[:3]]
                          + PRODUCTS[3:]}  # fmt: skip
    raise AssertionError(illness)


ILLNESSES = [
    "no purchases", "one kind of event", "swapped ids", "events of nobody",
    "bots or collective accounts", "duplicate orders", "bad rows",
    "in nearly every order", "dates from the future", "one instant", "a short log",
    "holes in the log", "promotions known late", "undated facts of members", "no catalogue",
    "catalogue gaps", "no category", "no title",
]  # fmt: skip


@pytest.mark.parametrize("illness", ILLNESSES)
def test_an_illness_is_found_by_its_name(tmp_path: Path, illness: str) -> None:
    rows, tables = ill(illness)
    found = names(tmp_path, rows, **tables)
    assert illness in found
    # a shop turned upside down has more than one
    assert len(found) <= (3 if illness in {"swapped ids", "no purchases", "one instant"} else 1)


def test_the_gravest_comes_first_and_says_what_mends_it(tmp_path: Path) -> None:
    rows, _ = ill("dates from the future")
    found = examined(tmp_path, [row for row in rows if row["kind"] == "purchase"])
    assert [one.gravity for one in found.findings] == ["error", "note", "note"]
    first = found.findings[0]
    assert "1 events are later than now" in first.what
    assert "--timezone" in first.mend
    assert json.loads(json.dumps(found.report()))["findings"][0]["name"] == "dates from the future"


def test_placements_rest_on_what_is_counted(tmp_path: Path) -> None:
    carried = {one.placement: one for one in examined(tmp_path, sound()).placements}
    assert list(carried) == ["home", "product", "cart", "search"]
    assert not carried["home"].carried  # 40 members
    assert carried["home"].because.startswith("40 members have two orders")
    assert not carried["search"].carried
    many = [
        {"member_id": f"n{n}", "product_id": f"p{p}", "day": float(day), "order_id": f"n{n}{day}"}
        for n in range(600) for day in (1, 40) for p in (n % 29, n % 29 + 1)
    ]  # fmt: skip
    wide = {one.placement: one.carried for one in examined(tmp_path / "wide", many).placements}
    assert wide == {"home": True, "product": True, "cart": True, "search": False}
