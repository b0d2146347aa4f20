# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values that each option accepts in addition to its type: range, form, and unit, in words and as a check.

The checks, the descriptions in the argument_specs, and the documentation use this table; tests compare them.
"""

from __future__ import annotations

import ipaddress
import math
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES, parse_version
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.addresses import ip_of, is_numeric
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import ALL_COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.otlp import endpoint_problem

# The networks and domains of inventories/prod, which is an example.
_EXAMPLES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
DUMMY_NETWORKS = [ipaddress.ip_network(network) for network in _EXAMPLES]
DUMMY_DOMAINS = re.compile(r"(\A|\.)(example|invalid|example\.(com|net|org))\.?\Z", re.IGNORECASE)

# A number of this length in YAML is hexadecimal text without quotes.
TOO_LONG = 10**15

# The heartbeat interval of an agent, in milliseconds, at which the broker gives its job to another agent.
JOB_TIMEOUT_MS = 30000

# The least length of a password, and words of which passwords are known that are tried first.
SHORTEST_PASSWORD = 12
_KNOWN_PASSWORDS = ("admin", "changeme", "grafana", "password", "prom-operator", "secret", "123456")

# The engine's own networks, which the components cannot use.
ENGINE_NETWORKS = ("bridge", "default", "host", "none")

# The least random bits of the admin API's key, and the least number of different characters in it.
ADMIN_KEY_BITS, ADMIN_KEY_CHARACTERS = 128, 8

_LABEL = r"\w(?:[\w-]{0,61}\w)?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_LEVEL = "(silent|fatal|error|warn|info|verbose|debug|trace)"
_COMPONENT = "[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*"
_REGISTRY = r"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:))(:[0-9]+)?/"
_IMAGE = re.compile(rf"({_REGISTRY})?{_COMPONENT}(/{_COMPONENT})*")
_VOLATILE = ("dev", "proc", "run", "sys", "tmp")
# Directories of the system: a component's directory gets its own owner and mode.
_SYSTEM = (
    *(f"/{name}" for name in ("bin", "boot", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "root", "sbin")),
    *(f"/{name}" for name in ("srv", "usr", "var", "usr/local", "var/lib", "var/log", "var/lib/docker")),
)
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_URL_BREAKS = re.compile(r"[\x00-\x20\x7f\s,]")


def type_name(value: object) -> str:
    """Return the type of a value in one word."""
    names = {bool: "boolean", (int, float): "number", str: "text", Mapping: "dict", Sequence: "list"}
    return next((name for one, name in names.items() if isinstance(value, one)), "value of another type")


def describe_value(value: object, option: Mapping | None = None) -> str:
    """Return a value for a message: as it is if it is short and not a secret, else its type."""
    if option and option.get("no_log"):
        return "the value"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)) and abs(value) < TOO_LONG:
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= 20 and value.isprintable():
        return f"'{value}'"
    return f"a {type_name(value)}"


def as_int(value: object) -> int | None:
    """Return the whole number of a value, or None if it is not a whole number."""
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        return int(value) if isinstance(value, int) or re.fullmatch(r"-?[0-9]{1,15}", value.strip()) else None
    return None


def as_float(value: object) -> float | None:
    """Return the number of a value, or None if it is not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    number = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return float(number) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", number) else None


def is_dummy(host: object) -> bool:
    """Return whether an address or a host name is one of those in examples."""
    found = ip_of(host)
    return bool(DUMMY_DOMAINS.search(str(host)) or (found and any(found in network for network in DUMMY_NETWORKS)))


def _is_subnet(text: str) -> bool:
    """Return whether text is a network of several addresses, not one address with a prefix length."""
    try:
        return ipaddress.ip_network(text).num_addresses > 1
    except ValueError:
        return False


# The value of the examples in docs/cloud_inventories.md for a machine without a private address.
NO_PRIVATE_ADDRESS = "no private address"


def _never_an_address(value: object) -> tuple | None:
    """Return what is wrong with text that cannot be a host for any purpose, and what to do."""
    text = str(value)
    if ip_of(text) is not None:
        return None
    if text == NO_PRIVATE_ADDRESS:
        return (
            "is missing: the cloud has no private address for the machine",
            "attach the machine to the fleet's private network, or set aztec_address in its host_vars",
        )
    if "://" in text:
        return "is a URL", "set only the host in it, without scheme, port and path"
    address, slash, _length = text.partition("/")
    if slash and ip_of(address) is not None:
        if _is_subnet(text):
            return f"{describe_value(value)} is a network", "set one IP address or host name"
        return f"{describe_value(value)} has a prefix length", f"set only the address: {address}"
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and ":" not in host:
        return f"{describe_value(value)} has a port", "set only the address; ports have variables of their own"
    if re.fullmatch(r"(.*@)?[0-9]+(\.[0-9]+){3}", text) and ip_of(text.rpartition("@")[2]) is None:
        return f"{describe_value(value)} is neither an IP address nor a host name", "correct it"
    return None


def address_problem(value: object) -> tuple | None:
    """Return what is wrong with the form of an address, which is an IP address or a host name."""
    text = str(value)
    found = _never_an_address(value)
    if found or not text or ip_of(text) is not None:
        return found
    if is_numeric(text) or not _HOST_NAME.fullmatch(text):
        return f"{describe_value(value)} is neither an IP address nor a host name", "correct it"
    return None


def connection_problem(value: object, connection_only: bool) -> tuple | None:
    """Return what is wrong with ansible_host.

    connection_only: aztec_address is set, so only the connection uses ansible_host. It can be an alias of SSH, a host
    with a user, or the name of a container.
    """
    if connection_only:
        return _never_an_address(value)
    if re.fullmatch(r"[^@/:\s]+@[^@/\s]+", str(value)):
        return f"{describe_value(value)} contains a user", "set only the host, and the user as ansible_user"
    return address_problem(value)


def url_problem(url: object) -> tuple | None:
    """Return what is wrong with an http(s) URL, without quoting it, because it can contain an API key."""
    if not isinstance(url, str):
        return f"is a {type_name(url)}, not a URL", "write it as http://host:port or https://host"
    if _URL_BREAKS.search(url):
        return "contains a comma, a space or a line break", "write one URL only, and %2C or %20 inside it"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        if re.match(r"https?://[0-9A-Fa-f]*:[0-9A-Fa-f:]*:", url):
            return "has an IPv6 address without brackets", "write it as http://[fd00::1]:8080"
        return "is not a URL", "write it as http://host:port or https://host"
    if "://" not in url or not parts.scheme:
        return "has no scheme", "begin it with http:// or https://"
    if parts.scheme not in ("http", "https"):
        return "has a scheme other than http and https", "begin it with http:// or https://"
    if not host:
        return "has no host", "write it as http://host:port or https://host"
    if is_dummy(host):
        return "is still the example value", "set your own URL"
    if ip_of(host) is None and is_numeric(host):
        return "has a host that is neither an IP address nor a host name", "correct the host in it"
    return None


def store_problem(url: object, schemes: Sequence = ("http", "https", "s3", "gs", "file")) -> tuple | None:
    """Return what is wrong with the URL of a file store, without quoting it, because it can contain a key."""
    scheme, separator, rest = str(url).partition("://")
    if not isinstance(url, str) or (scheme in ("http", "https") and scheme in schemes):
        return url_problem(url)
    if not separator:
        return "has no scheme", f"begin it with one of {', '.join(f'{one}://' for one in schemes)}"
    if scheme not in schemes:
        return f"has a scheme other than {', '.join(schemes)}", "write the URL of a store of one of these kinds"
    if _URL_BREAKS.search(url):
        return "contains a comma, a space or a line break", "write one URL per entry, and %2C or %20 inside it"
    try:
        urlsplit(url)
    except ValueError:
        return "is not a URL", f"write it as {scheme}://bucket/path"
    if not rest.strip("/"):
        return "has no bucket or path", f"write it as {scheme}://{'/path' if scheme == 'file' else 'bucket/path'}"
    return None


def environment_problem(value: object) -> tuple | None:
    """Return what is wrong with the names or values of extra environment variables."""
    for number, (key, item) in enumerate(value.items(), 1):
        if not isinstance(key, str) or not _ENVIRONMENT_NAME.fullmatch(key):
            return f"the name of entry {number} is not a name of an environment variable", "use letters, digits and _"
        # A list is joined with commas.
        for one in item if isinstance(item, list) else [item]:
            if isinstance(one, (int, float)) and not isinstance(one, bool) and abs(one) >= TOO_LONG:
                return f"{key} is written without quotes, which YAML makes a number", "put it in quotes"
            if isinstance(one, (Mapping, list)):
                wrong = f"is a {type_name(one)}, not text" if one is item else f"contains a {type_name(one)}"
                return f"{key} {wrong}", "set one text in quotes"
            if "\0" in str(one):
                return f"{key} contains a NUL character, which no environment variable can contain", "remove it"
    return None


def _number(
    low: float, high: float, wrong: str, remedy: str, zero: bool = False, parse: Callable = as_int
) -> Callable[[object], tuple | None]:
    """Return a check for a number from low to high. zero: 0 is accepted too."""

    def problem(value: object) -> tuple | None:
        number = parse(value)
        if number is not None and (low <= number <= high or (zero and number == 0)):
            return None
        return f"{describe_value(value)} {wrong}", remedy

    return problem


def _matches(
    pattern: str | re.Pattern, wrong: str, remedy: str, quoted: bool = True
) -> Callable[[object], tuple | None]:
    """Return a check of the form of text."""

    def problem(value: object) -> tuple | None:
        if re.fullmatch(pattern, str(value)):
            return None
        return (f"{describe_value(value)} {wrong}" if quoted else wrong), remedy

    return problem


def admin_key_problem(value: object) -> tuple[str, str] | None:
    """Return what is wrong with the key of the admin API, which the node gets as a hash, or None.

    Whoever reads the hash can search for a key with less than ADMIN_KEY_BITS. The bits are those of a random key with
    these kinds of characters, so that a longer key that a person made up is accepted.
    """
    text = str(value)
    remedy = "set 32 or more random hex digits, or remove it and run keys.yml -e admin_api_key=true"
    if not re.fullmatch(r"[A-Za-z0-9+/=_.-]+", text):
        return "contains characters other than letters, digits and + / = _ . -", remedy
    kinds = (("[0-9]+", 10), ("[0-9a-f]+|[0-9A-F]+", 16), ("[a-z]+|[A-Z]+", 26), ("[0-9a-z]+|[0-9A-Z]+", 36))
    size = next((size for pattern, size in kinds if re.fullmatch(pattern, text)), 62)
    if len(text) * math.log2(size) < ADMIN_KEY_BITS or len(set(text)) < ADMIN_KEY_CHARACTERS:
        return f"has less than {ADMIN_KEY_BITS} random bits, so that its hash can be searched", remedy
    return None


_PORT = _number(1, 65535, "is not a port", "set a number from 1 to 65535")
_FROM_ZERO = _number(0, math.inf, "is below 0", "set a number from 0")
_FROM_ONE = _number(1, math.inf, "is not a number from 1", "set a number from 1")
_AMOUNT = _number(0, math.inf, "is not an amount of ETH", "set a number from 0, without a unit", parse=as_float)
_POLL_INTERVAL = _number(
    1, JOB_TIMEOUT_MS - 1, "is out of range", "set milliseconds below 30000, when the broker reassigns a job"
)
_INTERVAL = _number(5, 300, "is out of range", "set seconds from 5 to 300")
_DRAIN_TIMEOUT = _number(
    1, math.inf, "is not a number from 1", "set seconds from 1, or aztec_drain: false to not wait"
)
_BUMP = _number(1, 1000, "is out of range", "set a whole number from 1 to 1000, or 0 for Aztec's own", zero=True)
_RETRY_BUMP = _number(
    10, 1000, "is out of range", "set a whole number from 10 to 1000, or 0 for Aztec's own", zero=True
)
_CPUS = _number(
    0.01, math.inf, "is not a number of CPUs", "set a number from 0.01, or 0 for no limit", zero=True, parse=as_float
)
# Aztec counts whole wei, and treats a cap of 0 as none.
_FEE_CAP = _number(
    1e-9, math.inf, "is not a gas price above 0", "set gwei above 0 without a unit, or remove the line", parse=as_float
)
_MTU = _number(
    1280, 65535, "is not a valid MTU", "set a number from 1280 to 65535, or 0 for what fits the host", zero=True
)


def _agents_at_once(value: object) -> tuple | None:
    if re.fullmatch(r"0*[1-9][0-9]{0,8}|0*(100|[1-9][0-9]?)%", str(value)) and not isinstance(value, bool):
        return None
    return f"{describe_value(value)} is not a batch of hosts", "set a number from 1, or a percentage from 1% to 100%"


def component_list(value: object) -> list[str]:
    """Return the components in a list or in text with commas, in the given order."""
    found = value if isinstance(value, (list, tuple)) else str(value or "").split(",")
    return [name for name in (str(one).strip() for one in found) if name]


def _components(value: object) -> tuple | None:
    for name in component_list(value):
        if name not in ALL_COMPONENTS:
            return f"{describe_value(name)} is not a component", f"choose from {', '.join(ALL_COMPONENTS)}"
    return None


def _crs_source(value: object) -> tuple | None:
    text = str(value)
    if text == "image" or (text.startswith("/") and text.strip("/")):
        return None
    found = url_problem(text)
    if found is None and (urlsplit(text).username or re.search(r"[?#'$\\]", text)):
        found = "contains a user, a query or a quote", "set the URL of a directory that needs no login"
    return (f"is neither image nor a directory, and as a URL {found[0]}", found[1]) if found else None


def _crs_digests(value: object) -> tuple | None:
    for number, (name, digest) in enumerate(value.items(), 1):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", str(name)):
            return f"the name of entry {number} is not a file name", "set one such as bn254_g1.dat"
        if not _DIGEST.fullmatch(str(digest)):
            return f"{name} is not a digest", "set sha256: and 64 hex digits"
    return None


def _version(value: object) -> tuple | None:
    try:
        parse_version(value)
    except ValueError as error:
        wrong, _colon, remedy = str(error).partition(": ")
        return wrong, remedy
    return None


def _ipv6_subnet(value: object) -> tuple | None:
    try:
        ipaddress.IPv6Network(str(value))
    except ValueError:
        return f"{describe_value(value)} is not an IPv6 subnet", "set one in CIDR form, such as fd00:1::/64"
    return None


def _ipv4_subnet(value: object) -> tuple | None:
    try:
        found = ipaddress.IPv4Network(str(value))
    except ValueError:
        return f"{describe_value(value)} is not an IPv4 subnet", "set one in CIDR form, such as 10.201.0.0/24"
    if not 8 <= found.prefixlen <= 28:
        size = "large" if found.prefixlen < 8 else "small"
        return f"{describe_value(value)} is too {size}", "set a subnet from /8 to /28"
    if found.is_loopback or found.is_multicast or found.is_link_local or found.is_unspecified:
        return f"{describe_value(value)} cannot be used for containers", "set a private subnet, such as 10.201.0.0/24"
    return None


def _ipv6_address(value: object) -> tuple | None:
    found = ip_of(value)
    if found is None or found.version != 6:
        return "is not an IPv6 address", "set one, such as fd00::10, or remove it"
    return None


def _image(value: object) -> tuple | None:
    text = str(value)
    if not text or ":" in text.rsplit("/", 1)[-1] or "@" in text:
        return "contains a tag or digest", "set only the image; aztec_version is the tag"
    if not _IMAGE.fullmatch(text):
        return "is not an image name", "write it as name or registry:port/name, in lower-case letters"
    return None


def _docker_network(value: object) -> tuple | None:
    if value in ENGINE_NETWORKS:
        return f"{describe_value(value)} is a network of the engine", "set another name for the fleet's network"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", str(value)):
        return f"{describe_value(value)} is not a name of a Docker network", "use letters, digits, -, . and _"
    return None


def _broker_host(value: object) -> tuple | None:
    if str(value).startswith("["):
        return f"{describe_value(value)} has brackets", "set only the address"
    return address_problem(value)


def _directory(value: object) -> tuple | None:
    text = str(value)
    if text and not text.startswith("/"):
        return "is not an absolute path", "begin it with /"
    if not text.strip("/"):
        return "is not a separate directory of the component", "set one below /"
    if ":" in text:
        return "contains a colon, which separates paths in Compose", "set a directory without one"
    if "$" in text:
        return "contains a dollar sign, which Compose would replace", "set a directory without one"
    if text != text.strip() or not text.isprintable():
        return "begins or ends with a space, or contains a line break", "set only the path"
    if ".." in text.split("/"):
        return "contains ..", "set the resulting path"
    if text.strip("/").split("/", maxsplit=1)[0] in _VOLATILE:
        return "does not survive a reboot", "set a permanent directory, such as one below /opt"
    return None


def _own_directory(value: object) -> tuple | None:
    found = _directory(value)
    if found is None and posixpath.normpath(re.sub("/+", "/", str(value))) in _SYSTEM:
        return "is a system directory", "set a directory of the component below it"
    return found


def _engine_root(value: object) -> tuple | None:
    found = _directory(value)
    # systemd splits and expands the command of a unit.
    if found is None and not re.fullmatch(r"[A-Za-z0-9._/@+-]+", str(value)):
        return "contains a space or a special character", "use only letters, digits, -, ., _, @, + and /"
    path = posixpath.normpath(re.sub("/+", "/", str(value)))
    if found is None and path in _SYSTEM and path != "/var/lib/docker":
        return "is a system directory", "set a directory below it that only the engine uses"
    return found


def _source(value: object) -> tuple | None:
    try:
        nft.network_of(value)
    except ValueError as error:
        # Text that is not an address can be a secret.
        if not re.fullmatch(r"[0-9A-Fa-f.:/]{1,43}", str(value)) and describe_value(value) != f"'{value}'":
            return f"{describe_value(value)} is not an address", "set an IPv4 or IPv6 address or CIDR"
        wrong, _colon, remedy = str(error).rpartition(": ")
        return wrong, remedy
    return None


def _admitted(value: object) -> tuple | None:
    """Return the same for the broker's sources, which contain all addresses only if another option allows it."""
    found = _source(value)
    if found and found[1].endswith("to admit all addresses"):
        return found[0], f"{found[1]}, and set aztec_allow_public_broker: true"
    return found


def _otlp_endpoint(value: object) -> tuple | None:
    return url_problem(value) or endpoint_problem(str(value))


def _password(value: object) -> tuple | None:
    text = str(value)
    if any(word in text.lower() for word in _KNOWN_PASSWORDS) and len(text) < 2 * SHORTEST_PASSWORD:
        return "is a well-known password", "set a random one in the vault: docs/secrets.md"
    if len(text) < SHORTEST_PASSWORD:
        return f"has fewer than {SHORTEST_PASSWORD} characters", "set a longer one in the vault: docs/secrets.md"
    # Grafana reads it from a file and removes spaces at both ends.
    if not text.isprintable() or text != text.strip():
        return "begins or ends with a space, or contains a line break", "set another one in the vault: docs/secrets.md"
    return None


@dataclass(frozen=True)
class Range:
    """The values of an option. form and unit describe them; problem returns (what is wrong, what to do) or None.

    Without problem, the check needs more than the value. empty: empty text means none. each: for each entry of a list.
    """

    form: str
    problem: Callable[[object], tuple | None] | None = None
    unit: str = ""
    empty: bool = False
    each: bool = False

    @property
    def sentence(self) -> str:
        """Return the sentence that ends the description of an option."""
        one = f"{self.unit} {self.form}".strip()
        return f"Takes {'a list, each entry ' if self.each else ''}{one}{', or nothing' if self.empty else ''}."


_BRIDGE = "is not a name of a bridge"
_SIZE = _matches("[1-9][0-9]*[kmgKMG][bB]?", "is not a size", "set a number with its unit, such as 500m or 16g")
_HTTP_URL = "a URL of http or https"

# By the name of an option or by its end. The longest match applies.
RANGES = {
    "port": Range("a number from 1 to 65535", _PORT),
    **dict.fromkeys(
        ("prover_agent_count", "hardware_concurrency"),
        Range(
            "C(auto) or a number from 1",
            _matches(
                r"auto|\s*0*[1-9][0-9]{0,14}\s*", "is neither auto nor a number from 1", "set a number from 1, or auto"
            ),
        ),
    ),
    "poll_interval_ms": Range("from 1 to 29999", _POLL_INTERVAL, unit="milliseconds"),
    "drain_timeout": Range("from 1", _DRAIN_TIMEOUT, unit="seconds"),
    "agents_at_once": Range("a number from 1, or a percentage from C(1%) to C(100%)", _agents_at_once),
    "aztec_components": Range(
        "a list, or text with commas, of C(prover_node), C(prover_broker), C(prover_agent), C(prover_monitor)",
        _components,
        empty=True,
    ),
    "timeout": Range("from 0", _FROM_ZERO, unit="seconds"),
    "memory_limit": Range("a size in C(k), C(m) or C(g), such as C(16g)", _SIZE, empty=True),
    "cpu_limit": Range("from 0.01, or 0 for none", _CPUS, unit="CPUs"),
    "log_max_size": Range("a size in C(k), C(m) or C(g), such as C(100m)", _SIZE),
    "log_max_files": Range("a number from 1", _FROM_ONE),
    "crs_source": Range("C(image), a URL of http or https or the controller's absolute path", _crs_source, empty=True),
    "crs_digests": Range("C(sha256:) and 64 hex digits for each name of a file", _crs_digests),
    "stop_grace_period": Range(
        "a duration in C(h), C(m), C(s), C(ms) and C(us), such as C(1m30s)",
        _matches(
            r"([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+",
            "is not a duration",
            "set a number with its unit, such as 60s or 1m30s",
        ),
        empty=True,
    ),
    "version": Range("a whole version, such as C(6.0.0)", _version),
    "next_version": Range("a whole version, such as C(6.0.0)", _version, empty=True),
    "upgrade_wait": Range("from 0", _FROM_ZERO, unit="seconds"),
    "release_line": Range(
        f"one of {', '.join(RELEASES)}",
        _matches(
            "|".join(map(re.escape, RELEASES)), "is not a known release line", f"choose one of {', '.join(RELEASES)}"
        ),
        empty=True,
    ),
    "network": Range("a network that the release line knows"),
    "aztec_instance": Range(
        "1 to 9 lower-case letters and digits, a letter first",
        _matches(
            "[a-z][a-z0-9]{0,8}",
            "is not a name of an instance",
            "use 1 to 9 lower-case letters and digits, a letter first",
        ),
        empty=True,
    ),
    "aztec_inventory_name": Range(
        "letters, digits, C(-), C(.) and C(_)",
        _matches("[A-Za-z0-9._-]+", "is not a name of an inventory", "use letters, digits, -, . and _"),
        empty=True,
    ),
    "image": Range("an image without tag and digest", _image, empty=True),
    "image_digest": Range(
        "C(sha256:) and 64 hex digits",
        _matches(_DIGEST, "is not a digest", "set sha256: and 64 hex digits", quoted=False),
        empty=True,
    ),
    "directory": Range("an absolute path below C(/), without a colon", _own_directory),
    "aztec_directory": Range("an absolute path below C(/), without a colon", _directory),
    "log_level": Range(
        "one of silent, fatal, error, warn, info, verbose, debug, trace, with C(;level:module,module) for each filter",
        _matches(
            rf"{_LEVEL}(; *(?i:{_LEVEL}) *:[^;:]+)*",
            "is not a log level",
            "set one such as info, with filters as info;debug:prover",
        ),
        empty=True,
    ),
    "environment": Range("names of letters, digits and C(_), each with one value", environment_problem),
    "docker_network": Range("letters, digits, C(-), C(.) and C(_)", _docker_network),
    "docker_bridge": Range(
        "1 to 15 letters, digits, C(-), C(.) and C(_)",
        _matches(
            r"(?!(?:lo|docker0)\Z)[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", _BRIDGE, "use 1 to 15 letters, digits, - and _"
        ),
    ),
    "docker_ipv4_subnet": Range("an IPv4 network from /8 to /28, such as C(10.201.0.0/24)", _ipv4_subnet, empty=True),
    "docker_mtu": Range("from 1280 to 65535, or 0 for what fits the host", _MTU, unit="bytes"),
    "docker_ipv6_subnet": Range("an IPv6 network in CIDR form, such as C(fd00:1::/64)", _ipv6_subnet, empty=True),
    **dict.fromkeys(("l1_execution_urls", "l1_consensus_urls", "l1_debug_urls"), Range(_HTTP_URL, each=True)),
    "l1_chain_id": Range("from 1, or 0 for the network's own", _FROM_ZERO),
    **dict.fromkeys(
        ("l1_registry", "prover_id", "funding_account_address"), Range("C(0x) and 40 hex digits", empty=True)
    ),
    **dict.fromkeys(("l1_max_head_age", "l1_timeout"), Range("from 1", _FROM_ONE, unit="seconds")),
    **dict.fromkeys(
        ("l1_balance_warn", "l1_balance_fail", "funding_threshold", "funding_amount"),
        Range("from 0", _AMOUNT, unit="ETH"),
    ),
    "l1_submission_gas": Range("a number from 1", _FROM_ONE),
    "max_fee_gwei": Range("above 0", _FEE_CAP, unit="gwei", empty=True),
    **dict.fromkeys(
        ("snapshot_urls", "blob_file_store_urls", "tx_file_store_urls"),
        Range("a URL of http, https, C(s3), C(gs) or C(file)", store_problem, each=True),
    ),
    "proof_store": Range(
        "a URL of C(s3), C(gs) or C(file)", partial(store_problem, schemes=("s3", "gs", "file")), empty=True
    ),
    **dict.fromkeys(
        ("claim_private_key", "funding_account_private_key", "publisher_private_key"),
        Range("C(0x) and 64 hex digits", empty=True),
    ),
    "priority_fee_bump_percentage": Range("from 1 to 1000, or 0 for Aztec's own", _BUMP, unit="percent"),
    "priority_fee_retry_bump_percentage": Range("from 10 to 1000, or 0 for Aztec's own", _RETRY_BUMP, unit="percent"),
    "admin_api_key": Range("at least 128 random bits as letters and digits", admin_key_problem, empty=True),
    "admin_api_key_hash": Range(
        "64 hex digits",
        _matches("[0-9A-Fa-f]{64}", "is not a SHA-256", "set the 64 hex digits that sha256sum prints", quoted=False),
        empty=True,
    ),
    "p2p_private_key": Range(
        "C(08021220) and 64 hex digits",
        _matches(
            "08021220[0-9a-f]{64}", "is not the key of a peer ID",
            "copy the file p2p-private-key from a node's data directory, or remove it", quoted=False,
        ),
        empty=True,
    ),
    "broker_host": Range("an IP address or a host name", _broker_host),
    "publisher_private_keys": Range("C(0x) and 64 hex digits", each=True),
    "publisher_addresses": Range("C(0x) and 40 hex digits", each=True),
    "web3signer_url": Range(_HTTP_URL, empty=True),
    "publisher_mnemonic": Range("12, 15, 18, 21 or 24 words of BIP-39", empty=True),
    "p2p_ip": Range("an IP address"),
    "address": Range("an IP address or a host name", address_problem),
    "address6": Range("an IPv6 address", _ipv6_address, empty=True),
    **dict.fromkeys(("admit", "admitted"), Range("an address or a CIDR", _admitted, each=True)),
    "publish_addresses": Range("an IP address or a host name that the controller resolves", address_problem, each=True),
    **dict.fromkeys(
        ("admits", "sources", "port_guard_ports.addresses"), Range("an address or a CIDR", _source, each=True)
    ),
    **dict.fromkeys(("monitor_admitted", "metrics_admitted"), Range("an address or a CIDR", _source, each=True)),
    "host_metrics_interval": Range("from 5 to 300", _INTERVAL, unit="seconds"),
    "otlp_endpoint": Range("a URL of http or https that ends with C(/v1/metrics)", _otlp_endpoint, empty=True),
    "otlp_interval": Range("from 5 to 300", _INTERVAL, unit="seconds"),
    "scrape_interval": Range("from 5 to 300", _INTERVAL, unit="seconds"),
    "retention_days": Range("from 1", _FROM_ONE, unit="days"),
    "retention_gb": Range("from 1", _FROM_ONE, unit="GB"),
    "grafana_admin_password": Range("12 characters or more", _password),
    "rule_files": Range("a path of the controller", each=True),
    "telegram_chat_id": Range(
        "a number, negative for a group",
        _matches("-?[0-9]{1,20}", "is not the ID of a chat", "set the number that getUpdates of the bot shows"),
        empty=True,
    ),
    "telegram_bot_token": Range(
        "digits, a colon and the secret",
        _matches(
            "[0-9]{5,20}:[A-Za-z0-9_-]{30,}", "is not the token of a bot", "set the one of BotFather", quoted=False
        ),
        empty=True,
    ),
    "slack_channel": Range(
        "C(#) or C(@) and a name",
        _matches("[#@][^\\s#@]{1,80}", "is not a channel", "write it as #name"),
        empty=True,
    ),
    "pagerduty_routing_key": Range(
        "32 letters and digits",
        _matches(
            "[A-Za-z0-9]{32}", "is not an integration key", "set the one of Events API v2", quoted=False
        ),
        empty=True,
    ),
    **dict.fromkeys(
        ("email_to", "email_from"),
        Range(
            "an e-mail address",
            _matches(r"[^\s@,]+@[^\s@,]+", "is not an e-mail address", "write it as name@host"),
            empty=True,
        ),
    ),
    "email_smarthost": Range(
        "C(host:port)",
        _matches(r"[A-Za-z0-9.\[\]:-]+:[0-9]{1,5}", "is not a server with its port", "write it as host:587"),
        empty=True,
    ),
    "email_user": Range("a name", empty=True),
    "email_password": Range("a password", empty=True),
    **dict.fromkeys(("webhook_url", "watchdog_url"), Range(_HTTP_URL, url_problem, empty=True)),
    "webhook_token": Range("a token", empty=True),
    "monitor_targets.host": Range("a name of the inventory"),
    "monitor_targets.address": Range("an IP address", address_problem),
    "monitor_targets.target": Range("C(address:port)"),
    "group": Range("the name of a group of the inventory"),
    **dict.fromkeys(
        ("docker_engine_data_root", "docker_engine_containerd_root"),
        Range("an absolute path without spaces", _engine_root, empty=True),
    ),
    "docker_engine_version": Range(
        "a whole version such as C(28.5.2)",
        _matches(
            r"[0-9]+\.[0-9]+\.[0-9]+([-+~.][0-9A-Za-z.+~-]*)?",
            "is not a version of Docker Engine",
            "set a whole version, such as 28.5.2",
        ),
        empty=True,
    ),
    "docker_engine_apt_url": Range(_HTTP_URL, url_problem),
    "docker_engine_apt_key_fingerprint": Range(
        "40 hex digits",
        _matches(r"\s*([0-9A-Fa-f]\s*){40}", "is not a fingerprint", "set 40 hex digits", quoted=False),
    ),
    "docker_engine_registry_mirrors": Range(_HTTP_URL, url_problem, each=True),
    "port_guard_section": Range(
        "up to 40 lower-case letters, digits and C(_), a letter first",
        _matches(
            nft.SECTION,
            "is not a name of a section",
            "use lower-case letters, digits and _, a letter first, at most 40",
        ),
    ),
    "port_guard_containers.mac_address": Range(
        "six pairs of hexadecimal digits with colons between them",
        _matches(nft.MAC, "is not a MAC address", "use six pairs of hexadecimal digits with colons between them"),
    ),
    "port_guard_containers.ports": Range("a number from 1 to 65535", _PORT, each=True),
    "port_guard_bridges": Range(
        "a name of up to 15 characters",
        _matches(nft.BRIDGE, _BRIDGE, "use its exact name, 15 characters at most, no *"),
        each=True,
    ),
}


def range_of(name: str) -> Range | None:
    """Return the range of an option, or None if its type or choices suffice. A suboption is named OPTION.SUBOPTION."""
    fitting = [key for key in RANGES if name == key or name.endswith((f"_{key}", f".{key}"))]
    return RANGES[max(fitting, key=len)] if fitting else None


def range_problem(name: str, value: object) -> tuple | None:
    """Return (what is wrong, what to do) if a value of the right type is outside the range of its option."""
    wanted = range_of(name)
    if wanted is None or wanted.problem is None or (wanted.empty and value == ""):
        return None
    if not wanted.each:
        return wanted.problem(value)
    for number, item in enumerate(value, 1):
        found = wanted.problem(item)
        if found:
            # A quoted value is separated from the number of the entry.
            return f"entry {number}{',' if found[0].startswith(chr(39)) else ''} {found[0]}", found[1]
    return None
