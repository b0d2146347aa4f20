# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The preflight's check of the version that the network runs, in real playbook runs.

The network's configuration is that of the lab's front, with a nodeVersion.
"""

from __future__ import annotations

import json
import re
import tempfile
from base64 import b64encode
from pathlib import Path

import pytest

from lab.l1 import front
from tests.integration.test_l1_preflight import (  # noqa: F401 (fixtures)
    GONE,
    REGISTRY,
    SECRETS,
    Endpoint,
    assert_no_secret,
    fixture_anvils,
    fixture_chain,
    fixture_serve,
    play,
    quoted,
    rows_of,
)

FILE = "/network_config.json"


def config(**changes: str) -> dict:
    """Return the lab's network configuration with these values of testnet."""
    return {"testnet": {**front.network_config()["testnet"], **changes}}


@pytest.fixture(name="values")
def fixture_values(chain, serve):
    """Return a function that returns the variables of a run whose network's configuration has these values."""
    beacon = serve(Endpoint)

    def values(location: str = "", **changes: str) -> dict:
        served = serve(Endpoint, rewritten={FILE: (200, config(**changes))}) + FILE
        return {
            "aztec_l1_execution_urls": [chain],
            "aztec_l1_consensus_urls": [beacon],
            "aztec_environment": {"NETWORK_CONFIG_LOCATION": location or served},
        }

    return values


@pytest.fixture(name="data")
def fixture_data():
    """Return an empty data directory. A directory below /tmp would be rejected."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def row_of(run) -> str:
    """Return the row of the network's version, with single spaces."""
    (row,) = [row for row in rows_of(run) if row.startswith("node-1 testnet ")]
    return row


def test_the_version_that_the_network_runs(tmp_path, values, serve) -> None:
    """The configuration is requested once."""
    run = play(tmp_path, values(nodeVersion="4.1.2"))
    assert serve.handlers[-1].requests == [FILE]
    assert run.returncode == 0, run.stdout
    assert re.fullmatch(r"node-1 testnet 4\.1\.2 4\.1\.2 http://[0-9.]+:\d+ ok", row_of(run)), row_of(run)
    assert "aztec_version (warning)" not in "\n".join(rows_of(run))


def test_a_version_that_cannot_follow_the_network_stops_the_run(tmp_path, values) -> None:
    """The run stops before it changes anything, with one line that contains the remedy."""
    run = play(tmp_path, values(nodeVersion="6.0.0"), playbook="playbooks/site.yml")
    assert run.returncode == 2, run.stdout
    assert "1 problem on the hosts, in the table above; nothing was changed." in run.stdout, run.stdout
    assert len(re.findall(r"^PLAY \[", run.stdout, re.MULTILINE)) == 2
    assert row_of(run).startswith("node-1 testnet 4.1.2 6.0.0 http://") and row_of(run).endswith(" INCOMPATIBLE")
    line = (
        "node-1 aztec_version the network testnet runs 6.0.0, but aztec_version is 4.1.2, which cannot follow it set "
        "aztec_version to 6.0.0, with new data directories (prover_node_data_directory, prover_broker_data_directory)"
    )
    assert line in rows_of(run), run.stdout


def test_it_can_be_overridden(tmp_path, values) -> None:
    """aztec_l1_checks applies to this check too. A different registry is always a warning."""
    other = "0x" + "ab" * 20
    found = values(nodeVersion="6.0.0", registryAddress=other)
    run = play(tmp_path, {**found, "aztec_l1_checks": "warn"})
    assert run.returncode == 0, run.stdout
    rows = rows_of(run)
    assert [row for row in rows if row.startswith("node-1 aztec_version (warning) the network testnet runs 6.0.0")]
    line = r"node-1 aztec_l1_registry \(warning\) the network's configuration \(http://\S+\) contains the registry "
    line += f"{other} for testnet, but this run uses {REGISTRY} "
    assert [row for row in rows if re.match(line, row)], run.stdout


def test_a_version_ahead_of_the_network_is_a_warning(tmp_path, values) -> None:
    run = play(tmp_path, values(nodeVersion="2.1.11"))
    assert run.returncode == 0, run.stdout
    assert row_of(run).endswith(" ahead")
    where = "node-1 aztec_version (warning) the network testnet runs 2.1.11, but aztec_version is 4.1.2: "
    assert [row for row in rows_of(run) if row.startswith(f"{where}node and broker wait in standby")], run.stdout


def test_what_was_not_checked_is_reported_and_not_a_problem(tmp_path, values, data) -> None:
    """Neither a file without nodeVersion nor an unreachable server is a problem."""
    run = play(tmp_path, values())
    assert run.returncode == 0, run.stdout
    assert row_of(run).endswith(" not checked: the file does not contain nodeVersion")
    run = play(tmp_path, {**values(GONE + FILE), "prover_node_data_directory": str(data)})
    assert run.returncode == 0, run.stdout
    line = f"- - not checked: {GONE} is not reachable: connection refused; there is no cached copy"
    assert row_of(run) == f"node-1 testnet 4.1.2 {line}"
    assert [row for row in rows_of(run) if row.startswith("node-1 aztec_")] == []


def test_the_cached_copy_of_the_program_is_read_last(tmp_path, values, data) -> None:
    copy = data / "cache/testnet/network_config.json"
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(config(nodeVersion="6.0.0")), encoding="utf-8")
    run = play(tmp_path, {**values(GONE + FILE), "prover_node_data_directory": str(data)})
    assert run.returncode == 2, run.stdout
    state = r"4\.1\.2 6\.0\.0 copy of \d{4}-\d\d-\d\d in the data directory INCOMPATIBLE$"
    assert re.search(state, row_of(run)), run.stdout


def test_a_password_in_the_location_is_used_and_not_shown(tmp_path, values, serve) -> None:
    user, password = SECRETS["user"], SECRETS["password"]
    basic = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    document = config(nodeVersion="4.1.2")
    for right in (True, False):
        url = serve(Endpoint, rewritten={FILE: (200, document)}, required_user=basic + ("" if right else "x"))
        location = url.replace("http://", f"http://{quoted(user)}:{quoted(password)}@") + FILE
        run = play(tmp_path, values(location), "-vvv")
        assert run.returncode == 0, run.stdout
        assert_no_secret(run.stdout)
        end = f" 4.1.2 {url} ok" if right else f"- - not checked: {url} returns 401 Unauthorized: wrong key: "
        assert end in row_of(run), run.stdout


def test_no_configuration_is_requested_without_the_checks(tmp_path, values, serve) -> None:
    found = values(nodeVersion="6.0.0")
    run = play(tmp_path, {**found, "aztec_l1_checks": "ignore"})
    assert run.returncode == 0, run.stdout
    assert "NETWORK VERSION" not in run.stdout
    assert serve.handlers[-1].requests == []
