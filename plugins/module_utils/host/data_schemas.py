# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The schemas of the stores in Aztec's data directories, by which a version knows whether it can read them.

Each store is a directory with the file db_version, {"schemaVersion": number, "rollupAddress": "0x..."}. A program that
finds a newer schema than its own deletes the store and synchronizes again (DatabaseVersionManager of 4.1.2 and 6).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text

VERSION_FILE = "db_version"
# In the directory .stack of a project: the schemas that each version used, {version: {store: schema}}.
SCHEMAS_FILE = ".stack/schemas.json"
# The broker has a store for each epoch, in a directory with its number. All have the same schema.
EPOCHS = "epochs"


def _as_dict(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def store_schemas(directory: Path) -> dict[str, int]:
    """Return the schema of each store in a data directory, by its name, without those that have no valid db_version."""
    found: dict[str, int] = {}
    for path in sorted(directory.glob(f"*/{VERSION_FILE}")):
        name = EPOCHS if path.parent.name.isdecimal() else path.parent.name
        schema = _as_dict(read_text(path)).get("schemaVersion")
        if isinstance(schema, int) and not isinstance(schema, bool):
            found[name] = max(schema, found.get(name, 0))
    return found


def recorded_schemas(directory: Path) -> dict[str, dict[str, int]]:
    """Return the content of SCHEMAS_FILE in a project's directory, without entries of another form."""
    versions = _as_dict(read_text(directory / SCHEMAS_FILE))
    return {
        version: {name: schema for name, schema in stores.items() if isinstance(schema, int)}
        for version, stores in versions.items()
        if isinstance(stores, dict)
    }
