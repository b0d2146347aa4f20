# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the container engine and the operating system of a host."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

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


def engine_problems(host: str, host_info: Mapping, engine: EngineSettings) -> Iterator[Problem]:
    """Yield what docker_engine would refuse, and warnings about SELinux and a distribution that is not supported."""
    plan = engine_plan(
        host_info, engine.source, engine.version, engine.apt_url, engine.mirrors, engine.options, engine.containerd_root
    )
    if plan["action"] == "refuse":
        of_system = system_problem(host_info, engine.source)
        for problem in plan["problems"]:
            wrong, _colon, remedy = problem.rpartition(": ")
            yield Problem(host, "operating system" if problem == of_system else "container engine", wrong, remedy)
    elif is_supported(host_info):
        for path in plan["old_sources"]:
            remedy = f"docker_engine renames it to {path}.disabled, which apt ignores"
            yield Problem(host, "container engine", f"{path} also has Docker's repository", remedy, "warning")
    else:
        wrong = f"{host_system(host_info)} is not supported"
        if not host_info["nft"]["installed"] and not host_info["os"]["apt"]:
            remedy = "install nftables manually, because only what is installed can be used without apt"
            yield Problem(host, "operating system", wrong, remedy)
        else:
            known = "; ".join(f"{name.capitalize()} {', '.join(versions)}" for name, versions in DOCKER_SUITES.items())
            remedy = f"the run uses the installed software unchanged; supported distributions are {known}"
            yield Problem(host, "operating system", wrong, remedy, "warning")
    if host_info["engine"]["selinux_enforcing"]:
        remedy = "if containers cannot read their files, run setenforce 0 on the host and set SELINUX=permissive in "
        remedy += "/etc/selinux/config"
        yield Problem(host, "operating system", "SELinux is enforcing, which is not tested", remedy, "warning")


def unmanaged_engine_problems(host: str, host_info: Mapping, engine: EngineSettings) -> Iterator[Problem]:
    """Yield a warning for each root, and for missing firewall rules, of an engine that the role does not change."""
    found = host_info["engine"]
    if found["managed"] or not found["serves"]:
        return
    if not found["rules"]:
        wrong = "Docker's firewall rules are missing, so that containers reach nothing (was the ruleset flushed?)"
        yield Problem(host, "container engine", wrong, "run systemctl restart docker on the host", "warning")
    for option, wanted, current in (
        ("docker_engine_data_root", engine.data_root, found.get("root") or DATA_ROOT),
        ("docker_engine_containerd_root", engine.containerd_root, found.get("containerd_root") or CONTAINERD_ROOT),
    ):
        if wanted and posixpath.normpath(wanted) != posixpath.normpath(current):
            wrong = f"is {wanted}, but the installed engine uses {current}, which the run does not change"
            remedy = f"set {option} to {current} for this host, or set it in that engine's own settings"
            yield Problem(host, option, wrong, remedy, "warning")


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
