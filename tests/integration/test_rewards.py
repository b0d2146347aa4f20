# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rewards that Aztec's contracts on a real anvil pay: the balance grows by exactly the sum that was displayed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.module_utils.l1.calls import query_calls
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards import contracts, epochs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.claims import CLAIM_KEY, payer_of, spent
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.epochs import CLAIMABLE, rewards_table, sums
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.rewards.session import Network, Session, Wanted
from eth_utils import to_checksum_address

from tests.integration.machine import python_of_a_host
from tests.integration.rewards_chain import REGISTRY, ROLLUP, Chain

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
# Accounts 2 and 3 of anvil's public test mnemonic, to which anvil gives 10000 ETH.
PUBLISHER_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
PUBLISHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
PAYER_KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
PAYER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
ROLLUP_NAME = "0x322813Fd9A801c5507c9de605d63CEA4f2CE6c44"
FORMER = "0x00000000000000000000000000000000000f0241"
OWN_CODE = "0x00000000000000000000000000000000000c0de1"
TOKEN = 10**18
GAS = 10_000_000
NODE = {"prover_node_publisher_private_key": PUBLISHER_KEY, CLAIM_KEY: PAYER_KEY}
IDLE = {"running": 1, "states": ["awaiting-prover", "completed"], "error": ""}


@pytest.fixture(name="anvil", scope="module")
def fixture_anvil(tmp_path_factory):
    """Return an anvil with the lab's L1."""
    chain = Chain(tmp_path_factory.mktemp("rewards"))
    yield chain
    chain.end()


@pytest.fixture(name="chain")
def fixture_chain(anvil):
    """Return the anvil in the state of the lab, with claims allowed and the rollup funded."""
    before = anvil.rpc("evm_snapshot")
    anvil.enable()
    anvil.begin()
    anvil.fund(ROLLUP, 1000 * TOKEN)
    yield anvil
    anvil.rpc("evm_setAutomine", True)
    assert anvil.rpc("evm_revert", before)


def session_on(chain: Chain, node: dict | None = None, **network) -> Session:
    """Return a session whose queries this process sends as the node's host does."""
    target = {"url": chain.url, "headers": {}}
    on = replace(Network("testnet", 31337, REGISTRY), **network)
    return Session(lambda query, _with_node: (query_calls(query), node), [target], 10, on)


def claim(session: Session, wanted: Wanted, values: dict, gas_limit: int = GAS, *, publisher: bool = False) -> tuple:
    """Claim, and return (errors before sending, (hash, receipt, error) of each transaction, the plan)."""
    found = session.rewards(wanted)
    if found.errors:
        return found.errors, [], None
    payer = payer_of(values, publisher)
    plan = session.plan(found, wanted, payer, gas_limit)
    if plan.errors:
        return plan.errors, [], plan
    return [], [session.send(plan, index, wanted.prover, payer, 5) for index in range(len(plan.claims))], plan


def test_the_balance_grows_by_exactly_the_sum(chain) -> None:
    chain.reward(PUBLISHER, {5: 3 * TOKEN // 2, 7: TOKEN + 1, 60: TOKEN})
    chain.pass_deadline(7)
    wanted = Wanted(PUBLISHER)
    found = session_on(chain).rewards(wanted)
    (rollup, _rewards) = found.rollups[0]
    assert sums(found.rollups, CLAIMABLE) == "2.500000000000000001 FEE"
    assert [line.split() for line in rewards_table(found.rollups).splitlines()[2:]] == [
        [ROLLUP_NAME, "(canonical)", "5", "1.5", "FEE", "claimable"],
        [ROLLUP_NAME, "(canonical)", "7", "1.000000000000000001", "FEE", "claimable"],
        [ROLLUP_NAME, "(canonical)", "60", "1", "FEE", "claimable", "after", *rollup.deadline_time(60).split()],
    ]
    before, ether = chain.balance(PUBLISHER), int(chain.rpc("eth_getBalance", PAYER, "latest"), 16)
    errors, sent, plan = claim(session_on(chain), wanted, NODE)
    ((_hash, receipt, error),) = sent
    assert (errors, error, plan.claims[0].epochs) == ([], "", [5, 7])
    assert chain.balance(PUBLISHER) - before == 5 * TOKEN // 2 + 1
    # The account of the claim's key paid for the gas, at most what was displayed.
    cost = ether - int(chain.rpc("eth_getBalance", PAYER, "latest"), 16)
    assert 0 < cost <= plan.fees.most(plan.claims)
    assert cost == int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert spent(receipt).endswith(" ETH")
    # Nothing is claimed twice.
    again = session_on(chain).rewards(wanted)
    assert [one.state for one in again.rollups[0][1] if one.epoch in (5, 7, 60)] == ["claimed", "claimed", "open"]
    assert claim(session_on(chain), wanted, NODE)[2].claims == []
    assert chain.balance(PUBLISHER) - before == 5 * TOKEN // 2 + 1


def test_a_claim_is_split_by_its_gas(chain) -> None:
    rewards = {epoch: TOKEN + epoch for epoch in range(150)}
    chain.reward(PUBLISHER, rewards)
    chain.pass_deadline(149)
    before = chain.balance(PUBLISHER)
    errors, sent, plan = claim(session_on(chain), Wanted(PUBLISHER), NODE, 500_000)
    assert errors == []
    assert [error for _hash, _receipt, error in sent] == [""] * len(sent)
    assert len(sent) > 3
    assert sorted(epoch for one in plan.claims for epoch in one.epochs) == list(range(150))
    assert max(int(receipt["gasUsed"], 16) for _hash, receipt, _error in sent) <= 500_000
    assert max(one.gas_limit for one in plan.claims) <= 500_000
    assert chain.balance(PUBLISHER) - before == sum(rewards.values())
    assert claim(session_on(chain), Wanted(PUBLISHER), NODE, 60_000)[0] == []


def test_a_gas_limit_that_is_too_low_for_one_epoch(chain) -> None:
    chain.reward(PUBLISHER, {7: TOKEN})
    chain.pass_deadline(7)
    (line,) = claim(session_on(chain), Wanted(PUBLISHER), NODE, 30_000)[0]
    assert line.startswith("a claim of epoch 7 needs ")
    assert line.endswith(" gas: increase rewards_gas_limit")


def test_rewards_of_a_former_rollup(chain) -> None:
    chain.reward(PUBLISHER, {3: 2 * TOKEN})
    chain.add_rollup(FORMER)
    chain.fund(FORMER, 50 * TOKEN)
    chain.reward(PUBLISHER, {4: 5 * TOKEN}, FORMER)
    chain.pass_deadline(4)
    found = session_on(chain).rewards(Wanted(PUBLISHER))
    assert [(rollup.address.lower(), rollup.canonical) for rollup, _rewards in found.rollups] == [
        (FORMER, True),
        (ROLLUP, False),
    ]
    # The copy of the rollup does not allow claims.
    assert (sums(found.rollups, CLAIMABLE), sums(found.rollups, "disabled")) == ("2 FEE", "5 FEE")
    copy = found.rollups[0][0].address
    (line,) = claim(session_on(chain), Wanted(PUBLISHER, copy, (4,)), NODE)[0]
    assert line == f"the rollup {copy} (canonical) does not allow claims yet: run again when its owner enables them"
    chain.enable(FORMER)
    before = chain.balance(PUBLISHER)
    errors, sent, _plan = claim(session_on(chain), Wanted(PUBLISHER), NODE)
    assert (errors, [error for _hash, _receipt, error in sent]) == ([], ["", ""])
    assert chain.balance(PUBLISHER) - before == 7 * TOKEN


def test_a_contract_that_pays_the_sender(chain) -> None:
    chain.reward(PUBLISHER, {7: TOKEN})
    chain.pass_deadline(7)
    chain.pay_the_sender(ROLLUP, OWN_CODE)
    (line,) = claim(session_on(chain), Wanted(PUBLISHER), NODE)[0]
    remedy = f"pay the gas with the key of {PUBLISHER}, or set rewards_rollup to another rollup"
    assert line == f"{ROLLUP_NAME} (canonical) pays the sender of a claim: {remedy}"
    before = chain.balance(PUBLISHER)
    errors, ((_hash, _receipt, error),), _plan = claim(session_on(chain, IDLE), Wanted(PUBLISHER), NODE, publisher=True)
    assert (errors, error) == ([], "")
    assert chain.balance(PUBLISHER) - before == TOKEN


def test_epochs_that_cannot_be_claimed(chain) -> None:
    chain.reward(PUBLISHER, {5: TOKEN, 7: TOKEN, 60: TOKEN})
    chain.pass_deadline(7)
    assert claim(session_on(chain), Wanted(PUBLISHER, epochs=(5,)), NODE)[1][0][2] == ""
    before = chain.balance(PUBLISHER)
    found = session_on(chain).rewards(Wanted(PUBLISHER))
    after = found.rollups[0][0].deadline_time(60)
    *lines, future = claim(session_on(chain), Wanted(PUBLISHER, epochs=(5, 6, 7, 60, 5000)), NODE)[0]
    assert re.fullmatch(r"epoch 5000 is in the future, the current epoch is 10\d\d: name an epoch of the table", future)
    assert lines == [
        "epoch 5 is already claimed: remove it from rewards_epochs",
        f"epoch 6 brought {PUBLISHER} nothing: remove it from rewards_epochs",
        f"proofs of epoch 60 are still accepted: claim it after {after}",
    ]
    assert chain.balance(PUBLISHER) == before
    # The remedies work.
    assert claim(session_on(chain), Wanted(PUBLISHER, epochs=(7,)), NODE)[1][0][2] == ""
    chain.pass_deadline(60)
    assert claim(session_on(chain), Wanted(PUBLISHER, epochs=(60,)), NODE)[1][0][2] == ""
    assert chain.balance(PUBLISHER) - before == 2 * TOKEN


def test_the_wrong_chain_registry_and_rollup(chain) -> None:
    chain.reward(PUBLISHER, {7: TOKEN})
    wanted = Wanted(PUBLISHER)
    with pytest.raises(ValueError, match="is on chain 31337, but testnet is on chain 1: correct prover_node_l1_ex"):
        session_on(chain, chain_id=1).rewards(wanted)
    with pytest.raises(ValueError, match=f"{ROLLUP} is not the registry of testnet: correct aztec_l1_registry"):
        session_on(chain, registry=ROLLUP).rewards(wanted)
    with pytest.raises(
        ValueError, match=f"does not know the rollup {FORMER}: set rewards_rollup to one of {ROLLUP_NAME}"
    ):
        session_on(chain).rewards(Wanted(PUBLISHER, FORMER))
    session = session_on(chain)
    session.targets = [{"url": "http://127.0.0.1:1/s3cret", "headers": {}}]
    with pytest.raises(ValueError, match=r"no L1 client of the node responds \(http://127.0.0.1:1 is not reachable"):
        session.rewards(wanted)
    # The next client of the node is used.
    session.targets.append({"url": chain.url, "headers": {}})
    assert session.rewards(wanted).rollups


def test_accounts_that_must_not_or_cannot_pay(chain) -> None:
    chain.reward(PUBLISHER, {7: TOKEN})
    chain.pass_deadline(7)
    before = chain.balance(PUBLISHER)

    def refused(values: dict, node: dict | None = None, *, publisher: bool = False) -> list:
        try:
            return claim(session_on(chain, node), Wanted(PUBLISHER), values, publisher=publisher)[0]
        except ValueError as error:
            return [str(error)]

    no_key = {**NODE, CLAIM_KEY: ""}
    key_set = f"set {CLAIM_KEY} and remove rewards_use_publisher"
    assert refused(no_key) == [
        f"no account pays for the gas: set {CLAIM_KEY} in the vault to the key of an account with some ETH"
    ]
    assert refused({**NODE, CLAIM_KEY: "0x12"}) == [
        f"{CLAIM_KEY}: the private key is not 32 bytes of hex: give 0x and 64 hex digits"
    ]
    assert refused({**NODE, CLAIM_KEY: PUBLISHER_KEY}) == [
        f"{CLAIM_KEY} is the key of a publisher, whose proofs a claim can block: "
        "set that of another account, or add -e rewards_use_publisher=true"
    ]
    signer = {"prover_node_key_source": "web3signer", "prover_node_publisher_addresses": [PUBLISHER]}
    assert refused(signer, publisher=True) == [f"the publisher's key is in a web3signer: {key_set}"]
    submitting = {**IDLE, "states": ["publishing-proof"]}
    assert refused(no_key, submitting, publisher=True) == [
        "the node is submitting a proof: run again when it is proven"
    ]
    unknown = {**IDLE, "error": "rejects prover_getJobs"}
    assert refused(no_key, unknown, publisher=True) == [
        f"whether the node is submitting a proof is not known (rejects prover_getJobs): {key_set}"
    ]
    balance = chain.rpc("eth_getBalance", PAYER, "latest")
    chain.rpc("anvil_setBalance", PAYER, "0x1")
    (line,) = refused(NODE)
    assert line.startswith(f"{PAYER} has less than 0.000001 ETH, the gas can cost up to ")
    assert line.endswith(": send ETH to it")
    chain.rpc("anvil_setBalance", PAYER, balance)
    # Transactions that are not mined.
    chain.rpc("evm_setAutomine", False)
    for account, values, publisher in ((PAYER, NODE, False), (PUBLISHER, no_key, True)):
        chain.rpc("anvil_impersonateAccount", account)
        chain.rpc("eth_sendTransaction", {"from": account, "to": account, "value": "0x1"})
        assert refused(values, IDLE, publisher=publisher) == [
            f"a transaction of {account} is pending: run again when it is mined"
        ]
    chain.rpc("anvil_mine", "0x1")
    chain.rpc("evm_setAutomine", True)
    assert chain.balance(PUBLISHER) == before
    assert refused(no_key, IDLE, publisher=True) == []
    assert chain.balance(PUBLISHER) - before == TOKEN


def sent_after(chain: Chain, change, wait: int = 1) -> tuple:
    """Return what is sent when the L1 changes between the simulation and the transaction."""
    session, wanted, payer = session_on(chain), Wanted(PUBLISHER), payer_of(NODE, False)
    plan = session.plan(session.rewards(wanted), wanted, payer, GAS)
    assert plan.errors == []
    change()
    return session.send(plan, 0, PUBLISHER, payer, wait)


def test_an_l1_that_is_different_after_the_simulation(chain) -> None:
    chain.reward(PUBLISHER, {7: 4 * TOKEN})
    chain.pass_deadline(7)
    before, restore = chain.balance(PUBLISHER), chain.rpc("evm_snapshot")
    balance = chain.rpc("eth_getBalance", PAYER, "latest")
    _hash, receipt, line = sent_after(chain, lambda: chain.rpc("anvil_setBalance", PAYER, "0x1"))
    assert receipt is None
    assert line.startswith("the L1 client rejects eth_sendRawTransaction: Insufficient funds")
    assert line.endswith(", nothing was sent: correct the cause, then run again")
    chain.rpc("anvil_setBalance", PAYER, balance)
    transaction, receipt, line = sent_after(chain, lambda: chain.fund(ROLLUP, TOKEN))
    assert receipt["status"] == "0x0"
    assert line.startswith(f"{transaction} was reverted and paid nothing, its gas cost 0.0")
    assert line.endswith(" ETH: run again to see why")
    assert chain.balance(PUBLISHER) == before
    (line,) = claim(session_on(chain), Wanted(PUBLISHER), NODE)[0]
    reason = "the rollup does not hold enough of the token"
    assert line == (
        f"a simulated claim of epochs 7 of {ROLLUP_NAME} (canonical) fails ({reason}): run again when that is corrected"
    )
    chain.fund(ROLLUP, 1000 * TOKEN)
    transaction, receipt, line = sent_after(chain, lambda: chain.reward(PUBLISHER, {7: TOKEN}))
    assert receipt["status"] == "0x1"
    assert line == f"{transaction} paid 1 FEE instead of 4 FEE: compare it with a block explorer"
    assert chain.balance(PUBLISHER) - before == TOKEN
    assert chain.rpc("evm_revert", restore)


def test_a_transaction_that_is_not_mined(chain) -> None:
    chain.reward(PUBLISHER, {7: TOKEN})
    chain.pass_deadline(7)
    before = chain.balance(PUBLISHER)
    transaction, receipt, line = sent_after(chain, lambda: chain.rpc("evm_setAutomine", False))
    assert receipt is None
    assert line == f"the receipt of {transaction} is missing (has no receipt after 1 s): run again when it is mined"
    # Meanwhile no second claim is sent.
    pending = [f"a transaction of {PAYER} is pending: run again when it is mined"]
    assert claim(session_on(chain), Wanted(PUBLISHER), NODE)[0] == pending
    chain.rpc("anvil_mine", "0x1")
    chain.rpc("evm_setAutomine", True)
    assert chain.balance(PUBLISHER) - before == TOKEN
    assert claim(session_on(chain), Wanted(PUBLISHER), NODE)[2].claims == []


def session_with(chain: Chain, **replaced: dict) -> Session:
    """Return a session whose L1 client answers these methods with other outcomes."""

    def send_query(query: dict, _with_node: bool) -> tuple:
        found = query_calls(query)
        methods = [call[0] for call in query["calls"]]
        found["outcomes"] = [replaced.get(name, one) for name, one in zip(methods, found["outcomes"])]
        return found, None

    session = session_on(chain)
    session.send_query = send_query
    return session


def test_an_l1_client_that_does_not_tell(chain) -> None:
    """Each remedy is another L1 client, here the anvil itself."""
    chain.reward(PUBLISHER, {7: TOKEN})
    chain.pass_deadline(7)
    before, no = chain.balance(PUBLISHER), {"error": "rejects the method", "data": ""}
    more = {"result": f"0x{2 * TOKEN:064x}"}
    name = f"epochs 7 of {ROLLUP_NAME} (canonical)"
    for method, outcome, line in (
        ("eth_getTransactionCount", no, f"the L1 client does not return the transactions of {PAYER}"),
        ("eth_maxPriorityFeePerGas", no, "the L1 client does not return the fees for gas"),
        ("eth_getBalance", no, f"the L1 client does not return the balance of {PAYER}"),
        ("eth_estimateGas", no, f"the gas of a claim of {name} cannot be estimated (rejects the method)"),
        ("eth_call", more, f"a simulated claim of {name} pays 2 FEE instead of 1 FEE"),
    ):
        session, wanted, payer = session_with(chain, **{method: outcome}), Wanted(PUBLISHER), payer_of(NODE, False)
        plan = session.plan(session_on(chain).rewards(wanted), wanted, payer, GAS)
        assert plan.errors == [f"{line}: use another L1 client"]
    for method, line in (("REWARD", f"all rewards of {ROLLUP_NAME} (canonical)"), ("ROLLUP", "all rollups of the reg")):
        session = session_on(chain)
        values, function = session.values, getattr(contracts, method)
        session.values = lambda calls, values=values, function=function: [
            None if call[0] is function and call[2] != 0 else value for call, value in zip(calls, values(calls))
        ]
        with pytest.raises(ValueError, match=f"^the L1 client does not return {re.escape(line)}.*: use another L1"):
            session.rewards(Wanted(PUBLISHER))
    assert chain.balance(PUBLISHER) == before
    assert claim(session_on(chain), Wanted(PUBLISHER), NODE)[1][0][2] == ""
    assert chain.balance(PUBLISHER) - before == TOKEN


def test_a_rollup_with_other_functions(chain) -> None:
    chain.reward(PUBLISHER, {7: TOKEN})
    chain.add_rollup(FORMER)
    chain.rpc("anvil_setCode", FORMER, "0x00")
    copy = to_checksum_address(FORMER)
    line = f"{copy} does not have the functions of a rollup of release 2.1 to 6: use another program"
    with pytest.raises(ValueError, match=line):
        session_on(chain).rewards(Wanted(PUBLISHER))
    # A former rollup does not prevent a claim on others.
    assert session_on(chain).rewards(Wanted(PUBLISHER, ROLLUP_NAME)).rollups[0][1][7].amount == TOKEN
    session = session_on(chain)
    listed = session.rollup_addresses()
    session.rollup_addresses = lambda: [(version, one, not canonical) for version, one, canonical in listed]
    found = session.rewards(Wanted(PUBLISHER))
    assert (found.errors, found.skipped, found.rollups[0][1][7].amount) == ([], [line], TOKEN)


def test_epochs_that_are_not_queried(chain, monkeypatch) -> None:
    monkeypatch.setattr(epochs, "NEWEST", 10)
    chain.reward(PUBLISHER, {7: TOKEN, 30: TOKEN})
    found = session_on(chain).rewards(Wanted(PUBLISHER))
    assert [one.epoch for one in found.rollups[0][1]] == list(range(21, 31))
    assert found.skipped == [
        f"epochs before 21 of {ROLLUP_NAME} (canonical) were not queried: add -e rewards_from_epoch=0 for them as well"
    ]
    found = session_on(chain).rewards(Wanted(PUBLISHER, first=0))
    assert (found.skipped, sums(found.rollups, "open")) == ([], "2 FEE")


def test_an_account_that_another_program_uses(chain) -> None:
    chain.reward(PUBLISHER, {7: TOKEN})
    chain.pass_deadline(7)

    def spend() -> None:
        chain.rpc("anvil_impersonateAccount", PAYER)
        chain.rpc("eth_sendTransaction", {"from": PAYER, "to": PAYER, "value": "0x1"})

    _hash, receipt, line = sent_after(chain, spend)
    assert receipt is None
    assert line == f"another program sent a transaction of {PAYER}: end it, then run again"
    assert claim(session_on(chain), Wanted(PUBLISHER), NODE)[1][0][2] == ""


def test_an_l1_client_that_is_behind(chain) -> None:
    """It answers as before the first of two transactions, then as the anvil does."""
    chain.reward(PUBLISHER, {7: TOKEN, 8: TOKEN})
    chain.pass_deadline(8)
    before = chain.balance(PUBLISHER)
    session, wanted, payer = session_on(chain), Wanted(PUBLISHER), payer_of(NODE, False)
    plan = session.plan(session.rewards(wanted), wanted, payer, 125_000)
    assert plan.errors == []
    assert [one.epochs for one in plan.claims] == [[7], [8]]
    behind = session_with(chain, eth_getTransactionCount={"result": hex(plan.nonce)})
    assert behind.send(plan, 0, PUBLISHER, payer, 5)[2] == ""
    line = "the L1 client does not know the transaction before this one yet: run again"
    assert behind.send(plan, 1, PUBLISHER, payer, 5) == ("", None, line)
    assert chain.balance(PUBLISHER) - before == TOKEN
    assert claim(session_on(chain), Wanted(PUBLISHER), NODE)[1][0][2] == ""
    assert chain.balance(PUBLISHER) - before == 2 * TOKEN


# --- real playbook runs, with this machine as the host of the node ---


def play(folder: Path, chain: Chain, *arguments: str, **values) -> subprocess.CompletedProcess:
    """Run the playbook with an inventory of one host with these variables. stdout contains stderr too."""
    variables = {
        "ansible_connection": "local",
        "ansible_host": "127.0.0.1",
        "ansible_python_interpreter": python_of_a_host(folder),
        "ansible_become": False,
        "aztec_version": "4.1.2",
        "aztec_l1_chain_id": 31337,
        "aztec_l1_registry": REGISTRY,
        "aztec_l1_execution_urls": [chain.url],
        "aztec_l1_consensus_urls": ["http://10.1.2.3:5052"],
        "prover_node_p2p_ip": "9.9.9.9",
        **NODE,
        **values,
    }
    groups = {group: {"hosts": {"node-1": None}} for group in ("prover_node", "prover_broker")}
    inventory = {"all": {"vars": variables}, **groups, "prover_agent": {"hosts": {}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "500"}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "aztec_ops.prover.fleet"
    environment["PATH"] = f"{TOOLS}:{environment['PATH']}"
    run = ["ansible-playbook", "-i", str(folder / "hosts.yml"), str(ROOT / "playbooks/rewards.yml"), *arguments]
    shown = subprocess.run(
        run, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180,
        check=False,
    )
    for secret in (PUBLISHER_KEY, PAYER_KEY):
        assert secret[2:] not in shown.stdout
    return shown


def test_the_playbook_reports_and_claims(chain, tmp_path) -> None:
    chain.reward(PUBLISHER, {5: 3 * TOKEN // 2, 7: TOKEN, 60: TOKEN})
    chain.pass_deadline(7)
    before = chain.balance(PUBLISHER)
    shown = play(tmp_path, chain)
    assert shown.returncode == 0, shown.stdout
    assert f"Rewards of {PUBLISHER} on testnet\n\nROLLUP" in shown.stdout
    assert shown.stdout.strip().splitlines()[-1] == "2.5 FEE can be claimed, 1 FEE can be claimed later"
    shown = play(tmp_path, chain, "--check", "-e", "rewards_claim=true")
    assert shown.returncode == 0, shown.stdout
    assert f"Claims, paid by {PAYER}\n\nROLLUP" in shown.stdout
    assert shown.stdout.strip().splitlines()[-1] == "would claim 2.5 FEE in 1 transaction"
    assert chain.balance(PUBLISHER) == before
    shown = play(tmp_path, chain, "-e", "rewards_claim=true")
    assert shown.returncode == 0, shown.stdout
    assert "claimed 2.5 FEE with 0x" in shown.stdout
    assert shown.stdout.strip().splitlines()[-1] == f"claimed 2.5 FEE for {PUBLISHER}"
    assert chain.balance(PUBLISHER) - before == 5 * TOKEN // 2
    shown = play(tmp_path, chain, "-e", "rewards_claim=true")
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.strip().splitlines()[-1] == "1 FEE can be claimed later"
    assert chain.balance(PUBLISHER) - before == 5 * TOKEN // 2


def test_a_run_with_errors_sends_nothing(chain, tmp_path) -> None:
    chain.reward(PUBLISHER, {5: TOKEN, 60: TOKEN})
    chain.pass_deadline(7)
    before = chain.balance(PUBLISHER)
    shown = play(tmp_path, chain, "-e", "rewards_claim=true", "-e", "rewards_epochs=6,60,5000")
    assert shown.returncode == 2, shown.stdout
    assert "WHAT IS WRONG" in shown.stdout
    assert shown.stdout.strip().splitlines()[-1] == "3 problems in the table above, nothing was sent"
    shown = play(tmp_path, chain, "-e", "rewards_claim=true", prover_node_claim_private_key="")
    assert shown.returncode == 2, shown.stdout
    assert f"rewards: no account pays for the gas: set {CLAIM_KEY}" in shown.stdout
    shown = play(tmp_path, chain, "-e", "rewards_claim=perhaps")
    assert shown.returncode == 2, shown.stdout
    assert "rewards: rewards_claim is not a boolean: write true or false" in shown.stdout
    assert chain.balance(PUBLISHER) == before
