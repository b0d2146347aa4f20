# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that can be found wrong with an inventory before a host is contacted, over its variables alone.

Variables may hold keys, and any variable may hold a key by mistake. So a value is quoted only by `shown`, where it is
short and the variable is none that may hold a secret.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils import ethereum
from ansible_collections.aztec_ops.prover.plugins.module_utils.component import ADMIN_PORT
from ansible_collections.aztec_ops.prover.plugins.module_utils.fleet import (
    AGENT,
    BROKER,
    DOCKER_IPV6_SUBNET,
    NODE,
    address_name,
    addresses_of,
    as_bool,
    broker_urls,
    deciding,
    fleet,
    in_url,
    ip_of,
    members_of,
    needs_ipv6,
    p2p_address,
    resolve,
    resolve_all,
    way_to,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.nft import network_of
from ansible_collections.aztec_ops.prover.plugins.module_utils.releases import COMPONENTS, release_of

INVENTORY = "the inventory"
CONTROLLER = "the controller"

# The roles whose variables may stand on any host; those of a component count on its hosts alone.
FLEET_ROLES = ("preflight", "docker_engine", "port_guard")

# Ansible's own variables that are read here.
CONNECTION_NAMES = ("ansible_host", "ansible_port")

# What inventories/prod holds so that a reader sees the shape of it; nobody runs a prover with these.
DUMMY_KEYS = ("0" * 64, "0" * 63 + "1")
DUMMY_NETWORKS = tuple(
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
DUMMY_DOMAINS = re.compile(r"(\A|\.)(example|invalid|example\.(com|net|org))\.?\Z", re.IGNORECASE)

# No number that YAML writes this long was meant as one: it was hex without quotes.
_TOO_LONG = 10**15

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, with what, and what to do about it. level: error or warning."""

    host: str
    variable: str
    wrong: str
    remedy: str
    level: str = "error"


@dataclass(frozen=True)
class Broken:
    """Stands for a value whose template failed; reason says why and holds nothing of the value."""

    reason: str
    remedy: str = "mend its template, look-up or vault password"


@dataclass(frozen=True)
class Specs:
    """What the roles' argument_specs say: role -> option -> specification, and which options have a default."""

    options: Mapping
    defaults: Mapping

    def owner(self, name: str) -> str | None:
        """Give the role that declares a variable, or None."""
        return next((role for role, options in self.options.items() if name in options), None)

    def default(self, component: str, option: str):
        """Give the default that a component's option is declared with."""
        return self.options.get(component, {}).get(f"{component}_{option}", {}).get("default")

    def nearest_role(self, name: str) -> str:
        """Give the role whose documentation lists what a variable of this name could have been."""
        return next((role for role in self.options if name.startswith(role + "_")), "preflight")

    def prefixes(self) -> tuple:
        """Give how the collection's variables begin, for each role with specifications."""
        own = {role + "_" for role in self.options}
        return tuple(sorted(own | ({"aztec_", "prover_"} if "preflight" in self.options else set())))

    def names(self) -> list:
        """Give every declared variable."""
        return sorted(name for options in self.options.values() for name in options)


def shown(value: object, option: Mapping | None = None) -> str:
    """Give a value for a message: as it is where that is harmless, else what kind of thing it is."""
    if option and option.get("no_log"):
        return "the value"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)) and abs(value) < _TOO_LONG:
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= 20 and value.isprintable():
        return f"'{value}'"
    return f"a {kind(value)}"


def kind(value: object) -> str:
    """Give what a value is, in a word."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "dict"
    return "list" if isinstance(value, Sequence) else "value of another kind"


def as_int(value: object) -> int | None:
    """Give the whole number that a value stands for, or None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value.strip()) else None


def _unquoted(value: object) -> tuple:
    made = "true or false" if isinstance(value, bool) else "a number"
    return f"is written without quotes, which YAML makes {made}", "put it in quotes"


def type_problem(name: str, option: Mapping, value: object) -> tuple | None:
    """Give (what is wrong, what to do) where a value is not of the type or choice that its option is declared with."""
    wanted = option.get("type", "str")
    if isinstance(value, Broken):
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
        found = (
            None if isinstance(value, Mapping) else (f"is a {kind(value)}, no dict", "write it as NAME: value lines")
        )
    else:
        found = None
    if found is None and option.get("choices") and not _is_choice(value, option["choices"]):
        choices = ", ".join(str(choice) for choice in option["choices"])
        found = f"{shown(value, option)} is not a choice", f"choose one of {choices}"
    return found


def _is_choice(value: object, choices: Iterable) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(str(one) in [str(choice) for choice in choices] for one in values)


# Texts that look like a number when they are written without quotes.
_QUOTED = ("_version", "_private_key", "_prover_id", "_digest", "_address", "_ip", "_fingerprint")


def _text_problem(name: str, wanted: str, value: object) -> tuple | None:
    if isinstance(value, (bool, float)):
        return _unquoted(value)
    if isinstance(value, int):
        return _unquoted(value) if abs(value) >= _TOO_LONG or name.endswith(_QUOTED) else None
    if not isinstance(value, str):
        return f"is a {kind(value)}, no text", "write one text, in quotes"
    if wanted == "path" and value and not value.startswith("/"):
        return "is not an absolute path", "begin it with /"
    return None


def _list_problem(name: str, option: Mapping, value: object) -> tuple | None:
    if not isinstance(value, (list, tuple)):
        return f"is a {kind(value)}, no list", "write it as a list, [one, two]"
    element = {"type": option.get("elements", "raw")}
    for number, item in enumerate(value, 1):
        found = type_problem(name, element, item)
        if found:
            return f"entry {number} {found[0]}", found[1]
    return None


def environment_problem(value: Mapping) -> tuple | None:
    """Give what is wrong with extra environment variables: their names, or values that are no single value."""
    for number, (key, item) in enumerate(value.items(), 1):
        if not isinstance(key, str) or not _ENVIRONMENT_NAME.match(key):
            return f"entry {number}'s name is no name of an environment variable", "use letters, digits and _"
        if isinstance(item, Broken):
            return f"{key}: {item.reason}", item.remedy
        if isinstance(item, (int, float)) and not isinstance(item, bool) and abs(item) >= _TOO_LONG:
            return f"{key} is written without quotes, which YAML makes a number", "put it in quotes"
        if isinstance(item, Mapping):
            return f"{key} is a dict, no text", "write one text, in quotes"
    return None


def url_problem(url: object) -> tuple | None:
    """Give what is wrong with an http(s) URL; the URL may hold an API key and is not quoted."""
    if not isinstance(url, str):
        return f"is a {kind(url)}, no URL", "write it in quotes"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "is no URL", "write it as http://host:port or https://host"
    if "://" not in url or not parts.scheme:
        return "has no scheme", "begin it with http:// or https://"
    if parts.scheme not in ("http", "https"):
        return "has a scheme other than http and https", "begin it with http:// or https://"
    if not host:
        return "has no host", "write it as http://host:port or https://host"
    if re.search(r"[\s,]", url):
        return "holds a comma or a space, which would end it", "write one URL a list entry, and %2C or %20 inside it"
    if DUMMY_DOMAINS.search(host) or _is_dummy(host):
        return "is still the example's", "put your own URL there"
    return None


def _settable(name: str) -> str:
    """Give the variable that decides a host's address in the fleet, for one that does so in its absence."""
    return "aztec_address" if name == "ansible_host" else name


def _is_dummy(address: object) -> bool:
    found = ip_of(address)
    return found is not None and any(found in network for network in DUMMY_NETWORKS)


def misspelt(names: Iterable, specs: Specs) -> dict:
    """Give, for each name that looks like one of the collection's and is none, the nearest real name or None."""
    known = specs.names()
    known_set, prefixes = set(known), specs.prefixes()
    wrong: dict = {}
    for name in names:
        if name in known_set or name.startswith(("_", "ansible_")):
            continue
        if name.startswith(prefixes):
            wrong[name] = next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)
            continue
        # Misspelt in its first word. A name of the operator's own, such as vault_prover_id, is no near miss.
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if near and near[0].count("_") == name.count("_"):
            wrong[name] = near[0]
    return wrong


class _Inventory:
    """The inventory under check; each method looks at one matter and adds what it finds to problems."""

    def __init__(self, hosts: Mapping, members: Mapping, group_names: Mapping, specs: Specs, resolve_one) -> None:
        self.hosts = hosts
        self.members = members
        self.group_names = group_names
        self.specs = specs
        self.problems: list = []
        self.bad: set = set()  # (host, variable) that already has a line
        names = {host: self._address(host) for host in hosts}
        node = members[NODE][0] if members[NODE] else None
        announced = [self._announced(node)] if node else []
        self.resolved = resolve_all([name for name in [*names.values(), *announced] if name], resolve_one)

    def add(self, host: str, variable: str, found: tuple, level: str = "error") -> None:
        """Note a problem, unless the same variable of the same host has one."""
        if (host, variable) not in self.bad:
            self.bad.add((host, variable))
            self.problems.append(Problem(host, variable, found[0], found[1], level))

    def good(self, host: str) -> dict:
        """Give a host's variables without those that have a line already."""
        return {
            name: value
            for name, value in self.hosts[host].items()
            if (host, name) not in self.bad and not isinstance(value, Broken)
        }

    def components(self, host: str) -> list:
        return [component for component in COMPONENTS if host in self.members[component]]

    def setting(self, host: str, component: str, option: str) -> tuple:
        """Give (the variable that decides, its value) for a component's option, by the order of the role's defaults."""
        values = self.hosts[host]
        name = deciding(values, component, option)
        if name is not None:
            return name, values[name]
        own, wide = f"{component}_{option}", f"aztec_{option}"
        shared = self.specs.owner(wide) is not None
        return (wide if shared else own), self.specs.default(component, option)

    def _plain(self, host: str) -> dict:
        return {name: value for name, value in self.hosts[host].items() if isinstance(value, (str, int))}

    def _address(self, host: str) -> str:
        return address_name(host, self._plain(host))

    def _addresses(self, host: str) -> list | None:
        return addresses_of(host, self._plain(host), self.resolved)

    def _announced(self, host: str) -> str:
        return p2p_address(host, self._plain(host))

    def check_groups(self) -> None:
        """Exactly one node and one broker."""
        for component in (NODE, BROKER):
            found = len(self.members[component])
            group = self.group_names.get(component, component)
            if found == 0:
                self.add(INVENTORY, group, ("this group has no host", "put one host into it"))
            elif found > 1:
                self.add(INVENTORY, group, (f"this group has {found} hosts", "leave one host in it"))

    def check_names(self) -> None:
        """No variable that looks like one of the collection's and is none."""
        every = {name for values in self.hosts.values() for name in values}
        wrong = misspelt(sorted(every), self.specs)
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
                if found is None and name.endswith("environment") and isinstance(value, Mapping):
                    found = environment_problem(value)
                if found is None:
                    found = self._range_problem(name, option, value)
                if found:
                    self.add(host, name, found)
            # The other roles are handed what they require by those that call them.
            for role in self.components(host):
                for name, option in self.specs.options.get(role, {}).items():
                    if option.get("required") and name not in values and name not in self.specs.defaults.get(role, ()):
                        self.add(host, name, ("is not set", "set it"))

    def _range_problem(self, name: str, option: Mapping, value: object) -> tuple | None:
        number = as_int(value)
        if name.endswith("_port"):
            if number is None or not 1 <= number <= 65535:
                return f"{shown(value)} is no port", "give a number from 1 to 65535"
        elif name.endswith(("_agent_count", "_hardware_concurrency")):
            if value != "auto" and (number is None or number < 1):
                return f"{shown(value)} is neither auto nor a number from 1", "give a number from 1, or auto"
        elif name.endswith("_poll_interval_ms"):
            if number is None or not 1 <= number < 30000:
                return (
                    f"{shown(value)} is out of range",
                    "give milliseconds below 30000, when the broker gives a job up",
                )
        elif option.get("type") == "int" and number is not None and number < 0:
            return f"{shown(value)} is below 0", "give a number from 0"
        elif name.endswith("_docker_bridge"):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", str(value)):
                return f"{shown(value)} is no name of a bridge", "give 1 to 15 letters, digits, - and _"
        elif name.endswith("_docker_ipv6_subnet") and value != "":
            try:
                ipaddress.IPv6Network(str(value))
            except ValueError:
                return f"{shown(value)} is no IPv6 subnet", "give one in CIDR form, such as fd00:1::/64"
        elif name.endswith("_image_digest") and value != "" and not _DIGEST.match(str(value)):
            return "is no digest", "give sha256: and 64 hex digits"
        elif name.endswith("_image") and (":" in str(value).rsplit("/", 1)[-1] or "@" in str(value) or not value):
            return "is empty, or has a tag or digest in it", "give the image alone; aztec_version names the tag"
        return None

    def check_versions(self) -> None:
        """A known release, and the same one everywhere; a network that this release knows."""
        seen: dict = {}
        for host in self.hosts:
            for component in self.components(host):
                name, version = self.setting(host, component, "version")
                if (host, name) in self.bad or isinstance(version, Broken):
                    continue
                try:
                    release = release_of(version)
                except ValueError as error:
                    wrong, _colon, remedy = str(error).partition(": ")
                    self.add(host, name, (wrong, remedy))
                    continue
                seen.setdefault(("version", str(version).lstrip("v")), []).append((component, host, name))
                name, network = self.setting(host, component, "network")
                if (host, name) in self.bad or isinstance(network, Broken):
                    continue
                if network not in release.networks:
                    near = difflib.get_close_matches(str(network), release.networks, n=1)
                    hint = f"did you mean {near[0]}? All: " if near else "choose one of "
                    self.add(
                        host, name, (f"{shown(network)} is an unknown network", hint + ", ".join(release.networks))
                    )
                    continue
                seen.setdefault(("network", str(network)), []).append((component, host, name))
        for what in ("version", "network"):
            self._check_same(what, {value: users for (kind_of, value), users in seen.items() if kind_of == what})

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
                used[ADMIN_PORT] = "the admin port, which the port guard shuts on every host,"
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

    def check_publisher(self) -> None:
        """The node's key, and PROVER_ID wherever it is set."""
        for host in self.members[NODE]:
            name = "prover_node_publisher_private_key"
            key = self.hosts[host].get(name)
            if not isinstance(key, Broken) and (host, name) not in self.bad:
                if key in (None, ""):
                    self.add(host, name, ("is not set", "put the publisher's key into the inventory's vault file"))
                elif isinstance(key, str) and key.lower().replace("0x", "", 1) in DUMMY_KEYS:
                    self.add(host, name, ("is still the example's", "put your publisher's key into the vault file"))
                else:
                    self._check_ethereum(host, name, ethereum.ethereum_address, key)
        for host in self.hosts:
            for component in self.components(host):
                name = f"{component}_prover_id"
                value = self.hosts[host].get(name)
                if value not in (None, "") and not isinstance(value, Broken):
                    self._check_ethereum(host, name, ethereum.ethereum_checksum, value)

    def _check_ethereum(self, host: str, name: str, function, value: object) -> None:
        try:
            function(value)
        except ValueError as error:
            if str(error) == ethereum.MISSING:
                self.add(CONTROLLER, "eth_account", ("its Python has no eth_account", "run pip install eth-account"))
                return
            wrong, _colon, remedy = str(error).partition(": ")
            self.add(host, name, (wrong, remedy))

    def check_urls(self) -> None:
        """L1 URLs of node and broker, and broker URLs set by hand."""
        wanted = {NODE: ("l1_execution_urls", "l1_consensus_urls"), BROKER: ("l1_execution_urls",)}
        for host in self.hosts:
            for component in self.components(host):
                for option in wanted.get(component, ()):
                    name, urls = self.setting(host, component, option)
                    if (host, name) in self.bad or isinstance(urls, Broken):
                        continue
                    if not urls:
                        self.add(host, name, ("names no URL", "give at least one"))
                    for number, url in enumerate(urls or [], 1):
                        found = url_problem(url)
                        if found:
                            self.add(host, name, (f"entry {number} {found[0]}", found[1]))
                name = f"{component}_broker_url"
                url = self.hosts[host].get(name)
                if url in (None, "") or (host, name) in self.bad:
                    continue
                found = url_problem(url)
                if found is None and (urlsplit(url).path not in ("", "/") or urlsplit(url).username):
                    found = ("has a path or a user, which Aztec leaves out", "write it as http://host:port")
                if found:
                    self.add(host, name, found)

    def check_addresses(self) -> None:
        """Each host has an address that resolves, is no example's and can be reached from others."""
        for host, values in self.hosts.items():
            six = ip_of(values.get("aztec_address6"))
            if values.get("aztec_address6") and (six is None or six.version != 6):
                self.add(host, "aztec_address6", ("is no IPv6 address", "give one, such as fd00::10, or take it out"))
            for name in (
                "ansible_host",
                "aztec_address",
                "aztec_address6",
                "aztec_public_address",
                "prover_node_p2p_ip",
            ):
                if _is_dummy(values.get(name)) or DUMMY_DOMAINS.search(str(values.get(name, ""))):
                    self.add(host, name, ("is still the example's", "put your host's address there"))
            source = next((name for name in ("aztec_address", "ansible_host") if values.get(name)), None)
            if source and ((host, source) in self.bad or isinstance(values[source], Broken)):
                continue
            address = self._address(host)
            answer = self.resolved.get(address)
            if not isinstance(answer, list):
                if source is None:
                    wrong = "has no address: neither it nor ansible_host is set, and the host's name does not resolve"
                    self.add(host, "aztec_address", (wrong, "set ansible_host or aztec_address"))
                else:
                    wrong = f"the host name {shown_name(address)} does not resolve on the controller"
                    self.add(host, source, (wrong, "mend the name, or set aztec_address to an IP address"))
            elif len(self.hosts) > 1:
                for one in self._addresses(host):
                    if ip_of(one).is_loopback or ip_of(one).is_unspecified:
                        wrong = "leads back to the host itself, where no other host reaches it"
                        name = (source or "aztec_address") if one in answer else "aztec_address6"
                        self.add(host, name, (wrong, f"set {_settable(name)} to one that the fleet reaches"))

    def check_broker(self) -> None:
        """A broker, which asks nobody for a password, is on no global address, and admits no one unforeseen."""
        for host in self.members[BROKER]:
            public = as_bool(self.hosts[host].get("aztec_allow_public_broker", False))
            answer = [one for one in self._addresses(host) or [] if ip_of(one).is_global]
            if not public and answer:
                named = "aztec_address" if self.hosts[host].get("aztec_address") else "ansible_host"
                source = named if answer[0] in self.resolved[self._address(host)] else "aztec_address6"
                wrong = "puts the broker on a public address, where it asks for no password"
                remedy = f"set {_settable(source)} to a private one, or aztec_allow_public_broker: true"
                self.add(host, source, (wrong, remedy))
        for host in self.hosts:
            self._check_sources(host, "aztec_admit")
        for host in self.members[BROKER]:
            self._check_sources(host, "prover_broker_admitted")

    def _check_sources(self, host: str, name: str) -> None:
        """Addresses and CIDRs that are let in are what the port guard takes, and not everybody by mistake."""
        values = self.hosts[host]
        entries = values.get(name)
        if not isinstance(entries, list) or (host, name) in self.bad:
            return
        public = as_bool(values.get("aztec_allow_public_broker", False))
        for number, entry in enumerate(entries, 1):
            try:
                network = network_of(entry)
            except ValueError as error:
                wrong, _colon, remedy = str(error).partition(": ")
                self.add(host, name, (f"entry {number}, {wrong}", remedy))
                continue
            if network.prefixlen == 0 and not public:
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
            way = way_to(there, own)
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

    def check_p2p(self) -> None:
        """What the node announces is an address that its peers reach."""
        for host in self.members[NODE]:
            values = self.good(host)
            option = "prover_node_p2p_ip"
            name = next((one for one in (option, "aztec_public_address") if self.hosts[host].get(one)), option)
            if (host, name) in self.bad or (host, "ansible_host") in self.bad:
                continue
            announced = self._announced(host)
            if name in values and ip_of(announced) is None:
                self.add(host, name, ("is no IP address", "give the address that peers reach the node at"))
                continue
            answer = self.resolved.get(announced)
            _name, network = self.setting(host, NODE, "network")
            if network not in ("testnet", "mainnet") or as_bool(values.get("prover_node_allow_private_p2p_ip", False)):
                continue
            if isinstance(answer, list) and not any(ip_of(one).is_global for one in answer):
                wrong = f"the node would announce {answer[0]}, which no peer on {network} reaches"
                remedy = f"set {option} to its public address (closed network: prover_node_allow_private_p2p_ip: true)"
                self.add(host, name, (wrong, remedy))


def shown_name(name: str) -> str:
    """Give a host name for a message, or what it is where it is no name at all."""
    return name if re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", name) and len(name) < 60 else "(a text)"


def check_inventory(
    hosts: Mapping,
    groups: Mapping,
    specs: Specs,
    group_names: Mapping | None = None,
    resolve_one=resolve,
) -> tuple:
    """Check a whole inventory. Gives (problems, the fleet's values or None where there are problems).

    hosts: host -> its variables, templated, Broken where that failed. groups: group -> hosts. group_names: the groups'
    names by component. resolve_one: gives a host name's addresses or raises ValueError.
    """
    members = members_of(groups, group_names)
    everybody = dict.fromkeys(host for some in members.values() for host in some)
    inventory = _Inventory({host: hosts[host] for host in everybody}, members, group_names or {}, specs, resolve_one)
    inventory.check_groups()
    inventory.check_names()
    inventory.check_types()
    inventory.check_versions()
    inventory.check_ports()
    inventory.check_publisher()
    inventory.check_urls()
    inventory.check_addresses()
    inventory.check_broker()
    inventory.check_ways()
    inventory.check_p2p()
    if inventory.problems:
        return inventory.problems, None
    return [], fleet(dict(hosts), dict(groups), dict(group_names or {}), inventory.resolved)


def counted(number: int) -> str:
    """Give a number of problems in words: 1 problem, 2 problems."""
    return "1 problem" if number == 1 else f"{number} problems"


def together(problems: Iterable, everybody: Sequence = ()) -> list:
    """Join problems that many hosts have alike into one, the hosts named or counted; errors first."""
    alike: dict = {}
    for problem in problems:
        alike.setdefault((problem.variable, problem.wrong, problem.remedy, problem.level), []).append(problem.host)
    joined = []
    for (variable, wrong, remedy, level), names in alike.items():
        if len(names) > 1 and len(names) == len(everybody):
            where = f"all {len(names)} hosts"
        elif len(names) > 3:
            where = f"{', '.join(names[:3])} and {len(names) - 3} more"
        else:
            where = ", ".join(names)
        joined.append(Problem(where, variable, wrong, remedy, level))
    return sorted(joined, key=lambda problem: problem.level != "error")


def table(rows: Sequence, heads: Sequence) -> str:
    """Give rows of texts as a table with a head, each row one line."""
    texts = [[" ".join(str(cell).split()) for cell in row] for row in rows]
    widths = [max(len(row[number]) for row in [list(heads), *texts]) for number in range(len(heads))]

    def line(cells: Sequence) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()

    return "\n".join([line(heads), line(["-" * width for width in widths]), *(line(row) for row in texts)])


def problem_table(problems: Sequence, everybody: Sequence = ()) -> str:
    """Give problems as the table that the operator reads."""
    rows = [
        (problem.host, problem.variable, problem.wrong, problem.remedy)
        if problem.level == "error"
        else (problem.host, problem.variable, f"(warning) {problem.wrong}", problem.remedy)
        for problem in together(problems, everybody)
    ]
    return table(rows, ("HOST", "VARIABLE", "WHAT IS WRONG", "WHAT TO DO"))
