"""The guard taken apart by root itself: verify.yml names what is wrong, and one command restores everything."""

from __future__ import annotations

import re
import time

import pytest

from tests.system.endpoints import NODE, STRANGER, addresses, all_of, no_guard, published, routed, routes, tried
from tests.system.fleet import Fleet, playbook, wait_for

pytestmark = pytest.mark.usefixtures("rebooted")

TAKEN_APART = (
    "systemctl stop aztec-port-guard && nft 'delete table inet aztec_prover; delete table bridge aztec_prover'"
    " && nft flush ruleset"
)
# Owns both tables for as long as it runs, as a process of somebody else.
FOREIGN = """
import sys, time
sys.path.insert(0, "/usr/local/lib/aztec-port-guard")
import daemon
guard = daemon.Guard(daemon.RULES, daemon.OWNER)
guard.take_ownership()
print("owned", flush=True)
time.sleep(120)
"""


def verified(fleet: Fleet) -> tuple[int, str]:
    """Return verify.yml's exit code and what it says."""
    run = playbook("playbooks/verify.yml")
    return run.returncode, run.stdout + run.stderr


def healthy(fleet: Fleet) -> None:
    """Wait until both services of the host are healthy, and check who comes in where."""
    for service in ("prover-broker", "prover-node"):
        fleet.wait_until_healthy(NODE, service)
    with routes(fleet):
        all_of(tried(fleet, published(fleet) + routed(fleet)), "shut")
    all_of(tried(fleet, published(fleet), "agent-1"), "in")


def test_missing_tables_are_named_and_site_restores_everything(fleet: Fleet) -> None:
    """Without tables and Docker's own rules, one run of site.yml is enough."""
    fleet.execute(NODE, TAKEN_APART)
    code, said = verified(fleet)
    assert code != 0
    assert "the port guard's tables are missing" in said
    assert "Docker's firewall rules are gone" in said
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    healthy(fleet)


def test_the_remedy_of_the_readme_restores_everything(fleet: Fleet) -> None:
    """So is a restart of Docker, which starts the guard first."""
    fleet.execute(NODE, TAKEN_APART)
    fleet.execute(NODE, "systemctl restart docker")
    assert fleet.execute(NODE, "systemctl is-active aztec-port-guard").out.strip() == "active"
    healthy(fleet)


def test_docker_waits_for_a_guard_that_cannot_load_and_starts_by_itself(fleet: Fleet) -> None:
    """Rules that nft refuses keep Docker down without a start limit; with the file back, Docker starts by itself."""
    rules = "/etc/aztec-port-guard/table.nft"
    fleet.execute(NODE, f"cp -p {rules} /root/kept.nft && {TAKEN_APART} && echo nonsense > {rules}")
    fleet.execute(NODE, "systemctl restart docker", check=False)
    time.sleep(12)
    assert fleet.execute(NODE, "systemctl is-active docker", check=False).out.strip() != "active"
    assert "port guard is not loaded" in fleet.execute(NODE, "journalctl -u docker -b -n 50").out
    fleet.execute(NODE, f"mv /root/kept.nft {rules}")
    wait_for("docker", lambda: fleet.execute(NODE, "docker ps", check=False).code == 0, 30)
    healthy(fleet)


@pytest.mark.parametrize(
    ("harm", "undo", "line"),
    [
        pytest.param(
            "systemctl stop aztec-port-guard",
            "systemctl start aztec-port-guard",
            "nobody keeps the port guard's tables",
            id="no_owner",
        ),
        pytest.param(
            "echo '# changed' >> /etc/aztec-port-guard/table.nft",
            "sed -i '/# changed/d' /etc/aztec-port-guard/table.nft",
            "the port guard's rules are not those of its sections",
            id="outdated",
        ),
        pytest.param(
            "sed -i 's/8880/8881/' /etc/aztec-port-guard/prover_node.json",
            "sed -i 's/8881/8880/' /etc/aztec-port-guard/prover_node.json",
            "the port guard's rules are not those of its sections",
            id="section_with_another_port",
        ),
        pytest.param(
            "echo >> /etc/aztec-port-guard/prover_node.json",
            "sed -i '$d' /etc/aztec-port-guard/prover_node.json",
            "prover_node.json was changed by somebody else",
            id="section_by_another_hand",
        ),
        pytest.param(
            "sed -i 's/\"version\": 2/\"version\": 1/' /etc/aztec-port-guard/prover_node.json",
            "sed -i 's/\"version\": 1/\"version\": 2/' /etc/aztec-port-guard/prover_node.json",
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
def test_state_is_named(fleet: Fleet, harm: str, undo: str, line: str) -> None:
    """verify.yml fails with a line that says what is wrong."""
    fleet.execute(NODE, harm)
    try:
        code, said = verified(fleet)
    finally:
        fleet.execute(NODE, undo)
    assert code != 0
    assert line in said


def test_what_verify_says_to_do_works(fleet: Fleet) -> None:
    """A command of a line is run as it stands there, then site.yml for the others: nothing is left to be said."""
    fleet.execute(NODE, "systemctl stop aztec-port-guard")
    code, said = verified(fleet)
    commands = set(re.findall(r"nobody keeps the port guard's tables.*: run (systemctl .*) on the host", said))
    assert code != 0 and len(commands) == 1, said
    fleet.execute(NODE, commands.pop())
    code, said = verified(fleet)
    assert code == 0, said

    file = "/etc/aztec-port-guard/prover_node.json"
    fleet.execute(NODE, f"systemctl disable aztec-port-guard && echo >> {file}")
    code, said = verified(fleet)
    assert code != 0 and f"{file} was changed by somebody else: delete the file, then run site.yml" in said
    fleet.execute(NODE, ["rm", file])
    assert "run site.yml" in verified(fleet)[1]
    run = playbook("playbooks/site.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    code, said = verified(fleet)
    assert code == 0, said


def test_a_foreign_owner_is_named_and_refused(fleet: Fleet) -> None:
    """Tables that another process owns: verify.yml and the preflight name the process, and nothing is changed."""
    with no_guard(fleet):
        start = f"systemd-run --unit=foreign --collect python3 -c '{FOREIGN}'"
        fleet.execute(NODE, start)
        wait_for("its tables", lambda: "aztec_prover" in fleet.execute(NODE, "nft list tables").out, 10)
        try:
            code, said = verified(fleet)
            site = playbook("playbooks/site.yml")
        finally:
            fleet.execute(NODE, "systemctl stop foreign")
            fleet.execute(NODE, "nft 'delete table inet aztec_prover; delete table bridge aztec_prover'")
    assert code != 0
    assert re.search(r"the port guard's table belongs to process \d+ \(python3\)", said)
    assert site.returncode != 0
    assert re.search(r"belongs to process \d+ \(python3\)\s+end that process", site.stdout)
    healthy(fleet)


def test_node_and_broker_are_kept_apart(fleet: Fleet) -> None:
    """The broker's container reaches neither the node's RPC nor its admin port; the node reaches the broker."""
    node = fleet.container_addresses(NODE, "prover-node")
    broker = fleet.container_addresses(NODE, "prover-broker")
    reach = """
        const [host, port] = process.argv.slice(1);
        const socket = require("net").connect({host, port, timeout: 2000});
        const end = (event) => () => { console.log(event); process.exit(); };
        for (const event of ["connect", "timeout", "error"]) socket.on(event, end(event));
    """

    def tried_from(service: str, address: str, port: int) -> str:
        return fleet.execute(NODE, ["docker", "exec", service, "node", "-e", reach, address, str(port)]).out.strip()

    for family, (address, _subnet) in node.items():
        for port in (8081, 8880):
            assert tried_from("prover-broker", address, port) == "timeout", (family, port)
            assert fleet.reach(NODE, address, port) == "in", (family, port)
        assert tried_from("prover-node", broker[family][0], 8080) == "connect"
    with no_guard(fleet):
        assert tried_from("prover-broker", node["v4"][0], 8081) == "connect", "it is the guard that keeps them apart"


def test_a_service_of_the_operator_stays_reachable(fleet: Fleet) -> None:
    """The operator's own services are not filtered, on the numbers that the prover has inside its containers."""
    serve = "systemd-run --unit=own-{0} --collect python3 -m http.server --bind :: --directory /srv {0}"
    fleet.execute("agent-1", "; ".join(serve.format(port) for port in (8880, 8082)))
    fleet.execute(NODE, serve.format(8880))
    try:
        for name, port in (("agent-1", 8880), ("agent-1", 8082), (NODE, 8880)):
            for address in addresses(fleet, name).values():
                opened = lambda name=address, port=port: fleet.reach(STRANGER, name, port) == "in"  # noqa: E731
                wait_for(f"{name} {address} {port}", opened, 10)
    finally:
        fleet.execute("agent-1", "systemctl stop own-8880 own-8082")
        fleet.execute(NODE, "systemctl stop own-8880")
