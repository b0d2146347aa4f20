# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of a host's components and of its container engine, from its variables and the roles' defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import Specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import (
    AGENT,
    BROKER,
    MONITOR,
    NODE,
    option_value,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import as_int

# What a component publishes on its host: option, protocol, whether only on loopback.
PUBLISHED = {
    NODE: (("port", "tcp", True), ("p2p_port", "tcp", False), ("p2p_port", "udp", False)),
    BROKER: (("port", "tcp", False),),
    AGENT: (),
    MONITOR: (
        ("otlp_port", "tcp", False),
        ("prometheus_port", "tcp", True),
        ("alertmanager_port", "tcp", True),
        ("grafana_port", "tcp", True),
    ),
}
TEXT_OPTIONS = ("memory_limit", "docker_network", "docker_bridge", "docker_ipv4_subnet")


@dataclass(frozen=True)
class ComponentSettings:
    """The settings of a component that the checks of its host use. ports: (variable, protocol, number, loopback_only).

    memory_limit and cpu_limit: those of each of its containers in Compose's notation; empty and 0 for no limit.
    publish_addresses: the setting of the inventory, None if the addresses are derived.
    """

    ports: tuple = ()
    requirements: str = "fail"
    count: object = 1
    memory_limit: str = ""
    cpu_limit: float = 0
    docker_network: str = ""
    docker_bridge: str = ""
    publish_addresses: tuple | None = None
    docker_ipv4_subnet: str = ""
    docker_mtu: int = 0


@dataclass(frozen=True)
class EngineSettings:
    """The settings of a host's container engine: source, version and URL of Docker's packages.

    mirrors, options: of its daemon.json. containerd_root: the data directory of containerd, empty for the default.
    """

    source: str = "docker"
    version: str = ""
    apt_url: str = "https://download.docker.com/linux"
    mirrors: list = field(default_factory=list)
    options: Mapping = field(default_factory=dict)
    containerd_root: str = ""

    @property
    def data_root(self) -> str:
        """Return the data directory of the engine, empty for the default."""
        return str(self.options.get("data-root", ""))


def component_options(value: Callable) -> dict:
    """Return the settings that node, broker and agents have in common. value: returns that of an option."""
    return {
        "cpu_limit": float(value("cpu_limit")),
        "docker_mtu": as_int(value("docker_mtu")) or 0,
        **{option: str(value(option)) for option in TEXT_OPTIONS},
    }


def component_settings(values: Mapping, components: Sequence, specs: Specs) -> dict[str, ComponentSettings]:
    """Return the settings of each component of a host."""
    settings = {}
    for component in components:
        value = partial(option_value, values, component)
        addresses = values.get("prover_broker_publish_addresses") if component == BROKER else None
        settings[component] = ComponentSettings(
            ports=tuple(
                (f"{component}_{option}", protocol, as_int(value(option)), loopback_only)
                for option, protocol, loopback_only in PUBLISHED[component]
            ),
            requirements=str(value("requirements")),
            **(component_options(value) if component != MONITOR else {}),
            count=value("count") if component == AGENT else 1,
            publish_addresses=tuple(addresses) if isinstance(addresses, list) else None,
        )
    return settings


def engine_settings(values: Mapping, specs: Specs) -> EngineSettings:
    """Return the settings of a host's container engine."""

    def value(option: str):
        name = f"docker_engine_{option}"
        return values.get(name, specs.options["docker_engine"][name]["default"])

    data_root = str(value("data_root"))
    return EngineSettings(
        **{option: str(value(option)) for option in ("source", "version", "apt_url", "containerd_root")},
        mirrors=value("registry_mirrors"),
        options={**({"data-root": data_root} if data_root else {}), **value("daemon_options")},
    )
