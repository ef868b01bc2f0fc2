"""Addresses of servers without their passwords, in any form, so that they can be shown."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
_NAMED = re.compile(r"(?i)((?:password|passwd|pwd|passphrase|token|secret)\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s;]*)")
"""A password by its name: in a URL's query (``password``, ``sslpassword``), or in libpq's own form."""


def shown(url: str) -> str:
    """`url` without its passwords; everything between the first colon and the last @ counts as one.

    >>> shown("postgresql+psycopg://lab:pa@ss@host/db"), shown("postgresql://host/db?user=lab&password=hushed")
    ('postgresql://lab:***@host/db', 'postgresql://host/db?user=lab&password=***')
    """
    url = _NAMED.sub(rf"\1{HIDDEN}", url.replace("+psycopg", ""))
    start, password, end = _user_info(url)
    return f"{start}{HIDDEN}{end}" if password else url


def hushed(words: str, url: str) -> str:
    """`words`, such as an error that may quote `url`, without its passwords."""
    for secret in sorted(_passwords(url), key=len, reverse=True):
        words = words.replace(secret, HIDDEN)
    return _NAMED.sub(rf"\1{HIDDEN}", words)


def _user_info(url: str) -> tuple[str, str, str]:
    """The part before the password of ``user:password@host``, the password (empty without one) and the part after."""
    before, at, host = url.rpartition("@")
    scheme, mark, user = before.partition("://") if "://" in before else ("", "", before)
    name, colon, password = user.partition(":")
    if scheme.startswith("sqlite"):  # the path of a file
        return url, "", ""
    if not at and (match := re.match(r"((?:[\w+]+://)?[^:/?=]*:)(?!\d*(?:[/?,]|$))([^/?]+)(.*)", url, re.DOTALL)):
        return match[1], match[2], match[3]  # the @ is missing, or this is a port that is not a number
    if not (at and colon):
        return url, "", ""
    return f"{scheme}{mark}{name}:", password, f"@{host}"


def _passwords(url: str) -> set[str]:
    """Every password in `url`: as written, decoded, and in each encoding that a message may use."""
    written = {value.strip("'") for _, value in _NAMED.findall(url)}
    written.add(_user_info(url)[1])
    decoded = written | {unquote(each) for each in written} | {unquote_plus(each) for each in written}
    return {each for each in decoded | {quote(d, safe="") for d in decoded} | {quote_plus(d) for d in decoded} if each}
