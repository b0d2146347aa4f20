"""The inventories of docs/cloud_inventories.md: their options exist, and they give the hosts that the checks accept."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml

from tests.bad_input.harness import EVERYWHERE, Endpoint, table_of
from tests.clouds import hetzner
from tests.clouds.ec2 import serve

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
PAGE = (ROOT / "docs/cloud_inventories.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^## (\w+\.yml)\n.*?```yaml\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
CLOUDS = os.environ["CLOUD_COLLECTIONS"]
# Documented for all inventory plugins, in a fragment of ansible-core
EXTRA = {"plugin"}
TYPES = {"str": str, "string": str, "bool": bool, "boolean": bool, "list": list, "dict": dict, "None": str}

NO_PRIVATE_ADDRESS = (
    "is missing: the cloud has no private address for the machine "
    "attach the machine to the fleet's private network, or set aztec_address in its host_vars"
)
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
NODE = {"aztec_fleet": "prod", "prover_node": "true", "prover_broker": "true"}
AGENT = {"aztec_fleet": "prod", "prover_agent": "true"}
MACHINES = {"node-1": NODE, "agent-1": AGENT, "agent-2": AGENT}
OTHERS = {"web-1": {"aztec_fleet": "prod"}, "other-1": {**NODE, "aztec_fleet": "testnet"}}


def run(*command: str, collections: str = f"{ROOT}/collections:{CLOUDS}", **more: str) -> subprocess.CompletedProcess:
    """Run a command of Ansible. Its stderr is in stdout if it does not print JSON."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_"))}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "500", **more}
    environment["PATH"] = f"{TOOLS}:{environment['PATH']}"
    stderr = subprocess.PIPE if "--list" in command or "--json" in command else subprocess.STDOUT
    return subprocess.run(
        [TOOLS / command[0], *command[1:]],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
        timeout=180,
    )


def listed(place: Path, **environment: str) -> dict:
    """Return what ansible-inventory lists."""
    done = run("ansible-inventory", "-i", str(place), "--list", **environment)
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr.replace("[WARNING]: Deprecation warnings", ""), done.stderr
    # The values of a cloud are marked as unsafe: they are not templates.
    return json.loads(done.stdout, object_hook=lambda one: one.get("__ansible_unsafe", one))


def members(shown: dict, group: str) -> list[str]:
    """Return the hosts of a group."""
    return sorted(shown.get(group, {}).get("hosts", []))


class Folder:
    """An operator's folder, written by init, whose hosts come from a cloud. ssh is replaced by a recorder."""

    def __init__(self, place: Path, name: str, text: str) -> None:
        self.endpoint = Endpoint(place)
        self.place = place / "prover"
        done = run("ansible-playbook", "aztec_ops.prover.init", "-e", f"dest={self.place}")
        assert done.returncode == 0, done.stdout
        self.inventory = self.place / "inventories/prod"
        (self.inventory / "hosts.yml").unlink()
        (self.inventory / name).write_text(text, encoding="utf-8")
        settings = {**EVERYWHERE, **self.endpoint.variables()}
        (self.inventory / "group_vars/all/main.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def preflight(self, **more: str) -> subprocess.CompletedProcess:
        """Run the preflight with the folder's ansible.cfg."""
        more["ANSIBLE_CONFIG"] = str(self.place / "ansible.cfg")
        return run("ansible-playbook", "aztec_ops.prover.preflight", "-i", str(self.inventory), **more)


def test_the_page_has_a_file_for_each_cloud() -> None:
    assert sorted(FILES) == ["aws_ec2.yml", "gcp_compute.yml", "hcloud.yml", "openstack.yml"]


@pytest.mark.parametrize("name", FILES)
def test_every_option_is_documented(name: str) -> None:
    """Each option is one of the plugin, with a value of its type. The page names the collection's version."""
    written = yaml.safe_load(FILES[name])
    plugin = written["plugin"]
    documented = json.loads(run("ansible-doc", "-t", "inventory", "--json", plugin).stdout)[plugin]["doc"]["options"]
    assert set(written) - set(documented) - EXTRA == set()
    for option, value in written.items():
        spec = documented.get(option, {})
        assert isinstance(value, TYPES[str(spec.get("type", "str"))]), option
        choices = spec.get("choices")
        assert not choices or value in choices, option
    required = {one for one, spec in documented.items() if spec.get("required")}
    assert required - set(written) <= {"api_token"}  # from HCLOUD_TOKEN
    namespace, collection, _plugin = plugin.split(".")
    manifest = Path(CLOUDS) / "ansible_collections" / namespace / collection / "MANIFEST.json"
    version = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
    assert f"`{namespace}.{collection}` {version}" in " ".join(PAGE.split())


@pytest.fixture(scope="module")
def ec2() -> Iterator[str]:
    """Serve moto's EC2 with the machines and return its URL."""
    with serve(TOOLS / "moto_server") as url:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
        client = boto3.client("ec2", endpoint_url=url, **keys)
        image = client.describe_images()["Images"][0]["ImageId"]
        for name, tags in {**MACHINES, **OTHERS}.items():
            pairs = [{"Key": key, "Value": value} for key, value in {"Name": name, **tags}.items()]
            specification = [{"ResourceType": "instance", "Tags": pairs}]
            client.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=specification)
        yield url


def test_aws_ec2(ec2: str, tmp_path: Path) -> None:
    """The groups, addresses and zones of instances, and a preflight that connects to their public addresses."""
    folder = Folder(tmp_path, "aws_ec2.yml", FILES["aws_ec2.yml"])
    shown = listed(folder.inventory, AWS_ENDPOINT_URL=ec2, **AWS)
    assert {group: members(shown, group) for group in ("prover_node", "prover_broker", "prover_agent")} == {
        "prover_node": ["node-1"],
        "prover_broker": ["node-1"],
        "prover_agent": ["agent-1", "agent-2"],
    }
    assert members(shown, "zone_eu_central_1a") == ["agent-1", "agent-2", "node-1", "web-1"]
    hosts = shown["_meta"]["hostvars"]
    assert "other-1" not in hosts
    for name in MACHINES:
        assert hosts[name]["aztec_address"] == hosts[name]["aws_private_ip_address"]
        assert hosts[name]["ansible_host"] == hosts[name]["aws_public_ip_address"]
    done = folder.preflight(AWS_ENDPOINT_URL=ec2, **AWS)
    assert "in the inventory, in the table above" not in done.stdout, done.stdout
    assert sorted(folder.endpoint.connections) == sorted(f"{hosts[name]['ansible_host']} 22" for name in MACHINES)


def servers(private: dict[str, str | None]) -> list[dict]:
    """Return the machines as Hetzner's servers, with these private addresses."""
    tags = {**MACHINES, **OTHERS}
    return [
        hetzner.server(number, name, tags[name], private.get(name, f"10.0.0.{number}"))
        for number, name in enumerate(tags, 10)
    ]


def test_hcloud(tmp_path: Path) -> None:
    with hetzner.api(servers({})) as url:
        folder = Folder(tmp_path, "hcloud.yml", f"{FILES['hcloud.yml']}api_endpoint: {url}\n")
        shown = listed(folder.inventory, HCLOUD_TOKEN="test")
        done = folder.preflight(HCLOUD_TOKEN="test")
    assert members(shown, "prover_agent") == ["agent-1", "agent-2"]
    assert members(shown, "prover_node") == members(shown, "prover_broker") == ["node-1"]
    assert members(shown, "zone_hel1") == ["agent-1", "agent-2", "node-1", "web-1"]
    assert shown["_meta"]["hostvars"]["agent-1"]["aztec_address"] == "10.0.0.11"
    assert "in the inventory, in the table above" not in done.stdout, done.stdout
    assert sorted(folder.endpoint.connections) == [f"203.0.114.{number} 22" for number in (10, 11, 12)]


@pytest.mark.parametrize("name", ["agent-2", "node-1"])
def test_machine_without_a_private_address(name: str, tmp_path: Path) -> None:
    """One line, and the fleet does not use the machine's public address. The run continues without an agent."""
    with hetzner.api(servers({name: None})) as url:
        folder = Folder(tmp_path, "hcloud.yml", f"{FILES['hcloud.yml']}api_endpoint: {url}\n")
        done = folder.preflight(HCLOUD_TOKEN="test")
    (line,) = table_of(done.stdout)
    assert line.startswith(f"{name} aztec_address ") and line.endswith(NO_PRIVATE_ADDRESS), line
    reached = [] if name == "node-1" else ["203.0.114.10 22", "203.0.114.11 22"]
    assert sorted(folder.endpoint.connections) == reached


def test_collection_that_is_not_installed(tmp_path: Path) -> None:
    """The run ends before it contacts a host, also if another inventory file has hosts."""
    folder = Folder(tmp_path, "hcloud.yml", FILES["hcloud.yml"])
    groups = "".join(f"{group}: {{hosts: {{x-1: {{ansible_host: 127.0.0.10}}}}}}\n" for group in ("prover_node", "all"))
    (folder.inventory / "hosts.yml").write_text(groups, encoding="utf-8")
    more = {"ANSIBLE_CONFIG": str(folder.place / "ansible.cfg"), "collections": f"{ROOT}/collections"}
    done = run("ansible-playbook", "aztec_ops.prover.preflight", "-i", str(folder.inventory), **more)
    assert done.returncode == 1, done.stdout
    wrong = f"{folder.inventory / 'hcloud.yml'} uses the inventory plugin hetzner.hcloud.hcloud, which is not installed"
    remedy = "run ansible-galaxy collection install hetzner.hcloud, or correct the name"
    assert done.stdout == f"[ERROR]: {wrong}: {remedy}\n"
    assert folder.endpoint.connections == []


def google(number: int, labels: dict, *, public: bool = True, private: bool = True) -> dict:
    """Return the variables of an instance, in the form of the Compute Engine API after the plugin's formatting."""
    interface = {"accessConfigs": [{"natIP": f"203.0.114.{number}", "type": "ONE_TO_ONE_NAT"}]} if public else {}
    interface |= {"networkIP": f"10.0.0.{number}"} if private else {}
    return {"labels": labels, "zone": "europe-west3-a", "networkInterfaces": [interface]}


def openstack(number: int, metadata: dict, *, public: bool = True, private: bool = True) -> dict:
    """Return the variables of a server, in the form of the Compute API."""
    addresses = [{"OS-EXT-IPS:type": "fixed", "addr": f"10.0.0.{number}", "version": 4}] * private
    addresses += [{"OS-EXT-IPS:type": "floating", "addr": f"203.0.114.{number}", "version": 4}] * public
    server = {"metadata": metadata, "availability_zone": "europe-west3-a", "addresses": {"fleet": addresses}}
    return {"openstack": server, "ansible_host": f"203.0.114.{number}" if public else f"10.0.0.{number}"}


@pytest.mark.parametrize(("name", "machine"), [("gcp_compute.yml", google), ("openstack.yml", openstack)])
def test_expressions(name: str, machine, tmp_path: Path) -> None:
    """The expressions, evaluated by ansible.builtin.constructed instead of the plugin, with sample machines."""
    tags = {**MACHINES, "web-1": OTHERS["web-1"], **({"other-1": OTHERS["other-1"]} if machine is openstack else {})}
    hosts = {one: machine(number, tags[one]) for number, one in enumerate(tags, 10)}
    hosts["inside-1"] = machine(30, AGENT, public=False)
    hosts["outside-1"] = machine(31, AGENT, private=False)
    hosts["unlabelled-1"] = machine(32, {})
    if machine is google:
        del hosts["unlabelled-1"]["labels"]
    (tmp_path / "1.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    written = yaml.safe_load(FILES[name])
    kept = {key: written[key] for key in ("groups", "keyed_groups", "compose")}
    text = yaml.safe_dump({"plugin": "ansible.builtin.constructed", "strict": True, **kept})
    (tmp_path / "2.constructed.yml").write_text(text, encoding="utf-8")
    shown = listed(tmp_path, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true")
    assert members(shown, "prover_agent") == ["agent-1", "agent-2", "inside-1", "outside-1"]
    assert members(shown, "prover_node") == members(shown, "prover_broker") == ["node-1"]
    assert "inside-1" in members(shown, "zone_europe_west3_a")
    found = shown["_meta"]["hostvars"]
    addresses = {one: (found[one]["ansible_host"], found[one]["aztec_address"]) for one in ("agent-1", "inside-1")}
    assert addresses == {"agent-1": ("203.0.114.11", "10.0.0.11"), "inside-1": ("10.0.0.30", "10.0.0.30")}
    assert found["outside-1"]["aztec_address"] == "no private address"
