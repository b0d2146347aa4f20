# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check versions, networks, images, and options against the release line."""

from __future__ import annotations

import difflib

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import (
    COMPONENTS,
    NUMBERED_DEVNET,
    OPTION_SINCE,
    RELEASES,
    Release,
    accepts_network,
    networks_of,
    parse_version,
    release_of,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context, split_message
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import describe_value


def check_versions(context: Context) -> None:
    """Check that the release is known and the same everywhere, and that it knows the network."""
    versions: dict = {}
    networks: dict = {}
    for host, component in context.host_components():
        settings = [context.usable_setting(host, component, option) for option in ("version", "release_line")]
        if None in settings:
            continue
        (name, version), (line_name, line) = settings
        try:
            release = release_of(version, line)
        except ValueError as error:
            context.add(host, line_name if line else name, split_message(error))
            continue
        versions.setdefault(str(version).lstrip("v"), []).append((component, host, name))
        _check_image(context, host, component, release)
        _check_options(context, host, component, version)
        found = context.usable_setting(host, component, "network")
        if found is None:
            continue
        name, network = found
        known = networks_of(version, line)
        if accepts_network(known, network):
            networks.setdefault(str(network), []).append((component, host, name))
            continue
        near = difflib.get_close_matches(str(network), [one for one in known if one != NUMBERED_DEVNET], n=1)
        hint = f"did you mean {near[0]}? All: " if near else "choose one of "
        context.add(host, name, (f"{describe_value(network)} is an unknown network", hint + ", ".join(known)))
    _check_same(context, "version", versions)
    _check_same(context, "network", networks)


def _check_image(context: Context, host: str, component: str, release: Release) -> None:
    """Reject the image of an organization that does not publish the release line. Copies in other registries pass."""
    found = context.usable_setting(host, component, "image")
    if found is None or not isinstance(found[1], str):
        return
    organization, _slash, rest = found[1].removeprefix("docker.io/").rpartition("/")
    own = release.image.partition("/")[0]
    if organization in {one.image.partition("/")[0] for one in RELEASES.values()} - {own}:
        wrong = f"{organization} does not publish release line {release.line}"
        context.add(host, found[0], (wrong, f"set it to {own}/{rest}, or remove it"))


def _check_options(context: Context, host: str, component: str, version: str) -> None:
    """Reject an option that is set and that the version does not read."""
    for option, since in OPTION_SINCE.items():
        found = context.usable_setting(host, component, option)
        if f"{component}_{option}" not in context.specs.options.get(component, {}) or found is None:
            continue
        name, value = found
        is_set = as_bool(value) if option == "dry_run" else value not in (None, "", [], 0, "0")
        if is_set and parse_version(version) < since:
            wrong = f"is read from release {'.'.join(map(str, since))} on, and {version} ignores it"
            context.add(host, name, (wrong, "remove it, or set aztec_version to a release that reads it"))


def _check_same(context: Context, what: str, users: dict) -> None:
    """Check that all components have the value of the node or the broker."""
    if not users:
        return
    first = min(users, key=lambda value: min(COMPONENTS.index(user[0]) for user in users[value]))
    for value, places in users.items():
        for component, host, name in places if value != first else ():
            wrong = f"the {component} has {what} '{value}', the node or broker '{first}'"
            context.add(host, name, (wrong, f"set one {what} for the whole fleet"))
