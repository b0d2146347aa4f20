# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rule for PROVER_ID, and the filters that the roles use."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.filter.filters import FilterModule
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.publisher.prover_id import node_prover_id, prover_id

ONE, TWO = "0x" + "ab" * 32, "0x" + "cd" * 32
FIRST, SECOND = "0xe239cdc5fbe977a8a141B72194D3CF8c41bC5BC6", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        pytest.param({"publisher_private_key": ONE}, FIRST, id="one_key"),
        pytest.param({"publisher_private_keys": [ONE, TWO]}, FIRST, id="several_keys"),
        pytest.param({"publisher_private_key": "", "publisher_private_keys": [ONE]}, FIRST, id="an_empty_key"),
        pytest.param({"publisher_private_key": ONE, "key_source": "env"}, FIRST, id="environment"),
        pytest.param(
            {"key_source": "web3signer", "publisher_addresses": [SECOND.lower(), FIRST]}, SECOND, id="remote_signer"
        ),
        pytest.param({"publisher_private_key": ONE, "prover_id": SECOND.lower()}, SECOND, id="set"),
    ],
)
def test_prover_id(settings: dict, address: str) -> None:
    assert node_prover_id({f"prover_node_{name}": value for name, value in settings.items()}) == address
    given = settings.get("prover_id", "")
    arguments = {name.removeprefix("publisher_"): value for name, value in settings.items() if name != "prover_id"}
    assert prover_id(given, **arguments) == address
    assert FilterModule().filters()["prover_id"](given, **arguments) == address


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", "keystore"), "the private key is not 32 bytes of hex"),
        (("", "web3signer", ONE), "not an Ethereum address"),
        (("0x12", "keystore", ONE), "not an Ethereum address"),
    ],
)
def test_no_prover_id(arguments: tuple, error: str) -> None:
    with pytest.raises(AnsibleFilterError, match=error):
        FilterModule().filters()["prover_id"](*arguments)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("10.0.0.10", 8080, "http://10.0.0.10:8080"),
        ("prover-broker", "8090", "http://prover-broker:8090"),
        ("fd00::10", 8080, "http://[fd00::10]:8080"),
    ],
)
def test_broker_url(host: str, port: object, url: str) -> None:
    assert FilterModule().filters()["broker_url"](host, port) == url
