"""Links to products, with what the shop's own analytics wants to read from them."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

PLACE = "{product_id}"


def check_shop_url(url: str | None) -> str | None:
    """ValueError for what is no address of a product."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{url}' is no http:// or https:// address")
    if PLACE not in url or PLACE in parts.netloc:
        raise ValueError(f"'{url}' must hold {PLACE}, as https://shop.example/p/{PLACE} does")
    return url


def product_url(shop_url: str, product_id: str, utm: Mapping[str, str]) -> str:
    """The product's page. The id is quoted whole: it may hold anything."""
    parts = urlsplit(shop_url.replace(PLACE, quote(product_id, safe="")))
    query = "&".join(part for part in (parts.query, urlencode(utm)) if part)
    return urlunsplit(parts._replace(query=query))
