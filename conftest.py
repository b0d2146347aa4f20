"""Let pytest import the collection under its real name, from the checkout that the tests stand in."""

from __future__ import annotations

import sys
from pathlib import Path

COLLECTIONS = Path(__file__).parent / "collections"
if COLLECTIONS.is_dir():
    sys.path.insert(0, str(COLLECTIONS))
