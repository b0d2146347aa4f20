"""The files that each component's role writes, compared with golden files and read by the real Docker Compose.

`pytest tests/rendered --update-golden` writes the golden files again; read the difference before it is committed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.aztec_ops.prover.plugins.action.compose_stack import compose_model
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import dotenv
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.desired_state import DesiredState
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import merged_model

from tests.rendered.fleets import ADDRESS, COMPONENTS, FLEETS, KEY, OTHER_ADDRESS, OTHER_KEY
from tests.rendered.render import render

GOLDEN = Path(__file__).parent / "golden"
# An instance has no golden files: they are those of the same fleet without its name.
WITH_GOLDEN = [fleet for fleet in FLEETS if fleet != "instance"]
CASES = [pytest.param(fleet, component, id=f"{fleet}-{component}") for fleet in WITH_GOLDEN for component in COMPONENTS]


@functools.cache
def rendered(fleet: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of compose_stack by component, rendered once for each fleet."""
    with tempfile.TemporaryDirectory() as where:
        return render(fleet, Path(where))


def desired(arguments: dict[str, Any]) -> DesiredState:
    """Return what the module derives from the arguments that its action plugin passes to it."""
    more = {"data_directory": None, **arguments, "network": None, "_model": compose_model(arguments["compose"])}
    # Without proxies that this machine may have.
    with mock.patch.dict(os.environ, DOCKER_CONFIG="/nonexistent"):
        return DesiredState(more)


def values_of(arguments: dict[str, Any]) -> dict[str, str]:
    """Return the environment that the process gets."""
    return dotenv.parse(arguments["env"])


def services_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the services of both Compose files, without the labels of the module."""
    return merged_model(compose_model(arguments["compose"]), arguments["override"])["services"]


def files_of(arguments: dict[str, Any]) -> dict[str, str]:
    """Return the text of each file of the component's directory, by its path there."""
    return desired(arguments).contents


def resolved(arguments: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return what Docker Compose makes of the files, which it finds in the directory."""
    for name, text in files_of(arguments).items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text, encoding="utf-8")
    command = ["docker", "compose", "config", "--format", "json"]
    run = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "warn" not in run.stderr.lower(), run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize(("fleet", "component"), CASES)
def test_files_are_the_golden_ones(fleet: str, component: str, request: pytest.FixtureRequest) -> None:
    """Each file is byte for byte the committed one."""
    directory = GOLDEN / fleet / component
    files = files_of(rendered(fleet)[component])
    if request.config.getoption("--update-golden"):
        for name, text in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text, encoding="utf-8")
    golden = {
        str(path.relative_to(directory)): path.read_text(encoding="utf-8")
        for path in directory.rglob("*")
        if path.is_file()
    }
    assert files == golden


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_instance_is_part_of_every_name_and_of_nothing_else(component: str) -> None:
    """With another instance name, another inventory and the names put back, the files are the golden ones."""
    named = {
        "aztec-main2-prover-": "aztec-prover-",
        "container_name: main2-prover-": "container_name: prover-",
        "/opt/aztec/main2/": "/opt/aztec/",
        "aztec-prover-main2": "aztec-prover",
        "inventory other)": "inventory example)",
    }
    arguments = rendered("instance")[component]
    assert arguments["directory"] == f"/opt/aztec/main2/{component.replace('_', '-')}"
    assert arguments["network"]["bridge"] == "aztec-main2"
    for name, text in files_of(arguments).items():
        found = text
        for new, old in named.items():
            found = found.replace(new, old)
        assert "main2" in text or not name.endswith("compose.yml")
        golden = (GOLDEN / "4.1.2" / component / name).read_text(encoding="utf-8")
        # The labels' digests follow the names.
        assert re.sub('"[0-9a-f]{32}"', "", found) == re.sub('"[0-9a-f]{32}"', "", golden)


@pytest.mark.parametrize(("fleet", "component"), CASES)
def test_compose_takes_them(fleet: str, component: str, tmp_path: Path) -> None:
    """Compose finds nothing wrong, and every value reaches the process byte for byte."""
    arguments = rendered(fleet)[component]
    services = resolved(arguments, tmp_path)["services"]
    assert services.keys() == services_of(arguments).keys()
    for name, service in services.items():
        # What Compose prints is a Compose file again, in which every $ is doubled.
        seen = {variable: value.replace("$$", "$") for variable, value in service["environment"].items()}
        assert seen == {**values_of(arguments), **services_of(arguments)[name].get("environment", {})}


@pytest.mark.parametrize("fleet", FLEETS)
def test_key_is_in_one_place(fleet: str) -> None:
    """The publisher's key is in the node's key file or in its .env, and in nothing else."""
    places = [
        (component, name)
        for component, arguments in rendered(fleet).items()
        for name, text in files_of(arguments).items()
        if KEY.removeprefix("0x") in text
    ]
    source = FLEETS[fleet]["vars"].get("prover_node_key_source", "keystore")
    where = {"keystore": ["keys/prover.json"], "env": [".env"], "web3signer": []}[source]
    assert places == [("prover_node", name) for name in where]


def test_several_publishers() -> None:
    """prover_node_publisher_private_keys: all of them reach Aztec, and PROVER_ID, without which it uses only one."""
    values = values_of(rendered("apart")["prover_node"])
    assert values["PROVER_PUBLISHER_PRIVATE_KEYS"] == f"{KEY},{OTHER_KEY}"
    assert "PROVER_PUBLISHER_PRIVATE_KEY" not in values
    assert values["PROVER_ID"] == "0x00000000000000000000000000000000000000AA"


def test_a_signer_and_no_key() -> None:
    """prover_node_web3signer_url and prover_node_publisher_addresses are in the key store and nowhere else."""
    arguments = rendered("carried")["prover_node"]
    files = files_of(arguments)
    publishers = [ADDRESS, "0x00000000000000000000000000000000000000AA"]
    assert json.loads(files.pop("keys/prover.json")) == {
        "schemaVersion": 1,
        "remoteSigner": "https://signer.lan:9000/S3cret",
        "prover": {"id": ADDRESS, "publisher": publishers},
        "fundingAccount": OTHER_ADDRESS,
    }
    assert not [name for name, text in files.items() if "S3cret" in text or "PRIVATE_KEY" in text]
    assert values_of(arguments)["PROVER_ID"] == ADDRESS


def test_an_account_that_tops_up() -> None:
    """The key store has the funding account: its key, or with a signer prover_node_funding_account_address."""
    seen = {fleet: rendered(fleet)["prover_node"] for fleet in ("operated", "carried", "6.0.0")}
    stores = {fleet: json.loads(files_of(arguments)["keys/prover.json"]) for fleet, arguments in seen.items()}
    funders = {fleet: store.get("fundingAccount") for fleet, store in stores.items()}
    assert funders == {"operated": OTHER_KEY, "carried": OTHER_ADDRESS, "6.0.0": None}
    amounts = ("PUBLISHER_FUNDING_THRESHOLD", "PUBLISHER_FUNDING_AMOUNT")
    found = {fleet: [values_of(arguments).get(name) for name in amounts] for fleet, arguments in seen.items()}
    assert found == {"operated": ["0.5", "1.0"], "carried": ["0.00002", "2.5"], "6.0.0": [None, None]}


def test_the_key_of_the_admin_api_stays_on_the_controller() -> None:
    """The node gets its SHA-256, as of the text, or the hash that is set instead of the key."""
    key = FLEETS["carried"]["vars"]["prover_node_admin_api_key"]
    name = "AZTEC_ADMIN_API_KEY_HASH"
    found = {fleet: values_of(rendered(fleet)["prover_node"]).get(name) for fleet in ("carried", "operated", "6.0.0")}
    assert found == {"carried": hashlib.sha256(key.encode()).hexdigest(), "operated": "ab" * 32, "6.0.0": None}
    assert all(key not in text for arguments in rendered("carried").values() for text in files_of(arguments).values())


@pytest.mark.parametrize("fleet", FLEETS)
def test_published_ports(fleet: str) -> None:
    """The admin port is never published, the RPC on loopback, the broker on loopback and one address, P2P on all."""
    published = {
        component: [port for service in services_of(arguments).values() for port in service.get("ports", [])]
        for component, arguments in rendered(fleet).items()
    }
    p2p = FLEETS[fleet]["vars"].get("prover_node_p2p_port", 40400)
    broker = FLEETS[fleet]["vars"].get("prover_broker_port", 8080)
    address = "[fd00::11]" if fleet == "apart" else "10.0.0.10"
    assert published == {
        "prover_node": ["127.0.0.1:8081:8081", f"{p2p}:{p2p}", f"{p2p}:{p2p}/udp"],
        "prover_broker": [f"127.0.0.1:{broker}:{broker}", f"{address}:{broker}:{broker}"],
        "prover_agent": [],
    }


@pytest.mark.parametrize("fleet", FLEETS)
def test_mac_addresses(fleet: str) -> None:
    """Each service has one of its own by which the guard knows it; what only fetches the CRS has none."""
    found = {
        name: service.get("mac_address")
        for arguments in rendered(fleet).values()
        for name, service in services_of(arguments).items()
    }
    agents = [name for name in found if name.startswith("prover-agent") and name != "prover-agent-crs"]
    assert found == {
        **({"prover-agent-crs": None} if "prover-agent-crs" in found else {}),
        "prover-node": "02:a2:7e:00:00:01",
        "prover-broker": "02:a2:7e:01:00:01",
        **{name: f"02:a2:7e:02:00:{number:02x}" for number, name in enumerate(agents, 1)},
    }


def test_limits_and_rotation() -> None:
    """Limits that are set are in the service. Others are not."""
    keys = ("mem_limit", "cpus", "logging")
    found = {
        name: [service.get(key) for key in keys]
        for arguments in rendered("separate").values()
        for name, service in services_of(arguments).items()
    }
    agent = ["120g", 60, {"driver": "journald"}]
    assert found == {
        "prover-node": ["16g", 3.5, {"driver": "json-file", "options": {"max-size": "20m", "max-file": "5"}}],
        "prover-broker": ["8g", 2, {"driver": "json-file", "options": {"max-size": "1g", "max-file": "2"}}],
        "prover-agent-crs": agent,
        "prover-agent-1": agent,
        "prover-agent-2": agent,
    }
    for arguments in rendered("4.1.2").values():
        for service in services_of(arguments).values():
            assert not {"mem_limit", "cpus"} & service.keys()
            assert service["logging"] == {"driver": "json-file", "options": {"max-size": "100m", "max-file": "3"}}


def test_threads_are_shared_either_way() -> None:
    """In one container or in two, each of two agents gets half of the machine's 128 vCPUs."""
    values = {fleet: values_of(rendered(fleet)["prover_agent"]) for fleet in ("apart", "separate")}
    shown = {
        fleet: (found["PROVER_AGENT_COUNT"], found["HARDWARE_CONCURRENCY"]) for fleet, found in values.items()
    }
    assert shown == {"apart": ("2", "64"), "separate": ("1", "64")}


def test_where_the_crs_comes_from() -> None:
    """By default a service downloads it first. An image that contains it gets neither service nor directory."""
    agents = {fleet: rendered(fleet)["prover_agent"] for fleet in ("4.1.2", "carried")}
    services = {fleet: services_of(found) for fleet, found in agents.items()}
    assert list(services["4.1.2"]) == ["prover-agent-crs", "prover-agent"]
    assert list(services["carried"]) == ["prover-agent"]
    assert services["4.1.2"]["prover-agent"]["volumes"] == ["/opt/aztec/prover-agent/crs:/var/lib/crs"]
    assert "volumes" not in services["carried"]["prover-agent"]
    assert values_of(agents["4.1.2"])["CRS_PATH"] == "/var/lib/crs"
    assert "CRS_PATH" not in values_of(agents["carried"])
