"""The browser and its server are asked for by name."""

from tests.support.browser import jupyter, page, server

__all__ = ["jupyter", "page", "server"]
