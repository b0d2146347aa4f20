# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gather the host info, and compare the host with the desired state that its roles' variables describe."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.action.compose_stack import as_json_text, compose_model
from ansible_collections.aztec_ops.prover.plugins.action.host_info import ActionModule as HostInfoAction
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import to_builtin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import AGENT, MONITOR
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import (
    ENGINE,
    GUARD,
    METRICS,
    by_part,
    ends_running,
    file_differences,
    guard_differences,
    project_differences,
    running_services,
    with_consequences,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_info_arguments import (
    host_info_arguments,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import l1_queries

# Variables that others read many times, in the order in which they depend on each other. They are evaluated once.
FLEET_VARIABLES = (
    *("aztec_version", "aztec_release_line", "aztec_environment", "component_header", "component_roles_path"),
    *("docker_engine_registry_mirrors", "__docker_engine_options", "__docker_engine_no_proxy", "__docker_engine_plan"),
    *("__docker_engine_daemon_json", "__docker_engine_new", "__docker_engine_managed"),
    "__docker_engine_restart_docker",
)
COMPONENT_VARIABLES = (
    *("__{}_names", "{}_version", "{}_release_line", "__{}_release"),
    *("{}_directory", "{}_docker_bridge"),
)
AGENT_VARIABLES = (
    *("__prover_agent_image_name", "__prover_agent_other_components", "__prover_agent_count", "__prover_agent_layout"),
    *("__prover_agent_crs_delivery", "__prover_agent_guard"),
)
ROOTS = ("docker_engine_data_root", "docker_engine_containerd_root")


class ActionModule(HostInfoAction):
    """Make one call of host_info, for the fleet in `preflight_fleet`.

    The desired state is evaluated after it, because it depends on the host.
    """

    argument_spec = {"compare": {"type": "bool", "required": True}}

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Return what the module returns, with `differences` by part and `problems` of the components."""
        compare = arguments["compare"]
        fleet, host = to_builtin(task_vars["preflight_fleet"]), task_vars["inventory_hostname"]
        components = fleet["hosts"][host]["components"] if compare else []
        available = dict(task_vars)

        def value(name: str) -> object:
            templar = self._templar.copy_with_new_env(available_variables=available)
            return to_builtin(templar.resolve_variable_expression(name))

        digest_files = value("__host_metrics_desired_paths") if compare and fleet["monitor"] else []
        arguments = host_info_arguments(
            fleet,
            host,
            l1_queries(task_vars["hostvars"][host], fleet, host),
            [value(name) for name in ROOTS if name in available],
            value("__prover_monitor_directories") if MONITOR in components else [],
            digest_files,
        )
        result = super().execute({**arguments, "probe": compare}, task_vars)
        if "host_info" not in result or not components:
            return result
        host_info = available["preflight_host_info"] = result["host_info"]
        of_components = [name.format(one) for one in components for name in COMPONENT_VARIABLES]
        of_agents = AGENT_VARIABLES if AGENT in components else ()
        for name in (*FLEET_VARIABLES, *of_components, *of_agents):
            if name in available:
                available[name] = value(name)
        required = value("port_guard_required_by_docker")
        guarded = [*components, *(["host_metrics"] if digest_files else [])]
        sections = [{**value(f"__{one}_desired_guard"), "required_by_docker": required} for one in guarded]
        differences = {GUARD: guard_differences(sections, host_info), ENGINE: value("__docker_engine_differences")}
        if digest_files:
            differences[METRICS] = file_differences(value("__host_metrics_desired"), host_info["digests"])
        problems, stopped, stops = [], [], []
        engine_stops = value("__docker_engine_stops_containers")
        for component in components:
            desired = value(f"__{component}_desired")
            desired["files"] = as_json_text(desired["files"])
            compared = host_info["projects"][desired["project"]]["compared"]
            running = running_services(compared)
            if compared.get("stopped"):
                stopped.append(component)
            try:
                actions = project_differences(desired, compose_model(desired["compose"]), host_info)
            except (Problem, ValueError) as problem:
                problems.append([component, str(problem)])
                continue
            if running and (engine_stops or ends_running(actions, running)):
                stops.append(component)
            for part, lines in by_part(component, desired["directory"], actions).items():
                differences[part] = [*differences.get(part, []), *lines]
            host_lines = value(f"__{component}_host_differences")
            if host_lines and component not in stopped:
                differences[component] = [*host_lines, *differences.get(component, [])]
        started = [component for component in components if component not in stopped]
        return {
            **result,
            "differences": with_consequences(differences, started),
            "problems": problems,
            "stopped": stopped,
            "stops": {"components": stops, "engine": engine_stops},
            "component_images": {one: value(f"__{one}_image") for one in components if one != MONITOR},
        }
