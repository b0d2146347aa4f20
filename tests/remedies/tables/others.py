"""Lines that have no wrong input in tests/bad_input/tables.

A row is (a part of the line, what is wrong, that put right). `row(...)` checks an inventory as a row of
tests/bad_input/tables describes it, `raised(function, arguments...)` gives the line that a function raises, `returned`
one that it returns. Give each action of the remedy a column of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from ansible.errors import AnsibleError
from ansible_collections.aztec_ops.prover.plugins.action import publisher_key
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import job as stack_job
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as compose
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project_directory as stack_disk
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import host as guard_host
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec import releases
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import fleet as fleets
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import host_variables
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory import value_ranges as ranges
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.variables import type_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.validation import check_role_arguments
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher import ethereum

from tests.remedies import inventories, modules
from tests.remedies.case import Lines, cases, in_folder, problem_lines, raised, returned
from tests.remedies.inventories import SPECS
from tests.unit.plugins.action.test_compose_stack import ARGUMENTS, ENDED, LOST, STARTED, become, plugin, run
from tests.unit.plugins.module_utils.port_guard.test_host import BROKER, NODE, Machine

VALUES = {"aztec_l1_execution_urls": ["https://rpc.lan"], "aztec_l1_consensus_urls": ["https://beacon.lan"]}
OWN = 'prover_node_funding_account_private_key: "0x' + "5e" * 32 + '"\n'
AMOUNTS = "prover_node_funding_threshold: 0.5\nprover_node_funding_amount: 1\n"
ADDRESS = '"0xe239cdc5fbe977a8a141b72194d3cf8c41bc5bc6"'
SIX = {"all": "aztec_version: 6.0.0\n"}


def row(resolve_one: Callable | None = None, **given: object) -> Lines:
    """Return what checks the inventory of such a row. node, agent: variables of node-1 and agent-1."""
    named = {{"node": "node-1", "agent": "agent-1"}.get(key, key): value for key, value in given.items()}
    return in_folder(lambda folder: problem_lines(inventories.problems(named, folder, resolve_one)))


def role_only(role: str, **values: object) -> Lines:
    """Return what checks the settings of a role that is used by itself."""
    return lambda: problem_lines(check_role_arguments(role, "h", values, SPECS))


def node_only(**values: object) -> Lines:
    """Return what checks the settings of a node that is used by itself."""
    urls = {"prover_node_l1_execution_urls": ["https://rpc.lan"], "prover_node_l1_consensus_urls": ["https://b.lan"]}
    own = {"prover_node_version": "4.1.2", "prover_node_network": "testnet", "prover_node_broker_host": "b"}
    return role_only("prover_node", prover_node_publisher_private_key="0x" + "1" * 64, **urls, **own, **values)


def row_without_eth() -> Lines:
    """Return what checks a good inventory on a controller whose Python has no eth_account."""

    def lines() -> list[str]:
        with mock.patch.object(ethereum, "eth_keys", None):
            return list(row()())

    return lines


def option(role: str, name: str, value: object) -> Lines:
    """Return what checks a value by its option's type."""
    return returned(type_problem, name, SPECS.options[role][name], value)


def applied(*answers: object) -> Lines:
    """Return what applies a project whose module gives these answers, one to each call."""

    def lines() -> list[str]:
        result = run(plugin([*answers])[0])
        return [result["msg"]] if "msg" in result else []

    return lines


def connected(**connection: object) -> Lines:
    """Return what gives secrets to a module over a connection."""

    def lines() -> list[str]:
        made, _calls = plugin([{"changed": False}])
        vars(made._connection).update(connection)
        assert "secret_variables" in ARGUMENTS
        result = run(made)
        return [result["msg"]] if "msg" in result else []

    return lines


def env(text: str) -> Lines:
    """Return what checks a .env file of compose_stack."""
    arguments = {"project": "a", "directory": "/nowhere/a", "compose": "services: {a: {image: x}}", "env": text}
    return lambda: [one for one in [modules.problem("compose_stack", arguments)] if one]


def without(module: object, name: str, function: Callable, *arguments: object) -> Lines:
    """Return what calls a function of a controller's module whose library is missing."""

    def lines() -> list[str]:
        with mock.patch.object(module, name, None):
            return raised(function, *arguments)()

    return lines


def on_machine(harm: Callable, section: nft.Section = BROKER, nft_there: bool = True) -> Lines:
    """Return what applies a section to a host, after something was done to it."""

    def tried(folder: Path) -> list[str]:
        machine = Machine(folder / "root")
        with mock.patch.object(guard_host, "START_TIMEOUT", 0):
            harm(machine)
            return raised(machine.host(nft="nft" if nft_there else None).apply, section, present=True)()

    return in_folder(tried)


def unreadable_section(keep_existing: bool) -> Lines:
    """Return what applies the broker's section where its file is damaged; keep_existing: an address is not known."""

    def tried(folder: Path) -> list[str]:
        machine = Machine(folder / "root")
        machine.host().apply(BROKER, present=True)
        machine.file(f"{nft.DIRECTORY}/{BROKER.name}.json").write_text("x")
        return raised(machine.host().apply, BROKER, present=True, keep_existing=keep_existing)()

    return in_folder(tried)


def nothing(machine: Machine) -> None:
    """Do not change a host."""


def foreign(pid: int) -> Callable:
    """Return what gives a host the guard's tables by somebody else."""
    return lambda machine: machine.owners.update(dict.fromkeys(guard_daemon.FAMILIES, pid))


def damaged(corrected: bool) -> Callable:
    """Return what damages the section of the node; corrected: and then applies the remedy."""

    def harm(machine: Machine) -> None:
        machine.host().apply(NODE, present=True)
        path = machine.file(f"{nft.DIRECTORY}/prover_node.json")
        path.write_text("{", encoding="utf-8")
        if corrected:
            path.unlink()
            machine.host().apply(NODE, present=True)

    return harm


def silent(machine: Machine) -> None:
    """Have the daemon load nothing, and report the reason in its journal."""
    machine.loads = False


def owners_of_tables(*owners: int) -> Lines:
    """Return what takes the tables, of which each family has one of these owners, for the daemon."""

    def lines() -> list[str]:
        found = dict(zip(guard_daemon.FAMILIES, [(6, owner) if owner else None for owner in owners]))
        with (
            mock.patch.object(guard_daemon, "table_info", lambda _netlink, family: found[family]),
            mock.patch.object(guard_daemon, "netlink_socket", mock.MagicMock()),
            mock.patch.object(guard_daemon, "Nftables", lambda: mock.Mock(batch=mock.Mock(return_value=0))),
        ):
            return raised(guard_daemon.Guard("", guard_daemon.OWNER).take_ownership)()

    return lines


def privileged(number: int) -> Lines:
    """Return what tries the kernel's nf_tables, which answers with this error."""

    def lines() -> list[str]:
        with mock.patch.object(guard_daemon, "Nftables", lambda: mock.Mock(batch=mock.Mock(return_value=number))):
            return raised(guard_daemon.accepts_persist)()

    return lines


def written(prepare: Callable) -> Lines:
    """Return what writes a project's file where something exists already."""

    def tried(folder: Path) -> list[str]:
        disk = stack_disk.ProjectDirectory(str(folder))
        disk.make_own()
        prepare(folder)
        return raised(disk.write, "compose.yml", "x")()

    return in_folder(tried)


def locked(held: bool) -> Lines:
    """Return what waits for another run's lock."""

    def tried(folder: Path) -> list[str]:
        disk, other = stack_disk.ProjectDirectory(str(folder)), stack_disk.ProjectDirectory(str(folder))
        disk.make_own()
        if held:
            other.lock(print)
        with mock.patch.object(stack_disk, "LOCK_WAIT", -1):
            found = raised(disk.lock, print)()
        for one in (disk, other):
            if getattr(one, "lock_descriptor", None) is not None:
                os.close(one.lock_descriptor)
        return found

    return in_folder(tried)


def broken(error: BaseException) -> Lines:
    """Return what reports a variable whose template raises an error."""
    return lambda: [f"{one.reason}: {one.remedy}" for one in [host_variables.unresolved_value(error)]]


HOSTS = {
    "node-1": {
        **VALUES,
        "ansible_host": "n.nowhere.invalid",
        "prover_node_p2p_ip": "9.9.9.9",
        "aztec_version": "6.0.0",
        "aztec_network": "testnet",
        "prover_node_publisher_private_key": "0x" + "1" * 64,
    }
}
ADDRESSED = {"node-1": {**HOSTS["node-1"], "aztec_address": "10.0.0.10"}}
GROUPS = {"prover_node": ["node-1"], "prover_broker": ["node-1"], "prover_agent": []}
LOST_ANSWER = LOST["ssh cannot connect"][0]

GROUP_OF_BOTH = "prover_node: {hosts: {node-1: }}\nprover_broker: {hosts: {node-1: }}\n"

OTHERS = cases(
    # inventories
    (
        "which YAML makes true or false",
        option("preflight", "aztec_directory", True),
        option("preflight", "aztec_directory", "/true"),
    ),
    (
        "has the unknown key 'prot': choose from",
        option("port_guard", "port_guard_ports", [{"prot": 1}]),
        option("port_guard", "port_guard_ports", [{"port": 1}]),
    ),
    (
        "has no port: set it",
        option("port_guard", "port_guard_ports", [{"protocol": "tcp"}]),
        option("port_guard", "port_guard_ports", [{"protocol": "tcp", "port": 8080}]),
    ),
    (
        ": remove AZTEC_EPOCH_DURATION",
        row(
            all="aztec_version: 6.0.0\naztec_network: staging\n",
            node="prover_node_environment: {AZTEC_EPOCH_DURATION: 16}\n",
        ),
        row(all="aztec_version: 6.0.0\naztec_network: staging\n"),
        row(
            all="aztec_version: 6.0.0\naztec_network: staging\n",
            node="prover_node_environment: {AZTEC_EPOCH_DURATION: 16, ALLOW_OVERRIDING_NETWORK_CONFIG: true}\n",
        ),
    ),
    (
        "is not valid with prover_node_key_source: keystore",
        row(**SIX, node=f"prover_node_funding_account_address: {ADDRESS}\n"),
        row(**SIX, node=OWN + AMOUNTS),
    ),
    (
        "needs a key store, which prover_node_key_source: env",
        row(**SIX, node=OWN + AMOUNTS + "prover_node_key_source: env\n"),
        row(**SIX, node=OWN + AMOUNTS + "prover_node_key_source: keystore\n"),
        row(**SIX, node="prover_node_key_source: env\n"),
    ),
    (
        "set the address at which peers reach the node",
        node_only(),
        node_only(prover_node_p2p_ip="9.9.9.9"),
        node_only(prover_node_p2p_query_for_ip=True),
    ),
    (
        "set ansible_host or aztec_address",
        row(groups=GROUP_OF_BOTH + "prover_agent: {hosts: {a.invalid: }}\n"),
        row(groups=GROUP_OF_BOTH + "prover_agent: {hosts: {a.invalid: {ansible_host: 10.0.0.23}}}\n"),
        row(groups=GROUP_OF_BOTH + "prover_agent: {hosts: {a.invalid: {aztec_address: 10.0.0.23}}}\n"),
    ),
    ("is not set: set it", role_only("port_guard"), role_only("port_guard", port_guard_section="own")),
    (
        "correct preflight_agent_group",
        row(
            group_names={"prover_agent": "agents"},
            groups=GROUP_OF_BOTH + "workers: {hosts: {agent-1: }}\n",
        ),
        row(
            group_names={"prover_agent": "workers"},
            groups=GROUP_OF_BOTH + "workers: {hosts: {agent-1: }}\n",
        ),
    ),
    (
        "use its exact name, 15 characters",
        role_only("port_guard", port_guard_section="a", port_guard_bridges=["br-*"]),
        role_only("port_guard", port_guard_section="a", port_guard_bridges=["br-1"]),
    ),
    (
        "is not a MAC address",
        role_only("port_guard", port_guard_section="a", port_guard_containers=[{"mac_address": "x", "ports": [1]}]),
        role_only(
            "port_guard",
            port_guard_section="a",
            port_guard_containers=[{"mac_address": "02:a2:7e:00:00:01", "ports": [1]}],
        ),
    ),
    (
        "is not a name of a section",
        role_only("port_guard", port_guard_section="A"),
        role_only("port_guard", port_guard_section="a"),
    ),
    (
        "is a number, not a URL",
        returned(ranges.url_problem, 5),
        returned(ranges.url_problem, "http://rpc.lan:5"),
        returned(ranges.url_problem, "https://rpc.lan"),
    ),
    (
        "write one URL per entry, and",
        row(node='prover_node_snapshot_urls: ["s3://a/b,s3://c/d"]\n'),
        row(node="prover_node_snapshot_urls: [s3://a/b, s3://c/d]\n"),
        row(node='prover_node_snapshot_urls: ["s3://a/b%2Cs3://c/d"]\n'),
    ),
    (
        "is not a URL: write it as s3://bucket/path",
        row(node='prover_node_snapshot_urls: ["s3://[a/b"]\n'),
        row(node="prover_node_snapshot_urls: [s3://bucket/path]\n"),
    ),
    (
        "is not a file name",
        row(agent='prover_agent_crs_digests: {"a b": "sha256:' + "0a" * 32 + '"}\n'),
        row(agent="prover_agent_crs_digests: {bn254_g1.dat: sha256:" + "0a" * 32 + "}\n"),
    ),
    (
        "the release line '9' is not known",
        raised(releases.release_of, "6.0.0", "9"),
        raised(releases.release_of, "6.0.0", "6"),
    ),
    (
        "the group of prover_node has 0 hosts",
        raised(fleets.fleet, ADDRESSED, {**GROUPS, "prover_node": []}),
        raised(fleets.fleet, ADDRESSED, GROUPS),
    ),
    (
        "the address n.nowhere.invalid does not resolve",
        raised(fleets.fleet, HOSTS, GROUPS),
        raised(fleets.fleet, ADDRESSED, GROUPS),
    ),
    (
        "cannot be resolved",
        broken(AnsibleError("template error")),
        row(all="aztec_version: \"{{ '4.1.2' }}\"\n"),
    ),
    (
        "is not installed: correct its name",
        broken(AnsibleError("The lookup plugin 'fiel' was not found")),
        row(all="aztec_version: 4.1.2\n"),
    ),
    (
        "does not contain the values of a fleet",
        returned(fleets.fleet_problem, {}),
        lambda: returned(fleets.fleet_problem, fleets.fleet(ADDRESSED, GROUPS))(),
    ),
    # the controller's libraries
    (
        " -m pip install eth-account",
        without(ethereum, "eth_keys", ethereum.ethereum_address, "0x" + "1" * 64),
        raised(ethereum.ethereum_address, "0x" + "1" * 64),
    ),
    (
        "its Python has no eth_account",
        row_without_eth(),
        row(),
    ),
    (
        " -m pip install segno",
        without(publisher_key, "segno", publisher_key.qr_lines, "a"),
        raised(publisher_key.qr_lines, "a"),
    ),
    # modules' arguments
    (
        "is not a subnet: use CIDR notation",
        returned(
            compose.network_problem, {"name": "a", "bridge": "b", "ipv4_subnet": "10.0.0.1/24", "ipv6_subnet": ""}
        ),
        returned(
            compose.network_problem, {"name": "a", "bridge": "b", "ipv4_subnet": "10.0.0.0/24", "ipv6_subnet": ""}
        ),
    ),
    (
        "is not valid UTF-8: Compose reads",
        env('A="a\udcff"'),
        env('A="aÿ"'),
    ),
    (
        "the protocol is not valid: use tcp or udp",
        raised(nft.section_of, "a", [{"port": 1, "protocol": "icmp"}], []),
        raised(nft.section_of, "a", [{"port": 1, "protocol": "tcp"}], []),
        raised(nft.section_of, "a", [{"port": 1, "protocol": "udp"}], []),
    ),
    (
        "is not a source: write 0.0.0.0/0",
        raised(nft.section_of, "a", [{"port": 1, "sources": ["0.0.0.0"]}], []),
        raised(nft.section_of, "a", [{"port": 1, "sources": ["0.0.0.0/0"]}], []),
    ),
    ("_job is set by the action plugin", raised(stack_job.Job, "mine"), raised(stack_job.Job, "0" * 16)),
    # work on a host whose end is not visible
    ("it is unknown whether the work on", applied(LOST_ANSWER), applied(STARTED, ENDED, {})),
    (
        "was interrupted on the host",
        applied(STARTED, {"alive": False, "result": None}, {}),
        applied(STARTED, ENDED, {}),
    ),
    ("the result of the work", applied(STARTED, *[LOST_ANSWER] * 12), applied(STARTED, ENDED, {})),
    (
        "continues after its limit",
        applied(STARTED, *[{"alive": True, "text": "x"}] * 2000),
        applied(STARTED, ENDED, {}),
    ),
    ("set ansible_become_method: sudo", connected(become=become("su", False)), connected(become=become("sudo", True))),
    (
        "set ansible_connection: ssh",
        connected(has_pipelining=False, transport="paramiko_ssh"),
        connected(has_pipelining=True, transport="ssh"),
    ),
    (
        "is a directory and must be a file",
        written(lambda folder: (folder / "compose.yml").mkdir()),
        written(lambda folder: (folder / "compose.yml.away").mkdir()),
    ),
    ("another run works on", locked(True), locked(False)),
    # the port guard's module and daemon
    ("was not created by this module", on_machine(foreign(0)), on_machine(nothing)),
    ("belongs to process 9, which is not the guard", on_machine(foreign(9)), on_machine(nothing)),
    ("install the package nftables", on_machine(nothing, nft_there=False), on_machine(nothing)),
    ("delete it and run the role of prover_node again", on_machine(damaged(False)), on_machine(damaged(True))),
    ("correct the agents' addresses that the preflight", unreadable_section(True), unreadable_section(False)),
    ("see journalctl -u", on_machine(silent), on_machine(nothing)),
    ("belongs to process 9: end that process", owners_of_tables(9, 9), owners_of_tables(0, 0)),
    ("run it as root with CAP_NET_ADMIN", privileged(1), privileged(0)),
)
