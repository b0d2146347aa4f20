# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Socket tables as kernels print them, and trial connections to a server of this test."""

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import network as net

# Recorded of an agent's container while its broker was there.
AGENT_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:B231 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 115237 1 00000000419c71de 100
   1: 020012AC:DEBC 024D1FAC:2161 06 00000000:00000000 03:000012B7 00000000     0        0 0 3 00000000e5a52f14
   2: 020012AC:A6EE 334D1FAC:1F90 01 00000000:00000000 02:00001132 00000000     0        0 121374 3 000000002a4b72dc 20
   3: 020012AC:A6EF 334D1FAC:1F90 02 00000001:00000000 01:00000064 00000003     0        0 121375 3 000000002a4b72dd 20
"""
ANY6, LOOPBACK6, MAPPED6 = "0" * 32, "0" * 24 + "01000000", "0000000000000000FFFF0000334D1FAC"
TCP6 = f"""\
  sl  local_address  remote_address  st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: {ANY6}:1F90 {ANY6}:0000 0A 00000000:00000000 00:00000000 00000000     0        0 121372 1 0
   1: {LOOPBACK6}:843C {LOOPBACK6}:1F90 06 00000000:00000000 03:0000140B 00000000     0        0 0 3 0
   2: {MAPPED6}:0016 {ANY6}:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 00000000:9DD0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 77 2 0 0
  101: 0100007F:0035 0100007F:0036 01 00000000:00000000 00:00000000 00000000     0        0 78 2 0 0
"""


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("0100007F:1F90", ("127.0.0.1", 8080)),
        ("334D1FAC:1F90", ("172.31.77.51", 8080)),
        ("00000000000000000000000001000000:0016", ("::1", 22)),
        ("0000000000000000FFFF0000334D1FAC:0016", ("172.31.77.51", 22)),
        ("000031FD000077000000000011000000:0050", ("fd31:0:77::11", 80)),
    ],
)
def test_decode_address(field, wanted):
    """Words are in the machine's order; IPv4 mapped into IPv6 is IPv4."""
    assert net.decode_address(field) == wanted


def test_parse_sockets():
    """States, timers in seconds, retransmits and what waits to be acknowledged."""
    rows = net.parse_sockets(AGENT_TCP)
    assert [row["state"] for row in rows] == ["listen", "time_wait", "established", "syn_sent"]
    assert rows[1]["timer"] == pytest.approx(47.91)
    assert (rows[3]["retransmits"], rows[3]["unsent"]) == (3, 1)
    assert (rows[2]["remote_address"], rows[2]["remote_port"]) == ("172.31.77.51", 8080)


def test_listening(tmp_path):
    """Return listening TCP and unconnected UDP sockets, with their process."""
    folder = tmp_path / "proc/net"
    folder.mkdir(parents=True)
    (folder / "tcp6").write_text(TCP6)
    (folder / "udp").write_text(UDP)
    process = tmp_path / "proc/42"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("docker-proxy\n")
    (process / "fd/3").symlink_to("socket:[121372]")
    (tmp_path / "proc/self").mkdir()
    assert net.listening(tmp_path) == [
        {"protocol": "tcp", "address": "172.31.77.51", "port": 22, "process": ""},
        {"protocol": "tcp", "address": "::", "port": 8080, "process": "docker-proxy"},
        {"protocol": "udp", "address": "0.0.0.0", "port": 40400, "process": ""},
    ]


def test_parse_if_inet6():
    """Return global addresses, without lo, link-local, tentative and failed ones."""
    text = (
        "fd310000007700000000000000000011 02 40 00 80     eth0\n"
        "fe800000000000000042acfffe110002 02 40 20 80     eth0\n"
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fd310000007700000000000000000012 02 40 00 c8     eth0\n"
    )
    assert net.parse_if_inet6(text) == ["fd31:0:77::11"]


def test_interfaces(tmp_path):
    """By name, sorted; none without a sysfs."""
    assert net.interfaces(tmp_path) == []
    for name in ("lo", "eth0", "aztec0"):
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
    assert net.interfaces(tmp_path) == ["aztec0", "eth0", "lo"]


@pytest.mark.parametrize(
    ("settings", "file", "wanted"),
    [
        pytest.param({"ipv4": "1\n", "ipv6": "1\n"}, True, True, id="both"),
        pytest.param({"ipv4": "1\n"}, True, True, id="no_IPv6"),
        pytest.param({"ipv4": "0\n", "ipv6": "1\n"}, True, False, id="IPv4_off"),
        pytest.param({"ipv4": "1\n", "ipv6": "0\n"}, True, False, id="IPv6_off"),
        pytest.param({"ipv4": "1\n", "ipv6": "1\n"}, False, False, id="gone_after_a_boot"),
    ],
)
def test_nonlocal_bind(tmp_path, settings, file, wanted):
    """Set both families now, and write the file that keeps it after a reboot."""
    for family, text in settings.items():
        (tmp_path / f"proc/sys/net/{family}").mkdir(parents=True)
        (tmp_path / f"proc/sys/net/{family}/ip_nonlocal_bind").write_text(text)
    if file:
        (tmp_path / "etc/sysctl.d").mkdir(parents=True)
        (tmp_path / "etc/sysctl.d/60-aztec-prover.conf").write_text("")
    assert net.nonlocal_bind(tmp_path) is wanted


@pytest.fixture(name="server")
def fixture_server():
    """Return the port of a server on loopback that answers each connection with the given bytes."""
    sockets = []

    def start(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)

        def serve() -> None:
            try:
                while True:
                    client, _address = server.accept()
                    client.recv(1000)
                    client.sendall(answer)
                    client.close()
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    yield start
    for server in sockets:
        server.close()


def test_connection_that_answers(server):
    """Return the status of the answer, and the source address."""
    found = net.try_connection("127.0.0.1", server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"), 2)
    assert (found["ok"], found["status"], found["source"], found["error"]) == (True, 200, "127.0.0.1", "")


def test_a_server_that_is_not_broker_does_not_count(server):
    """The command in the guide gets a 405 and exits with 0, which does not count here."""
    found = net.try_connection("127.0.0.1", server(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"), 2)
    assert (found["ok"], found["status"], found["error"]) == (False, 405, "returns 405 for /status")


def test_connection_to_no_http(server):
    """A server of another protocol is not ok."""
    found = net.try_connection("127.0.0.1", server(b"SSH-2.0-OpenSSH\r\n"), 2)
    assert not found["ok"]
    assert found["error"]


def test_connection_refused():
    """A rejected one still reports its source."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = net.try_connection("[127.0.0.1]", port, 2)
    assert (found["ok"], found["error"], found["source"]) == (False, "connection refused", "127.0.0.1")
