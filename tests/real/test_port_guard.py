"""The port guard in the kernel: hosts, a stranger and containers as network namespaces of their own.

Wants root, iproute2 and nft. Every namespace is made here and removed at the end; the machine's own ruleset is neither
read nor written. The systemd part is tried on the lab's hosts.

    agent ─┐               ┌─ aztec0 ── container
           ├─ lan ── host ─┤
 stranger ─┘               └─ br-other ── neighbour
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils import nft as guard
from ansible_collections.aztec_ops.prover.plugins.modules.port_guard import Failed, Host

PREFIX = f"pg{os.getpid()}"
# Long enough for a connection whose first packet a busy machine loses: the kernel sends another after a second.
PATIENCE = 1.5
NAMES = ("lan", "host", "agent", "stranger", "container", "neighbour")
ADDRESS = {
    "host": ("10.66.0.1", "fd66::1"),
    "agent": ("10.66.0.2", "fd66::2"),
    "stranger": ("10.66.0.3", "fd66::3"),
    "container": ("10.67.0.2", "fd67::2"),
    "neighbour": ("10.68.0.2", "fd68::2"),
}
SERVED = {"host": [7000, 8880], "container": [8080, 8880, 9000], "neighbour": [8080], "stranger": [8080]}
# What Docker writes for `-p 8080:8080 -p 8082:9000`, tcp and udp.
DOCKER = """
table inet imitated_docker {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local meta l4proto { tcp, udp } th dport 8080 iifname != "aztec0" dnat ip to 10.67.0.2:8080
    fib daddr type local meta l4proto { tcp, udp } th dport 8082 iifname != "aztec0" dnat ip to 10.67.0.2:9000
    fib daddr type local meta l4proto { tcp, udp } th dport 8080 iifname != "aztec0" dnat ip6 to [fd67::2]:8080
    fib daddr type local meta l4proto { tcp, udp } th dport 8082 iifname != "aztec0" dnat ip6 to [fd67::2]:9000
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "lan0" masquerade
  }
}
"""
PORTS = (7000, 8080, 8082, 8880)
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def sh(command: str, name: str | None = None, text: str | None = None) -> str:
    """Run a command line, in a namespace if one is named, and give its output."""
    words = command.split()
    if name:
        words = ["ip", "netns", "exec", PREFIX + name, *words]
    return subprocess.run(words, input=text, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def inside(name: str):
    """Let the sockets made in the block belong to a namespace."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{PREFIX}{name}") as there:
        assert LIBC.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert LIBC.setns(home.fileno(), CLONE_NEWNET) == 0


def new_socket(name: str, family: int, kind: int) -> socket.socket:
    with inside(name):
        return socket.socket(family, kind)


def link(left: str, left_device: str, right: str, right_device: str) -> None:
    sh(f"ip link add {left_device} netns {PREFIX}{left} type veth peer name {right_device} netns {PREFIX}{right}")


def bridge(name: str, device: str, member: str) -> None:
    if device not in sh("ip -br link", name):
        sh(f"ip link add {device} type bridge", name)
        sh(f"ip link set {device} up", name)
    sh(f"ip link set {member} master {device}", name)
    sh(f"ip link set {member} up", name)


def address(name: str, device: str, v4: str, v6: str) -> None:
    sh(f"ip addr add {v4}/24 dev {device}", name)
    sh(f"ip addr add {v6}/64 dev {device} nodad", name)
    sh(f"ip link set {device} up", name)


def build() -> None:
    for name in NAMES:
        sh(f"ip netns add {PREFIX}{name}")
        sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0", name)
        sh("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0", name)
        sh("ip link set lo up", name)
    sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1", "host")
    for name in ("host", "agent", "stranger"):
        link(name, "lan0", "lan", name)
        bridge("lan", "lan0", name)
        address(name, "lan0", *ADDRESS[name])
    for name, device in (("container", "aztec0"), ("neighbour", "br-other")):
        link(name, "eth0", "host", name)
        bridge("host", device, name)
        v4, v6 = ADDRESS[name]
        gateway4, gateway6 = v4[:-1] + "1", v6[:-1] + "1"
        address("host", device, gateway4, gateway6)
        address(name, "eth0", v4, v6)
        sh(f"ip route add default via {gateway4}", name)
        sh(f"ip -6 route add default via {gateway6}", name)
        for outside in ("agent", "stranger"):
            sh(f"ip route add {v4}/32 via 10.66.0.1", outside)
            sh(f"ip route add {gateway4}/32 via 10.66.0.1", outside)
            sh(f"ip -6 route add {v6}/128 via fd66::1", outside)
    sh("nft -f -", "host", DOCKER)


class Echo(threading.Thread):
    """Answers on ports of a namespace, tcp and udp, both address families, until told to stop."""

    def __init__(self, served: dict[str, list[int]]) -> None:
        super().__init__(daemon=True)
        self.stopped = False
        self.listening, self.datagrams, self.streams = [], [], []
        for name, ports in served.items():
            for port in ports:
                for kind, into in ((socket.SOCK_STREAM, self.listening), (socket.SOCK_DGRAM, self.datagrams)):
                    server = new_socket(name, socket.AF_INET6, kind)
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    server.bind(("::", port))
                    if kind == socket.SOCK_STREAM:
                        server.listen(16)
                    into.append(server)

    def run(self) -> None:
        while not self.stopped:
            ready, _, _ = select.select([*self.listening, *self.datagrams, *self.streams], [], [], 0.2)
            for one in ready:
                if one in self.listening:
                    self.streams.append(one.accept()[0])
                    continue
                with contextlib.suppress(OSError):
                    if one in self.datagrams:
                        data, sender = one.recvfrom(65535)
                        one.sendto(data, sender)
                        continue
                    data = one.recv(65535)
                    if data:
                        one.sendall(data)
                        continue
                if one in self.streams:
                    self.streams.remove(one)
                    one.close()


@pytest.fixture(scope="module", autouse=True)
def network():
    """Make the namespaces and what listens in them; remove all of it at the end."""
    echo = None
    try:
        build()
        echo = Echo(SERVED)
        echo.start()
        yield
    finally:
        if echo:
            echo.stopped = True
            echo.join()
        for name in NAMES:
            subprocess.run(["ip", "netns", "delete", PREFIX + name], check=False, capture_output=True)


@pytest.fixture
def host(tmp_path: Path):
    """Give a guard on the host namespace, with its files below a directory of its own."""
    (tmp_path / "etc").mkdir()

    def run(command: list) -> tuple[int, str, str]:
        done = subprocess.run(["ip", "netns", "exec", f"{PREFIX}host", *command], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def make(check: bool = False) -> Host:
        return Host(run, nft=shutil.which("nft"), root=str(tmp_path), systemd=False, check=check)

    yield make
    unload()


def unload() -> None:
    sh("nft -f -", "host", f"table inet {guard.TABLE}\ndelete table inet {guard.TABLE}\n")


def ports(*sources: str) -> list[dict]:
    return [
        {"port": port, "protocol": protocol, "sources": list(sources)} for port in PORTS for protocol in ("tcp", "udp")
    ]


def section(*sources: str, name: str = "prover_broker") -> guard.Section:
    return guard.section_of(name, ports(*sources), ["aztec0"])


def connection(source: str, target: str, port: int, from_port: int = 0, patience: float = PATIENCE) -> socket.socket:
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    client = new_socket(source, family, socket.SOCK_STREAM)
    client.settimeout(patience)
    if from_port:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("", from_port))
    try:
        client.connect((target, port))
    except OSError:
        client.close()
        raise
    return client


def answers(client: socket.socket, size: int = 4) -> bool:
    """Tell whether what is sent over a connection comes back."""
    try:
        client.sendall(b"x" * size)
        return bool(client.recv(65535))
    except OSError:
        return False


def reaches(source: str, target: str, port: int, protocol: str = "tcp", size: int = 4) -> bool:
    """Tell whether a source gets an answer from a port."""
    if protocol == "tcp":
        try:
            with connection(source, target, port) as client:
                return answers(client, size)
        except OSError:
            return False
    with new_socket(source, socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            destination = (target, port)
            if target.startswith(("fe80:", "ff02:")):
                with inside(source):
                    destination = (target, port, 0, socket.if_nametoindex("lan0"))
            elif target == "255.255.255.255":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lan0")
            client.sendto(b"x" * size, destination)
            return bool(client.recv(65535))
        except OSError:
            return False


def link_local(name: str) -> str:
    return sh("ip -6 -br addr show dev lan0 scope link", name).split()[2].split("/")[0]


# Ways to a port for which the source decides.
AT_THE_HOST = [
    pytest.param(target, port, protocol, 4, id=f"{what}-{target}-{port}-{protocol}")
    for what, port in (("service", 7000), ("published", 8080), ("published_elsewhere", 8082))
    for target in ADDRESS["host"]
    for protocol in ("tcp", "udp")
] + [
    pytest.param("10.66.0.1", 7000, "udp", 4000, id="fragments-v4"),
    pytest.param("fd66::1", 7000, "udp", 4000, id="fragments-v6"),
    pytest.param("10.67.0.1", 7000, "tcp", 4, id="the_hosts_address_on_the_bridge"),
    pytest.param("10.68.0.1", 8080, "tcp", 4, id="published_at_another_address"),
]
# Ways that are for nobody outside, whatever the sources.
FOR_NOBODY = [
    pytest.param(target, port, protocol, 4, id=f"routed-{target}-{port}-{protocol}")
    for target in ADDRESS["container"]
    for port in (8080, 8880)
    for protocol in ("tcp", "udp")
] + [
    pytest.param("10.67.0.2", 8080, "udp", 4000, id="routed-fragments"),
    pytest.param("10.66.0.255", 7000, "udp", 4, id="broadcast"),
    pytest.param("255.255.255.255", 7000, "udp", 4, id="limited_broadcast"),
    pytest.param("ff02::1", 7000, "udp", 4, id="multicast-v6"),
]


@pytest.mark.parametrize(("target", "port", "protocol", "size"), AT_THE_HOST)
def test_only_admitted_sources_reach_a_port(host, target: str, port: int, protocol: str, size: int) -> None:
    assert reaches("stranger", target, port, protocol, size), "open without the guard, or the check proves nothing"
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert not reaches("stranger", target, port, protocol, size)
    assert reaches("agent", target, port, protocol, size)
    unload()
    assert reaches("stranger", target, port, protocol, size), "open again: it was the guard that shut it"


@pytest.mark.parametrize(("target", "port", "protocol", "size"), FOR_NOBODY)
def test_nobody_outside_reaches_a_container_by_a_route(host, target: str, port: int, protocol: str, size: int) -> None:
    assert reaches("stranger", target, port, protocol, size), "open without the guard, or the check proves nothing"
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert not reaches("stranger", target, port, protocol, size)
    assert not reaches("agent", target, port, protocol, size)
    unload()
    assert reaches("stranger", target, port, protocol, size), "open again: it was the guard that shut it"


def test_a_link_local_source_is_a_stranger_until_it_is_listed(host) -> None:
    target = link_local("host")
    assert reaches("stranger", target, 7000, "udp")
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert not reaches("stranger", target, 7000, "udp")
    host().apply(section("fe80::/10"), present=True)
    assert reaches("stranger", target, 7000, "udp")


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        pytest.param("neighbour", "stranger", 8080, id="egress_of_another_bridge_to_the_same_port"),
        pytest.param("container", "stranger", 8080, id="egress_of_a_guarded_container"),
        pytest.param("host", "stranger", 8080, id="egress_of_the_host"),
        pytest.param("stranger", "neighbour", 8080, id="forwarded_to_another_bridge"),
        pytest.param("stranger", "container", 9000, id="a_port_that_is_not_listed"),
        pytest.param("container", "host", 7000, id="container_to_the_host"),
        pytest.param("host", "container", 8080, id="host_to_the_container"),
        pytest.param("host", "host", 7000, id="host_to_itself"),
        pytest.param("container", "container", 8080, id="container_to_itself"),
    ],
)
def test_other_traffic_passes(host, source: str, target: str, port: int) -> None:
    host().apply(section(), present=True)
    for destination in ADDRESS[target]:
        for protocol in ("tcp", "udp"):
            assert reaches(source, destination, port, protocol), (destination, protocol)


def test_another_bridge_of_the_host_is_a_stranger(host) -> None:
    assert reaches("neighbour", "10.68.0.1", 7000)
    host().apply(section(), present=True)
    assert not reaches("neighbour", "10.68.0.1", 7000)
    assert not reaches("neighbour", "10.67.0.2", 8080)


def test_replies_to_the_hosts_own_connections_pass(host) -> None:
    """A connection that the host begins from a guarded port: the answers come in with that destination port."""
    host().apply(section(), present=True)
    for target in ADDRESS["stranger"]:
        with connection("host", target, 8080, from_port=8082) as client:
            assert answers(client)


@pytest.mark.parametrize("target", ["10.66.0.1", "fd66::1"])
@pytest.mark.parametrize("port", [7000, 8080])
def test_a_removed_agents_connection_ends(host, target: str, port: int) -> None:
    host().apply(section(*ADDRESS["agent"], *ADDRESS["stranger"]), present=True)
    with connection("agent", target, port) as stays, connection("stranger", target, port) as goes:
        assert answers(stays) and answers(goes)
        host().apply(section(*ADDRESS["agent"]), present=True)
        assert not answers(goes)
        assert answers(stays)
    assert not reaches("stranger", target, port)


def test_sections_are_kept_apart_and_a_shared_port_is_open_to_both(host) -> None:
    broker = guard.section_of("prover_broker", [{"port": 8080, "sources": ["10.66.0.2"]}], ["aztec0"])
    node = guard.section_of("prover_node", [{"port": 8080, "sources": []}, {"port": 7000, "sources": []}], ["aztec0"])
    host().apply(broker, present=True)
    _text, names = host().apply(node, present=True)
    assert names == ["prover_broker", "prover_node"]
    assert reaches("agent", "10.66.0.1", 8080)
    assert not reaches("agent", "10.66.0.1", 7000)
    assert not reaches("stranger", "10.66.0.1", 8080)
    host().apply(node, present=False)
    assert reaches("stranger", "10.66.0.1", 7000)
    assert not reaches("stranger", "10.66.0.1", 8080)


def test_drops_are_counted(host) -> None:
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert not reaches("stranger", "10.66.0.1", 7000)
    chain = sh(f"nft list chain inet {guard.TABLE} drop_prover_broker", "host")
    (line,) = [line for line in chain.splitlines() if "tcp dport 7000" in line]
    assert "packets 0" not in line


def test_second_run_changes_nothing_and_other_tables_are_untouched(host) -> None:
    others = "nft --stateless list table inet imitated_docker"
    before = sh(others, "host")
    first = host()
    first.apply(section("10.66.0.0/24", "0.0.0.0/0", "fd66::2"), present=True)
    assert first.actions
    second = host()
    second.apply(section("fd66::2", "0.0.0.0/0"), present=True)
    assert (second.actions, second.diff) == ([], [])
    assert sh(others, "host") == before


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(f"delete table inet {guard.TABLE}", id="table_gone"),
        pytest.param("flush ruleset", id="flush_ruleset"),
        pytest.param(f"flush chain inet {guard.TABLE} drop_prover_broker", id="rules_gone"),
        pytest.param(
            f"add element inet {guard.TABLE} v4_tcp_7000_prover_broker {{ 10.66.0.3 }}", id="stranger_in_the_set"
        ),
        pytest.param(f"insert rule inet {guard.TABLE} prerouting accept", id="rule_inserted"),
    ],
)
def test_what_was_done_to_the_loaded_table_is_mended(host, harm: str) -> None:
    host().apply(section(*ADDRESS["agent"]), present=True)
    sh("nft -f -", "host", harm)
    assert reaches("stranger", "10.66.0.1", 7000)
    look = host(check=True)
    look.apply(section(*ADDRESS["agent"]), present=True)
    assert look.actions == ["load the table"]
    assert look.diff[0]["before"] != look.diff[0]["after"]
    assert reaches("stranger", "10.66.0.1", 7000), "check mode changes nothing"
    again = host()
    again.apply(section(*ADDRESS["agent"]), present=True)
    assert again.actions == ["load the table"]
    assert not reaches("stranger", "10.66.0.1", 7000)
    if harm == "flush ruleset":
        sh("nft -f -", "host", DOCKER)


def test_a_connection_is_not_let_in_while_the_table_is_replaced(host) -> None:
    """The stranger tries without pause while the table is loaded anew again and again."""
    host().apply(section(*ADDRESS["agent"]), present=True)
    got_in, stop = [], threading.Event()

    def try_on() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), connection("stranger", "10.66.0.1", 7000, patience=0.01):
                got_in.append(time.monotonic())

    stranger = threading.Thread(target=try_on)
    stranger.start()
    for number in range(20):
        host().apply(section(*ADDRESS["agent"], f"10.70.0.{number}"), present=True)
    stop.set()
    stranger.join()
    assert not got_in


def test_the_last_section_takes_everything_away(host, tmp_path: Path) -> None:
    before = sh("nft --stateless list ruleset", "host")
    host().apply(section(), present=True)
    host().apply(section(name="prover_node"), present=True)
    host().apply(section(), present=False)
    assert guard.TABLE in sh("nft list ruleset", "host")
    host().apply(section(name="prover_node"), present=False)
    assert sh("nft --stateless list ruleset", "host") == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    again = host()
    again.apply(section(name="prover_node"), present=False)
    assert again.actions == []


def test_check_mode_writes_nothing(host, tmp_path: Path) -> None:
    before = sh("nft --stateless list ruleset", "host")
    look = host(check=True)
    text, names = look.apply(section(*ADDRESS["agent"]), present=True)
    assert look.actions and names == ["prover_broker"] and "10.66.0.2" in text
    assert sh("nft --stateless list ruleset", "host") == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_damaged_section_stops_before_anything_is_changed(host, tmp_path: Path) -> None:
    host().apply(section(*ADDRESS["agent"]), present=True)
    (tmp_path / "etc/aztec-port-guard/prover_node.json").write_text("{")
    with pytest.raises(Failed, match=r"prover_node\.json is damaged"):
        host().apply(section(), present=True)
    assert reaches("agent", "10.66.0.1", 7000)
