# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts whose own programs may restart Docker, and the remedies of the warnings."""

from __future__ import annotations

import re

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.automatic_updates import (
    restart_facts,
    upgrade_facts,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.automatic_update_checks import (
    automatic_update_problems,
)

OF_DOCKER = {"docker-ce": "5:28", "containerd.io": "1.7"}
OF_DISTRIBUTION = {"docker.io": "26", "containerd": "1.7"}
SECURITY, FROM_DOCKER = "${distro_id}:${distro_codename}-security", "Docker:${distro_codename}"

UPDATES_DOCKER = (
    "unattended-upgrades may update docker-ce and containerd.io, which restarts Docker in the middle of a proof"
)
RESTARTS_BOTH = (
    "needrestart may restart docker.service and containerd.service after an update, in the middle of a proof"
)


def upgrades(*origins: str, enabled: bool = True, blocked: tuple = ()) -> dict:
    return {"upgrades": {"enabled": enabled, "origins": list(origins), "blocked": list(blocked)}, "restarts": None}


def restarts(mode: str = "", *kept: str) -> dict:
    return {"upgrades": None, "restarts": {"mode": mode, "kept": list(kept)}}


def problems(packages: dict, found: dict | None) -> list:
    more = {} if found is None else {"automatic_updates": found}
    return list(automatic_update_problems("node-1", {"engine": {"packages": packages}, **more}))


@pytest.mark.parametrize(
    ("packages", "found", "wrong"),
    [
        pytest.param(OF_DOCKER, None, [], id="not read"),
        pytest.param(OF_DOCKER, {"upgrades": None, "restarts": None}, [], id="neither is installed"),
        pytest.param(OF_DOCKER, upgrades(SECURITY), [], id="Docker's packages are from another origin"),
        pytest.param(OF_DOCKER, upgrades(SECURITY, FROM_DOCKER, enabled=False), [], id="turned off"),
        pytest.param(
            OF_DOCKER, upgrades(SECURITY, FROM_DOCKER),
            [UPDATES_DOCKER],
            id="Docker's origin",
        ),
        pytest.param(
            OF_DOCKER, upgrades("origin=*"),
            [UPDATES_DOCKER],
            id="any origin",
        ),
        pytest.param(
            OF_DISTRIBUTION, upgrades(SECURITY, blocked=("docker",)),
            ["unattended-upgrades may update containerd, which restarts Docker in the middle of a proof"],
            id="one is excluded",
        ),
        pytest.param(OF_DISTRIBUTION, upgrades(SECURITY, blocked=("docker", "contain")), [], id="both are excluded"),
        pytest.param(
            OF_DISTRIBUTION, upgrades(SECURITY, blocked=("docker.io", "(")),
            ["unattended-upgrades may update containerd, which restarts Docker in the middle of a proof"],
            id="an invalid expression",
        ),
        pytest.param(
            {}, restarts(),
            [RESTARTS_BOTH],
            id="needrestart",
        ),
        pytest.param({}, restarts("l"), [], id="needrestart only lists"),
        pytest.param(
            {}, restarts("a", "^docker"),
            ["needrestart may restart containerd.service after an update, in the middle of a proof"],
            id="one service is kept",
        ),
        pytest.param({}, restarts("a", "^docker", "^containerd"), [], id="both services are kept"),
    ],
)
def test_automatic_updates(packages: dict, found: dict | None, wrong: list) -> None:
    seen = problems(packages, found)
    assert [one.wrong for one in seen] == wrong
    assert all(one.level == "warning" for one in seen)


@pytest.mark.parametrize(("packages", "origins"), [(OF_DOCKER, (FROM_DOCKER,)), (OF_DISTRIBUTION, (SECURITY,))])
def test_the_remedy_for_unattended_upgrades(packages: dict, origins: tuple) -> None:
    """The line, as apt-config dump prints it."""
    (problem,) = problems(packages, upgrades(*origins))
    names = re.findall(r'"([^"]+)";', problem.remedy)
    dump = "".join(f'Unattended-Upgrade::Package-Blacklist:: "{name}";\n' for name in names)
    assert problems(packages, upgrades(*origins, blocked=tuple(upgrade_facts(dump)["blocked"]))) == []


@pytest.mark.parametrize("kept", [(), ("^docker",)])
def test_the_remedy_for_needrestart(kept: tuple) -> None:
    (problem,) = problems({}, restarts("a", *kept))
    written = problem.remedy.removeprefix("write ").partition(" to /")[0]
    assert problems({}, restarts("a", *kept, *restart_facts([written])["kept"])) == []
