# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reserved settings of roles, compared with what the roles set and with their variables."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.reserved_settings import (
    ENVIRONMENT,
    SERVICE,
    public_secret_problem,
    reserved_environment_problem,
    reserved_service_problem,
)

# What no variable of a role names: the filter publisher_environment gives the keys' names, and to a signer leads a key
# store in place of Aztec's own two variables.
PUBLISHERS = {f"PROVER_PUBLISHER_{what}" for what in ("PRIVATE_KEY", "PRIVATE_KEYS", "ADDRESSES")} | {"WEB3_SIGNER_URL"}

# What the roles set and the operator may override, because nothing else relies on it.
FREE = {"HARDWARE_CONCURRENCY", "LOG_LEVEL"}

ROLES = Path(__file__).resolve().parents[6] / "roles"


def names_set(value: object) -> set:
    """Return the names of environment variables in a role's variables."""
    if isinstance(value, list):
        return set().union(*map(names_set, value))
    if not isinstance(value, dict):
        return set()
    return {name for name in value if name == name.upper()}.union(*map(names_set, value.values()))


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_name_that_a_role_sets_is_reserved_or_free(component: str) -> None:
    variables = yaml.safe_load((ROLES / component / "vars/main.yml").read_text(encoding="utf-8"))
    # Read by the script that downloads the CRS, not by Aztec.
    variables.pop("__prover_agent_crs_environment", None)
    found = names_set(variables)
    assert "AZTEC_PORT" in found
    assert found - FREE <= set(ENVIRONMENT[component])
    # The admin port is closed on every host and for every component.
    assert set(ENVIRONMENT[component]) - found - PUBLISHERS <= {"AZTEC_ADMIN_PORT"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_options_to_set_instead_exist(component: str) -> None:
    specs = yaml.safe_load((ROLES / component / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = set(specs["argument_specs"]["main"]["options"])
    wanted = {option for option in ENVIRONMENT[component].values() if option}
    assert {f"{component}_{option}" for option in wanted} <= options
    own = {option for option in SERVICE.values() if option and option != "port"}
    assert {f"{component}_{option}" for option in own} <= options


def test_what_is_free() -> None:
    assert reserved_environment_problem(COMPONENTS, {"LOG_LEVEL": "debug", "OTEL_SERVICE_NAME": "x"}) is None
    assert reserved_environment_problem(("prover_broker",), {"P2P_PORT": 1}) is None
    assert public_secret_problem({"AZTEC_DISABLE_ADMIN_API_KEY": "true", "OTEL_SERVICE_NAME": "x"}) is None
    assert reserved_service_problem("prover_agent", {"cpus": 32, "deploy": {"resources": {}}, "volumes": []}) is None
