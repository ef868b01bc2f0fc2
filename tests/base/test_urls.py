"""Passwords in addresses: masked in every form that anybody writes one in."""

from __future__ import annotations

import pytest

from t4r_lab.base.urls import hushed, shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://lab:hushed@host:5432/db", "postgresql://lab:***@host:5432/db"),
        ("postgresql+psycopg://lab:hushed@host/db", "postgresql://lab:***@host/db"),
        ("postgresql://lab:hu@shed@host/db", "postgresql://lab:***@host/db"),
        ("postgresql://lab:hu://shed@host/db", "postgresql://lab:***@host/db"),
        ("postgresql://lab:hu/sh?e#d@host/db", "postgresql://lab:***@host/db"),
        ("postgresql://lab:hu%40shed@host/db", "postgresql://lab:***@host/db"),
        ("postgresql://:hushed@host/db", "postgresql://:***@host/db"),
        ("postgresql://host/db?user=lab&password=hushed", "postgresql://host/db?user=lab&password=***"),
        ("postgresql://host/db?password=hushed&user=lab", "postgresql://host/db?password=***&user=lab"),
        ("postgresql://host/db?PASSWORD=hushed", "postgresql://host/db?PASSWORD=***"),
        ("postgresql://lab@host/db?sslpassword=hushed", "postgresql://lab@host/db?sslpassword=***"),
        ("postgresql://lab:hushed@host/db?password=hushed", "postgresql://lab:***@host/db?password=***"),
        ("lab:hushed@host/db", "lab:***@host/db"),
        ("host=h user=lab password=hushed dbname=d", "host=h user=lab password=*** dbname=d"),
        ("host=h password = 'hush ed' dbname=d", "host=h password = *** dbname=d"),
        ("https://lab:hushed@mlflow.example.org/", "https://lab:***@mlflow.example.org/"),
        ("postgresql://lab:hushed/db", "postgresql://lab:***/db"),
        ("postgresql://lab:hushed", "postgresql://lab:***"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://one:5432,two:5433/db", "postgresql://one:5432,two:5433/db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://lab@host/db", "postgresql://lab@host/db"),
        ("sqlite:////lab/a:b@c/studies.db", "sqlite:////lab/a:b@c/studies.db"),
    ],
)
def test_a_password_is_masked(url: str, expected: str) -> None:
    assert shown(url) == expected
    assert shown(expected) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://lab:hu%40sh+ed@host/db",
        "postgresql://host/db?user=lab&password=hu%40sh+ed",
        "postgresql+psycopg://lab:hu%40sh%2Bed@host/db",
    ],
)
def test_what_others_say_of_an_address_is_masked_too(url: str) -> None:
    for written in (url, "hu@sh+ed", "hu%40sh%2Bed", "password=hu%40sh+ed"):
        message = hushed(f"no such thing: {written}, fix it", url)
        assert "hu" not in message.replace("such thing", "")
        assert message.startswith("no such thing: ") and message.endswith("fix it")
