# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the action reads specifications and variables, and what it says of those that it cannot have."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.aztec_ops.prover.plugins.action.check_fleet import (
    host_keys,
    host_values,
    plain,
    read_specs,
    why_broken,
)
from ansible_collections.aztec_ops.prover.plugins.module_utils.inventory_checks import Broken

SPECS = read_specs(Path(__file__).resolve().parents[4] / "roles")


class AnsibleVaultError(AnsibleError):
    """Stands for the vault's errors, which are known by their name."""


class Variables(dict):
    """Variables of which some cannot be worked out."""

    def __getitem__(self, name: str):
        value = super().__getitem__(name)
        if isinstance(value, Exception):
            raise value
        return value


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AnsibleUndefinedVariable("'vault_key' is undefined"), "uses 'vault_key', which is not defined"),
        (
            AnsibleUndefinedVariable("object of type 'dict' has no attribute 'S3cret'"),
            "uses something, which is not defined",
        ),
        (caused(AnsibleError("x"), AnsibleVaultError("S3cret")), "cannot be decrypted"),
        (caused(AnsibleError("S3cret"), OSError("S3cret")), "cannot be worked out (OSError)"),
        (ValueError("S3cret"), "cannot be worked out (ValueError)"),
    ],
)
def test_why_a_value_cannot_be_had(error: Exception, reason: str) -> None:
    assert why_broken(error).reason == reason


def test_an_error_that_causes_itself_ends() -> None:
    error = AnsibleError("a")
    error.__context__ = error
    assert why_broken(error).reason == "cannot be worked out (AnsibleError)"


def test_only_the_collection_s_variables_are_worked_out() -> None:
    found = host_values(
        Variables(
            aztec_version="4.1.2",
            prover_node_publisher_private_key=ValueError("S3cret"),
            somebody_elses=ValueError("S3cret"),
            ansible_password=ValueError("S3cret"),
            ansible_host="10.0.0.1",
            __aztec_fleet={},
        ),
        SPECS,
    )
    assert found["aztec_version"] == "4.1.2"
    assert found["ansible_host"] == "10.0.0.1"
    assert found["somebody_elses"] == found["ansible_password"] == ""
    assert isinstance(found["prover_node_publisher_private_key"], Broken)
    assert "__aztec_fleet" not in found


class Shut(str):
    """A text that no password opens."""

    def __str__(self) -> str:
        raise AnsibleVaultError("S3cret")


def test_variables_that_may_hold_a_key_are_read_as_they_are_written() -> None:
    found = host_keys({
        "sequencer_key": "{{ not_run }}",
        "my_publishers": ["a"],
        "signer": Shut("S3cret"),
        "other": "x",
        "ansible_ssh_private_key_file": "x",
        "__key": "x",
    })
    assert found.pop("signer").reason == "cannot be decrypted"
    assert found == {"sequencer_key": "{{ not_run }}", "my_publishers": ["a"]}


def test_plain() -> None:
    assert plain({"a": ("b", 1, None, True, 1.5)}) == {"a": ["b", 1, None, True, 1.5]}


def test_the_roles_specifications_are_read() -> None:
    assert SPECS.owner("aztec_version") == "preflight"
    assert SPECS.default("prover_broker", "port") == 8080
    assert "prover_node_" in SPECS.prefixes()
    assert "prover_node_broker_url" in SPECS.defaults["prover_node"]
