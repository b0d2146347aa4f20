"""The tables of cases, by their names."""

from __future__ import annotations

TABLES: dict = {}
