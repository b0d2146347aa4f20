"""The tables of cases, by their names."""

from __future__ import annotations

from tests.remedies.tables.hosts import HOSTS

TABLES = {"hosts": HOSTS}
