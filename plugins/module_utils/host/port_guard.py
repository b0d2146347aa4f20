# Copyright: Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of the port guard on a host."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any, Callable

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import read_text
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import Failed, Host, python_path

# Usual files of a ruleset that is loaded at boot.
SAVED_RULESETS = ("etc/nftables.conf", "etc/nftables.d/*", "etc/nftables/*")


def nft_facts(run: Callable, root: Path) -> dict[str, Any]:
    """Return whether nft is installed, and its version."""
    if not any((root / folder / "nft").exists() for folder in ("usr/sbin", "sbin", "usr/local/sbin")):
        return {"installed": False, "version": ""}
    _code, out, _err = run(["nft", "--version"])
    match = re.search(r"v(\d[\d.]*)", out)
    return {"installed": True, "version": match.group(1) if match else ""}


def enabled(root: Path) -> bool:
    """Return whether another unit starts the guard's unit at boot."""
    folder = root / "etc/systemd/system"
    folders = [*folder.glob("*.wants"), *folder.glob("*.requires")]
    return any(os.path.lexists(entry / nft.UNIT) for entry in folders)


def saved_rulesets(root: Path) -> list[str]:
    """Return the files of saved rulesets that contain the guard's tables."""
    files = [path for pattern in SAVED_RULESETS for path in sorted(root.glob(pattern)) if path.is_file()]
    table = re.compile(rf"^\s*(add\s+)?table\s+(inet|bridge)\s+{nft.TABLE}\b", re.MULTILINE)
    return [f"/{path.relative_to(root)}" for path in files if table.search(read_text(path))]


def read_sections(texts: dict[str, str]) -> tuple[list[nft.Section], list[str]]:
    """Return the sections in the texts of their files by name, and one line for each file without a valid section."""
    found, problems = [], []
    for name, text in texts.items():
        try:
            found.append(nft.section_from_text(name, text))
        except ValueError as error:
            problems.append(f"{nft.DIRECTORY}/{name}.json {error}")
    return found, problems


def unit_properties(host: Host) -> dict[str, str]:
    """Return systemd's properties of the guard's unit, {} where systemctl is missing or fails."""
    try:
        return host.service.properties()
    except Failed:
        return {}


def file_digests(host: Host) -> dict[str, str]:
    """Return the SHA-256 digests of rules, program, unit and drop-in by path, without files that cannot be read."""
    found = {}
    for path in (nft.TABLE_FILE, nft.PROGRAM_FILE, nft.UNIT_FILE, nft.DOCKER_FILE):
        # Without root, a directory can be closed to this process.
        with contextlib.suppress(OSError):
            digest = host.digest(path)
            if digest:
                found[path] = digest
    return found


def _owner(state: dict | None, owners: dict[str, int | None], root: Path) -> str:
    """Return the owner of the tables: guard, watch, none, or another process by its PID; '' without tables."""
    pids = {pid for pid in owners.values() if pid is not None}
    if not pids:
        return ""
    if state and state["mechanism"] == guard_daemon.WATCH and pids == {0}:
        return "watch"
    if state and pids == {state["pid"]}:
        return "guard"
    others = sorted(pid for pid in pids if pid and pid != (state or {}).get("pid"))
    if not others:
        return "none"
    name = read_text(root / f"proc/{others[0]}/comm").strip()
    return f"process {others[0]} ({name})" if name else f"process {others[0]}"


def guard_facts(
    run: Callable,
    root: Path,
    nft_path: str | None,
    send_command: Callable = guard_daemon.send_command,
    owner_of: Callable = guard_daemon.owner_of,
) -> dict[str, Any]:
    """Return the state of the guard. All values can be written as JSON.

    run: runs a command and returns exit code, output and errors. nft_path: path of nft, None where it is not installed.

    installed: its unit exists. enabled: it starts at boot. loaded: the kernel has both tables. owner: who holds them.
    outdated: they differ from the sections. sections: names. problems: files that are not a section of this version.
    saved_rulesets: files that contain the guard's tables. denied: addresses that were removed from the sources and
    tried to connect. table_problem: why the tables cannot be read.

    guard_actions compares the following. section_texts: text of each section's file by name, also of files that are not
    valid. files: SHA-256 of rules, program, unit and drop-in by path, without those that cannot be read. unit:
    systemd's properties of the unit, without those that systemctl does not return. daemon: digests of its program and
    rules, and whether the kernel has the rules unchanged; None where no daemon responds. nft_path: '' where it is not
    installed. python_path: path of the interpreter that runs the daemon.
    """
    state = send_command("state")
    owners: dict[str, int | None] = {}
    table_problem = ""
    try:
        owners = {family: owner_of(family) for family in guard_daemon.FAMILIES}
    except (guard_daemon.Failed, OSError) as error:
        table_problem = str(error)
    host = Host(run, nft_path, root=str(root), check=True)
    texts = host.section_texts()
    sections, problems = read_sections(texts)
    text = read_text(root / nft.TABLE_FILE.lstrip("/"))
    current = state is None or (state["intact"] and state["digest"] == guard_daemon.digest(text))
    return {
        "installed": (root / nft.UNIT_FILE.lstrip("/")).exists(),
        "enabled": enabled(root),
        "loaded": bool(owners) and None not in owners.values(),
        "owner": _owner(state, owners, root),
        "outdated": bool(sections) and not (current and text == nft.table(sections)),
        "sections": [section.name for section in sections],
        "problems": problems,
        "saved_rulesets": saved_rulesets(root),
        "denied": (state or {}).get("denied", []),
        "table_problem": table_problem,
        "section_texts": texts,
        "files": file_digests(host),
        "unit": unit_properties(host),
        "daemon": state and {name: state.get(name) for name in ("program", "digest", "intact")},
        "nft_path": nft_path or "",
        "python_path": python_path(),
    }
