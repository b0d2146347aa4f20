"""Broker and agent in a WireGuard tunnel, beside a neighbour that forges their addresses."""

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
from tests.system.wireguard.forging import believed, forging, mac_address, speak

BROKER, AGENT, NEIGHBOUR = "wg-broker", "wg-agent", "wg-neighbour"
BROKER_LAN, AGENT_LAN, GATEWAY = "172.31.77.71", "172.31.77.72", "172.31.77.1"
BROKER_TUNNEL, AGENT_TUNNEL = "10.77.0.1", "10.77.0.2"
VICTIM = (BROKER, BROKER_LAN)
NOTHING = ("none", 0)
DOCUMENT = ROOT / "docs/wireguard.md"
BLACKHOLE = "10.77.0.0/24 metric 9999"
LATE = "/etc/systemd/system/wg-quick@wg0.service.d/late.conf"

# Between containers, whose own interfaces have an MTU of 1500: what they send has to be cut to the tunnel's.
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
    """Return the code blocks of a language in the documentation of this."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in found]


def settings(text: str) -> list[str]:
    """Return the lines of a wg0.conf, without comments and without what differs from host to host."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [re.sub(r"^(PrivateKey|PublicKey|Endpoint) = \S.*", r"\1", line) for line in lines]


def published(fleet: Fleet) -> list[str]:
    """Return the addresses at which the broker's port is published."""
    ports = fleet.container(BROKER, "prover-broker")["NetworkSettings"]["Ports"]
    return sorted(one["HostIp"] for one in ports["8080/tcp"])


def sockets(fleet: Fleet, name: str, container: str, which: str) -> str:
    """Return a container's established connections."""
    pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {container})"
    return fleet.execute(name, f"nsenter -t {pid} -n ss -Htn state established {which}").out.strip()


def served(fleet: Fleet) -> str:
    """Return the connections that the broker has with the agent."""
    return sockets(fleet, BROKER, "prover-broker", f"src :8080 dst [::ffff:{AGENT_TUNNEL}]")


def through_the_tunnel(fleet: Fleet) -> bool:
    """Return whether the agent's host reaches the broker, with no packet of that in clear on the network itself."""
    return speak(fleet, AGENT, AGENT_TUNNEL, BROKER_TUNNEL) == ("200", 0)


@pytest.fixture(autouse=True)
def way(fleet: Fleet) -> None:
    """Return the neighbour a route to the broker's tunnel address, by way of the broker's own address."""
    fleet.execute(NEIGHBOUR, ["ip", "route", "replace", BROKER_TUNNEL, "via", BROKER_LAN])


def answers(fleet: Fleet, *sources: str) -> dict[tuple[str, str], tuple[str, int]]:
    """Let the neighbour speak from addresses to each address of the broker's host; return what came of it."""
    pairs = [(source, destination) for source in sources for destination in (BROKER_TUNNEL, BROKER_LAN)]
    return {pair: speak(fleet, NEIGHBOUR, *pair) for pair in pairs}


def apply_broker(**arguments: Any) -> None:
    """Apply the broker's role as the scenario does, with other arguments."""
    (content, *_) = yaml.safe_load((ROOT / "molecule/wireguard/converge.yml").read_text())
    content["roles"][0].update(arguments)
    run = play([content], "-i", str(ROOT / "tests/inventories/wireguard"), inventory=ROOT / "inventories/lab")
    assert run.code == 0, run.output


@contextmanager
def published_on_the_lan(fleet: Fleet) -> Iterator[None]:
    """Publish the broker at the host's own address and admit the agent's, as without a tunnel."""
    try:
        apply_broker(prover_broker_publish_addresses=[BROKER_LAN], prover_broker_admitted=[AGENT_LAN])
        yield
    finally:
        apply_broker()
        fleet.wait_until_healthy(BROKER, "prover-broker")


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check mode on bare hosts, the roles, the roles again, check mode again."""
    assert problems("wireguard", [BROKER, AGENT], recreated=[BROKER, AGENT]) == []


def test_documentation_shows_what_is_tried(fleet: Fleet) -> None:
    """The files wg0.conf are those of the machines, and the inventory leads to the roles' arguments of the scenario."""
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
    assert found["hosts"]["agent-1"]["broker_url"] == f"http://{BROKER_TUNNEL}:8080"


def test_agent_speaks_through_the_tunnel(fleet: Fleet) -> None:
    """It has a connection to the broker's tunnel address; the broker has it from the agent's, and no other port."""
    assert published(fleet) == [BROKER_TUNNEL, "127.0.0.1"]
    fleet.wait_until_healthy(AGENT, "prover-agent")
    to_broker = f"dst {BROKER_TUNNEL}:8080"
    assert wait_for("a connection", lambda: sockets(fleet, AGENT, "prover-agent", to_broker), 30)
    assert wait_for("the broker to have it", lambda: served(fleet), 30)
    assert through_the_tunnel(fleet)
    assert fleet.reach(AGENT, BROKER_LAN, 8080) == "shut"


def test_agent_without_its_tunnel_speaks_with_nobody(fleet: Fleet) -> None:
    """It does not send what is for the broker to the gateway, where somebody else could answer."""
    try:
        fleet.execute(AGENT, "systemctl stop wg-quick@wg0")
        assert not through_the_tunnel(fleet)
        # Some networks answer for every address.
        assert fleet.reach(AGENT, BROKER_TUNNEL, 8080) == "shut"
        fleet.execute(AGENT, f"ip route del blackhole {BLACKHOLE}")
        assert f"via {GATEWAY} " in fleet.execute(AGENT, ["ip", "route", "get", BROKER_TUNNEL]).out
    finally:
        fleet.execute(AGENT, "systemctl start wg-quick@wg0")
    wait_for("the agent to reach the broker", lambda: through_the_tunnel(fleet), 60, 0.2)


def test_forged_addresses_get_no_answer(fleet: Fleet) -> None:
    """The neighbour has the agent's addresses, the broker's host believes it, and not one packet comes back.

    The agent's connections come back by themselves when the forgery has ended.
    """
    with forging(fleet, NEIGHBOUR, VICTIM, [AGENT_LAN, AGENT_TUNNEL], [AGENT_LAN]):
        found = answers(fleet, AGENT_LAN, AGENT_TUNNEL)
        assert believed(fleet, BROKER, AGENT_LAN) == mac_address(fleet, NEIGHBOUR)
    assert found == dict.fromkeys(found, NOTHING)
    assert len(found) == 4
    wait_for("the agent to reach the broker", lambda: through_the_tunnel(fleet), 60, 0.2)


def test_the_same_forgery_is_answered_without_the_tunnel(fleet: Fleet) -> None:
    """On a broker that is published on the network itself and admits the agent's address there."""
    with published_on_the_lan(fleet):
        assert published(fleet) == ["127.0.0.1", BROKER_LAN]
        assert speak(fleet, NEIGHBOUR, "172.31.77.73", BROKER_LAN) == NOTHING
        with forging(fleet, NEIGHBOUR, VICTIM, [AGENT_LAN], [AGENT_LAN]):
            output, packets = speak(fleet, NEIGHBOUR, AGENT_LAN, BROKER_LAN)
        assert output == "200"
        assert packets > 0
    assert published(fleet) == [BROKER_TUNNEL, "127.0.0.1"]
    wait_for("the agent to reach the broker", lambda: through_the_tunnel(fleet), 60, 0.2)


def test_forged_gateway_gets_no_answer_while_the_interface_is_down(fleet: Fleet) -> None:
    """An interface that is down keeps its address and loses its routes: the blackhole keeps answers off the gateway.

    Without the blackhole, the neighbour that is the broker's gateway is answered.
    """
    try:
        fleet.execute(BROKER, "ip link set wg0 down")
        with forging(fleet, NEIGHBOUR, VICTIM, [AGENT_TUNNEL], [GATEWAY]):
            assert speak(fleet, NEIGHBOUR, AGENT_TUNNEL, BROKER_TUNNEL) == NOTHING
            fleet.execute(BROKER, f"ip route del blackhole {BLACKHOLE}")
            assert speak(fleet, NEIGHBOUR, AGENT_TUNNEL, BROKER_TUNNEL)[0] == "200"
    finally:
        fleet.execute(BROKER, "systemctl restart wg-quick@wg0")
    assert "blackhole 10.77.0.0/24" in fleet.execute(BROKER, "ip route").out
    wait_for("the agent to reach the broker", lambda: through_the_tunnel(fleet), 60, 0.2)


def test_reverse_path_filter_drops_what_gets_no_answer(fleet: Fleet) -> None:
    """Packets from tunnel addresses that come by the network itself do not reach the container."""
    counted = "nft list chain ip counted forward"
    rule = f"iifname eth0 ip saddr {AGENT_TUNNEL} counter"
    seen = {}
    try:
        for value in ("0", "1"):
            fleet.execute(BROKER, f"sysctl -w net.ipv4.conf.eth0.rp_filter={value}")
            chain = "add chain ip counted forward { type filter hook forward priority 10; }"
            fleet.execute(BROKER, f"nft 'add table ip counted; {chain}; add rule ip counted forward {rule}'")
            with forging(fleet, NEIGHBOUR, VICTIM, [AGENT_TUNNEL], []):
                assert speak(fleet, NEIGHBOUR, AGENT_TUNNEL, BROKER_TUNNEL) == NOTHING
            seen[value] = int(re.findall(r"packets (\d+)", fleet.execute(BROKER, counted).out)[0])
            fleet.execute(BROKER, "nft delete table ip counted")
        assert through_the_tunnel(fleet)
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
        wait_for("the server", lambda: fleet.reach(AGENT, BROKER_TUNNEL, 9000) == "in", 20, 0.5)
        program = ["docker", "exec", "prover-agent", "node", "-e", TRANSFER, f"http://{BROKER_TUNNEL}:9000/", str(SIZE)]
        output = fleet.execute(AGENT, program).out
    finally:
        fleet.execute(BROKER, "docker stop --time 1 load")
    assert json.loads(output) == [SIZE, SIZE]


def test_another_peer_leaves_the_first_alone(fleet: Fleet) -> None:
    """A reload of the unit takes up a new agent and keeps the connections of the others."""
    before = served(fleet)
    assert before
    key = fleet.execute(AGENT, "wg genkey | wg pubkey").out.strip()
    peer = f"\\n[Peer]\\nPublicKey = {key}\\nAllowedIPs = 10.77.0.3/32\\n"
    reload = "systemctl reload wg-quick@wg0"
    file = "/etc/wireguard/wg0.conf"
    fleet.execute(BROKER, f"cp -p {file} /root/ && printf '{peer}' >> {file} && {reload}")
    try:
        assert f"{key}\t10.77.0.3/32" in fleet.execute(BROKER, "wg show wg0 allowed-ips").out
        assert through_the_tunnel(fleet)
        assert served(fleet) == before
    finally:
        fleet.execute(BROKER, f"mv /root/wg0.conf {file} && {reload}")
    assert key not in fleet.execute(BROKER, "wg show wg0 peers").out
    assert through_the_tunnel(fleet)


@pytest.mark.parametrize("order", ["as installed", "engine first"])
def test_reboot(fleet: Fleet, order: str) -> None:
    """The broker runs and is reached by the agent, also where the tunnel comes up 5 s after the engine."""
    if order == "engine first":
        late = "[Unit]\\nAfter=docker.service\\n[Service]\\nExecStartPre=sleep 5\\n"
        fleet.execute(BROKER, f"mkdir -p {LATE.rpartition('/')[0]} && printf '{late}' > {LATE}")
    try:
        fleet.reboot(BROKER)
        assert fleet.container(BROKER, "prover-broker")["State"]["Running"]
        wait_for("the agent's connection", lambda: served(fleet), 60)
        fleet.wait_until_healthy(BROKER, "prover-broker")
        assert published(fleet) == [BROKER_TUNNEL, "127.0.0.1"]
        # Where the engine has found no address to publish on, the container ends and stays so.
        assert fleet.container(BROKER, "prover-broker")["State"]["Error"] == ""
        shown = fleet.execute(BROKER, "systemctl show -P ActiveEnterTimestampMonotonic docker wg-quick@wg0").out
        engine, tunnel = map(int, shown.split())
        assert order == "as installed" or tunnel - engine > 4_000_000
    finally:
        fleet.execute(BROKER, f"rm -rf {LATE.rpartition('/')[0]} && systemctl daemon-reload")
