# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventory files whose plugin is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.sources import (
    first_missing_plugin,
    missing_plugin,
    plugin_of,
)

FULL = "write its full name with the collection, such as amazon.aws.aws_ec2"


@pytest.mark.parametrize(
    ("text", "plugin"),
    [
        ("plugin: amazon.aws.aws_ec2\nregions: [x]\n", "amazon.aws.aws_ec2"),
        ("# Hosts\n---\nplugin: 'hetzner.hcloud.hcloud'  # the cloud\n", "hetzner.hcloud.hcloud"),
        ('plugin:  "aws_ec2"\n', "aws_ec2"),
        # A group with the name "plugin", a variable of a host, a comment
        ("plugin: {hosts: {a: }}\n", ""),
        ("plugin:\n  hosts: {a: }\n", ""),
        ("all:\n  vars:\n    plugin: x\n", ""),
        ("# plugin: x\n", ""),
        ("", ""),
    ],
)
def test_plugin_of_a_file(text: str, plugin: str) -> None:
    assert plugin_of(text) == plugin


@pytest.mark.parametrize(
    ("plugin", "remedy"),
    [
        ("amazon.aws.aws_ec2", "run ansible-galaxy collection install amazon.aws, or correct the name"),
        ("hetzner.hcloud.hcloud", "run ansible-galaxy collection install hetzner.hcloud, or correct the name"),
        ("aws_ec2", FULL),
        ("aws.ec2", FULL),
        ("ansible.builtin.ec2", FULL),
    ],
)
def test_plugin_that_is_not_installed(plugin: str, remedy: str, tmp_path: Path) -> None:
    path = tmp_path / "cloud.yml"
    path.write_text(f"plugin: {plugin}\n", encoding="utf-8")
    wrong = f"{path} uses the inventory plugin {plugin}, which is not installed"
    assert missing_plugin(path, lambda _name: False) == f"{wrong}: {remedy}"
    assert missing_plugin(path, lambda _name: True) == ""


def test_first_of_all_sources(tmp_path: Path) -> None:
    """Folders are searched, except for variables and hidden files. A list of hosts is not a file."""
    for name in ("1.yml", "group_vars/all.yml", ".x.yml", "x.ini", "sub/2.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("all: {}" if name == "1.yml" else "plugin: a.b.c", encoding="utf-8")
    sources = ["localhost,", str(tmp_path / "missing"), str(tmp_path)]
    line = first_missing_plugin(sources, lambda _name: False)
    assert line.startswith(f"{tmp_path}/sub/2.yaml uses the inventory plugin a.b.c, which is not installed: ")
    assert first_missing_plugin(sources, lambda _name: True) == ""
