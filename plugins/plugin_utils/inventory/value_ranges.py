# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place that says which values an option takes beyond its type: range, form and unit, in words and as a check.

The checks, the argument_specs' descriptions and the documentation go by this table; tests hold them together.
"""

from __future__ import annotations

import ipaddress
import math
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import RELEASES, parse_version
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import ip_of, is_numeric

# What inventories/prod holds so that a reader sees the shape of it; nobody runs a prover with these.
DUMMY_NETWORKS = tuple(
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
DUMMY_DOMAINS = re.compile(r"(\A|\.)(example|invalid|example\.(com|net|org))\.?\Z", re.IGNORECASE)

# No number that YAML writes this long was meant as one: it was hex without quotes.
TOO_LONG = 10**15

# What an agent's heartbeat must stay below, in milliseconds: then the broker gives its job to another one.
JOB_TIMEOUT_MS = 30000

# The engine's own networks, which are no bridge for the components to share.
ENGINE_NETWORKS = ("bridge", "default", "host", "none")

_LABEL = r"\w(?:[\w-]{0,61}\w)?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_LEVEL = "(silent|fatal|error|warn|info|verbose|debug|trace)"
_LOG_LEVEL = re.compile(rf"{_LEVEL}(; *(?i:{_LEVEL}) *:[^;:]+)*")
_COMPONENT = "[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*"
_REGISTRY = r"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:))(:[0-9]+)?/"
_IMAGE = re.compile(rf"({_REGISTRY})?{_COMPONENT}(/{_COMPONENT})*")
_VOLATILE = ("dev", "proc", "run", "sys", "tmp")
# A component's directory gets an owner and a mode of its own.
_SYSTEM = (
    *(f"/{name}" for name in ("bin", "boot", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "root", "sbin")),
    *(f"/{name}" for name in ("srv", "usr", "var", "usr/local", "var/lib", "var/log", "var/lib/docker")),
)
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOCKER_BRIDGE = re.compile(r"(?!(?:lo|docker0)\Z)[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_DOCKER_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+")
_ENGINE_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+([-+~.][0-9A-Za-z.+~-]*)?")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}")
# As Docker takes sizes, with the unit that nobody leaves out on purpose.
_SIZE = re.compile(r"[1-9][0-9]*[kmgKMG][bB]?")


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


def shown(value: object, option: Mapping | None = None) -> str:
    """Give a value for a message: as it is where that is harmless, else what kind of thing it is."""
    if option and option.get("no_log"):
        return "the value"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)) and abs(value) < TOO_LONG:
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= 20 and value.isprintable():
        return f"'{value}'"
    return f"a {kind(value)}"


def as_int(value: object) -> int | None:
    """Give the whole number that a value stands for, or None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value.strip()) else None


def as_float(value: object) -> float | None:
    """Give the number that a value stands for, or None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    number = str(value).strip() if isinstance(value, (int, str)) else ""
    return float(number) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", number) else None


def is_dummy(address: object) -> bool:
    """Tell whether an address is one of those that stand in examples."""
    found = ip_of(address)
    return found is not None and any(found in network for network in DUMMY_NETWORKS)


def _is_subnet(text: str) -> bool:
    """Return whether a text is a network of several addresses, and not an address with the length of its prefix."""
    try:
        return ipaddress.ip_network(text).num_addresses > 1
    except ValueError:
        return False


def _never_an_address(value: object) -> tuple | None:
    """Return what is wrong with a text that names no host, whatever reads it, and what to do."""
    text = str(value)
    if ip_of(text) is not None:
        return None
    if "://" in text:
        return "is a URL", "set only the host in it, without scheme, port and path"
    address, slash, _length = text.partition("/")
    if slash and ip_of(address) is not None:
        if _is_subnet(text):
            return f"{shown(value)} is a network", "set one IP address or host name"
        return f"{shown(value)} has a prefix length", f"set only the address: {address}"
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and ":" not in host:
        return f"{shown(value)} has a port", "set only the address; ansible_port is the variable for the SSH port"
    if re.fullmatch(r"(.*@)?[0-9]+(\.[0-9]+){3}", text) and ip_of(text.rpartition("@")[2]) is None:
        return f"{shown(value)} is neither an IP address nor a host name", "correct it"
    return None


def address_problem(value: object) -> tuple | None:
    """Return what is wrong with the form of an address, which is an IP address or a host name, and what to do."""
    text = str(value)
    found = _never_an_address(value)
    if found or not text or ip_of(text) is not None:
        return found
    if is_numeric(text) or not _HOST_NAME.fullmatch(text):
        return f"{shown(value)} is neither an IP address nor a host name", "correct it"
    return None


def connection_problem(value: object, alone: bool) -> tuple | None:
    """Return what is wrong with ansible_host, and what to do.

    alone: nothing but the connection reads it, since aztec_address is set. Then it may be an alias of ssh's, a host
    with a user, or the name of a container.
    """
    if alone:
        return _never_an_address(value)
    if re.fullmatch(r"[^@/:\s]+@[^@/\s]+", str(value)):
        return f"{shown(value)} holds a user", "set only the host, and the user as ansible_user"
    return address_problem(value)


def url_problem(url: object) -> tuple | None:
    """Give what is wrong with an http(s) URL; the URL may hold an API key and is not quoted."""
    if not isinstance(url, str):
        return f"is a {kind(url)}, no URL", "write it as http://host:port or https://host"
    if re.search(r"[\x00-\x20\x7f\s,]", url):
        return "holds a comma, a space or a line break", "write one URL alone, and %2C or %20 inside it"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        if re.match(r"https?://[0-9A-Fa-f]*:[0-9A-Fa-f:]*:", url):
            return "has an IPv6 address without brackets", "write it as http://[fd00::1]:8080"
        return "is no URL", "write it as http://host:port or https://host"
    if "://" not in url or not parts.scheme:
        return "has no scheme", "begin it with http:// or https://"
    if parts.scheme not in ("http", "https"):
        return "has a scheme other than http and https", "begin it with http:// or https://"
    if not host:
        return "has no host", "write it as http://host:port or https://host"
    if DUMMY_DOMAINS.search(host) or is_dummy(host):
        return "is still the example's", "put your own URL there"
    if ip_of(host) is None and is_numeric(host):
        return "has a host that is neither an IP address nor a host name", "correct the host in it"
    return None


STORE_SCHEMES = ("http", "https", "s3", "gs", "file")


def store_problem(url: object, schemes: Sequence = STORE_SCHEMES) -> tuple | None:
    """Return what is wrong with the URL of a file store, and what to do; the URL may hold a key and is not quoted."""
    scheme, separator, rest = str(url).partition("://")
    if not isinstance(url, str) or (scheme in ("http", "https") and scheme in schemes):
        return url_problem(url)
    if not separator:
        return "has no scheme", f"begin it with one of {', '.join(f'{one}://' for one in schemes)}"
    if scheme not in schemes:
        return f"has a scheme other than {', '.join(schemes)}", "write the URL of a store of one of these kinds"
    if re.search(r"[\x00-\x20\x7f\s,]", url):
        return "holds a comma, a space or a line break", "write one URL per entry, and %2C or %20 inside it"
    try:
        urlsplit(url)
    except ValueError:
        return "is not a URL", f"write it as {scheme}://bucket/path"
    if not rest.strip("/"):
        return "names no bucket or path", f"write it as {scheme}://{'/path' if scheme == 'file' else 'bucket/path'}"
    return None


def environment_problem(value: object) -> tuple | None:
    """Give what is wrong with extra environment variables: their names, or values that are no single value."""
    for number, (key, item) in enumerate(value.items(), 1):
        if not isinstance(key, str) or not _ENVIRONMENT_NAME.fullmatch(key):
            return f"entry {number}'s name is no name of an environment variable", "use letters, digits and _"
        # A list is joined with commas.
        for one in item if isinstance(item, list) else [item]:
            if isinstance(one, (int, float)) and not isinstance(one, bool) and abs(one) >= TOO_LONG:
                return f"{key} is written without quotes, which YAML makes a number", "put it in quotes"
            if isinstance(one, (Mapping, list)):
                return f"{key} is a {kind(one)}, no text" if one is item else f"{key} holds a {kind(one)}", (
                    "write one text, in quotes"
                )
            if "\0" in str(one):
                return f"{key} holds a NUL character, which no environment variable can carry", "take it out"
    return None


def _port(value: object) -> tuple | None:
    number = as_int(value)
    if number is None or not 1 <= number <= 65535:
        return f"{shown(value)} is no port", "give a number from 1 to 65535"
    return None


def _auto_or_number(value: object) -> tuple | None:
    number = as_int(value)
    if value != "auto" and (number is None or number < 1):
        return f"{shown(value)} is neither auto nor a number from 1", "give a number from 1, or auto"
    return None


def _poll_interval(value: object) -> tuple | None:
    number = as_int(value)
    if number is None or not 1 <= number < JOB_TIMEOUT_MS:
        return f"{shown(value)} is out of range", "give milliseconds below 30000, when the broker gives a job up"
    return None


def _from_zero(value: object) -> tuple | None:
    number = as_int(value)
    if number is not None and number < 0:
        return f"{shown(value)} is below 0", "give a number from 0"
    return None


def _percent(least: int) -> Callable[[object], tuple | None]:
    """Return a check for a percentage from `least` to 1000, or 0."""

    def problem(value: object) -> tuple | None:
        number = as_int(value)
        if number is None or not (number == 0 or least <= number <= 1000):
            return f"{shown(value)} is out of range", f"set a whole number from {least} to 1000, or 0 for Aztec's own"
        return None

    return problem


def _proof_store(value: object) -> tuple | None:
    return store_problem(value, ("s3", "gs", "file"))


def _from_one(value: object) -> tuple | None:
    number = as_int(value)
    if number is None or number < 1:
        return f"{shown(value)} is no number from 1", "give a number from 1"
    return None


def _cpus(value: object) -> tuple | None:
    number = as_float(value)
    if number is None or not (number == 0 or number >= 0.01):
        return f"{shown(value)} is no number of CPUs", "give a number from 0.01, or 0 for no limit"
    return None


def _crs_source(value: object) -> tuple | None:
    text = str(value)
    if text == "image" or (text.startswith("/") and text.strip("/")):
        return None
    found = url_problem(text)
    if found is None and (urlsplit(text).username or re.search(r"[?#'$\\]", text)):
        found = "has a user, a query or a quote in it", "give the URL of a directory that asks for nothing"
    return (f"is neither image nor a directory, and as a URL {found[0]}", found[1]) if found else None


def _crs_digests(value: object) -> tuple | None:
    for number, (name, digest) in enumerate(value.items(), 1):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", str(name)):
            return f"entry {number}'s name is no name of a file", "give one such as bn254_g1.dat"
        if not _DIGEST.fullmatch(str(digest)):
            return f"{name} is no digest", "give sha256: and 64 hex digits"
    return None


def _ether(value: object) -> tuple | None:
    number = as_float(value)
    if number is None or number < 0:
        return f"{shown(value)} is no amount of ETH", "give a number from 0, without a unit"
    return None


def _fee_cap(value: object) -> tuple | None:
    number = as_float(value)
    if number is None:
        return f"{shown(value)} is not an amount of gwei", "give a number above 0, without a unit"
    # Aztec counts whole wei, and takes a cap of 0 for none.
    if number < 1e-9:
        return f"{shown(value)} is a fee cap of zero or less", "give gwei above 0, or take the line out"
    return None


def _release_line(value: object) -> tuple | None:
    if str(value) not in RELEASES:
        return f"{shown(value)} is not a known release line", f"choose one of {', '.join(RELEASES)}"
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
        return f"{shown(value)} is no IPv6 subnet", "give one in CIDR form, such as fd00:1::/64"
    return None


def _ipv4_subnet(value: object) -> tuple | None:
    try:
        found = ipaddress.IPv4Network(str(value))
    except ValueError:
        return f"{shown(value)} is not an IPv4 subnet", "set one in CIDR form, such as 10.201.0.0/24"
    if not 8 <= found.prefixlen <= 28:
        return f"{shown(value)} is too {'large' if found.prefixlen < 8 else 'small'}", "set a subnet from /8 to /28"
    if found.is_loopback or found.is_multicast or found.is_link_local or found.is_unspecified:
        return f"{shown(value)} cannot be used for containers", "set a private subnet, such as 10.201.0.0/24"
    return None


def _mtu(value: object) -> tuple | None:
    number = as_int(value)
    if number is None or not (number == 0 or 1280 <= number <= 65535):
        return f"{shown(value)} is not a valid MTU", "set a number from 1280 to 65535, or 0 for what fits the host"
    return None


def _ipv6_address(value: object) -> tuple | None:
    found = ip_of(value)
    if found is None or found.version != 6:
        return "is no IPv6 address", "give one, such as fd00::10, or take it out"
    return None


def _image(value: object) -> tuple | None:
    text = str(value)
    if not text or ":" in text.rsplit("/", 1)[-1] or "@" in text:
        return "has a tag or digest in it", "give the image alone; aztec_version names the tag"
    if not _IMAGE.fullmatch(text):
        return "is no name of an image", "write it as name or registry:port/name, in lower-case letters"
    return None


def _docker_network(value: object) -> tuple | None:
    if value in ENGINE_NETWORKS:
        return f"{shown(value)} is a network of the engine's own", "give the fleet's network a name of its own"
    if not _DOCKER_NETWORK.fullmatch(str(value)):
        return f"{shown(value)} is no name of a Docker network", "give letters, digits, -, . and _"
    return None


def _directory(value: object) -> tuple | None:
    text = str(value)
    if text and not text.startswith("/"):
        return "is not an absolute path", "begin it with /"
    if not text.strip("/"):
        return "is no directory of the component's own", "name one below /"
    if ":" in text:
        return "holds a colon, at which Compose would end it", "name a directory without one"
    if "$" in text:
        return "holds a dollar sign, which Compose would replace", "name a directory without one"
    if text != text.strip() or not text.isprintable():
        return "begins or ends with a space, or holds a line break", "write the path alone"
    if ".." in text.split("/"):
        return "leads through ..", "write the path that it comes to"
    if text.strip("/").split("/", maxsplit=1)[0] in _VOLATILE:
        return "is gone after a reboot", "name one that stays, such as below /opt"
    return None


def _own_directory(value: object) -> tuple | None:
    found = _directory(value)
    if found is None and posixpath.normpath(re.sub("/+", "/", str(value))) in _SYSTEM:
        return "is a directory of the system's", "name one of the component's own below it"
    return found


def _engine_root(value: object) -> tuple | None:
    found = _directory(value)
    # What systemd reads in a unit's command, it may split or replace.
    if found is None and not re.fullmatch(r"[A-Za-z0-9._/@+-]+", str(value)):
        return "holds a space or a special character", "use only letters, digits, -, ., _, @, + and /"
    path = posixpath.normpath(re.sub("/+", "/", str(value)))
    if found is None and path in _SYSTEM and path != "/var/lib/docker":
        return "is a system directory", "set a directory below it that only the engine uses"
    return found


def _source(value: object) -> tuple | None:
    try:
        nft.network_of(value)
    except ValueError as error:
        wrong, _colon, remedy = str(error).rpartition(": ")
        # Any other text can contain a secret.
        known = re.fullmatch(r"[0-9A-Fa-f.:/]{1,43}", str(value)) or shown(value) == f"'{value}'"
        return (wrong if known else f"{shown(value)} is not an address"), remedy
    return None


def _admitted(value: object) -> tuple | None:
    """Return the same for whom the broker admits: everybody only where that is set besides."""
    found = _source(value)
    if found and found[1].endswith("to admit all addresses"):
        return found[0], f"{found[1]}, and set aztec_allow_public_broker: true"
    return found


def _fingerprint(value: object) -> tuple | None:
    if not _FINGERPRINT.fullmatch(re.sub(r"\s", "", str(value))):
        return "is no fingerprint", "give 40 hex digits"
    return None


def _matches(pattern: re.Pattern, wrong: str, remedy: str, quoted: bool = True) -> Callable[[object], tuple | None]:
    """Give a check of a text's form."""

    def problem(value: object) -> tuple | None:
        if pattern.fullmatch(str(value)):
            return None
        return (f"{shown(value)} {wrong}" if quoted else wrong), remedy

    return problem


@dataclass(frozen=True)
class Range:
    """Which values an option takes: unit and form say it in words, problem gives (what is wrong, what to do) or None.

    Without problem it takes more than the value to tell: inventory_checks does. empty: an empty text stands for none.
    each: what is said holds for each entry of a list.
    """

    form: str
    problem: Callable[[object], tuple | None] | None = None
    unit: str = ""
    empty: bool = False
    each: bool = False

    @property
    def words(self) -> str:
        """Give range and unit in words."""
        one = f"{self.unit} {self.form}".strip()
        return f"{'a list, each entry ' if self.each else ''}{one}{', or nothing' if self.empty else ''}"

    @property
    def sentence(self) -> str:
        """Give the sentence that ends the option's description."""
        return f"Takes {self.words}."


_BRIDGE_NAME = _matches(_DOCKER_BRIDGE, "is no name of a bridge", "give 1 to 15 letters, digits, - and _")
_NFT_BRIDGE = _matches(nft.BRIDGE, "is no name of a bridge", "give its exact name, 15 characters at most, no *")
_MAC = _matches(nft.MAC, "is not a MAC address", "use six pairs of hexadecimal digits with colons between them")
_SECTION_NAME = _matches(
    nft.SECTION, "is no name of a section", "use lower-case letters, digits and _, a letter first, at most 40"
)
_ENGINE_RELEASE = _matches(_ENGINE_VERSION, "is no version of an engine", "give a whole one, such as 28.5.2")
_IMAGE_DIGEST = _matches(_DIGEST, "is no digest", "give sha256: and 64 hex digits", quoted=False)
_BYTES = _matches(_SIZE, "is no size", "give a number and its unit, such as 500m or 16g")
_GRACE = _matches(_DURATION, "is no duration", "give number and unit, such as 60s or 1m30s")
_LOGGING = _matches(_LOG_LEVEL, "is no log level", "give one such as info, with filters as info;debug:prover")

_KEY_HASH = _matches(
    re.compile("[0-9A-Fa-f]{64}"), "is not a SHA-256", "set the 64 hex digits that sha256sum prints", quoted=False
)
_STORES = "a URL of http, https, C(s3), C(gs) or C(file)"

# By an option's name or by how it ends; the longest that fits counts.
RANGES = {
    "port": Range("a number from 1 to 65535", _port),
    "prover_agent_count": Range("C(auto) or a number from 1", _auto_or_number),
    "hardware_concurrency": Range("C(auto) or a number from 1", _auto_or_number),
    "poll_interval_ms": Range("from 1 to 29999", _poll_interval, unit="milliseconds"),
    "timeout": Range("from 0", _from_zero, unit="seconds"),
    "memory_limit": Range("a size in C(k), C(m) or C(g), such as C(16g)", _BYTES, empty=True),
    "cpu_limit": Range("from 0.01, or 0 for none", _cpus, unit="CPUs"),
    "log_max_size": Range("a size in C(k), C(m) or C(g), such as C(100m)", _BYTES),
    "log_max_files": Range("a number from 1", _from_one),
    "crs_source": Range("C(image), a URL of http or https or the controller's absolute path", _crs_source, empty=True),
    "crs_digests": Range("C(sha256:) and 64 hex digits for each name of a file", _crs_digests),
    "stop_grace_period": Range(
        "a duration in C(h), C(m), C(s), C(ms) and C(us), such as C(1m30s)", _GRACE, empty=True
    ),
    "version": Range("a whole version, such as C(6.0.0)", _version),
    "release_line": Range(f"one of {', '.join(RELEASES)}", _release_line, empty=True),
    "network": Range("a network that the release line knows"),
    "image": Range("an image without tag and digest", _image, empty=True),
    "image_digest": Range("C(sha256:) and 64 hex digits", _IMAGE_DIGEST, empty=True),
    "directory": Range("an absolute path below C(/), without a colon", _own_directory),
    "aztec_directory": Range("an absolute path below C(/), without a colon", _directory),
    "log_level": Range(
        "one of silent, fatal, error, warn, info, verbose, debug, trace, with C(;level:module,module) for each filter",
        _LOGGING,
        empty=True,
    ),
    "environment": Range("names of letters, digits and C(_), each with one value", environment_problem),
    "docker_network": Range("letters, digits, C(-), C(.) and C(_)", _docker_network),
    "docker_bridge": Range("1 to 15 letters, digits, C(-), C(.) and C(_)", _BRIDGE_NAME),
    "docker_ipv4_subnet": Range("an IPv4 network from /8 to /28, such as C(10.201.0.0/24)", _ipv4_subnet, empty=True),
    "docker_mtu": Range("from 1280 to 65535, or 0 for what fits the host", _mtu, unit="bytes"),
    "docker_ipv6_subnet": Range("an IPv6 network in CIDR form, such as C(fd00:1::/64)", _ipv6_subnet, empty=True),
    "l1_execution_urls": Range("a URL of http or https", each=True),
    "l1_consensus_urls": Range("a URL of http or https", each=True),
    "l1_debug_urls": Range("a URL of http or https", each=True),
    "l1_chain_id": Range("from 1, or 0 for the network's own", _from_zero),
    "l1_registry": Range("C(0x) and 40 hex digits", empty=True),
    "l1_max_head_age": Range("from 1", _from_one, unit="seconds"),
    "l1_timeout": Range("from 1", _from_one, unit="seconds"),
    "l1_balance_warn": Range("from 0", _ether, unit="ETH"),
    "l1_balance_fail": Range("from 0", _ether, unit="ETH"),
    "l1_submission_gas": Range("a number from 1", _from_one),
    "max_fee_gwei": Range("above 0", _fee_cap, unit="gwei", empty=True),
    "snapshot_urls": Range(_STORES, store_problem, each=True),
    "blob_file_store_urls": Range(_STORES, store_problem, each=True),
    "tx_file_store_urls": Range(_STORES, store_problem, each=True),
    "proof_store": Range("a URL of C(s3), C(gs) or C(file)", _proof_store, empty=True),
    "funding_account_private_key": Range("C(0x) and 64 hex digits", empty=True),
    "funding_account_address": Range("C(0x) and 40 hex digits", empty=True),
    "funding_threshold": Range("from 0", _ether, unit="ETH"),
    "funding_amount": Range("from 0", _ether, unit="ETH"),
    "priority_fee_bump_percentage": Range("from 1 to 1000, or 0 for Aztec's own", _percent(1), unit="percent"),
    "priority_fee_retry_bump_percentage": Range("from 10 to 1000, or 0 for Aztec's own", _percent(10), unit="percent"),
    "admin_api_key_hash": Range("64 hex digits", _KEY_HASH, empty=True),
    "broker_url": Range("a URL of http or https with host and port alone"),
    "publisher_private_key": Range("C(0x) and 64 hex digits", empty=True),
    "publisher_private_keys": Range("C(0x) and 64 hex digits", each=True),
    "publisher_addresses": Range("C(0x) and 40 hex digits", each=True),
    "web3signer_url": Range("a URL of http or https", empty=True),
    "publisher_mnemonic": Range("12, 15, 18, 21 or 24 words of BIP-39", empty=True),
    "next_publisher_private_key": Range("C(0x) and 64 hex digits", empty=True),
    "next_publisher_mnemonic": Range("12, 15, 18, 21 or 24 words of BIP-39", empty=True),
    "previous_publisher_private_key": Range("C(0x) and 64 hex digits", empty=True),
    "previous_publisher_mnemonic": Range("12, 15, 18, 21 or 24 words of BIP-39", empty=True),
    "prover_id": Range("C(0x) and 40 hex digits", empty=True),
    "p2p_ip": Range("an IP address"),
    "address": Range("an IP address or a host name", address_problem),
    "address6": Range("an IPv6 address", _ipv6_address, empty=True),
    "admit": Range("an address or a CIDR", _admitted, each=True),
    "admitted": Range("an address or a CIDR", _admitted, each=True),
    "publish_addresses": Range(
        "an IP address or a host name that the controller resolves", address_problem, each=True
    ),
    "admits": Range("an address or a CIDR", _source, each=True),
    "sources": Range("an address or a CIDR", _source, each=True),
    "group": Range("the name of a group of the inventory"),
    "docker_engine_data_root": Range("an absolute path without spaces", _engine_root, empty=True),
    "docker_engine_containerd_root": Range("an absolute path without spaces", _engine_root, empty=True),
    "docker_engine_version": Range("a whole version such as C(28.5.2)", _ENGINE_RELEASE, empty=True),
    "docker_engine_apt_url": Range("a URL of http or https", url_problem),
    "docker_engine_apt_key_fingerprint": Range("40 hex digits", _fingerprint),
    "docker_engine_registry_mirrors": Range("a URL of http or https", url_problem, each=True),
    "port_guard_section": Range("up to 40 lower-case letters, digits and C(_), a letter first", _SECTION_NAME),
    "port_guard_ports.addresses": Range("an address or a CIDR", _source, each=True),
    "port_guard_containers.mac_address": Range("six pairs of hexadecimal digits with colons between them", _MAC),
    "port_guard_containers.ports": Range("a number from 1 to 65535", _port, each=True),
    "port_guard_bridges": Range("a name of up to 15 characters", _NFT_BRIDGE, each=True),
}


def range_of(name: str) -> Range | None:
    """Give which values the option of this name takes, or None where its type or its choices say all.

    The name of a part stands after its option's and a dot.
    """
    fitting = [key for key in RANGES if name == key or name.endswith((f"_{key}", f".{key}"))]
    return RANGES[max(fitting, key=len)] if fitting else None


def range_problem(name: str, value: object) -> tuple | None:
    """Give (what is wrong, what to do) where a value of the right type is none that its option takes."""
    wanted = range_of(name)
    if wanted is None or wanted.problem is None or (wanted.empty and value == ""):
        return None
    if not wanted.each:
        return wanted.problem(value)
    for number, item in enumerate(value, 1):
        found = wanted.problem(item)
        if found:
            # A value that is quoted stands apart from the entry's number.
            return f"entry {number}{',' if found[0].startswith(chr(39)) else ''} {found[0]}", found[1]
    return None
