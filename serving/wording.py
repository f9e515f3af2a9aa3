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
    scope: Callable[[str, int], str]
    """the title of a product that a coupon counts for, and how many more"""
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


def _scope(title: str, more: int) -> str:
    others = f" and {more} more of your usual products" if more else ""
    return f"Counts for {title}{others}"


def _again_zh(days: int, every: int) -> str:
    ago = {0: "今天", 1: "昨天"}.get(days, f"{days}天前")
    rhythm = "每天" if every == 1 else f"大约每{every}天"
    return f"您{rhythm}购买一次，上次是{ago}"


def _company_zh(title: str, orders: int, of_orders: int, lift: float) -> str:
    chance = f"，是偶然的{lift:,.1f}倍" if lift >= NOTEWORTHY else ""
    return f"{of_orders:,}笔含{title}的订单中有{orders:,}笔同时购买{chance}"


def _scope_zh(title: str, more: int) -> str:
    return f"适用于{title}" + (f"等{more + 1}件您常买的商品" if more else "")


WORDING: Mapping[Language, Wording] = {
    "en": Wording(
        _again,
        _company,
        lambda sentence: f"{sentence}; you saw or bought that lately",
        _scope,
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
