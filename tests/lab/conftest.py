"""The browser and its server are asked for by name."""

from tests.support.browser import browser, jupyter, page, server

__all__ = ["browser", "jupyter", "page", "server"]
