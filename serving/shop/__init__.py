"""A small shop page over the service, for trying it by hand. No part of the product's API."""

from serving.shop.routes import Shopper, mount

__all__ = ["Shopper", "mount"]
