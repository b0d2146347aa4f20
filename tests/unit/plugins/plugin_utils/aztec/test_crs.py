# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the CRS comes from, and the service that fetches it. What the command does is tried in tests/integration."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import compose_project
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.crs import (
    SERVICE,
    crs_delivery,
    crs_to_copy,
    seed_entrypoint,
    with_crs_seed,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of

FOUR, TWO = release_of("4.1.2").as_dict(), release_of("2.1.5").as_dict()
PLAIN, CARRIES = "aztecprotocol/aztec", "registry.lan:5000/aztec-prover-agent"


@pytest.mark.parametrize(
    ("source", "image", "release", "environment", "way"),
    [
        ("", PLAIN, FOUR, {}, "download"),
        ("", PLAIN, FOUR, {"PROVER_REAL_PROOFS": "true"}, "download"),
        ("", PLAIN, FOUR, {"PROVER_REAL_PROOFS": "1"}, "download"),
        ("", PLAIN, FOUR, {"PROVER_REAL_PROOFS": "false"}, "none"),
        ("/srv/crs", PLAIN, FOUR, {"PROVER_REAL_PROOFS": "0"}, "none"),
        ("", CARRIES, FOUR, {}, "image"),
        ("", CARRIES, TWO, {}, "download"),
        ("image", PLAIN, TWO, {}, "image"),
        ("/srv/crs", CARRIES, FOUR, {}, "copy"),
        ("https://mirror.lan/crs", PLAIN, FOUR, {}, "url"),
    ],
)
def test_way(source, image, release, environment, way):
    assert crs_delivery(source, image, release, environment) == way


def test_to_copy_is_what_is_missing_or_of_another_size(tmp_path):
    for name in ("a.dat", "b.dat", "c.dat", "other.txt"):
        (tmp_path / name).write_text("abc")
    there = {"/crs/a.dat": 3, "/crs/b.dat": 2, "/elsewhere/c.dat": 3}
    assert crs_to_copy(str(tmp_path), "/crs", there) == ["b.dat", "c.dat"]
    assert crs_to_copy("https://mirror.lan/crs", "/crs", there) == []


@pytest.mark.parametrize(("name", "words"), [("", "holds no .dat file"), ("missing", "cannot be read")])
def test_nothing_to_copy(tmp_path, name, words):
    with pytest.raises(ValueError, match=words) as caught:
        crs_to_copy(str(tmp_path / name), "/crs", {})
    assert ": name a directory" in str(caught.value)


def agents(extra: dict | None = None, **service) -> dict:
    """Give the model of two agents."""
    own = {"image": "a:1", "volumes": ["/crs:/var/lib/crs"], "restart": "always", **service}
    names = ["prover-agent-1", "prover-agent-2"]
    return compose_project(own, "prover_agent", FOUR, "testnet", 8082, "net", extra, names)


@pytest.mark.parametrize("way", ["none", "image"])
def test_nothing_to_seed(way):
    assert with_crs_seed(agents(), way, FOUR) == agents()


def test_every_agent_waits_for_the_seed():
    before = agents({"extra_hosts": ["a:1.2.3.4"], "depends_on": ["other"]}, mem_limit="1g")
    services = with_crs_seed(before, "download", FOUR)["services"]
    seed = services.pop(SERVICE)
    assert list(services) == ["prover-agent-1", "prover-agent-2"]
    for service in services.values():
        assert service["depends_on"] == {
            SERVICE: {"condition": "service_completed_successfully"},
            "other": {"condition": "service_started"},
        }
    assert (seed["container_name"], seed["restart"], seed["healthcheck"]) == (SERVICE, "no", {"disable": True})
    # It may run beside the first agent, whose MAC address is on the same bridge.
    assert not {"depends_on", "mac_address"} & seed.keys()
    assert [service["mac_address"] for service in services.values()] == ["02:a2:7e:02:00:01", "02:a2:7e:02:00:02"]
    # What the operator gave to the agents holds here too.
    for key in ("image", "volumes", "env_file", "networks", "extra_hosts", "mem_limit", "ulimits"):
        assert seed[key] == before["services"]["prover-agent-1"][key]


@pytest.mark.parametrize("way", ["download", "url", "copy"])
@pytest.mark.parametrize("digests", [{}, {"bn254_g1.dat": "sha256:" + "0a" * 32}])
def test_command(way, digests):
    lock, path, *shell, script = seed_entrypoint(way, FOUR, "https://mirror.lan/crs/" if way == "url" else "", digests)
    assert (lock, path, shell) == ("flock", "/var/lib/crs", ["sh", "-ec"])
    preload = "node --no-warnings /usr/src/yarn-project/aztec/dest/bin/index.js preload-crs"
    assert script.count(preload) == 1
    assert ("curl" in script) is (way == "url")
    assert ("sha256sum" in script) is bool(digests)
    if digests:
        # What Aztec fetched is checked after it, what is brought from elsewhere ahead of it.
        assert (script.index("sha256sum") > script.index(preload)) is (way == "download")
    # Compose would put variables of its own in the place of a single $.
    assert "$" not in script.replace("$$", "")
