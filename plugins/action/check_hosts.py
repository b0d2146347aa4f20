# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check all hosts of a run by their host info, on the controller, without a connection to a host."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.base import CollectionActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.action.plan_action import GATHERED
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    resolve_variables,
    to_builtin,
    unused_variables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    BROKER,
    MONITOR,
    NODE,
    as_bool,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    LEFT_OUT,
    Problem,
    count_hosts,
    count_problems,
    is_optional,
    leave_out_agents,
    merge_problems,
    problem_table,
    table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.requirements import retention_problems
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import (
    ENGINE,
    engine_ends_components,
    plan_text,
    selected_hosts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.operations import engine_restart_problems
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.upgrade import (
    UPGRADE_AGENTS_GROUP,
    changed_components,
    downgrade_problems,
    engine_problems,
    project_of,
    schema_records,
    split_problems,
    upgrade_groups,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.hardware_checks import HARDWARE_HEADS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_checks import check_hosts
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    component_settings,
    engine_settings,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import (
    CLIENT_HEADS,
    PUBLISHER_HEADS,
    check_l1,
    will_start_node,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import (
    NETWORK_HEADS,
    check_network,
    registry_problems,
)

# The note on a component that stays stopped.
STOPPED = "is stopped, and is left as it is", "run start.yml to start it"

# The variables that, in addition to the version, decide which image is pulled.
IMAGE_SETTINGS = tuple(
    f"{prefix}_{option}" for prefix in ("aztec", NODE, BROKER, AGENT) for option in ("image", "image_digest")
)


def without_upgraded_agents(stops: dict, upgrade: dict) -> dict:
    """Return `stops` without the agents that an upgrade stops at once, so that they are not replaced in batches."""
    return {
        host: {**stop, "components": [one for one in stop.get("components", []) if one != AGENT]}
        if UPGRADE_AGENTS_GROUP in upgrade.get(host, ())
        else stop
        for host, stop in stops.items()
    }


class ActionModule(CollectionActionBase):
    """Run once for all hosts. Display hardware and problems as tables, and fail with one line if there is an error."""

    argument_spec = {"fleet": {"type": "dict", "required": True}, "plan": {"type": "bool", "default": False}}

    def execute(self, arguments, task_vars):
        """Check the hosts. The result contains those that do not take part, and with plan those that differ."""
        fleet = to_builtin(arguments["fleet"])
        wrong = fleet_problem(fleet)
        if wrong:
            raise AnsibleError(f"check_hosts: {wrong}")
        specs = read_specs(ROLES)
        host_infos, settings, engines, image_settings, differences, stops = {}, {}, {}, set(), {}, {}
        problems, clients, publishers, networks, changed = [], [], [], [], {}
        instance = fleet.get("instance", "")
        for host in task_vars["ansible_play_hosts_all"]:
            here = fleet["hosts"].get(host)
            if here is None:
                continue
            host_infos[host] = None
            variables = task_vars["hostvars"][host]
            gathered = to_builtin(variables.get(GATHERED) or {})
            if here.get("left_out") or not gathered.get("host_info"):
                continue
            unused = unused_variables(task_vars["hostvars"].raw_get(host), specs, here["components"])
            values = resolve_variables(variables, specs, unused)
            settings[host] = component_settings(values, here["components"], specs)
            engines[host] = engine_settings(values, specs)
            image_settings |= {name for name in IMAGE_SETTINGS if values.get(name)}
            host_info = host_infos[host] = gathered["host_info"]
            differences[host] = gathered.get("differences", {})
            stops[host] = gathered.get("stops", {})
            problems += [Problem(host, one, *text.split(": ", 1)) for one, text in gathered.get("problems", [])]
            images = gathered.get("component_images", {})
            changed[host] = changed_components(images, host_info, instance)
            allowed = as_bool(values.get("aztec_allow_downgrade")) is True
            for one, image in images.items():
                problems += downgrade_problems(host, one, image, project_of(host_info, one, instance), allowed)
            problems += [Problem(host, one, *STOPPED, level="note") for one in gathered.get("stopped", [])]
            starts = NODE in here["components"] and will_start_node(host_info, values)
            l1_result = check_l1(host, values, fleet, host_info.get("l1"), starts)
            found, rows = check_network(host, values, fleet, host_info.get("network"))
            problems += l1_result.problems + found
            if MONITOR in here["components"]:
                problems += retention_problems(host, host_info, values)
            clients += l1_result.clients
            publishers += l1_result.publishers
            networks += rows

        checked = check_hosts(host_infos, fleet, settings, engines)
        problems += split_problems(changed, host_infos, fleet)
        restarts = [one for one in differences if differences[one].get(ENGINE) and engine_ends_components(stops[one])]
        problems += engine_problems(changed, restarts, host_infos, fleet)
        for host in [one for one in differences if differences[one].get(ENGINE) and stops[one].get("engine")]:
            problems += engine_restart_problems(host, host_infos[host], fleet["hosts"][host]["components"], fleet)
        problems = [*checked.problems, *problems, *registry_problems(host_infos, fleet, image_settings)]
        components = {host: fleet["hosts"][host]["components"] for host, host_info in host_infos.items() if host_info}
        agents = [host for host, names in components.items() if AGENT in names]
        problems = leave_out_agents(problems, agents, [host for host in components if is_optional(components[host])])
        hosts = list(host_infos)
        joined = merge_problems(problems, hosts)
        errors = sum(problem.level == "error" for problem in joined)
        differences = {host: found for host, found in differences.items() if host in components}
        # A run that has nothing to do does not show what is in order.
        if errors or not arguments["plan"] or any(differences.values()):
            self.show_tables(
                (checked.hardware, HARDWARE_HEADS),
                (clients, CLIENT_HEADS),
                (publishers, PUBLISHER_HEADS),
                (networks, NETWORK_HEADS),
            )
        if joined:
            self._display.display(f"\n{problem_table(problems, hosts)}", color="red" if errors else "yellow")
        left_out = {one.host: f"{one.variable} {one.wrong}" for one in reversed(problems) if one.level == LEFT_OUT}
        absent = {**dict.fromkeys(checked.unreachable, "is unreachable"), **left_out}
        if errors:
            msg = f"{count_problems(errors)} on the hosts, in the table above; nothing was changed."
            return {"absent": absent, "left_out": left_out, "selected": [], "differing": [], "failed": True, "msg": msg}
        differences = {host: found for host, found in differences.items() if host not in absent}
        if any(differences.values()):
            self._display.display(f"\n{plan_text(differences)}")
        differing = [host for host, found in differences.items() if found]
        changes = f"{len(differing)} to change" if differing else "nothing to change"
        verdict = f"{count_hosts(len(hosts))}, {changes if arguments['plan'] else 'no errors'}"
        changed = {host: found for host, found in changed.items() if host not in absent}
        upgrade = upgrade_groups(changed, fleet)
        selected = selected_hosts(differences, fleet, without_upgraded_agents(stops, upgrade))
        selected = [{**one, "groups": [*one["groups"], *upgrade.get(one["host"], [])]} for one in selected]
        records = {
            host: schema_records(changed[host], host_infos[host], instance, fleet["hosts"][host]["project_directories"])
            for host in upgrade
        }
        found = {"absent": absent, "left_out": left_out, "selected": selected}
        found.update(stops=stops, agents_at_once=fleet["agents_at_once"], records=records)
        return {**found, "differing": differing, "verdict": verdict}

    def show_tables(self, *tables):
        """Display the tables, each (rows, heads), that have rows."""
        for rows, heads in tables:
            if rows:
                self._display.display(f"\n{table(rows, heads)}")
