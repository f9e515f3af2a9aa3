"""The sentences of reasons, in the languages that a shop may ask for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
NOTEWORTHY = 1.05
"""times chance: of less the sentence says nothing"""


@dataclass(frozen=True, slots=True)
class Wording:
    """How one language says it."""

    again: Callable[[int, int], str]
    """days since the last order, days from one to the next"""
    company: Callable[[str, int, int, float], str]
    """the other product's title, orders with both, orders with it, times chance"""
    seen: Callable[[str], str]
    """adds to such a sentence that the other product was seen or bought lately"""
    scope: Callable[[str | None, str, int], str]
    """what a coupon gives, the title of a product that it counts for, and how many more"""
    given: Callable[[str | None, float | None], str | None]
    """what a coupon gives on what is recommended, by its kind and value; None where unknown"""
    sold_out: str
    """of all that a coupon counts for"""
    plain: Mapping[str, str]
    """by code"""


@lru_cache(1000)
def language_of(accepted: str | None) -> Language:
    """The language that an Accept-Language header likes best (RFC 9110 12.5.4); English if none."""
    best, liked = "en", 0.0
    for part in (accepted or "").split(",")[:20]:
        name, _, quality = part.strip().partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        primary = name.strip().lower().partition("-")[0]
        if primary in LANGUAGES and weight > liked:
            best, liked = primary, weight
    return "zh" if best == "zh" else "en"


def _again(days: int, every: int) -> str:
    ago = {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")
    rhythm = "every day" if every == 1 else f"about every {every} days"
    return f"You buy it {rhythm}, last {ago}"


def _company(title: str, orders: int, of_orders: int, lift: float) -> str:
    chance = f", {lift:,.1f} × chance" if lift >= NOTEWORTHY else ""
    return f"In {orders:,} of {of_orders:,} orders with {title}{chance}"


def _scope(given: str | None, title: str, more: int) -> str:
    others = f" and {more} more of your usual products" if more else ""
    return f"{given}: {title}{others}" if given else f"Counts for {title}{others}"


def _given(kind: str | None, value: float | None) -> str | None:
    what = "what we recommend to you"
    if kind == "percent" and value is not None:
        return f"{value:g} % off {what}"
    if kind == "amount" and value is not None:
        return f"{value:g} off {what}"
    return {"shipping": f"Free shipping on {what}", "gift": f"A gift with {what}"}.get(kind or "")


def _again_zh(days: int, every: int) -> str:
    ago = {0: "今天", 1: "昨天"}.get(days, f"{days}天前")
    rhythm = "每天" if every == 1 else f"大约每{every}天"
    return f"您{rhythm}购买一次，上次是{ago}"


def _company_zh(title: str, orders: int, of_orders: int, lift: float) -> str:
    chance = f"，是偶然的{lift:,.1f}倍" if lift >= NOTEWORTHY else ""
    return f"{of_orders:,}笔含{title}的订单中有{orders:,}笔同时购买{chance}"


def _scope_zh(given: str | None, title: str, more: int) -> str:
    others = f"，以及另外{more}件您常买的商品" if more else ""
    return f"{given}：{title}{others}" if given else f"适用于{title}{others}"


def _given_zh(kind: str | None, value: float | None) -> str | None:
    if kind == "percent" and value is not None:
        # nine tenths are left to pay: 9折
        left = round(10 - value / 10, 2)
        return f"为您推荐商品专享{left:g}折" if left else "为您推荐商品免费"
    if kind == "amount" and value is not None:
        return f"为您推荐商品立减{value:g}"
    return {"shipping": "为您推荐商品包邮", "gift": "购买为您推荐的商品有赠品"}.get(kind or "")


WORDING: Mapping[Language, Wording] = {
    "en": Wording(
        _again,
        _company,
        lambda sentence: f"{sentence}; you saw or bought that lately",
        _scope,
        _given,
        "None of its products can be bought now",
        {
            "together": "Often bought together with what you buy",
            "taste": "Members with a taste like yours buy it",
            "category": "From a category you buy often",
            "promoted": "On promotion now",
            "fresh": "New in the shop",
            "popular": "Popular in the shop now",
            "pinned": "Chosen by the shop",
            "found": "Found by your search",
            "searched": "Fits what you searched for lately",
        },
    ),
    "zh": Wording(
        _again_zh,
        _company_zh,
        lambda sentence: f"{sentence}；您最近看过或买过它",
        _scope_zh,
        _given_zh,
        "适用商品暂时缺货",
        {
            "together": "常与您购买的商品一起购买",
            "taste": "与您口味相近的会员也在购买",
            "category": "来自您常买的品类",
            "promoted": "正在促销",
            "fresh": "新品上架",
            "popular": "店内热销",
            "pinned": "本店精选",
            "found": "符合您的搜索",
            "searched": "符合您最近的搜索",
        },
    ),
}
