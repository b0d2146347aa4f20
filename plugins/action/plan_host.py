# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gather the host info, and compare the host with the desired state that its roles' variables describe."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.action.compose_stack import as_json_text, compose_model
from ansible_collections.aztec_ops.prover.plugins.action.host_info import ActionModule as HostInfoAction
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import Problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import to_builtin
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import MONITOR
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


class ActionModule(HostInfoAction):
    """Make one call of host_info. The desired state is evaluated after it, because it depends on the host."""

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Return what the module returns, with `differences` by part and `problems` of the components."""
        components = arguments.pop("components")
        result = super().execute(arguments, task_vars)
        if "host_info" not in result or not components:
            return result
        host_info = result["host_info"]
        templar = self._templar.copy_with_new_env(available_variables={**task_vars, "preflight_host_info": host_info})

        def value(name: str) -> object:
            return to_builtin(templar.resolve_variable_expression(name))

        required = value("port_guard_required_by_docker")
        guarded = [*components, *(["host_metrics"] if arguments["digest_files"] else [])]
        sections = [{**value(f"__{one}_desired_guard"), "required_by_docker": required} for one in guarded]
        differences = {GUARD: guard_differences(sections, host_info), ENGINE: value("__docker_engine_differences")}
        if arguments["digest_files"]:
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
