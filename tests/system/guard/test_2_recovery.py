"""Root removes the guard: verify.yml reports what is wrong, and one command restores everything."""

from __future__ import annotations

import re
import time

import pytest

from tests.system.endpoints import NODE, STRANGER, addresses, assert_all, no_guard, probe, published, routed, routes
from tests.system.fleet import Fleet, playbook, wait_for

pytestmark = pytest.mark.usefixtures("rebooted")

REMOVE_GUARD = (
    "systemctl stop aztec-port-guard && nft 'delete table inet aztec_prover; delete table bridge aztec_prover'"
    " && nft flush ruleset"
)
# Owns both tables while it runs, like a foreign process.
FOREIGN = """
import sys, time
sys.path.insert(0, "/usr/local/lib/aztec-port-guard")
import daemon
guard = daemon.Guard(daemon.RULES, daemon.OWNER)
guard.take_ownership()
print("ready", flush=True)
time.sleep(120)
"""


def verify(fleet: Fleet) -> tuple[int, str]:
    """Return verify.yml's exit code and output."""
    run = playbook("playbooks/verify.yml")
    return run.returncode, run.stdout + run.stderr


def assert_healthy(fleet: Fleet) -> None:
    """Wait until both services of the host are healthy, and check which hosts are admitted."""
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)
    with routes(fleet):
        assert_all(probe(fleet, published(fleet) + routed(fleet)), "filtered")
    assert_all(probe(fleet, published(fleet), "agent-1"), "open")


def test_site_restores_missing_tables(fleet: Fleet) -> None:
    """One run of site.yml restores missing tables and Docker's own rules."""
    fleet.execute(NODE, REMOVE_GUARD)
    code, output = verify(fleet)
    assert code != 0
    assert "the port guard's tables are missing" in output
    assert "Docker's firewall rules are missing" in output
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    assert_healthy(fleet)


def test_restart_of_docker_restores_missing_tables(fleet: Fleet) -> None:
    """A restart of Docker starts the guard first."""
    fleet.execute(NODE, REMOVE_GUARD)
    fleet.execute(NODE, "systemctl restart docker")
    assert fleet.execute(NODE, "systemctl is-active aztec-port-guard").out.strip() == "active"
    assert_healthy(fleet)


def test_docker_starts_only_after_the_guard(fleet: Fleet) -> None:
    """Docker does not start while nft rejects the rules, and starts by itself when the file is correct again."""
    rules = "/etc/aztec-port-guard/table.nft"
    fleet.execute(NODE, f"cp -p {rules} /root/kept.nft && {REMOVE_GUARD} && echo nonsense > {rules}")
    fleet.execute(NODE, "systemctl restart docker", check=False)
    time.sleep(12)
    assert fleet.execute(NODE, "systemctl is-active docker", check=False).out.strip() != "active"
    assert "port guard is not loaded" in fleet.execute(NODE, "journalctl -u docker -b -n 50").out
    fleet.execute(NODE, f"mv /root/kept.nft {rules}")
    wait_for("docker", lambda: fleet.execute(NODE, "docker ps", check=False).code == 0, 30)
    assert_healthy(fleet)


@pytest.mark.parametrize(
    ("harm", "undo", "line"),
    [
        pytest.param(
            "systemctl stop aztec-port-guard",
            "systemctl start aztec-port-guard",
            "the port guard's tables do not have an owner",
            id="no_owner",
        ),
        pytest.param(
            "echo '# changed' >> /etc/aztec-port-guard/table.nft",
            "sed -i '/# changed/d' /etc/aztec-port-guard/table.nft",
            "the port guard's rules differ from its sections",
            id="outdated",
        ),
        pytest.param(
            "sed -i 's/8880/8881/' /etc/aztec-port-guard/prover_node.json",
            "sed -i 's/8881/8880/' /etc/aztec-port-guard/prover_node.json",
            "the port guard's rules differ from its sections",
            id="section_with_another_port",
        ),
        pytest.param(
            "echo >> /etc/aztec-port-guard/prover_node.json",
            "sed -i '$d' /etc/aztec-port-guard/prover_node.json",
            "prover_node.json was changed by another program",
            id="section_changed_manually",
        ),
        pytest.param(
            'sed -i \'s/"version": 2/"version": 1/\' /etc/aztec-port-guard/prover_node.json',
            'sed -i \'s/"version": 1/"version": 2/\' /etc/aztec-port-guard/prover_node.json',
            "prover_node.json was written by another version of the collection",
            id="section_of_another_version",
        ),
        pytest.param(
            "systemctl disable aztec-port-guard",
            "systemctl enable aztec-port-guard",
            "the port guard is not enabled",
            id="not_enabled",
        ),
    ],
)
def test_verify_reports_the_state(fleet: Fleet, harm: str, undo: str, line: str) -> None:
    """verify.yml fails with a line for the problem."""
    fleet.execute(NODE, harm)
    try:
        code, output = verify(fleet)
    finally:
        fleet.execute(NODE, undo)
    assert code != 0
    assert line in output


def test_remedies_of_verify_work(fleet: Fleet) -> None:
    """The command in a line, and site.yml for the other lines, correct everything that verify.yml reports."""
    fleet.execute(NODE, "systemctl stop aztec-port-guard")
    code, output = verify(fleet)
    remedy = r"the port guard's tables do not have an owner.*: run (systemctl .*) on the host"
    commands = set(re.findall(remedy, output))
    assert code != 0 and len(commands) == 1, output
    fleet.execute(NODE, commands.pop())
    code, output = verify(fleet)
    assert code == 0, output

    file = "/etc/aztec-port-guard/prover_node.json"
    fleet.execute(NODE, f"systemctl disable aztec-port-guard && echo >> {file}")
    code, output = verify(fleet)
    assert code != 0 and f"{file} was changed by another program: delete the file, then run site.yml" in output
    fleet.execute(NODE, ["rm", file])
    assert "run site.yml" in verify(fleet)[1]
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    code, output = verify(fleet)
    assert code == 0, output


def test_foreign_owner_is_reported_and_kept(fleet: Fleet) -> None:
    """Another process owns the tables: verify.yml and the preflight report the process, and nothing is changed."""
    with no_guard(fleet):
        start = f"systemd-run --unit=foreign --collect python3 -c '{FOREIGN}'"
        fleet.execute(NODE, start)
        wait_for("its tables", lambda: "aztec_prover" in fleet.execute(NODE, "nft list tables").out, 10)
        try:
            code, output = verify(fleet)
            site = playbook("playbooks/site.yml")
        finally:
            fleet.execute(NODE, "systemctl stop foreign")
            fleet.execute(NODE, "nft 'delete table inet aztec_prover; delete table bridge aztec_prover'")
    assert code != 0
    assert re.search(r"the port guard's table belongs to process \d+ \(python3\)", output)
    assert site.returncode != 0
    assert re.search(r"belongs to process \d+ \(python3\)\s+end that process", site.stdout)
    assert_healthy(fleet)


def test_broker_cannot_reach_the_node(fleet: Fleet) -> None:
    """The broker's container reaches neither the node's RPC nor its admin port. The node reaches the broker."""
    node = fleet.container_addresses(NODE, "prover-node")
    broker = fleet.container_addresses(NODE, "prover-broker")
    reach = """
        const [host, port] = process.argv.slice(1);
        const socket = require("net").connect({host, port, timeout: 2000});
        const end = (event) => () => { console.log(event); process.exit(); };
        for (const event of ["connect", "timeout", "error"]) socket.on(event, end(event));
    """

    def probe_from(service: str, address: str, port: int) -> str:
        return fleet.execute(NODE, ["docker", "exec", service, "node", "-e", reach, address, str(port)]).out.strip()

    for family, (address, _subnet) in node.items():
        for port in (8081, 8880):
            assert probe_from("prover-broker", address, port) == "timeout", (family, port)
            assert fleet.reach(NODE, address, port) == "open", (family, port)
        assert probe_from("prover-node", broker[family][0], 8080) == "connect"
    with no_guard(fleet):
        assert probe_from("prover-broker", node["v4"][0], 8081) == "connect", "the guard does not separate them"


def test_operators_services_stay_reachable(fleet: Fleet) -> None:
    """Ports of the operator's own services are not filtered, even with the numbers of the prover's ports."""
    serve = "systemd-run --unit=own-{0} --collect python3 -m http.server --bind :: --directory /srv {0}"
    fleet.execute("agent-1", "; ".join(serve.format(port) for port in (8880, 8082)))
    fleet.execute(NODE, serve.format(8880))
    try:
        for name, port in (("agent-1", 8880), ("agent-1", 8082), (NODE, 8880)):
            for address in addresses(fleet, name).values():
                opened = lambda name=address, port=port: fleet.reach(STRANGER, name, port) == "open"  # noqa: E731
                wait_for(f"{name} {address} {port}", opened, 10)
    finally:
        fleet.execute("agent-1", "systemctl stop own-8880 own-8082")
        fleet.execute(NODE, "systemctl stop own-8880")
