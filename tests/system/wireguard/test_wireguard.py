"""Broker and agent in a WireGuard tunnel, and an attacker that forges their addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent
from typing import Any

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet as derived

from tests.system.fleet import ROOT, Fleet, wait_for
from tests.system.single_role import play, problems
from tests.system.wireguard.forging import forging, mac_address, neighbour_entry, request_status

BROKER, AGENT, ATTACKER = "wg-broker", "wg-agent", "wg-neighbour"
BROKER_LAN, AGENT_LAN, GATEWAY = "172.31.77.71", "172.31.77.72", "172.31.77.1"
BROKER_TUNNEL, AGENT_TUNNEL = "10.77.0.1", "10.77.0.2"
VICTIM = (BROKER, BROKER_LAN)
NOTHING = ("none", 0)
DOCUMENT = ROOT / "docs/wireguard.md"
BLACKHOLE = "10.77.0.0/24 metric 9999"
LATE = "/etc/systemd/system/wg-quick@wg0.service.d/late.conf"

# The containers' own interfaces have an MTU of 1500, so packets must be reduced to the tunnel's MTU.
SIZE = 2 * 1024 * 1024
SERVE = """
const bytes = Buffer.alloc(Number(process.argv[1]), "x");
require("http").createServer((request, response) => {
  let size = 0;
  request.on("data", (part) => { size += part.length; });
  request.on("end", () => response.end(request.method == "GET" ? bytes : String(size)));
}).listen(9000);
"""
TRANSFER = """
(async () => {
  const [url, size] = process.argv.slice(1), body = Buffer.alloc(Number(size), "x");
  const signal = AbortSignal.timeout(20000);
  const got = (await (await fetch(url, {signal})).arrayBuffer()).byteLength;
  const sent = Number(await (await fetch(url, {method: "POST", body, signal})).text());
  console.log(JSON.stringify([got, sent]));
})();
"""


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in the documentation."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in found]


def settings(text: str) -> list[str]:
    """Return the lines of a wg0.conf, without comments and values that differ between hosts."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [re.sub(r"^(PrivateKey|PublicKey|Endpoint) = \S.*", r"\1", line) for line in lines]


def published(fleet: Fleet) -> list[str]:
    """Return the addresses on which the broker's port is published."""
    ports = fleet.container(BROKER, "prover-broker")["NetworkSettings"]["Ports"]
    return sorted(one["HostIp"] for one in ports["8080/tcp"])


def sockets(fleet: Fleet, name: str, container: str, which: str) -> str:
    """Return a container's established connections."""
    pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {container})"
    return fleet.execute(name, f"nsenter -t {pid} -n ss -Htn state established {which}").out.strip()


def served(fleet: Fleet) -> str:
    """Return the broker's connections to the agent."""
    return sockets(fleet, BROKER, "prover-broker", f"src :8080 dst [::ffff:{AGENT_TUNNEL}]")


def uses_the_tunnel(fleet: Fleet) -> bool:
    """Return whether the agent's host reaches the broker, without an unencrypted packet on the network itself."""
    return request_status(fleet, AGENT, AGENT_TUNNEL, BROKER_TUNNEL) == ("200", 0)


@pytest.fixture(autouse=True)
def route(fleet: Fleet) -> None:
    """Add a route through the broker's own address to its tunnel address on the attacker."""
    fleet.execute(ATTACKER, ["ip", "route", "replace", BROKER_TUNNEL, "via", BROKER_LAN])


def request_from(fleet: Fleet, *sources: str) -> dict[tuple[str, str], tuple[str, int]]:
    """Send requests from the attacker with these source addresses to each address of the broker's host."""
    pairs = [(source, destination) for source in sources for destination in (BROKER_TUNNEL, BROKER_LAN)]
    return {pair: request_status(fleet, ATTACKER, *pair) for pair in pairs}


def apply_broker(**arguments: Any) -> None:
    """Apply the broker's role as the scenario does, with other arguments."""
    (content, *_) = yaml.safe_load((ROOT / "molecule/wireguard/converge.yml").read_text())
    content["roles"][0].update(arguments)
    run = play([content], "-i", str(ROOT / "tests/inventories/wireguard"), inventory=ROOT / "inventories/lab")
    assert run.code == 0, run.output


@contextmanager
def published_on_the_lan(fleet: Fleet) -> Iterator[None]:
    """Publish the broker on the host's own address and admit the agent's, as without a tunnel."""
    try:
        apply_broker(prover_broker_publish_addresses=[BROKER_LAN], prover_broker_admitted=[AGENT_LAN])
        yield
    finally:
        apply_broker()
        fleet.wait_until_healthy(BROKER, "prover-broker")


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check the runs on fresh hosts: check mode, the roles, the roles again, check mode again."""
    assert problems("wireguard", [BROKER, AGENT], recreated=[BROKER, AGENT]) == []


def test_documentation_shows_the_tested_files(fleet: Fleet) -> None:
    """The documented wg0.conf files are those of the machines, and the inventory leads to the same role arguments."""
    for name, block in zip((BROKER, AGENT), blocks("ini"), strict=True):
        assert settings(block) == settings(fleet.execute(name, ["cat", "/etc/wireguard/wg0.conf"]).out)
    shown = {name: value for block in blocks("yaml") for name, value in yaml.safe_load(block).items()}
    groups = {name: list(value["hosts"]) for name, value in shown.items() if isinstance(value, dict)}
    common = {name: value for name, value in shown.items() if name not in groups}
    common |= {"aztec_version": "4.1.2", "prover_node_publisher_private_key": "0x" + "1" * 64}
    hosts: dict[str, Any] = {}
    for group in groups:
        for host, variables in shown[group]["hosts"].items():
            hosts.setdefault(host, dict(common)).update(variables or {})
    found = derived(hosts, groups)
    assert found["broker"]["publish"] == [BROKER_TUNNEL] == common["prover_broker_publish_addresses"]
    assert set(found["broker"]["admitted"]) == {f"{BROKER_TUNNEL}/32", f"{AGENT_TUNNEL}/32"}
    assert found["hosts"]["agent-1"]["broker_host"] == BROKER_TUNNEL


def test_agent_uses_the_tunnel(fleet: Fleet) -> None:
    """The agent is connected to the broker's tunnel address, from its own tunnel address, and to no other port."""
    assert published(fleet) == [BROKER_TUNNEL, "127.0.0.1"]
    fleet.wait_until_healthy(AGENT, "prover-agent")
    to_broker = f"dst {BROKER_TUNNEL}:8080"
    assert wait_for("a connection", lambda: sockets(fleet, AGENT, "prover-agent", to_broker), 30)
    assert wait_for("the broker to have it", lambda: served(fleet), 30)
    assert uses_the_tunnel(fleet)
    assert fleet.reach(AGENT, BROKER_LAN, 8080) == "filtered"


def test_agent_without_tunnel_sends_nothing(fleet: Fleet) -> None:
    """The agent does not send packets for the broker to the gateway, where another machine could answer."""
    try:
        fleet.execute(AGENT, "systemctl stop wg-quick@wg0")
        assert not uses_the_tunnel(fleet)
        # Some networks answer for every address.
        assert fleet.reach(AGENT, BROKER_TUNNEL, 8080) == "filtered"
        fleet.execute(AGENT, f"ip route del blackhole {BLACKHOLE}")
        assert f"via {GATEWAY} " in fleet.execute(AGENT, ["ip", "route", "get", BROKER_TUNNEL]).out
    finally:
        fleet.execute(AGENT, "systemctl start wg-quick@wg0")
    wait_for("the agent to reach the broker", lambda: uses_the_tunnel(fleet), 60, 0.2)


def test_forged_addresses_get_no_answer(fleet: Fleet) -> None:
    """The attacker uses the agent's addresses, the broker's host accepts them, and no packet comes back.

    The agent connects again when the attack has ended.
    """
    with forging(fleet, ATTACKER, VICTIM, [AGENT_LAN, AGENT_TUNNEL], [AGENT_LAN]):
        found = request_from(fleet, AGENT_LAN, AGENT_TUNNEL)
        assert neighbour_entry(fleet, BROKER, AGENT_LAN) == mac_address(fleet, ATTACKER)
    assert found == dict.fromkeys(found, NOTHING)
    assert len(found) == 4
    wait_for("the agent to reach the broker", lambda: uses_the_tunnel(fleet), 60, 0.2)


def test_the_same_forgery_is_answered_without_the_tunnel(fleet: Fleet) -> None:
    """The broker is published on the network itself and admits the agent's address there."""
    with published_on_the_lan(fleet):
        assert published(fleet) == ["127.0.0.1", BROKER_LAN]
        assert request_status(fleet, ATTACKER, "172.31.77.73", BROKER_LAN) == NOTHING
        with forging(fleet, ATTACKER, VICTIM, [AGENT_LAN], [AGENT_LAN]):
            output, packets = request_status(fleet, ATTACKER, AGENT_LAN, BROKER_LAN)
        assert output == "200"
        assert packets > 0
    assert published(fleet) == [BROKER_TUNNEL, "127.0.0.1"]
    wait_for("the agent to reach the broker", lambda: uses_the_tunnel(fleet), 60, 0.2)


def test_forged_gateway_gets_no_answer_while_the_interface_is_down(fleet: Fleet) -> None:
    """An interface that is down keeps its address but no routes: the blackhole keeps answers from the gateway.

    Without the blackhole, the attacker, which is the broker's gateway, receives an answer.
    """
    try:
        fleet.execute(BROKER, "ip link set wg0 down")
        with forging(fleet, ATTACKER, VICTIM, [AGENT_TUNNEL], [GATEWAY]):
            assert request_status(fleet, ATTACKER, AGENT_TUNNEL, BROKER_TUNNEL) == NOTHING
            fleet.execute(BROKER, f"ip route del blackhole {BLACKHOLE}")
            assert request_status(fleet, ATTACKER, AGENT_TUNNEL, BROKER_TUNNEL)[0] == "200"
    finally:
        fleet.execute(BROKER, "systemctl restart wg-quick@wg0")
    assert "blackhole 10.77.0.0/24" in fleet.execute(BROKER, "ip route").out
    wait_for("the agent to reach the broker", lambda: uses_the_tunnel(fleet), 60, 0.2)


def test_reverse_path_filter_drops_forged_packets(fleet: Fleet) -> None:
    """Packets with tunnel addresses that arrive outside of the tunnel do not reach the container."""
    counted = "nft list chain ip counted forward"
    rule = f"iifname eth0 ip saddr {AGENT_TUNNEL} counter"
    seen = {}
    try:
        for value in ("0", "1"):
            fleet.execute(BROKER, f"sysctl -w net.ipv4.conf.eth0.rp_filter={value}")
            chain = "add chain ip counted forward { type filter hook forward priority 10; }"
            fleet.execute(BROKER, f"nft 'add table ip counted; {chain}; add rule ip counted forward {rule}'")
            with forging(fleet, ATTACKER, VICTIM, [AGENT_TUNNEL], []):
                assert request_status(fleet, ATTACKER, AGENT_TUNNEL, BROKER_TUNNEL) == NOTHING
            seen[value] = int(re.findall(r"packets (\d+)", fleet.execute(BROKER, counted).out)[0])
            fleet.execute(BROKER, "nft delete table ip counted")
        assert uses_the_tunnel(fleet)
    finally:
        fleet.execute(BROKER, "sysctl -w net.ipv4.conf.eth0.rp_filter=0")
    assert seen["0"] > 0
    assert seen["1"] == 0


def test_large_transfers(fleet: Fleet) -> None:
    """Both ends have an MTU of 1420; 2 MiB pass in each direction, between containers with an MTU of 1500."""
    for name in (BROKER, AGENT):
        (link,) = json.loads(fleet.execute(name, "ip -json link show wg0").out)
        assert link["mtu"] == 1420
    image = fleet.container(BROKER, "prover-broker")["Config"]["Image"]
    run = ["docker", "run", "-d", "--rm", "--name", "load", "-p", f"{BROKER_TUNNEL}:9000:9000", "--entrypoint", "node"]
    fleet.execute(BROKER, [*run, image, "-e", SERVE, str(SIZE)])
    try:
        wait_for("the server", lambda: fleet.reach(AGENT, BROKER_TUNNEL, 9000) == "open", 20, 0.5)
        program = ["docker", "exec", "prover-agent", "node", "-e", TRANSFER, f"http://{BROKER_TUNNEL}:9000/", str(SIZE)]
        output = fleet.execute(AGENT, program).out
    finally:
        fleet.execute(BROKER, "docker stop --time 1 load")
    assert json.loads(output) == [SIZE, SIZE]


def test_additional_peer_keeps_existing_connections(fleet: Fleet) -> None:
    """A reload of the unit adds a new agent and keeps the connections of the others."""
    before = served(fleet)
    assert before
    key = fleet.execute(AGENT, "wg genkey | wg pubkey").out.strip()
    peer = f"\\n[Peer]\\nPublicKey = {key}\\nAllowedIPs = 10.77.0.3/32\\n"
    reload = "systemctl reload wg-quick@wg0"
    file = "/etc/wireguard/wg0.conf"
    fleet.execute(BROKER, f"cp -p {file} /root/ && printf '{peer}' >> {file} && {reload}")
    try:
        assert f"{key}\t10.77.0.3/32" in fleet.execute(BROKER, "wg show wg0 allowed-ips").out
        assert uses_the_tunnel(fleet)
        assert served(fleet) == before
    finally:
        fleet.execute(BROKER, f"mv /root/wg0.conf {file} && {reload}")
    assert key not in fleet.execute(BROKER, "wg show wg0 peers").out
    assert uses_the_tunnel(fleet)


@pytest.mark.parametrize("order", ["as installed", "engine first"])
def test_reboot(fleet: Fleet, order: str) -> None:
    """The broker runs and the agent reaches it, even if the tunnel starts 5 s after the engine."""
    if order == "engine first":
        late = "[Unit]\\nAfter=docker.service\\n[Service]\\nExecStartPre=sleep 5\\n"
        fleet.execute(BROKER, f"mkdir -p {LATE.rpartition('/')[0]} && printf '{late}' > {LATE}")
    try:
        fleet.reboot(BROKER)
        assert fleet.container(BROKER, "prover-broker")["State"]["Running"]
        wait_for("the agent's connection", lambda: served(fleet), 60)
        fleet.wait_until_healthy(BROKER, "prover-broker")
        assert published(fleet) == [BROKER_TUNNEL, "127.0.0.1"]
        # If the engine finds no address to publish on, the container ends and stays stopped.
        assert fleet.container(BROKER, "prover-broker")["State"]["Error"] == ""
        shown = fleet.execute(BROKER, "systemctl show -P ActiveEnterTimestampMonotonic docker wg-quick@wg0").out
        engine, tunnel = map(int, shown.split())
        assert order == "as installed" or tunnel - engine > 4_000_000
    finally:
        fleet.execute(BROKER, f"rm -rf {LATE.rpartition('/')[0]} && systemctl daemon-reload")
