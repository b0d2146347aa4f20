# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How variables of hosts are resolved, and why some cannot be resolved."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.host_variables import (
    UnresolvedValue,
    key_variables,
    missing_environment,
    resolve_variables,
    to_builtin,
    unresolved_value,
    unused_variables,
)

SPECS = read_specs(ROLES)


class AnsibleVaultError(AnsibleError):
    """Replace the vault's errors, which are recognized by name."""


class Variables(dict):
    """Variables of which some cannot be resolved."""

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
        (caused(AnsibleError("S3cret"), OSError("S3cret")), "cannot be resolved (OSError)"),
        (ValueError("S3cret"), "cannot be resolved (ValueError)"),
    ],
)
def test_why_a_value_cannot_be_had(error: Exception, reason: str) -> None:
    assert unresolved_value(error).reason == reason


class Forbidden(Exception):
    """Replace hvac's errors, which are recognized by name."""


class SopsError(Exception):
    """Replace that of community.sops."""


class HashiVaultValueError(ValueError):
    """Replace that of community.hashi_vault, whose name does not contain Vault errors."""


SOPS, HASHI = "community.sops.sops", "community.hashi_vault.vault_kv2_get"


@pytest.mark.parametrize(
    ("plugin", "cause", "reason"),
    [
        (SOPS, SopsError("S3cret"), f"its lookup {SOPS} failed: sops cannot decrypt"),
        (SOPS, FileNotFoundError("S3cret"), f"its lookup {SOPS} failed: the program sops is not installed"),
        (SOPS, ZeroDivisionError("S3cret"), f"its lookup {SOPS} failed (ZeroDivisionError)"),
        (HASHI, Forbidden("S3cret"), f"its lookup {HASHI} failed: the server rejects the token or the path"),
        (HASHI, ConnectionRefusedError("S3cret"), f"its lookup {HASHI} failed: the server does not answer"),
        (
            HASHI,
            ModuleNotFoundError("S3cret"),
            f"its lookup {HASHI} failed: the controller's Python does not have hvac",
        ),
        (HASHI, HashiVaultValueError("S3cret"), f"its lookup {HASHI} failed: it has no credentials"),
        ("pipe", OSError("S3cret"), "its lookup pipe failed (OSError)"),
    ],
)
def test_why_a_lookup_failed(plugin: str, cause: Exception, reason: str) -> None:
    failed = AnsibleError(f"The lookup plugin '{plugin}' failed: S3cret")
    assert unresolved_value(caused(failed, caused(AnsibleError("S3cret"), cause))).reason == reason


def test_a_lookup_that_is_not_installed() -> None:
    found = unresolved_value(AnsibleError(f"The lookup plugin '{SOPS}' was not found."))
    assert (found.reason, found.remedy) == (
        f"its lookup {SOPS} is not installed",
        "ansible-galaxy collection install community.sops",
    )
    assert unresolved_value(AnsibleError("The lookup plugin 'x' was not found.")).remedy == "correct its name"


NAME, URLS = "prover_node_publisher_private_key", "aztec_l1_execution_urls"


@pytest.mark.parametrize(
    ("name", "value", "missing"),
    [
        (NAME, "{{ lookup('ansible.builtin.env', 'GONE') }}", "GONE"),
        (NAME, '0x{{ lookup("env", "GONE") }}', "GONE"),
        (NAME, "{{- lookup( 'env' , 'EMPTY' ) -}}", "EMPTY"),
        (NAME, "{{ lookup('env', 'HERE') }}", None),
        (NAME, "{{ lookup('env', 'GONE', default='x') }}", None),
        (NAME, "{{ lookup('env', 'GONE') | default('x', true) }}", None),
        (URLS, ["https://rpc.lan", "https://rpc.lan/{{ lookup('env', 'GONE') }}"], "GONE"),
        ("prover_node_secret_environment", {"A": "{{ lookup('env', 'GONE') }}"}, "GONE"),
        ("aztec_version", "{{ lookup('env', 'GONE') }}", None),
        ("somebody_elses", "{{ lookup('env', 'GONE') }}", None),
    ],
)
def test_a_secret_from_an_environment_variable_that_is_not_there(
    name: str, value: object, missing: str | None, monkeypatch
) -> None:
    monkeypatch.delenv("GONE", raising=False)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("HERE", "x")
    wanted = {name: f"reads the environment variable {missing}, which is not set"} if missing else {}
    assert {name: one.reason for name, one in missing_environment({name: value}, SPECS).items()} == wanted


def test_variables_that_no_component_of_a_host_reads_are_not_resolved() -> None:
    looked_up = "{{ lookup('env', 'HERE') }}"
    written = {
        NAME: looked_up,
        "prover_agent_count": 1,
        URLS: [looked_up],
        "aztec_l1_consensus_urls": ["https://rpc.lan"],
        "aztec_version": looked_up,
        "somebody_elses": looked_up,
    }
    assert unused_variables(written, SPECS, ["prover_agent"]) == {NAME, URLS}
    assert unused_variables(written, SPECS, ["prover_broker"]) == {NAME, "prover_agent_count"}
    assert unused_variables(written, SPECS, ["prover_node", "prover_agent"]) == set()


def test_an_error_that_causes_itself_ends() -> None:
    error = AnsibleError("a")
    error.__context__ = error
    assert unresolved_value(error).reason == "cannot be resolved (AnsibleError)"


def test_only_the_collection_s_variables_are_resolved() -> None:
    found = resolve_variables(
        Variables(
            aztec_version="4.1.2",
            prover_node_publisher_private_key=ValueError("S3cret"),
            somebody_elses=ValueError("S3cret"),
            ansible_password=ValueError("S3cret"),
            ansible_host="10.0.0.1",
            preflight_fleet={},
        ),
        SPECS,
    )
    assert found["aztec_version"] == "4.1.2"
    assert found["ansible_host"] == "10.0.0.1"
    assert found["somebody_elses"] == found["ansible_password"] == ""
    assert isinstance(found["prover_node_publisher_private_key"], UnresolvedValue)
    assert "preflight_fleet" not in found


class Shut(str):
    """A text that no password decrypts."""

    def __str__(self) -> str:
        raise AnsibleVaultError("S3cret")


def test_variables_that_may_hold_a_key_are_read_as_they_are_written() -> None:
    found = key_variables(
        {
            "sequencer_key": "{{ not_run }}",
            "my_publishers": ["a"],
            "signer": Shut("S3cret"),
            "other": "x",
            "ansible_ssh_private_key_file": "x",
            "__key": "x",
        }
    )
    assert found.pop("signer").reason == "cannot be decrypted"
    assert found == {"sequencer_key": "{{ not_run }}", "my_publishers": ["a"]}


def test_plain() -> None:
    assert to_builtin({"a": ("b", 1, None, True, 1.5)}) == {"a": ["b", 1, None, True, 1.5]}


def test_the_roles_specifications_are_read() -> None:
    assert SPECS.owner("aztec_version") == "preflight"
    assert SPECS.default("prover_broker", "port") == 8080
    assert "prover_node_" in SPECS.prefixes()
    assert "prover_node_broker_host" in SPECS.defaults["prover_node"]
