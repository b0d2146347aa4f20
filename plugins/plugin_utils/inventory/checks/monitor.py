# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the group of the monitor and the variables of its host."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Callable, Collection, Mapping

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import (
    address_name,
    addresses_of,
    resolve_all,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import FLEET_ROLES, ROLES
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks import addresses, host_resources
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.context import Context
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.variables import (
    check_names,
    check_secrets,
    check_types,
    type_problem,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import EXPORTER_PORT
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import MONITOR
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import (
    as_float,
    as_int,
    describe_value,
    range_problem,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.alerting import (
    DURATION,
    alert_names,
    rule_files_problem,
    threshold_names,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.images import IMAGES

RULES = ROLES / MONITOR / "files" / "alerts.yml"
MANUAL = "see docs/monitoring.md"
PORTS = ("otlp_port", "prometheus_port", "alertmanager_port", "grafana_port")

# A setting of a receiver -> what it requires. Both without the role's name.
REQUIRED = {
    "telegram_chat_id": ("telegram_bot_token",),
    "telegram_bot_token": ("telegram_chat_id",),
    "slack_channel": ("slack_webhook_url",),
    "slack_webhook_url": ("slack_channel",),
    "email_to": ("email_from", "email_smarthost"),
    "email_user": ("email_to", "email_password"),
    "email_password": ("email_user",),
    "webhook_token": ("webhook_url",),
}


def receiver_problem(values: Mapping, option: str) -> tuple | None:
    """Return (what is wrong, what to do) if a setting of a receiver is set without what it requires."""
    if not values.get(f"{MONITOR}_{option}"):
        return None
    missing = [f"{MONITOR}_{other}" for other in REQUIRED[option] if not values.get(f"{MONITOR}_{other}")]
    return (f"is set, and {' and '.join(missing)} is not", "set both, or remove it") if missing else None


def durations_problem(durations: Mapping, known: list[str]) -> tuple | None:
    """Return what is wrong with the times of alerts, or None."""
    for name, value in durations.items():
        if name not in known:
            return unknown_problem(name, known)
        if not str(value) or not DURATION.fullmatch(str(value)):
            return f"has no duration for {name}", "set one such as 90s, 10m or 2h"
    return None


def thresholds_problem(thresholds: Mapping, known: list[str]) -> tuple | None:
    """Return what is wrong with the thresholds of alerts, or None."""
    for name, value in thresholds.items():
        if name not in known:
            return unknown_problem(name, known)
        number = as_float(value)
        if number is None or number < 0:
            return f"has no number for {name}", "set a number from 0, without a unit"
    return None


def images_problem(images: Mapping) -> tuple | None:
    """Return what is wrong with the images that replace those of the role, or None."""
    for name, image in images.items():
        if name not in IMAGES:
            return unknown_problem(name, list(IMAGES))
        tagged = re.search(r"(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})\Z", str(image).rpartition("/")[2])
        if not tagged or str(image).endswith(":latest"):
            return f"has no version for {name}", "add a tag other than latest, or a digest"
    return None


def unknown_problem(name: object, known: list[str]) -> tuple:
    """Return the problem of a name that is not one of the known ones."""
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"has the unknown name {describe_value(name)}", f"did you mean {near[0]}?" if near else MANUAL


def check_monitor(
    context: Context,
    hosts: Mapping,
    groups: Mapping,
    resolve_one: Callable,
    search: Callable | None = None,
    run: Collection | None = None,
) -> None:
    """Check that there is at most one monitor, each variable of its host, and its address.

    hosts: host -> resolved variables. resolve_one: returns the addresses of a host name or raises ValueError.
    search: returns where a secret is in clear text, or None. run: the hosts of the run, by default all.
    """
    members = list(groups.get(MONITOR) or [])
    if not members:
        near = difflib.get_close_matches(MONITOR, [name for name in groups if groups[name]], n=1, cutoff=0.9)
        if near:
            wrong = "is not a group of the fleet, so its hosts are ignored"
            context.add("the inventory", near[0], (wrong, f"did you mean {MONITOR}?"))
        return
    if len(members) > 1:
        context.add("the inventory", MONITOR, (f"this group has {len(members)} hosts", "keep one host in it"))
    for host in members:
        _check_address(context, host, hosts[host], resolve_one)
        if host not in context.hosts and (run is None or host in run):
            _check_host(context, host, hosts[host])
        check_settings(context, host, hosts[host])
        if search and (run is None or host in run):
            roles = (MONITOR,) if host in context.hosts else (*FLEET_ROLES, MONITOR)
            found = _own_context(context, host, hosts[host])
            check_secrets(found, search, roles)
            context.problems += found.problems


def _own_context(context: Context, host: str, values: Mapping, others: Mapping | None = None) -> Context:
    """Return a context with the monitor's host, which knows the errors of the fleet's context. others: more hosts."""
    known = {"bad": set(context.bad), "resolved": context.resolved}
    return Context({**(others or {}), host: values}, context.members, context.specs, run={host}, **known)


def _check_host(context: Context, host: str, values: Mapping) -> None:
    """Check the variables that a monitor on a host of its own has in common with the other hosts.

    Their errors end a run with this host.
    """
    own = _own_context(context, host, values)
    for check in (check_names, check_types, host_resources.check_engine):
        check(own)
    # These also read the other hosts, whose problems the fleet's context has.
    wide = _own_context(own, host, values, context.hosts)
    host_resources.check_instance(wide)
    addresses.check_sources(wide)
    if wide.addresses(host):
        addresses.check_addresses(wide)
    for one in (*own.problems, *wide.problems):
        if one.host == host:
            context.add(host, one.variable, (one.wrong, one.remedy), one.level, fleet=True)


def _check_address(context: Context, host: str, values: Mapping, resolve_one: Callable) -> None:
    """Resolve the address of a monitor that is on a host of its own."""
    if host in context.hosts:
        return
    texts = {name: value for name, value in values.items() if isinstance(value, (str, int))}
    name = address_name(host, texts)
    context.resolved.update(resolve_all([name], resolve_one))
    if addresses_of(host, texts, context.resolved) is None:
        wrong = f"{describe_value(name)} does not resolve"
        context.add(host, "aztec_address", (wrong, "set the address by which the fleet reaches the host"), fleet=True)


def check_settings(context: Context, host: str, values: Mapping) -> None:
    """Check the variables of the monitor's host. Their errors end a run, whichever hosts it has."""
    text = RULES.read_text(encoding="utf-8")
    found: dict[str, tuple | None] = {}
    for name, option in context.specs.options[MONITOR].items():
        if name in values:
            found[name] = type_problem(name, option, values[name]) or range_problem(name, values[name])
        elif option.get("required"):
            found[name] = ("is not set", "set it")
    usable = {
        name: value for name, value in values.items() if not found.get(name) and not isinstance(value, UnresolvedValue)
    }
    for option in REQUIRED:
        name = f"{MONITOR}_{option}"
        # A secret that cannot be resolved has a line of its own.
        if name in usable and not any(found.get(f"{MONITOR}_{other}") for other in REQUIRED[option]):
            found[name] = receiver_problem(usable, option)
    checks = {
        "alert_for": lambda value: durations_problem(value, alert_names(text)),
        "thresholds": lambda value: thresholds_problem(value, threshold_names(text)),
        "images": images_problem,
        "rule_files": rule_files_problem,
    }
    for option, check in checks.items():
        name = f"{MONITOR}_{option}"
        if usable.get(name):
            found[name] = check(usable[name])
    name = f"{MONITOR}_rule_files"
    if usable.get(name) and not found.get(name) and not shutil.which("promtool"):
        wrong = "has expressions that are not checked, because the controller has no promtool"
        remedy = "install it, such as with Debian's package prometheus, or run promtool check rules on the files"
        context.add(host, name, (wrong, remedy), "note")
    _check_ports(context, host, usable, found)
    for name, wrong in found.items():
        if wrong:
            context.add(host, name, wrong, fleet=True)


def _check_ports(context: Context, host: str, usable: Mapping, found: dict) -> None:
    """Add a problem for each port of the monitor that is used twice."""
    used: dict = {as_int(usable.get("ansible_port", 22)): "ansible_port", EXPORTER_PORT: "node_exporter"}
    for component in context.components(host):
        # The admin port is not published.
        options = [option for option in host_resources.PORTS[component] if option != "admin_port"]
        settings = [context.usable_setting(host, component, option) for option in options]
        used.update({as_int(value): name for name, value in filter(None, settings)})
    for name in (f"{MONITOR}_{option}" for option in PORTS):
        port = as_int(usable.get(name, context.specs.default(MONITOR, name[len(MONITOR) + 1 :])))
        if port in used and not found.get(name):
            wrong = f"port {port} is used twice on this host, also by {used[port]}"
            found[name] = (wrong, "set another port for one of the two")
        used.setdefault(port, name)
