# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check all hosts of a run by what was seen on them, on the controller, with no connection to any host."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, Specs, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    resolve_variables,
    to_builtin,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    BROKER,
    NODE,
    option_variable,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import (
    LEFT_OUT,
    count_problems,
    leave_out_agents,
    merge_problems,
    problem_table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_int
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_checks import (
    Engine,
    Settings,
    check_hosts,
    hardware_table,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.l1_checks import (
    check_l1,
    l1_tables,
    starts_node,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.network_version_checks import (
    check_network,
    network_table,
    registry_problems,
)

# What decides, besides the version, which image is pulled.
IMAGE_NAMES = tuple(
    f"{prefix}_{option}" for prefix in ("aztec", NODE, BROKER, AGENT) for option in ("image", "image_digest")
)

# What a component publishes on its host: option, protocol, on loopback alone.
PUBLISHED = {
    NODE: (("port", "tcp", True), ("p2p_port", "tcp", False), ("p2p_port", "udp", False)),
    BROKER: (("port", "tcp", False),),
    AGENT: (),
}


def settings_of(values: dict, components: list, specs: Specs) -> dict:
    """Give the settings that count here for each component of a host, from its variables and the roles' defaults."""
    found = {}
    for component in components:

        def value(option: str, component: str = component):
            name = option_variable(values, component, option)
            return values[name] if name else specs.default(component, option)

        ports = tuple(
            (f"{component}_{option}", protocol, as_int(value(option)), loopback_only)
            for option, protocol, loopback_only in PUBLISHED[component]
        )
        by_hand = values.get("prover_broker_publish_addresses") if component == BROKER else None
        found[component] = Settings(
            ports,
            str(value("requirements")),
            value("count") if component == AGENT else 1,
            str(value("memory_limit")),
            float(value("cpu_limit")),
            str(value("docker_network")),
            str(value("docker_bridge")),
            tuple(by_hand) if isinstance(by_hand, list) else None,
            str(value("docker_ipv4_subnet")),
            as_int(value("docker_mtu")) or 0,
        )
    return found


def engine_of(values: dict, specs: Specs) -> Engine:
    """Give what a host's variables and the defaults of docker_engine ask of the host's engine."""

    def value(option: str):
        name = f"docker_engine_{option}"
        return values.get(name, specs.options["docker_engine"][name]["default"])

    source, version, url, data_root, containerd_root = (
        str(value(option)) for option in ("source", "version", "apt_url", "data_root", "containerd_root")
    )
    options = {**({"data-root": data_root} if data_root else {}), **value("daemon_options")}
    return Engine(source, version, url, value("registry_mirrors"), options, containerd_root)


class ActionModule(ActionBase):
    """Run once for all hosts; shows hardware and problems as tables and fails with one line where one is an error."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Check the hosts; the result names those that are gone."""
        result = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({"fleet": {"type": "dict", "required": True}})
        fleet = to_builtin(arguments["fleet"])
        wrong = fleet_problem(fleet)
        if wrong:
            raise AnsibleError(f"check_hosts: {wrong}")
        specs = read_specs(ROLES)
        hostvars = task_vars["hostvars"]
        looks, settings, engines, verdicts, networks, inventory = {}, {}, {}, [], [], {}
        for host in task_vars["ansible_play_hosts_all"]:
            if fleet["hosts"].get(host, {}).get("left_out"):
                looks[host] = None
            elif host in fleet["hosts"]:
                variables = hostvars[host]
                seen = "preflight_host_info" in variables
                looks[host] = to_builtin(variables["preflight_host_info"]) if seen else None
                values = inventory[host] = resolve_variables(variables, specs)
                settings[host] = settings_of(values, fleet["hosts"][host]["components"], specs)
                engines[host] = engine_of(values, specs)
                if looks[host]:
                    starts = NODE in fleet["hosts"][host]["components"] and starts_node(looks[host], values)
                    verdicts.append(check_l1(host, values, fleet, looks[host].get("l1"), starts))
                    networks.append(check_network(host, values, fleet, looks[host].get("network")))

        findings = check_hosts(looks, fleet, settings, engines)
        findings.problems += [problem for verdict in verdicts for problem in verdict.problems]
        findings.problems += [problem for problems, _rows in networks for problem in problems]
        by_hand = {name: values[name] for values in inventory.values() for name in IMAGE_NAMES if values.get(name)}
        findings.problems += registry_problems(looks, fleet, by_hand)
        agents = [host for host, look in looks.items() if look and AGENT in fleet["hosts"][host]["components"]]
        apart = [host for host in agents if fleet["hosts"][host]["components"] == [AGENT]]
        problems = leave_out_agents(findings.problems, agents, apart)
        left_out = {one.host: f"{one.variable} {one.wrong}" for one in reversed(problems) if one.level == LEFT_OUT}
        result.update(changed=False, gone=findings.gone, left_out=left_out)
        if findings.hardware:
            self._display.display(hardware_table(findings.hardware))
        seen = l1_tables(
            [row for verdict in verdicts for row in verdict.clients],
            [row for verdict in verdicts for row in verdict.publishers],
        )
        if seen:
            self._display.display("\n" + seen)
        versions = network_table([row for _problems, rows in networks for row in rows])
        if versions:
            self._display.display("\n" + versions)
        joined = merge_problems(problems, list(looks))
        if joined:
            failed = any(problem.level == "error" for problem in joined)
            self._display.display(
                "\n" + problem_table(problems, list(looks)), color="red" if failed else "yellow"
            )
            if failed:
                what = count_problems(sum(problem.level == "error" for problem in joined))
                result.update(failed=True, msg=f"{what} on the hosts, in the table above; nothing was changed.")
        return result
