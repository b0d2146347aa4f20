# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How agents get the CRS. tests/integration runs the script that downloads it."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.crs import crs_delivery, crs_to_copy
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


@pytest.mark.parametrize(("name", "words"), [("", "does not contain a .dat file"), ("missing", "cannot be read")])
def test_nothing_to_copy(tmp_path, name, words):
    with pytest.raises(ValueError, match=words) as caught:
        crs_to_copy(str(tmp_path / name), "/crs", {})
    assert ": set a directory" in str(caught.value)
