# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All filters of the collection. The YAML file with the name of a filter documents it."""

from __future__ import annotations

import functools

from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.printable import printable
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import component, inventory_header
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.dotenv import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.yaml_text import yaml_scalar
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec import crs, releases
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.openpgp import checked_key
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import engine_plan
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import addresses
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor import alerting
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.host_program import (
    host_metrics_program,
    measured_components,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.images import monitor_images
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.otlp import otlp_environment
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import agent_count
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import l1_queries
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.unreachable_broker import unreachable_broker
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import prover_id


def running_components(projects: dict, instance: str = "") -> list[str]:
    """Return the components that have a running container. projects: from host_info."""
    names = {component.component_names(name, instance)["project"]: name for name in releases.COMPONENTS}
    found = {names[project] for project, one in projects.items() if project in names and is_running(one)}
    return [name for name in releases.COMPONENTS if name in found]


def is_running(project: dict) -> bool:
    """Return whether a project of host_info has a running container."""
    return any(container["state"] == "running" for container in project.get("containers", []))


def release(version: str, line: str = "") -> dict:
    """Return the release line of a version. line: the release line that applies to an unknown version."""
    return releases.release_of(version, line).as_dict()


FUNCTIONS = (
    *(component.component_names, inventory_header.inventory_name, inventory_header.other_inventory),
    *(component.agent_layout, component.container_environment, component.guard_section, component.image_reference),
    *(unreachable_broker, crs.crs_delivery, crs.crs_to_copy, dotenv, release, yaml_scalar, running_components),
    *(addresses.broker_url, addresses.publications, agent_count, checked_key, engine_plan, fleet, l1_queries),
    *(ethereum.ethereum_address, ethereum.ethereum_checksum, ethereum.keystore, ethereum.publisher_environment),
    *(alerting.alert_rules, alerting.notification_results, alerting.rule_files, monitor_images, otlp_environment),
    *(host_metrics_program, measured_components, prover_id),
)


def filter_errors(function):
    """Return a filter that raises its errors as one line. Values are not quoted, because they can contain a secret."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            message = printable(str(error).splitlines()[0])
            # Python's own messages quote the value.
            if message.startswith(("invalid literal", "could not convert", "dictionary update")):
                message = "cannot work with what it was given (ValueError)"
        except (TypeError, KeyError, AttributeError) as error:
            message = f"cannot work with what it was given ({type(error).__name__})"
        raise AnsibleFilterError(f"{function.__name__}: {message}")

    return wrapped


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {function.__name__: filter_errors(function) for function in FUNCTIONS}
