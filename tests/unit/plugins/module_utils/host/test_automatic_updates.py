# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read from the configuration of unattended-upgrades and needrestart."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.automatic_updates import (
    automatic_update_facts,
    restart_facts,
    upgrade_facts,
)

# As apt of Ubuntu 24.04 prints it.
DUMP = """\
APT "";
APT::Periodic "";
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade "";
Unattended-Upgrade::Allowed-Origins "";
Unattended-Upgrade::Allowed-Origins:: "${distro_id}:${distro_codename}-security";
Unattended-Upgrade::Allowed-Origins:: "Docker:${distro_codename}";
Unattended-Upgrade::Package-Blacklist "";
Unattended-Upgrade::Package-Blacklist:: "docker-ce$";
Unattended-Upgrade::Package-Blacklist:: "containerd.io$";
"""


def test_settings_of_unattended_upgrades() -> None:
    assert upgrade_facts(DUMP) == {
        "enabled": True,
        "origins": ["${distro_id}:${distro_codename}-security", "Docker:${distro_codename}"],
        "blocked": ["docker-ce$", "containerd.io$"],
    }


@pytest.mark.parametrize(
    ("dump", "enabled"),
    [
        ("", False),
        ('APT::Periodic::Unattended-Upgrade "0";', False),
        ('APT::Periodic::Unattended-Upgrade "7";', True),
        ('apt::periodic::unattended-upgrade "1";', True),
        ('APT::Periodic::Unattended-Upgrade "1";\nAPT::Periodic::Enable "0";', False),
        ('APT::Periodic::Unattended-Upgrade "1";\nAPT::Periodic::Unattended-Upgrade "0";', False),
    ],
)
def test_enabled(dump: str, enabled: bool) -> None:
    assert upgrade_facts(dump)["enabled"] is enabled


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], {"mode": "", "kept": []}),
        (["#$nrconf{restart} = 'i';\n"], {"mode": "", "kept": []}),
        (["$nrconf{restart} = 'a';\n", "$nrconf{restart} = 'l';\n"], {"mode": "l", "kept": []}),
        (
            ["$nrconf{override_rc} = {\n # DBus\n qr(^dbus) => 0,\n qr(^getty@.+\\.service) => 0,\n qr(^x) => 1,\n};"],
            {"mode": "", "kept": ["^dbus", "^getty@.+\\.service"]},
        ),
        (
            ["$nrconf{override_rc}{qr(^docker)} = 0; $nrconf{override_rc}{qr(^containerd)} = 0;\n"],
            {"mode": "", "kept": ["^docker", "^containerd"]},
        ),
        (["$nrconf{override_rc}->{q(docker.service)} = 0;"], {"mode": "", "kept": ["docker.service"]}),
        (["$nrconf{override_rc}{'docker.service'} = 0;"], {"mode": "", "kept": ["docker.service"]}),
    ],
)
def test_settings_of_needrestart(texts: list, found: dict) -> None:
    assert restart_facts(texts) == found


def test_programs_that_are_installed(tmp_path: Path) -> None:
    def run(command: list) -> tuple:
        assert command == ["apt-config", "dump"]
        return 0, DUMP, ""

    assert automatic_update_facts(run, tmp_path) == {"upgrades": None, "restarts": None}
    for path in ("usr/bin/unattended-upgrade", "usr/sbin/needrestart", "etc/needrestart/conf.d/docker.conf"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("$nrconf{restart} = 'l';\n")
    found = automatic_update_facts(run, tmp_path)
    assert found["upgrades"]["enabled"] and found["restarts"] == {"mode": "l", "kept": []}
