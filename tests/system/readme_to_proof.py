"""An operator who follows the README on the lab's machines, until the L1 accepts a proof of the new publisher."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import yaml

from lab.fleet import fund, proof
from lab.fleet.settings import L1_PARAMETERS, ROOT, Settings
from tests.harness.readme import Operator, Values, address_in, build
from tests.system.fleet import Fleet, wait_for

WITHIN = 600
MAIN = ROOT / "inventories/lab/group_vars/all/main.yml"
# Not what the machines of the lab require, but the operator's own, or names of the lab's files.
OWN = ("aztec_inventory_name", "aztec_plain_secrets", "prover_node_publisher_private_key", "lab_l1")


def lab_values(settings: Settings, connection: dict[str, str]) -> Values:
    """Return what an operator fills in for the lab. connection: the variables for ssh."""
    lab = yaml.safe_load(MAIN.read_text(encoding="utf-8"))
    wanted = ("aztec_version", "aztec_network", "aztec_l1_execution_urls", "aztec_l1_consensus_urls")
    more = {name: value for name, value in lab.items() if name not in (*wanted, *OWN)}
    chain = {"aztec_l1_chain_id": L1_PARAMETERS["chainId"], "aztec_l1_registry": L1_PARAMETERS["registryAddress"]}
    machines = {machine.name: machine for machine in settings.machines}
    addresses = {name: (str(machines[name].address),) * 2 for name in ("node-1", "agent-1")}
    return Values(addresses, {name: lab[name] for name in wanted}, {**more, **chain, **connection})


def connection(key: Path | None, known_hosts: Path | str) -> dict[str, str]:
    """Return the variables for ssh. key: none if ssh's agent has it."""
    options = f"-o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes"
    variables = {"ansible_user": "admin", "ansible_ssh_common_args": options}
    return variables | ({"ansible_ssh_private_key_file": str(key)} if key else {})


def follow(operator: Operator, fleet: Fleet, place: Path) -> None:
    """Follow the README from the empty folder to a proof. place: an empty directory for the built file.

    Fail with the output of the command that fails, or with the last lines of the components' logs.
    """
    operator.install(build(place))
    operator.describe()
    commands = operator.commands()
    assert operator.run(commands["ansible"]).count("SUCCESS") == 2
    address = address_in(operator.run(commands["keys"]))
    fund.fund(fleet.settings, address, Decimal(1))
    operator.run(commands["preflight"])
    block = proof.block_number(fleet.settings)
    operator.run(commands["site"])
    try:
        accepted = wait_for(
            f"a proof of {address}",
            lambda: [one for one in proof.proofs(fleet.settings, block) if one.prover == address.lower()],
            WITHIN,
        )
    except AssertionError as error:
        logs = {name: fleet.log(host, name)[-4000:] for host, name in LOGS}
        raise AssertionError("\n".join([str(error), *(f"--- {name}\n{log}" for name, log in logs.items())])) from None
    print(f"the L1 accepted the proof of checkpoint {accepted[0].checkpoint} of {address} in {accepted[0].transaction}")
    shown = operator.run(commands["status"])
    assert "earning" in shown, shown


LOGS = (("node-1", "prover-broker"), ("node-1", "prover-node"), ("agent-1", "prover-agent"))
