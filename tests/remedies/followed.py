"""Remedies that are followed elsewhere: on real machines, or by a test that goes on where the line has ended a run."""

from __future__ import annotations

# A part of the line's text as `python -m tests.remedies.lines` lists it, and the test that does what it says.
FOLLOWED: list[tuple[str, str]] = []
