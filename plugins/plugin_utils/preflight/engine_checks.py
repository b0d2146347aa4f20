# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the container engine and the operating system of a host."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import CONTAINERD_ROOT, DATA_ROOT
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import (
    DOCKER_SUITES,
    engine_plan,
    host_system,
    is_supported,
    system_problem,
    version_tuple,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import as_bool
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import EngineSettings


def engine_problems(host: str, host_info: Mapping, engine: EngineSettings) -> list[Problem]:
    """Return what docker_engine would refuse, or a warning if the distribution is not supported."""
    info, options = dict(host_info), dict(engine.options)
    plan = engine_plan(
        info, engine.source, engine.version, engine.apt_url, engine.mirrors, options, engine.containerd_root
    )
    if plan["action"] == "refuse":
        of_system = system_problem(info, engine.source)
        parts = [(problem == of_system, *problem.rpartition(": ")) for problem in plan["problems"]]
        return [
            Problem(host, "operating system" if is_system else "container engine", wrong, remedy)
            for is_system, wrong, _colon, remedy in parts
        ]
    if is_supported(info):
        wrong, remedy = "{} also has Docker's repository", "docker_engine renames it to {}.disabled, which apt ignores"
        return [
            Problem(host, "container engine", wrong.format(path), remedy.format(path), "warning")
            for path in plan["old_sources"]
        ]
    wrong = f"{host_system(info)} is not supported"
    if not info["nft"]["installed"] and not info["os"]["apt"]:
        remedy = "install nftables manually, because only what is installed can be used without apt"
        return [Problem(host, "operating system", wrong, remedy)]
    known = "; ".join(f"{name.capitalize()} {', '.join(versions)}" for name, versions in DOCKER_SUITES.items())
    remedy = f"the run uses the installed software unchanged; supported distributions are {known}"
    return [Problem(host, "operating system", wrong, remedy, "warning")]


def root_problems(host: str, host_info: Mapping, engine: EngineSettings) -> list[Problem]:
    """Return a warning for each root that is set for an engine whose settings the role does not change."""
    found = host_info["engine"]
    if found["managed"] or not found["serves"]:
        return []
    roots = (
        ("docker_engine_data_root", engine.data_root, found.get("root") or DATA_ROOT),
        ("docker_engine_containerd_root", engine.containerd_root, found.get("containerd_root") or CONTAINERD_ROOT),
    )
    return [
        Problem(
            host,
            option,
            f"is {wanted}, but the installed engine uses {current}, which the run does not change",
            f"set {option} to {current} for this host, or set it in that engine's own settings",
            "warning",
        )
        for option, wanted, current in roots
        if wanted and posixpath.normpath(wanted) != posixpath.normpath(current)
    ]


def ipv6_problems(host: str, host_info: Mapping, subnet: str, settings: EngineSettings) -> list[Problem]:
    """Return a problem if containers require IPv6 with private addresses, and the engine does not translate them."""
    engine = host_info["engine"]
    if not subnet or not engine["serves"] or engine["translates_ipv6"]:
        return []
    remedy = "update it to 27 or later, or set experimental and ip6tables to true in its daemon.json"
    if engine["managed"]:
        # The role writes daemon.json, and this run applies its settings.
        if all(as_bool(settings.options.get(name)) for name in ("experimental", "ip6tables")):
            return []
        from_docker = engine["source"] == "docker-ce"
        if from_docker and version_tuple(settings.version) >= (27,):
            return []
        remedy = "set docker_engine_daemon_options: {experimental: true, ip6tables: true}"
        remedy += ", or docker_engine_version to 27 or later" if from_docker else ""
    wrong = f"Docker {engine['version']} does not translate IPv6 addresses, but the host's containers require IPv6"
    return [Problem(host, "container engine", wrong, remedy)]


def firewall_rule_problems(host: str, host_info: Mapping) -> list[Problem]:
    """Return a warning if an engine that the role does not manage runs without its firewall rules."""
    engine = host_info["engine"]
    if not engine["serves"] or engine["managed"] or engine["rules"]:
        return []
    wrong = "Docker's firewall rules are missing, so that containers reach nothing (was the ruleset flushed?)"
    return [Problem(host, "container engine", wrong, "run systemctl restart docker on the host", "warning")]


def selinux_problems(host: str, host_info: Mapping) -> list[Problem]:
    """Return a warning if SELinux is enforcing, which is not tested."""
    if not host_info["engine"]["selinux_enforcing"]:
        return []
    remedy = "if containers cannot read their files, run setenforce 0 on the host and set SELINUX=permissive in "
    remedy += "/etc/selinux/config"
    return [Problem(host, "operating system", "SELinux is enforcing, which is not tested", remedy, "warning")]
