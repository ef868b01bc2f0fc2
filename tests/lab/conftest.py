"""The browser and its server are asked for by name."""

from tests.support.browser import page, server

__all__ = ["page", "server"]
