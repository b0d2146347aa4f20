# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive what must change in the port guard of a host from its state. Reads and changes nothing on a host."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard

RELOAD_SYSTEMD = "reload systemd"
ENABLE, START, RESTART, LOAD = "enable the unit", "start the guard", "restart the guard", "load the rules"
# The path of nft on a host where it is not installed yet.
DEFAULT_NFT = "/usr/sbin/nft"


def section_file(name: str) -> str:
    """Return the path of a section's file."""
    return f"{guard.DIRECTORY}/{name}.json"


def read_section(name: str, text: str) -> guard.Section | None:
    """Return the section in the text of its file, None where the text is empty or not valid."""
    try:
        return guard.section_from_text(name, text)
    except ValueError:
        return None


def with_section(
    section: guard.Section, before: guard.Section | None, others: Iterable[guard.Section], keep_existing: bool
) -> list[guard.Section]:
    """Return all sections of a host by name after a section is applied.

    before: the section on the host. others: the other sections on the host. keep_existing: keep the sources of before.
    """
    return sorted([*others, guard.with_previous(section, before, keep_existing)], key=lambda item: item.name)


def desired_files(name: str, sections: Collection[guard.Section], python: str, nft: str | None) -> dict[str, str]:
    """Return the text of each file by path, in the order in which they are written. '' is a file that must not exist.

    name: the section that is applied or, where it is not among the sections, removed. python: path of the interpreter.
    nft: path of the program, None or '' where it is not installed.
    """
    required = any(item.required_by_docker for item in sections)
    return {
        section_file(name): "".join(guard.section_to_text(item) for item in sections if item.name == name),
        guard.TABLE_FILE: guard.table(list(sections)),
        guard.PROGRAM_FILE: inspect.getsource(guard_daemon),
        guard.UNIT_FILE: guard.unit(python),
        guard.DOCKER_FILE: guard.docker_drop_in(nft or DEFAULT_NFT) if required else "",
    }


def desired_digests(texts: Mapping[str, str]) -> dict[str, str | None]:
    """Return the SHA-256 digest of each file by path, None for a file that must not exist. texts: desired_files."""
    return {path: guard_daemon.digest(text) if text else None for path, text in texts.items()}


def changed_files(texts: Mapping[str, str], digests: Mapping[str, str | None]) -> list[str]:
    """Return the paths of the desired files that differ on the host. digests: SHA-256 of the existing files by path."""
    return [path for path, digest in desired_digests(texts).items() if digests.get(path) != digest]


def file_action(path: str, text: str) -> str:
    """Return the action that writes a file, or removes it when the text is empty."""
    return f"{'write' if text else 'remove'} {path}"


def must_reload_systemd(changed: Collection[str], properties: Mapping[str, str]) -> bool:
    """Return whether systemd must reload its unit files.

    changed: paths that were written or removed. properties: those of the unit before the change. NeedDaemonReload is
    set where an earlier run ended before the reload.
    """
    return guard.UNIT_FILE in changed or guard.DOCKER_FILE in changed or properties.get("NeedDaemonReload") == "yes"


def is_loaded(text: str, daemon: Mapping | None) -> bool:
    """Return whether the kernel has these rules, according to the daemon's state (None where no daemon responds)."""
    return daemon is not None and daemon["intact"] and daemon["digest"] == guard_daemon.digest(text)


def load_actions(
    texts: Mapping[str, str], changed: Collection[str], properties: Mapping[str, str], daemon: Mapping | None
) -> list[str]:
    """Return the actions that enable the unit, and start, restart or reload a daemon that does not have the rules.

    texts: desired_files. changed: paths of those that were written. properties: those of the unit. daemon: its state,
    None where no daemon responds.
    """
    actions = [] if properties.get("UnitFileState") == "enabled" else [ENABLE]
    renewed = guard.PROGRAM_FILE in changed or guard.UNIT_FILE in changed
    # A daemon with another program, as after an interrupted run. That of an earlier version does not report its own.
    outdated = daemon is None or daemon.get("program") != guard_daemon.digest(texts[guard.PROGRAM_FILE])
    if properties.get("ActiveState") != "active":
        actions.append(START)
    elif renewed or outdated:
        actions.append(RESTART)
    elif not is_loaded(texts[guard.TABLE_FILE], daemon):
        actions.append(LOAD)
    return actions


def guard_actions(sections: Iterable[Mapping], facts: Mapping) -> list[str]:
    """Return the actions of the module port_guard when it applies each section in turn, [] where nothing differs.

    sections: arguments of the module, each with section and optionally ports, bridges, containers, required_by_docker
    and keep_existing. facts: guard_facts of the host.

    Files on the host that are not valid sections count as missing, and tables of other programs are not considered: the
    module fails for them before it changes anything. Raise InvalidSection for arguments that are not valid.
    """
    known = {name: read_section(name, text) for name, text in facts["section_texts"].items()}
    found = {name: section for name, section in known.items() if section}
    digests = {section_file(name): guard_daemon.digest(text) for name, text in facts["section_texts"].items()}
    digests.update(facts["files"])
    properties, daemon = facts["unit"], facts["daemon"]
    actions = []
    for options in sections:
        name = options["section"]
        section = guard.section_of(
            name,
            options.get("ports", []),
            options.get("bridges", []),
            options.get("required_by_docker", True),
            options.get("containers", []),
        )
        before = found.pop(name, None)
        after = with_section(section, before, found.values(), options.get("keep_existing", False))
        texts = desired_files(name, after, facts["python_path"], facts["nft_path"])
        changed = changed_files(texts, digests)
        actions += [file_action(path, texts[path]) for path in changed]
        actions += [RELOAD_SYSTEMD] if must_reload_systemd(changed, properties) else []
        actions += load_actions(texts, changed, properties, daemon)
        # The state in which the module leaves the host.
        found = {item.name: item for item in after}
        digests.update(desired_digests(texts))
        properties = {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
        program, rules = digests[guard.PROGRAM_FILE], digests[guard.TABLE_FILE]
        daemon = {"program": program, "digest": rules, "intact": True}
    return actions
