# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The preflight compares Docker's networks with the fleet: one line for each problem."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.validate_inventory import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_checks import (
    check_hosts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import (
    component_settings,
    engine_settings,
)

SPECS = read_specs(ROLES)
NAMES = {"prover_broker": "broker-1", "prover_agent": "agent-1"}
DISK = {"size_bytes": 10**13, "free_bytes": 10**13, "kind": "nvme", "device": "/dev/a"}
HARDWARE = {"vcpus": 256, "cores": 256, "memory_bytes": 2**40, "link_mbps": None, "disks": {"/": DISK}}
ENGINE = {"serves": True, "error": "", "source": "other", "compose": "2.30.0", "managed": False, "pin": ""}
ENGINE.update(rules=True)
ENGINE.update(systemd=True, snap=False, desktop=False, security=[], selinux_enforcing=False, packages={})
ENGINE.update(command=["/usr/bin/dockerd", "-H", "fd://"], daemon_json_names=[])
DEFAULT = {"network": "0.0.0.0/0", "gateway": "192.0.2.1", "interface": "eth0", "mtu": 1500}
DOCKER0 = {"name": "bridge", "bridge": "docker0", "interface": "docker0", "subnets": ["172.17.0.0/16"], "mtu": 1500}
PROVER_NETWORK = {
    "name": "aztec-prover",
    "bridge": "aztec0",
    "interface": "aztec0",
    "subnets": ["172.18.0.0/16"],
    "mtu": 1500,
}


def host_info(name: str, address: str, **changes: object) -> dict:
    """Return the host info of a host without problems and with a foreign engine, with these changes."""
    return {
        "hostname": name,
        "addresses": [address],
        "os": {"id": "debian", "version_id": "13", "codename": "trixie", "apt": True},
        "hardware": HARDWARE,
        "engine": {**ENGINE, "apt_sources": [], "address_pools": []},
        "nft": {"installed": True},
        "guard": {"installed": False, "owner": "", "problems": [], "saved_rulesets": []},
        "interfaces": ["lo", "eth0"],
        "networks": [DOCKER0],
        "routes": [DEFAULT],
        "listening": [],
        "projects": {},
        **changes,
    }


def lines(broker: str, changes: dict, variables: dict | None = None) -> list[str]:
    """Return the problems of an agent's host with a broker at this address."""
    hosts = {
        name: {"components": [component], "addresses": [address], "paths": {}, "docker_ipv6_subnet": ""}
        for (component, name), address in zip(NAMES.items(), (broker, "10.0.0.21"))
    }
    host_infos = {"broker-1": host_info("b", broker), "agent-1": host_info("a", "10.0.0.21", **changes)}
    settings = {name: component_settings(variables or {}, [component], SPECS) for component, name in NAMES.items()}
    engines = dict.fromkeys(NAMES.values(), engine_settings(variables or {}, SPECS))
    fleet = {"line": "6", "broker": {"publish": [broker]}, "hosts": hosts}
    found = check_hosts(host_infos, fleet, settings, engines)
    return [f"{one.level} | {one.wrong}" for one in found.problems if one.host == "agent-1"]


BROKER = "contains 172.18.0.10 (broker-1)"


@pytest.mark.parametrize(
    ("broker", "changes", "variables", "found"),
    [
        pytest.param("10.0.0.10", {}, {}, [], id="nothing"),
        pytest.param(
            "172.18.0.10",
            {},
            {},
            [
                "warning | Docker's address pools contain 172.18.0.10 (broker-1): a network that is created later "
                "can get it"
            ],
            id="the broker in Docker's pool",
        ),
        pytest.param(
            "172.18.0.10",
            {"networks": [DOCKER0, PROVER_NETWORK]},
            {},
            [f"error | the Docker network aztec-prover has 172.18.0.0/16, which {BROKER}"],
            id="the broker in the fleet's network",
        ),
        pytest.param(
            "172.17.0.10",
            {},
            {},
            ["error | Docker's default bridge docker0 has 172.17.0.0/16, which contains 172.17.0.10 (broker-1)"],
            id="the broker in docker0",
        ),
        pytest.param(
            "10.0.0.10",
            {"routes": [DEFAULT, {**DEFAULT, "network": "172.17.4.0/24", "gateway": "", "interface": "wg0"}]},
            {},
            [
                "warning | Docker's default bridge docker0 has 172.17.0.0/16, which overlaps the route 172.17.4.0/24 "
                "by wg0"
            ],
            id="a route in docker0",
        ),
        pytest.param(
            "10.0.0.10",
            {"networks": [DOCKER0, PROVER_NETWORK], "routes": [{**DEFAULT, "mtu": 1400}]},
            {},
            ["warning | the Docker network aztec-prover has MTU 1500 and eth0 has 1400: large packets can be lost"],
            id="a specific_routes uplink",
        ),
        pytest.param(
            "10.0.0.10",
            {"networks": [DOCKER0, PROVER_NETWORK]},
            {"aztec_docker_mtu": 1400, "aztec_docker_ipv4_subnet": "10.201.0.0/24"},
            [
                "error | the Docker network aztec-prover has 172.18.0.0/16, not 10.201.0.0/24",
                "error | the Docker network aztec-prover has MTU 1500, not 1400",
            ],
            id="settings of a network that is there",
        ),
        pytest.param(
            "172.18.0.10",
            {},
            {
                "docker_engine_daemon_options": {"default-address-pools": [{"base": "10.201.0.0/16", "size": 24}]},
                "aztec_docker_ipv4_subnet": "10.202.0.0/24",
            },
            [
                "warning | Docker's address pools contain 172.18.0.10 (broker-1): a network that is created later "
                "can get it"
            ],
            id="options of an engine that the role does not configure",
        ),
    ],
)
def test_docker_s_networks(broker: str, changes: dict, variables: dict, found: list[str]) -> None:
    assert lines(broker, changes, variables) == found
