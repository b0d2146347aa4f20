# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that can be found wrong with an inventory before a host is contacted, over its variables alone.

Variables may hold keys, and any variable may hold a key by mistake. So a value is quoted only by `shown`, where it is
short and the variable is none that may hold a secret.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.aztec.networks import NETWORKS
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import ADMIN_PORT
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_networks import overlapping
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.nft import network_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.crs import crs_to_copy
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import (
    COMPONENTS,
    CONSENSUS_ENVIRONMENT,
    NUMBERED_DEVNET,
    OPTION_SINCE,
    RELEASES,
    Release,
    accepts_network,
    networks_of,
    parse_version,
    release_of,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import (
    FLEET_ROLES,
    Specs,
    unknown_variables,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import (
    AGENT,
    BROKER,
    DOCKER_IPV6_SUBNET,
    NODE,
    address_name,
    addresses_of,
    as_bool,
    broker_urls,
    directories,
    environment_of,
    fleet,
    has_remote_signer,
    in_url,
    ip_of,
    members_of,
    needs_ipv6,
    option_variable,
    p2p_address,
    publisher_variable,
    resolve,
    resolve_all,
    route_to_host,
    url_hosts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    CONNECTION_NAMES,
    UnresolvedValue,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import plain_problem, secrets_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.problems import Problem, leave_out_agents
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.reserved_settings import (
    environment_owned,
    secret_shown,
    service_owned,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import (
    DUMMY_DOMAINS,
    TOO_LONG,
    as_int,
    connection_problem,
    describe_value,
    is_dummy,
    range_problem,
    type_name,
    url_problem,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum

INVENTORY = "the inventory"
CONTROLLER = "the controller"

# Where the engine and its containerd keep their data.
ENGINE_ROOTS = ("docker_engine_data_root", "docker_engine_containerd_root")

# The settings of node and broker that the whole fleet's values come from: a fault in one of them matters to a run that
# leaves its host out as well.
FLEET_VALUES = {
    *("ansible_host", "aztec_address", "aztec_address6", "aztec_admit", "aztec_allow_public_broker"),
    *("prover_broker_port", "prover_broker_admitted", "prover_broker_publish_addresses", "prover_node_broker_url"),
    *("prover_node_publisher_private_key", "prover_node_publisher_private_keys", "prover_node_publisher_addresses"),
    *("prover_node_funding_account_private_key", "prover_node_funding_account_address", "prover_node_key_source"),
    *("prover_node_prover_id", "port_guard_required_by_docker"),
    *(f"{prefix}_{option}" for prefix in ("aztec", NODE, BROKER) for option in ("version", "release_line", "network")),
    *("aztec_docker_bridge", "prover_broker_docker_bridge"),
}

# What the broker's list of sources comes from, of an agent.
ADMISSION_VALUES = ("ansible_host", "aztec_address", "aztec_address6", "aztec_admit")

# What inventories/prod holds so that a reader sees the shape of it; nobody runs a prover with these.
DUMMY_KEYS = ("0" * 64, "0" * 63 + "1")
ZERO_ADDRESS = "0x" + "0" * 40

# What says who the publishers are: their keys, one or several, or where their keys are and whose they are.
ONE_KEY, SEVERAL_KEYS = "prover_node_publisher_private_key", "prover_node_publisher_private_keys"
FUNDING_KEY, FUNDING_ADDRESS = "prover_node_funding_account_private_key", "prover_node_funding_account_address"
FUNDING_AMOUNTS = ("prover_node_funding_threshold", "prover_node_funding_amount")
DOCKER_SUBNETS = ("docker_ipv4_subnet", "docker_ipv6_subnet")
SIGNER_OPTIONS = ("prover_node_web3signer_url", "prover_node_publisher_addresses")


def _unquoted(value: object) -> tuple:
    made = "true or false" if isinstance(value, bool) else "a number"
    return f"is written without quotes, which YAML makes {made}", "put it in quotes"


def type_problem(name: str, option: Mapping, value: object) -> tuple | None:
    """Give (what is wrong, what to do) where a value is not of the type or choice that its option is declared with."""
    wanted = option.get("type", "str")
    if isinstance(value, UnresolvedValue):
        return value.reason, value.remedy
    if value is None:
        return "is empty", "give it a value, or take the line out"
    if wanted in ("str", "path"):
        found = _text_problem(name, wanted, value)
    elif wanted == "int":
        found = None if as_int(value) is not None else ("is no whole number", "give a number, without a unit")
    elif wanted == "bool":
        found = None if as_bool(value) is not None else ("is neither true nor false", "write true or false")
    elif wanted == "list":
        found = _list_problem(name, option, value)
    elif wanted == "dict":
        found = _dict_problem(name, option, value)
    else:
        found = None
    if found is None and option.get("choices") and not _is_choice(value, option["choices"]):
        choices = ", ".join(str(choice) or '""' for choice in option["choices"])
        found = f"{describe_value(value, option)} is not a choice", f"choose one of {choices}"
    return found


def _is_choice(value: object, choices: Iterable) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(str(one) in [str(choice) for choice in choices] for one in values)


# Texts that look like a number when they are written without quotes.
_QUOTED = (
    *("_version", "_private_key", "_prover_id", "_digest", "_address", "_addresses", "_ip"),
    *("_fingerprint", "_registry"),
)


def _text_problem(name: str, wanted: str, value: object) -> tuple | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and name.endswith("_version"):
        # Quotes alone would leave a version that is not whole.
        wrong = "is written without quotes, which YAML makes a number"
        return wrong, 'write the whole version in quotes, such as "1.2.3"'
    if isinstance(value, (bool, float)):
        return _unquoted(value)
    if isinstance(value, int):
        return _unquoted(value) if abs(value) >= TOO_LONG or name.endswith(_QUOTED) else None
    if not isinstance(value, str):
        return f"is a {type_name(value)}, no text", "write one text, in quotes"
    if wanted == "path" and value and not value.startswith("/"):
        return "is not an absolute path", "begin it with /"
    return None


def _list_problem(name: str, option: Mapping, value: object) -> tuple | None:
    if not isinstance(value, (list, tuple)):
        return f"is a {type_name(value)}, no list", "write it as a list, [one, two]"
    element = {"type": option.get("elements", "raw"), "options": option.get("options")}
    for number, item in enumerate(value, 1):
        found = type_problem(name, element, item)
        if found:
            return f"entry {number} {found[0]}", found[1]
    return None


def _dict_problem(name: str, option: Mapping, value: object) -> tuple | None:
    if not isinstance(value, Mapping):
        return f"is a {type_name(value)}, no dict", "write it as NAME: value lines"
    inner = option.get("options")
    if not inner:
        return None
    for part in value:
        if part not in inner:
            return f"has {describe_value(part)}, which there is not", f"choose from {', '.join(inner)}"
    for part, one in inner.items():
        if part not in value:
            if one.get("required"):
                return f"has no {part}", "give it one"
            continue
        whole = f"{name}.{part}"
        found = type_problem(whole, one, value[part]) or range_problem(whole, value[part])
        if found:
            return f"has a wrong {part}: {found[0]}", found[1]
    return None


def _own_url_problem(url: str) -> tuple | None:
    """Give what is wrong with a URL that a component asks from inside of its container."""
    host = urlsplit(url).hostname
    found = ip_of(host)
    if host == "localhost" or (found is not None and (found.is_loopback or found.is_unspecified)):
        return "leads back to the component's own container", "give the address of the machine that serves it"
    return None


def _settable(name: str) -> str:
    """Give the variable that decides a host's address in the fleet, for one that does so in its absence."""
    return "aztec_address" if name == "ansible_host" else name


class _Inventory:
    """The inventory under check; each method looks at one matter and adds what it finds to problems.

    alone: a role is used by itself, on one host, with no fleet around it to derive values from. run: the hosts of the
    run, all where it is not given.
    """

    def __init__(
        self,
        hosts: Mapping,
        members: Mapping,
        group_names: Mapping,
        specs: Specs,
        alone: bool = False,
        run: Collection | None = None,
    ) -> None:
        self.run = set(hosts if run is None else run)
        self.hosts = hosts
        self.members = members
        self.group_names = group_names
        self.specs = specs
        self.alone = alone
        self.pillars = {*members[NODE], *members[BROKER]}
        self.problems: list = []
        self.bad: set = set()  # (host, variable) that already has a line
        self.resolved: dict = {}

    def resolve(self, resolve_one) -> None:
        """Resolve the hosts' addresses, what the node announces, and where the broker is asked and published."""
        names = [self._address(host) for host in self.hosts]
        announced = [self._announced(host) for host in self.members[NODE][:1]]
        askers = [host for host in self.hosts if host not in self.members[BROKER]]
        brokers = [name for host in askers for name in url_hosts(self.hosts[host])]
        published = [name for host in self.members[BROKER] for name in self._published(host)]
        self.resolved = resolve_all([name for name in [*names, *announced, *brokers, *published] if name], resolve_one)

    def _published(self, host: str) -> list[str]:
        """Return the names and addresses by hand under which a host publishes the broker."""
        found = self.good(host).get("prover_broker_publish_addresses")
        return [str(entry) for entry in found] if isinstance(found, (list, tuple)) else []

    def add(self, host: str, variable: str, found: tuple, level: str = "error", fleet: bool = False) -> None:
        """Add a problem, unless the variable has an error on this host already. A warning lets later checks go on."""
        if (host, variable) in self.bad:
            return
        if level == "error":
            self.bad.add((host, variable))
        self.problems.append(Problem(host, variable, found[0], found[1], level, fleet))

    def good(self, host: str) -> dict:
        """Give a host's variables without those that have a line already."""
        return {
            name: value
            for name, value in self.hosts[host].items()
            if (host, name) not in self.bad and not isinstance(value, UnresolvedValue)
        }

    def judged(self) -> list:
        """Return the problems of this run: of a host outside, only those that the fleet's values come from."""
        found, unknown = [], self.admission_unknown()
        for problem in self.problems:
            error = problem.level == "error"
            vital = error and problem.host in self.pillars and problem.variable in FLEET_VALUES
            if problem.fleet or problem.host not in self.hosts or problem.host in self.run or vital:
                found.append(problem)
            elif error and problem.host in unknown and problem.variable in ADMISSION_VALUES:
                found.append(replace(problem, level="warning"))
        return leave_out_agents(found, self.run & set(self.members[AGENT]), self.run & (set(self.hosts) - self.pillars))

    def without_address(self) -> set:
        """Return the agents whose address is not known, or wrong: the broker is not told to admit it."""
        return {
            host
            for host in self.hosts
            if host not in self.pillars
            and (
                self._addresses(host) is None
                or (host, "aztec_address") in self.bad
                or ((host, "ansible_host") in self.bad and not self.hosts[host].get("aztec_address"))
            )
        }

    def admission_unknown(self) -> set:
        """Return the agents of which this run does not know all that the broker is to admit for them.

        A name that does not resolve now may be that of an agent at work. Where the list is set by hand, none counts.
        """
        if any("prover_broker_admitted" in self.hosts[host] for host in self.members[BROKER]):
            return set()
        names = ("aztec_address6", "aztec_admit")
        agents = set(self.hosts) - self.pillars
        return self.without_address() | {one for one in agents if any((one, name) in self.bad for name in names)}

    def components(self, host: str) -> list:
        return [component for component in COMPONENTS if host in self.members[component]]

    def setting(self, host: str, component: str, option: str) -> tuple:
        """Give (the variable that decides, its value) for a component's option, by the order of the role's defaults."""
        values = self.hosts[host]
        name = option_variable(values, component, option)
        if name is not None:
            return name, values[name]
        own, wide = f"{component}_{option}", f"aztec_{option}"
        shared = self.specs.owner(wide) is not None and not self.alone
        return (wide if shared else own), self.specs.default(component, option)

    def _release(self, host: str, component: str) -> Release | None:
        """Return the release line of a component, or None where its version has a line already."""
        settings = [self.setting(host, component, option) for option in ("version", "release_line")]
        if any((host, name) in self.bad for name, _value in settings):
            return None
        return release_of(*(value for _name, value in settings))

    def _plain(self, host: str) -> dict:
        return {name: value for name, value in self.hosts[host].items() if isinstance(value, (str, int))}

    def _address(self, host: str) -> str:
        return address_name(host, self._plain(host))

    def _addresses(self, host: str) -> list | None:
        return addresses_of(host, self._plain(host), self.resolved)

    def _announced(self, host: str) -> str:
        values = self._plain(host)
        if self.alone:
            return p2p_address("", {name: value for name, value in values.items() if name != "ansible_host"})
        return p2p_address(host, values)

    def check_groups(self, groups: Mapping) -> None:
        """Exactly one node and one broker, and no hosts left out by a misspelled group name."""
        wanted = {component: self.group_names.get(component, component) for component in COMPONENTS}
        strange = [name for name in groups if groups[name] and name not in wanted.values()]
        for component, group in wanted.items():
            found = len(self.members[component])
            near = difflib.get_close_matches(group, strange, n=1, cutoff=0.9)
            # A group of the operator's own, of hosts that are in the fleet anyway, may be called what it likes.
            if near and (found == 0 or not set(groups[near[0]]) <= set(self.hosts)):
                wrong = "there is no such group, so that its hosts are left out"
                self.add(INVENTORY, near[0], (wrong, f"did you mean {group}?"))
            elif component != AGENT and found == 0:
                self.add(INVENTORY, group, ("this group has no host", "put one host into it"))
            elif component == AGENT and group != component and group not in groups:
                self.add(INVENTORY, group, ("there is no such group", "correct preflight_agent_group"))
            elif component != AGENT and found > 1:
                self.add(INVENTORY, group, (f"this group has {found} hosts", "leave one host in it"))

    def check_names(self, prefixes: tuple | None = None) -> None:
        """No variable that looks like one of the collection's and is none."""
        every = {name for values in self.hosts.values() for name in values}
        wrong = unknown_variables(sorted(every), self.specs, prefixes)
        for host, values in self.hosts.items():
            for name in values:
                if name in wrong:
                    near = wrong[name]
                    manual = f"ansible-doc -t role aztec_ops.prover.{self.specs.nearest_role(name)}"
                    remedy = f"did you mean {near}?" if near else f"take it out; {manual} lists all that there are"
                    self.add(host, name, ("there is no such variable", remedy))

    def check_types(self) -> None:
        """Every variable against its specification, on the hosts that it is for."""
        for host, values in self.hosts.items():
            roles = (*FLEET_ROLES, *self.components(host))
            for name, value in values.items():
                role = self.specs.owner(name)
                if role is None and name not in CONNECTION_NAMES:
                    continue
                if role is not None and role not in roles:
                    continue
                option = self.specs.options[role][name] if role else {"type": "raw"}
                found = type_problem(name, option, value)
                if found is None and name == "ansible_host":
                    found = connection_problem(value, bool(values.get("aztec_address")))
                elif found is None:
                    found = range_problem(name, value)
                if found:
                    self.add(host, name, found)
            # The other roles are handed what they require by those that call them.
            for role in self.components(host):
                for name, option in self.specs.options.get(role, {}).items():
                    if option.get("required") and name not in values and name not in self.specs.defaults.get(role, ()):
                        self.add(host, name, ("is not set", "set it"))

    def check_versions(self) -> None:
        """A known release, and the same one everywhere; a network that this release knows."""
        seen: dict = {}
        for host in self.hosts:
            for component in self.components(host):
                name, version = self.setting(host, component, "version")
                line_name, line = self.setting(host, component, "release_line")
                if {(host, name), (host, line_name)} & self.bad or isinstance(version, UnresolvedValue):
                    continue
                try:
                    release = release_of(version, line)
                except ValueError as error:
                    wrong, _colon, remedy = str(error).rpartition(": ")
                    self.add(host, line_name if line else name, (wrong, remedy))
                    continue
                seen.setdefault(("version", str(version).lstrip("v")), []).append((component, host, name))
                self._check_image(host, component, release)
                self._check_options(host, component, version)
                name, network = self.setting(host, component, "network")
                if (host, name) in self.bad or isinstance(network, UnresolvedValue):
                    continue
                known = networks_of(version, line)
                if not accepts_network(known, network):
                    names = [one for one in known if one != NUMBERED_DEVNET]
                    near = difflib.get_close_matches(str(network), names, n=1)
                    hint = f"did you mean {near[0]}? All: " if near else "choose one of "
                    self.add(host, name, (f"{describe_value(network)} is an unknown network", hint + ", ".join(known)))
                    continue
                seen.setdefault(("network", str(network)), []).append((component, host, name))
        for what in ("version", "network"):
            self._check_same(what, {value: users for (kind_of, value), users in seen.items() if kind_of == what})

    def _check_image(self, host: str, component: str, release: Release) -> None:
        """Refuse the image of an organization that does not publish this release line; a registry's own copy passes."""
        name, image = self.setting(host, component, "image")
        if (host, name) in self.bad or not isinstance(image, str):
            return
        organization, _slash, rest = image.removeprefix("docker.io/").rpartition("/")
        own = release.image.partition("/")[0]
        others = {one.image.partition("/")[0] for one in RELEASES.values()} - {own}
        if organization in others:
            wrong = f"{organization} does not publish release line {release.line}"
            self.add(host, name, (wrong, f"set it to {own}/{rest}, or remove it"))

    def _check_options(self, host: str, component: str, version: str) -> None:
        """Refuse an option that is set and that the version does not read."""
        for option, since in OPTION_SINCE.items():
            if f"{component}_{option}" not in self.specs.options.get(component, {}):
                continue
            name, value = self.setting(host, component, option)
            is_set = as_bool(value) if option == "dry_run" else value not in (None, "", [], 0, "0")
            if is_set and not isinstance(value, UnresolvedValue) and parse_version(version) < since:
                wrong = f"is read from release {'.'.join(map(str, since))} on, and {version} ignores it"
                self.add(host, name, (wrong, "remove it, or set aztec_version to a release that reads it"))

    def _check_same(self, what: str, users: dict) -> None:
        if len(users) < 2:
            return
        # The node's and the broker's decides: it stands first in every list.
        first = min(users, key=lambda value: min(COMPONENTS.index(user[0]) for user in users[value]))
        for value, places in users.items():
            for component, host, name in places:
                if value != first:
                    wrong = f"the {component} has {what} '{value}', the node or broker '{first}'"
                    self.add(host, name, (wrong, f"give the whole fleet one {what}"))

    def check_ports(self) -> None:
        """No port twice on a host, not even inside the containers: the port guard knows ports, not processes."""
        options = {NODE: ("port", "admin_port", "p2p_port"), BROKER: ("port",), AGENT: ("port",)}
        for host in self.hosts:
            used: dict = {}
            ssh = as_int(self.hosts[host].get("ansible_port", 22))
            if ssh is not None:
                used[ssh] = "ansible_port"
            if NODE not in self.components(host):
                used[ADMIN_PORT] = "the admin port inside the containers"
            for component in self.components(host):
                for option in options[component]:
                    name = f"{component}_{option}"
                    value = self.hosts[host].get(name, self.specs.default(component, option))
                    number = as_int(value)
                    if number is None or (host, name) in self.bad:
                        continue
                    if number in used:
                        wrong = f"port {number} is used twice on this host, by {used[number]} too"
                        self.add(host, name, (wrong, "give one of the two another port"))
                    used.setdefault(number, name)

    def check_directories(self) -> None:
        """No directory for two things: each component brings its own to its own files and owner."""
        for host in self.hosts:
            values = self.good(host)
            used: dict = {}
            roots = {name: values[name] for name in ENGINE_ROOTS if values.get(name)}
            for places in [roots, *(directories(values, component) for component in self.components(host))]:
                for name, path in places.items():
                    path = posixpath.normpath(re.sub("/+", "/", str(path)))
                    other = used.setdefault(path, name)
                    if other != name:
                        blamed, other = (name, other) if name in values else (other, name)
                        self.add(host, blamed, (f"is the directory of {other} too", "give each one of its own"))

    def check_engine(self) -> None:
        """Refuse two settings for one thing of the engine's."""
        for host in self.hosts:
            values, name = self.good(host), "docker_engine_data_root"
            options = values.get("docker_engine_daemon_options")
            if values.get(name) and isinstance(options, Mapping) and "data-root" in options:
                wrong = "is set, and data-root in docker_engine_daemon_options too"
                self.add(host, name, (wrong, "set only one of them"))

    def check_owned(self) -> None:
        """Nothing behind the roles' back in environment and Compose, no secret where it is shown."""
        for host in self.hosts:
            values = self.good(host)
            components = tuple(self.components(host))
            places = [("aztec_environment", COMPONENTS)]
            for component in components:
                places += [(f"{component}_{kind_of}environment", (component,)) for kind_of in ("fleet_", "", "secret_")]
            for name, of in places:
                found = values.get(name)
                if isinstance(found, Mapping):
                    wrong = environment_owned(of, found)
                    if wrong is None and NODE in of and not name.endswith("_secret_environment"):
                        wrong = secret_shown(found)
                    if wrong:
                        self.add(host, name, wrong)
            for component in components:
                name = f"{component}_compose"
                extra = values.get(name)
                wrong = service_owned(component, extra) if isinstance(extra, Mapping) else None
                if wrong:
                    self.add(host, name, wrong)
            if NODE in components:
                name, secret = "prover_node_secret_environment", values.get("prover_node_secret_environment") or {}
                for public in ("aztec_environment", "prover_node_environment"):
                    both = sorted(set(secret) & set(values.get(public) or {}))
                    if both:
                        self.add(host, name, (f"holds {both[0]}, and so does {public}", "leave it in one of them"))

    def check_environments(self) -> None:
        """Refuse environment that a release line does not read, or that makes it end at its start."""
        for host in self.hosts:
            values = self.good(host)
            for component in self.components(host):
                release = self._release(host, component)
                if release is None:
                    continue
                wide = ("aztec_environment",) if f"{component}_fleet_environment" not in values else ()
                own = tuple(f"{component}_{kind_of}environment" for kind_of in ("fleet_", "", "secret_"))
                allowed = str(environment_of(values, component).get("ALLOW_OVERRIDING_NETWORK_CONFIG", "")).lower()
                for name in (*wide, *own):
                    environment = values.get(name)
                    if not isinstance(environment, Mapping):
                        continue
                    for old, new in release.renamed_environment.items():
                        if old in environment:
                            wrong = f"holds {old}, which release line {release.line} does not read"
                            remedy = f"remove it, or rename it to {new}; the image sets it already"
                            self.add(host, name, (wrong, remedy))
                    if release.checks_consensus_environment and allowed not in ("1", "true"):
                        self._check_consensus(host, component, name, environment)

    def _check_consensus(self, host: str, component: str, name: str, environment: Mapping) -> None:
        """Compare consensus settings with those of the network, where these are published."""
        _name, network = self.setting(host, component, "network")
        own = environment_of(self.good(host), component).get("NETWORK_CONFIG_LOCATION")
        known = None if own else NETWORKS.get(str(network))
        for variable in (one for one in CONSENSUS_ENVIRONMENT if environment.get(one) not in (None, "")):
            remedy = f"remove {variable}; ALLOW_OVERRIDING_NETWORK_CONFIG: true beside it overrides this"
            expected = known.consensus.get(variable) if known else None
            if expected is None:
                wrong = f"holds {variable}, and Aztec ends at its start where it differs from {network}'s own value"
                self.add(host, name, (wrong, remedy), "warning")
            elif str(environment[variable]) != str(expected):
                wrong = f"holds {variable}, which on {network} is {expected}; Aztec ends at its start where it differs"
                self.add(host, name, (wrong, remedy))

    def check_snapshots(self) -> None:
        """Refuse snapshots of another network, and snapshots that the sync mode never reads."""
        for host in self.members[NODE]:
            name, urls = "prover_node_snapshot_urls", self.good(host).get("prover_node_snapshot_urls")
            _name, network = self.setting(host, NODE, "network")
            if not isinstance(urls, list) or not urls:
                continue
            if self.good(host).get("prover_node_sync_mode") == "full":
                wrong = "is set, and prover_node_sync_mode: full downloads no snapshot"
                self.add(host, name, (wrong, "remove one of the two"))
            for number, url in enumerate(urls, 1):
                other = other_network(url, str(network))
                if other:
                    wrong = f"entry {number} holds a snapshot of {other}, and the network is {network}"
                    self.add(host, name, (wrong, f"set the URL of {network}'s snapshots, or remove it"))

    def check_funding(self) -> None:
        """Check the account that tops the publishers up: all of its settings or none, and none of the publishers."""
        for host in self.members[NODE]:
            values = self.good(host)
            remote = has_remote_signer(values)
            account, other = (FUNDING_ADDRESS, FUNDING_KEY) if remote else (FUNDING_KEY, FUNDING_ADDRESS)
            source, names = values.get("prover_node_key_source", "keystore"), (account, *FUNDING_AMOUNTS)
            if values.get(other):
                self.add(host, other, (f"does not go with prover_node_key_source: {source}", f"set {account} instead"))
            if values.get(account) and source == "env":
                wrong = "needs a key store, and with prover_node_key_source: env there is none"
                remedy = f"set prover_node_key_source to keystore, or remove all of {', '.join(names)}"
                self.add(host, account, (wrong, remedy))
            given = [name for name in names if values.get(name) not in (None, "", 0, 0.0, "0")]
            for name in names:
                if given and name not in given and not isinstance(self.hosts[host].get(name), UnresolvedValue):
                    remedy = f"set all three, or none: {', '.join(names)}"
                    self.add(host, name, (f"is not set, and {given[0]} is", remedy))
            if values.get(account):
                function = ethereum.ethereum_checksum if remote else ethereum.ethereum_address
                self._check_ethereum(host, account, function, values[account])
                if Publishers(self.hosts[host]).stand_in("publisher_addresses", values[account]):
                    wrong = "is one of the publishers, which cannot top itself up"
                    self.add(host, account, (wrong, "name an account of its own"))

    def check_networks(self) -> None:
        """The components of one host share one Docker network, by which the node reaches a broker beside it."""
        for host in self.hosts:
            first: dict = {}
            for component in self.components(host):
                for option in ("docker_network", "docker_bridge", *DOCKER_SUBNETS, "docker_mtu"):
                    name, value = self.setting(host, component, option)
                    other, theirs = first.setdefault(option, (name, value))
                    if value != theirs and (host, name) not in self.bad and (host, other) not in self.bad:
                        blamed, other = (name, other) if name in self.hosts[host] else (other, name)
                        wrong = f"differs from {other}, but the components of one host share one network"
                        self.add(host, blamed, (wrong, f"take it out, and set aztec_{option}"))

    def check_subnets(self) -> None:
        """No subnet of a Docker network that is set by hand holds an address of a host of the fleet."""
        addresses = {one: host for host in self.hosts for one in self._addresses(host) or []}
        for host in self.hosts:
            for component in self.components(host):
                for option in DOCKER_SUBNETS:
                    name, subnet = self.setting(host, component, option)
                    hits = overlapping(subnet, addresses) if subnet and (host, name) not in self.bad else []
                    if hits:
                        wrong = f"{subnet} contains {hits[0]} of {addresses[hits[0]]}, which no container could reach"
                        self.add(host, name, (wrong, "set a subnet that contains no address of the fleet's hosts"))

    def check_publisher(self) -> None:
        """The node's publishers, by where their keys stand, and PROVER_ID wherever it is set."""
        for host in self.members[NODE]:
            if has_remote_signer(self.hosts[host]):
                self._check_remote_signer(host)
            else:
                self._check_private_keys(host)
        for host in self.hosts:
            for component in self.components(host):
                name = f"{component}_prover_id"
                value = self.hosts[host].get(name)
                if value == ZERO_ADDRESS:
                    self.add(
                        host, name, ("is the zero address, whose rewards nobody can take", "name an address of yours")
                    )
                elif value not in (None, "") and not isinstance(value, UnresolvedValue):
                    self._check_ethereum(host, name, ethereum.ethereum_checksum, value)

    def _check_private_keys(self, host: str) -> None:
        """One key or a list of several, and nothing of a signer."""
        values = self.hosts[host]
        for name in SIGNER_OPTIONS:
            if values.get(name) not in (None, "", []):
                remedy = "take it out, or set prover_node_key_source: web3signer and take the private keys out"
                self.add(host, name, ("goes with prover_node_key_source: web3signer alone", remedy))
        one, several = values.get(ONE_KEY), values.get(SEVERAL_KEYS)
        if several and one not in (None, ""):
            self.add(host, SEVERAL_KEYS, (f"is set, and so is {ONE_KEY}", "leave the keys in one of them"))
        elif several or isinstance(several, UnresolvedValue):
            self._check_entries(host, SEVERAL_KEYS, ethereum.ethereum_address, DUMMY_KEYS)
        elif not isinstance(one, UnresolvedValue) and (host, ONE_KEY) not in self.bad:
            if one in (None, ""):
                self.add(host, ONE_KEY, ("is not set", "put the publisher's key into the inventory's vault file"))
            elif isinstance(one, str) and one.lower().replace("0x", "", 1) in DUMMY_KEYS:
                self.add(host, ONE_KEY, ("is still the example's", "put your publisher's key into the vault file"))
            else:
                self._check_ethereum(host, ONE_KEY, ethereum.ethereum_address, one)

    def _check_remote_signer(self, host: str) -> None:
        """The signer's URL and the addresses that it signs for, and no key besides."""
        values = self.hosts[host]
        for name in (ONE_KEY, SEVERAL_KEYS):
            if values.get(name) not in (None, "", []):
                wrong = "holds a private key, and with prover_node_key_source: web3signer none may reach a host"
                remedy = "take it out, or set prover_node_key_source to keystore or env and take out "
                remedy += ", ".join(SIGNER_OPTIONS)
                self.add(host, name, (wrong, remedy))
        name, url = SIGNER_OPTIONS[0], values.get(SIGNER_OPTIONS[0], "")
        if not isinstance(url, UnresolvedValue) and (host, name) not in self.bad:
            found = (url_problem(url) or _own_url_problem(url)) if url else ("is not set", "give the signer's URL")
            if found is None and urlsplit(url).username is not None:
                # RemoteSigner of @aztec/node-keystore hands the URL to Node's fetch as it is (2.1, 4.1.2, 5.2.0).
                found = "has a user in it, which Node's fetch refuses", "let the signer in by its path or network alone"
            if found:
                self.add(host, name, found)
        name = SIGNER_OPTIONS[1]
        if values.get(name) or isinstance(values.get(name), UnresolvedValue):
            self._check_entries(host, name, ethereum.ethereum_checksum, (ZERO_ADDRESS[2:],))
        else:
            self.add(host, name, ("names no publisher", "give the addresses of the keys that the signer holds"))

    def _check_entries(self, host: str, name: str, function: Callable, examples: Sequence) -> None:
        """A list of keys or addresses: each is one, none is an example's, none is there twice."""
        entries, seen = self.hosts[host].get(name), {}
        if isinstance(entries, UnresolvedValue) or (host, name) in self.bad:
            return
        for number, entry in enumerate(entries, 1):
            if isinstance(entry, str) and entry.lower().replace("0x", "", 1) in examples:
                self.add(host, name, (f"entry {number} is still the example's", "put your publisher's there"))
                return
            try:
                first = seen.setdefault(function(entry), number)
            except ValueError as error:
                wrong, _colon, remedy = str(error).partition(": ")
                self._missing_or(host, name, error, (f"entry {number}: {wrong}", remedy))
                return
            if first != number:
                self.add(host, name, (f"entry {number} is that of entry {first} again", "leave one of the two"))
                return

    def check_other_users(self, keys: Mapping, groups: Mapping) -> None:
        """Nobody else in the inventory sends with a publisher's key: two senders take each other's nonces.

        keys: host -> its variables that may hold a key, for every host of the inventory. A variable that a whole group
        has, node and other host in it, is inherited and says nothing of its use; so is all that the node has itself.
        """
        for node in self.members[NODE]:
            mode = self.hosts[node].get("aztec_l1_checks", "fail")
            wanted = Publishers(self.hosts[node])
            if mode == "ignore" or node not in self.run or (node, publisher_variable(self.hosts[node])) in self.bad:
                continue
            for host, values in keys.items():
                for name, value in values.items():
                    if not wanted.stand_in(name, value):
                        continue
                    inherited = any(
                        node in group and host in group and all(name in keys.get(one, {}) for one in group)
                        for group in groups.values()
                    )
                    # A component's variable says nothing on a host of the fleet that is not the component's.
                    ours = host in self.hosts and self.specs.owner(name) is not None
                    if ours or inherited:
                        continue
                    wrong = f"holds a publisher's key of {node}; two that send with one key take each other's nonces"
                    level = "warning" if mode == "warn" else "error"
                    self.add(host, name, (wrong, "give each a key of its own"), level, fleet=True)

    def check_plain(self, search) -> None:
        """No secret in clear text where the run has its variables from; search: tells where one stands, or None."""
        for host in self.hosts:
            mode = self.hosts[host].get("aztec_plain_secrets", "warn")
            if mode not in ("warn", "fail"):
                continue
            roles = (*FLEET_ROLES, *self.components(host))
            for name, value in self.good(host).items():
                role = self.specs.owner(name)
                if role in roles:
                    found = plain_problem(secrets_of(name, self.specs.options[role][name], value), search)
                    if found:
                        self.add(host, name, found, "error" if mode == "fail" else "warning")

    def check_registry(self) -> None:
        """The registry's address, where it is set by hand."""
        for host in self.hosts:
            value = self.hosts[host].get("aztec_l1_registry")
            if value not in (None, "") and not isinstance(value, UnresolvedValue):
                self._check_ethereum(host, "aztec_l1_registry", ethereum.ethereum_checksum, value)

    def _check_ethereum(self, host: str, name: str, function, value: object) -> None:
        try:
            function(value)
        except ValueError as error:
            wrong, _colon, remedy = str(error).partition(": ")
            self._missing_or(host, name, error, (wrong, remedy))

    def _missing_or(self, host: str, name: str, error: ValueError, found: tuple) -> None:
        """Note a problem with a key or an address, or that the controller has nothing to tell it with."""
        if str(error) == ethereum.MISSING:
            self.add(CONTROLLER, "eth_account", ("its Python has no eth_account", ethereum.INSTALL))
        else:
            self.add(host, name, found)

    def check_urls(self) -> None:
        """L1 URLs of node and broker, and broker URLs set by hand."""
        wanted = {
            NODE: ("l1_execution_urls", "l1_consensus_urls", "l1_debug_urls"),
            BROKER: ("l1_execution_urls",),
        }
        for host in self.hosts:
            for component in self.components(host):
                for option in wanted.get(component, ()):
                    name, urls = self.setting(host, component, option)
                    if (host, name) in self.bad or isinstance(urls, UnresolvedValue):
                        continue
                    if not urls and option != "l1_debug_urls":
                        self.add(host, name, ("names no URL", "give at least one"))
                    for number, url in enumerate(urls or [], 1):
                        found = url_problem(url) or _own_url_problem(url)
                        if found:
                            self.add(host, name, (f"entry {number} {found[0]}", found[1]))
                name = f"{component}_broker_url"
                url = self.hosts[host].get(name)
                if url == "" and not self.alone:
                    self.add(host, name, ("is empty", "give it a value, or take the line out"))
                if url in (None, "") or (host, name) in self.bad:
                    continue
                found = url_problem(url) or _own_url_problem(url)
                if found is None and (urlsplit(url).path not in ("", "/") or urlsplit(url).username):
                    found = ("has a path or a user, which Aztec leaves out", "write it as http://host:port")
                if found:
                    self.add(host, name, found)

    def check_addresses(self) -> None:
        """Each host has an address of its own that resolves, is no example's and can be reached from others."""
        taken: dict = {}
        for host, values in self.hosts.items():
            for name in (
                "ansible_host",
                "aztec_address",
                "aztec_address6",
                "aztec_public_address",
                "prover_node_p2p_ip",
            ):
                if is_dummy(values.get(name)) or DUMMY_DOMAINS.search(str(values.get(name, ""))):
                    self.add(host, name, ("is still the example's", "put your host's address there"))
            source = next((name for name in ("aztec_address", "ansible_host") if values.get(name)), None)
            if source and ((host, source) in self.bad or isinstance(values[source], UnresolvedValue)):
                continue
            address = self._address(host)
            answer = self.resolved.get(address)
            if not isinstance(answer, list):
                kept = "" if host in self.pillars else "; the broker goes on admitting the addresses that it admits now"
                if source is None:
                    wrong = "has no address: neither it nor ansible_host is set, and the host's name does not resolve"
                    self.add(host, "aztec_address", (wrong, f"set ansible_host or aztec_address{kept}"))
                else:
                    wrong = f"the host name {shown_name(address)} does not resolve on the controller"
                    self.add(host, source, (wrong, f"correct the name, or set aztec_address to an IP address{kept}"))
            elif len(self.hosts) > 1:
                for one in self._addresses(host):
                    name = (source or "aztec_address") if one in answer else "aztec_address6"
                    remedy = f"set {_settable(name)} to one that the fleet reaches"
                    if ip_of(one).is_loopback or ip_of(one).is_unspecified:
                        self.add(host, name, ("leads back to the host itself, where no other host reaches it", remedy))
                    elif ip_of(one).is_multicast or ip_of(one).is_link_local:
                        self.add(host, name, ("is no address of one host in the whole fleet", remedy))
                    elif taken.setdefault(one, host) != host:
                        wrong = f"{one} is the address of {taken[one]} too"
                        remedy = "give each host its own; name a machine once, in the group of each of its components"
                        # Of two agents the second is left out. An address of node or broker may be wrong on either.
                        shared = host in self.run and bool(self.pillars & {host, taken[one]})
                        self.add(host, name, (wrong, remedy), fleet=shared)

    def check_broker(self) -> None:
        """A broker, which asks nobody for a password, is on no global address."""
        for host in self.members[BROKER]:
            public = as_bool(self.hosts[host].get("aztec_allow_public_broker", False))
            answer = [one for one in self._addresses(host) or [] if ip_of(one).is_global]
            if not public and answer:
                named = "aztec_address" if self.hosts[host].get("aztec_address") else "ansible_host"
                source = named if answer[0] in self.resolved[self._address(host)] else "aztec_address6"
                wrong = "puts the broker on a public address, where it asks for no password"
                remedy = f"set {_settable(source)} to a private one, or aztec_allow_public_broker: true"
                self.add(host, source, (wrong, remedy))

    def check_publish_addresses(self) -> None:
        """The names under which the broker is published resolve, those of broker URLs that are set by hand included."""
        for broker in self.members[BROKER]:
            if broker not in self.run or "prover_broker_publish_addresses" in self.hosts[broker]:
                continue
            for host in self.hosts:
                for component in self.components(host) if host != broker else ():
                    name = f"{component}_broker_url"
                    found = url_hosts({name: self.good(host).get(name)})
                    if found and not isinstance(self.resolved.get(found[0]), list):
                        # Published at less addresses, the broker would lose agents at work.
                        wrong = f"the host name {shown_name(found[0])} does not resolve on the controller"
                        remedy = f"correct the name, or set prover_broker_publish_addresses of {broker}"
                        self.add(host, name, (wrong, remedy), fleet=True)
        for host in self.members[BROKER]:
            for entry in self._published(host):
                if not isinstance(self.resolved.get(entry), list):
                    wrong = f"the host name {shown_name(entry)} does not resolve on the controller"
                    remedy = "correct the name, or use an IP address"
                    self.add(host, "prover_broker_publish_addresses", (wrong, remedy))

    def check_admitted(self) -> None:
        """The broker admits not everybody by mistake."""
        for host in self.hosts:
            self._check_sources(host, "aztec_admit")
        for host in self.members[BROKER]:
            self._check_sources(host, "prover_broker_admitted")

    def _check_sources(self, host: str, name: str) -> None:
        values = self.hosts[host]
        entries = values.get(name)
        if not isinstance(entries, list) or (host, name) in self.bad:
            return
        public = as_bool(values.get("aztec_allow_public_broker", False))
        for number, entry in enumerate(entries, 1):
            if network_of(entry).prefixlen == 0 and not public:
                wrong = f"entry {number} admits everybody to the broker"
                self.add(host, name, (wrong, "name the networks, or set aztec_allow_public_broker: true"))

    def check_ways(self) -> None:
        """Who asks the broker has a family of addresses in common with it, and IPv6 in its containers where need be."""
        broker = next(iter(self.members[BROKER]), None)
        there = self._addresses(broker) if broker else None
        for host in self.hosts:
            own, components = self._addresses(host), self.components(host)
            if not there or not own:
                continue
            urls = broker_urls(self.good(host), components, "")
            way = route_to_host(there, own)
            if way is None and "" in urls.values():
                wrong = f"has no IPv{ip_of(there[0]).version} address, and the broker on {broker} no other"
                six, four = ("this host", broker) if ip_of(own[0]).version == 4 else (broker, "this host")
                remedy = f"set aztec_address6 of {six}, or give {four} an IPv4 address in aztec_address"
                self.add(host, "aztec_address", (wrong, remedy))
                continue
            beside = "" if host == broker else f"http://{in_url(way or there[0])}"
            for component in components:
                name, subnet = self.setting(host, component, "docker_ipv6_subnet")
                given = name in self.hosts[host]
                if given and subnet == "" and needs_ipv6(own, broker_urls(self.good(host), components, beside)):
                    wrong = "is empty, but the containers of this host need IPv6 to reach the broker or the L1"
                    self.add(host, name, (wrong, f"take it out, or give a subnet such as {DOCKER_IPV6_SUBNET}"))

    def check_rotation(self) -> None:
        """A rotation that was begun is finished, and the old key goes in the end."""
        command = "run playbooks/rotate_key.yml"
        remedies = {
            "next": ("a new publisher's key waits to be used", f"{command}, or give it up as docs/keys.md says"),
            "previous": ("the old publisher's key is still kept", f"{command} -e rotate_key_confirm=true"),
        }
        for host in self.members[NODE]:
            for place, found in remedies.items():
                name = f"prover_node_{place}_publisher_private_key"
                key = self.hosts[host].get(name)
                if key not in (None, "") and not isinstance(key, UnresolvedValue) and (host, name) not in self.bad:
                    self._check_ethereum(host, name, ethereum.ethereum_address, key)
                    self.add(host, name, found, "warning")

    def check_crs(self) -> None:
        """A directory of the controller that the CRS comes from holds some."""
        name = "prover_agent_crs_source"
        for host in self.members[AGENT]:
            source = self.good(host).get(name)
            if isinstance(source, str) and source.startswith("/"):
                try:
                    crs_to_copy(source, "", {})
                except ValueError as error:
                    wrong, _colon, remedy = str(error).partition(": ")
                    self.add(host, name, (wrong, remedy))

    def check_p2p(self) -> None:
        """What the node announces is an address that its peers reach."""
        for host in self.members[NODE]:
            values = self.good(host)
            option = "prover_node_p2p_ip"
            set_it = "set the address that peers reach the node at, or prover_node_p2p_query_for_ip: true"
            if as_bool(values.get("prover_node_p2p_query_for_ip", False)):
                if values.get(option):
                    wrong = "is set, and so is prover_node_p2p_query_for_ip, which ignores it"
                    self.add(host, option, (wrong, "remove one of the two"))
                continue
            name = next((one for one in (option, "aztec_public_address") if self.hosts[host].get(one)), option)
            if (host, name) in self.bad or (host, "ansible_host") in self.bad:
                continue
            announced = self._announced(host)
            if not announced:
                self.add(host, name, ("is not set", set_it))
                continue
            if name in values and ip_of(announced) is None:
                self.add(host, name, ("is no IP address", "give the address that peers reach the node at"))
                continue
            answer = self.resolved.get(announced)
            if name not in values and isinstance(answer, ValueError) and announced != self._address(host):
                # What Ansible connects to may be an alias.
                wrong = "is not set, and ansible_host, else the host's name, does not resolve on the controller"
                self.add(host, name, (wrong, set_it))
                continue
            _name, network = self.setting(host, NODE, "network")
            if network not in ("testnet", "mainnet") or as_bool(values.get("prover_node_allow_private_p2p_ip", False)):
                continue
            if isinstance(answer, list) and not any(ip_of(one).is_global for one in answer):
                wrong = f"the node would announce {answer[0]}, which no peer on {network} reaches"
                remedy = f"set {option} to its public address (closed network: prover_node_allow_private_p2p_ip: true)"
                self.add(host, name, (wrong, remedy))

    def check_required(self, role: str) -> None:
        """What a role cannot do without, where no fleet gives it: not missing, and not empty."""
        for host in self.hosts:
            for name, option in self.specs.options[role].items():
                if not option.get("required"):
                    continue
                _name, value = self.setting(host, role, name[len(role) + 1 :])
                if value in (None, "", []):
                    self.add(host, name, ("is not set", "set it"))


def hex_digits(value: object, length: int) -> set:
    """Give the hex numbers of that many digits that a value holds, be it a list, a dict or a text with commas."""
    if isinstance(value, Mapping):
        return {one for item in value.values() for one in hex_digits(item, length)}
    if isinstance(value, (list, tuple)):
        return {one for item in value for one in hex_digits(item, length)}
    texts = str(value).split(",") if isinstance(value, str) else []
    found = (re.fullmatch(rf"(?:0[xX])?([0-9a-fA-F]{{{length}}})", text.strip()) for text in texts)
    return {match.group(1).lower() for match in found if match}


class Publishers:
    """A node's publishers, to be found in other hosts' variables by their keys or as what another signer signs for."""

    def __init__(self, values: Mapping) -> None:
        self.remote = has_remote_signer(values)
        given = values.get(publisher_variable(values))
        self.keys = set() if self.remote else hex_digits(given, 64)
        self.addresses = hex_digits(given, 40) if self.remote else {_address_digits(key) for key in self.keys}

    def stand_in(self, name: str, value: object) -> bool:
        """Tell whether a variable holds the key of one of them, or names one of them as a publisher of its own."""
        keys = hex_digits(value, 64)
        # Deriving addresses takes its time, and where the node has the keys it tells nothing more.
        held = self.addresses & {_address_digits(key) for key in keys} if self.remote else self.keys & keys
        named = self.addresses & hex_digits(value, 40) if name.endswith("publisher_addresses") else set()
        return bool(held or named)


def other_network(url: str, network: str) -> str | None:
    """Return the network that a URL names in place of this one, or None.

    A part of the path or a bucket counts if it is a network's name; mainnet and testnet count within a longer name too.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "") if parts.scheme in ("http", "https") else parts.netloc
    names = [one for one in [host, *parts.path.split("/")] if one]
    words = {word for one in names for word in re.split("[^a-z0-9]+", one.lower())}
    within = words & {"mainnet", "testnet"}
    if network in names or network in within:
        return None
    if within:
        return min(within)
    return next((one for one in names if one in NETWORKS or accepts_network((NUMBERED_DEVNET,), one)), None)


def _address_digits(key: str) -> str:
    """Give the digits of a key's address, or nothing where there is none."""
    try:
        return ethereum.ethereum_address(key)[2:].lower()
    except ValueError:
        return ""


def shown_name(name: str) -> str:
    """Give a host name for a message, or what it is where it is no name at all."""
    return name if re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", name) and len(name) < 60 else "(a text)"


def check_inventory(
    hosts: Mapping,
    groups: Mapping,
    specs: Specs,
    group_names: Mapping | None = None,
    resolve_one=resolve,
    keys: Mapping | None = None,
    search=None,
    run: Collection | None = None,
) -> tuple:
    """Check a whole inventory. Gives (problems, the fleet's values or None where a problem is an error).

    run: the hosts of the run, all where it is not given. A fault of an agent's own leaves the agent out of the run
    unless no agent would remain. One of a host outside the run is told where the fleet's values come from it: an error
    of node or broker, a warning for what the broker is to admit for an agent.

    hosts: host -> its variables, templated, UnresolvedValue where that failed. groups: group -> hosts.
    group_names: the groups' names by component. resolve_one: gives a host name's addresses or raises ValueError. keys: host -> its variables
    that may hold a key, for every host of the inventory. search: tells where a secret stands in clear text, or None.
    """
    members = members_of(groups, group_names)
    everybody = list(dict.fromkeys(host for some in members.values() for host in some))
    if run is not None:
        # Of two hosts with one address the later one is blamed.
        pillars = {*members[NODE], *members[BROKER]}
        everybody.sort(key=lambda host: host not in pillars and host not in run)
    inventory = _Inventory({host: hosts[host] for host in everybody}, members, group_names or {}, specs, run=run)
    inventory.resolve(resolve_one)
    inventory.check_groups(groups)
    inventory.check_names()
    inventory.check_types()
    inventory.check_versions()
    inventory.check_ports()
    inventory.check_directories()
    inventory.check_engine()
    inventory.check_owned()
    inventory.check_environments()
    inventory.check_networks()
    inventory.check_subnets()
    inventory.check_snapshots()
    inventory.check_publisher()
    inventory.check_funding()
    inventory.check_registry()
    inventory.check_other_users(keys or {}, groups)
    inventory.check_urls()
    inventory.check_addresses()
    inventory.check_broker()
    inventory.check_publish_addresses()
    inventory.check_admitted()
    inventory.check_ways()
    inventory.check_crs()
    inventory.check_rotation()
    inventory.check_p2p()
    if search:
        inventory.check_plain(search)
    problems = inventory.judged()
    if any(problem.level == "error" for problem in problems):
        return problems, None
    faulty = {problem.host: problem for problem in reversed(inventory.problems) if problem.level == "error"}
    values = fleet(
        {**hosts, **{host: inventory.good(host) for host in faulty if host in inventory.hosts}},
        dict(groups),
        dict(group_names or {}),
        inventory.resolved,
        {host: f"{one.variable} {one.wrong}" for host, one in faulty.items() if host not in inventory.pillars},
        inventory.without_address(),
        bool(inventory.admission_unknown()),
    )
    values["registry"] = registry_question(inventory, values)
    return problems, values


def registry_question(inventory: _Inventory, values: Mapping) -> dict:
    """Return which host of a run asks the registry, for which images, and at which mirrors: one question for all."""
    taking_part = [
        host
        for host in [values["broker"]["host"], values["node"]["host"], *inventory.hosts]
        if host in inventory.run and not values["hosts"][host].get("left_out")
    ]
    if not taking_part:
        return {"host": "", "images": [], "mirrors": []}
    mirrors = inventory.good(taking_part[0]).get("docker_engine_registry_mirrors") or []
    images = {image for host in taking_part for image in values["hosts"][host]["images"]}
    return {"host": taking_part[0], "images": sorted(images), "mirrors": list(mirrors)}


def _unresolved(name: str) -> list:
    raise ValueError(f"{name} is not asked for")


def check_role_arguments(role: str, host: str, values: Mapping, specs: Specs) -> list:
    """Check what one role is used with on one host, where no fleet is around it. Gives the problems.

    values: the host's variables but for the role's own defaults, templated, UnresolvedValue where that failed.
    """
    roles = roles_of(role)
    members = {component: [host] if component == role else [] for component in COMPONENTS}
    own = {name: value for name, value in values.items() if specs.owner(name) in (None, *roles)}
    inventory = _Inventory({host: own}, members, {}, specs, alone=True)
    inventory.resolve(_unresolved)
    inventory.check_names(tuple(f"{one}_" for one in roles if one != "preflight"))
    inventory.check_types()
    inventory.check_versions()
    inventory.check_ports()
    inventory.check_directories()
    inventory.check_engine()
    inventory.check_owned()
    inventory.check_environments()
    inventory.check_networks()
    inventory.check_snapshots()
    inventory.check_publisher()
    inventory.check_funding()
    inventory.check_urls()
    inventory.check_crs()
    inventory.check_admitted()
    inventory.check_p2p()
    inventory.check_required(role)
    return inventory.problems


def roles_of(role: str) -> tuple:
    """Give the roles whose settings count where this one is used alone: its own, and those of the roles it calls."""
    return (*FLEET_ROLES, role) if role in COMPONENTS else (role,)
