# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the port guard of this collection stands on a host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

from ansible_collections.aztec_ops.prover.plugins.module_utils.nft import DIRECTORY, TABLE, UNIT, UNIT_FILE


def nft_facts(run: Callable, root: Path) -> dict[str, Any]:
    """Whether nft is there, and its version."""
    if not any((root / folder / "nft").exists() for folder in ("usr/sbin", "sbin", "usr/local/sbin")):
        return {"installed": False, "version": ""}
    _code, out, _err = run(["nft", "--version"])
    match = re.search(r"v(\d[\d.]*)", out)
    return {"installed": True, "version": match.group(1) if match else ""}


def enabled(root: Path) -> bool:
    """Whether the guard's unit is started at boot by some other unit."""
    folder = root / "etc/systemd/system"
    return any(
        (entry / UNIT).is_symlink() or (entry / UNIT).exists()
        for kind in ("*.wants", "*.requires")
        for entry in folder.glob(kind)
    )


def sections(root: Path) -> list[str]:
    """The names of the sections that are laid down."""
    return sorted(entry.stem for entry in (root / DIRECTORY.lstrip("/")).glob("*.json"))


def guard_facts(run: Callable, root: Path, nft_installed: bool) -> dict[str, Any]:
    """installed (its unit is there), loaded (the kernel has a rule for each section), enabled, and its sections."""
    laid_down = sections(root)
    loaded = False
    if nft_installed:
        code, out, _err = run(["nft", "list", "chain", "inet", TABLE, "prerouting"])
        loaded = code == 0 and all(f"jump shut_{name}" in out for name in laid_down)
    return {
        "installed": (root / UNIT_FILE.lstrip("/")).exists(),
        "loaded": loaded,
        "enabled": enabled(root),
        "sections": laid_down,
    }
