# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory that the checks read, and the problems that they add.

Any variable can contain a key by mistake. So messages quote a value only through describe_value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS, Release, release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import (
    address_name,
    addresses_of,
    resolve_all,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import Specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import p2p_address, set_broker_hosts
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import UnresolvedValue
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    BROKER,
    NODE,
    option_default,
    option_variable,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem, leave_out_agents
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum

# Variables of node and broker from which values of the whole fleet follow. An error in one of them also counts in a run
# without its host.
FLEET_VALUES = {
    *("ansible_host", "aztec_address", "aztec_address6", "aztec_admit", "aztec_allow_public_broker"),
    *("prover_broker_port", "prover_broker_admitted", "prover_broker_publish_addresses", "prover_node_broker_host"),
    *("prover_node_publisher_private_key", "prover_node_publisher_private_keys", "prover_node_publisher_addresses"),
    *("prover_node_funding_account_private_key", "prover_node_funding_account_address", "prover_node_key_source"),
    *("prover_node_prover_id", "port_guard_required_by_docker"),
    *(f"{prefix}_{option}" for prefix in ("aztec", NODE, BROKER) for option in ("version", "release_line", "network")),
    *("aztec_docker_bridge", "prover_broker_docker_bridge", "aztec_instance", "aztec_inventory_name"),
}

# Variables of an agent from which the broker's sources follow.
ADMISSION_VALUES = ("ansible_host", "aztec_address", "aztec_address6", "aztec_admit")


def split_message(error: ValueError) -> tuple:
    """Return (what is wrong, what to do) from the message of an error."""
    wrong, _colon, remedy = str(error).partition(": ")
    return wrong, remedy


@dataclass
class Context:
    """The inventory under check, and its problems so far.

    standalone: the check is of one role on one host, without a fleet. run: the hosts of the run, by default all.
    bad: (host, variable) that has an error. core_hosts: those of node and broker, without which no run makes sense.
    """

    hosts: Mapping
    members: Mapping
    specs: Specs
    standalone: bool = False
    run: Collection | None = None
    problems: list = field(default_factory=list)
    bad: set = field(default_factory=set)
    resolved: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run = set(self.hosts if self.run is None else self.run)
        self.core_hosts = {*self.members[NODE], *self.members[BROKER]}

    def resolve(self, resolve_one: Callable) -> None:
        """Resolve the hosts' addresses, the announced address of the node, and the names of the broker."""
        names = [self.address_name(host) for host in self.hosts]
        names += [self.announced(host) for host in self.members[NODE][:1]]
        for host, values in self.hosts.items():
            names += self.publish_names(host) if host in self.members[BROKER] else set_broker_hosts(values)
        self.resolved = resolve_all([name for name in names if name], resolve_one)

    def add(self, host: str, variable: str, found: tuple, level: str = "error", fleet: bool = False) -> None:
        """Add a problem, unless the variable already has an error on this host."""
        if (host, variable) in self.bad:
            return
        if level == "error":
            self.bad.add((host, variable))
        self.problems.append(Problem(host, variable, found[0], found[1], level, fleet))

    def check_ethereum(self, host: str, name: str, function: Callable) -> None:
        """Add a problem if a function rejects the key or the address that a variable sets."""
        value = self.hosts[host].get(name)
        if value not in (None, "") and not isinstance(value, UnresolvedValue):
            try:
                function(value)
            except ValueError as error:
                self.add_ethereum(host, name, error, split_message(error))

    def add_ethereum(self, host: str, name: str, error: ValueError, found: tuple) -> None:
        """Add a problem of a key or an address, or that the controller lacks the library to check it."""
        if str(error) == ethereum.MISSING:
            self.add("the controller", "eth_account", ("its Python has no eth_account", ethereum.INSTALL))
        else:
            self.add(host, name, found)

    def is_usable(self, host: str, name: str, value: object = None) -> bool:
        """Return whether a value is resolved and its variable has no error on this host."""
        return (host, name) not in self.bad and not isinstance(value, UnresolvedValue)

    def usable(self, host: str) -> dict:
        """Return the variables of a host that have no error."""
        return {name: value for name, value in self.hosts[host].items() if self.is_usable(host, name, value)}

    def components(self, host: str) -> list:
        """Return the components of a host."""
        return [component for component in COMPONENTS if host in self.members[component]]

    def host_components(self) -> Iterator[tuple]:
        """Return each pair of a host and one of its components."""
        return ((host, component) for host in self.hosts for component in self.components(host))

    def setting(self, host: str, component: str, option: str) -> tuple:
        """Return (variable, value) of a component's option, by the precedence of the role's defaults."""
        values = self.hosts[host]
        name = option_variable(values, component, option)
        if name is not None:
            return name, values[name]
        shared = self.specs.owner(f"aztec_{option}") is not None and not self.standalone
        return f"{'aztec' if shared else component}_{option}", option_default(values, component, option)

    def usable_setting(self, host: str, component: str, option: str) -> tuple | None:
        """Return (variable, value) of a component's option, or None if it has an error."""
        name, value = self.setting(host, component, option)
        return (name, value) if self.is_usable(host, name, value) else None

    def release(self, host: str, component: str) -> Release | None:
        """Return the release line of a component, or None if its version has an error."""
        settings = [self.usable_setting(host, component, option) for option in ("version", "release_line")]
        return None if None in settings else release_of(*(value for _name, value in settings))

    def _scalars(self, host: str) -> dict:
        return {name: value for name, value in self.hosts[host].items() if isinstance(value, (str, int))}

    def address_name(self, host: str) -> str:
        """Return the name or address by which the fleet reaches a host."""
        return address_name(host, self._scalars(host))

    def addresses(self, host: str) -> list | None:
        """Return the addresses of a host, or None if its name does not resolve."""
        return addresses_of(host, self._scalars(host), self.resolved)

    def announced(self, host: str) -> str:
        """Return the name or address that a node announces, '' if only Ansible's connection could tell."""
        values = self._scalars(host)
        if self.standalone:
            values.pop("ansible_host", None)
            host = ""
        return p2p_address(host, values)

    def publish_names(self, host: str) -> list[str]:
        """Return the names and addresses at which a host is set to publish the broker."""
        found = self.usable(host).get("prover_broker_publish_addresses")
        return [str(entry) for entry in found] if isinstance(found, (list, tuple)) else []

    def problems_of_run(self) -> list:
        """Return the problems that count in this run.

        Problems of hosts outside the run count only if fleet-wide values or the broker's sources depend on them.
        """
        found, not_admitted = [], self.unknown_sources()
        for problem in self.problems:
            error = problem.level == "error"
            vital = error and problem.host in self.core_hosts and problem.variable in FLEET_VALUES
            if problem.fleet or problem.host not in self.hosts or problem.host in self.run or vital:
                found.append(problem)
            elif error and problem.host in not_admitted and problem.variable in ADMISSION_VALUES:
                found.append(replace(problem, level="warning"))
        return leave_out_agents(
            found, self.run & set(self.members[AGENT]), self.run & (set(self.hosts) - self.core_hosts)
        )

    def without_address(self) -> set:
        """Return the agents whose address is unknown or wrong, which the broker therefore does not admit."""
        return {
            host
            for host in set(self.hosts) - self.core_hosts
            if self.addresses(host) is None
            or (host, "aztec_address") in self.bad
            or ((host, "ansible_host") in self.bad and not self.hosts[host].get("aztec_address"))
        }

    def unknown_sources(self) -> set:
        """Return the agents whose sources are not all known, unless prover_broker_admitted sets the sources.

        A name that does not resolve now can be that of an agent that works.
        """
        if any("prover_broker_admitted" in self.hosts[host] for host in self.members[BROKER]):
            return set()
        agents = set(self.hosts) - self.core_hosts
        wrong = {host for host in agents for name in ("aztec_address6", "aztec_admit") if (host, name) in self.bad}
        return self.without_address() | wrong
