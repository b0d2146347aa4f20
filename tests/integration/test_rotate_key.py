"""playbooks/rotate_key.yml up to its change of a host with a real engine. tests/controller has the steps before."""

from __future__ import annotations

import os
from pathlib import Path

from tests.controller.test_keys import PASSWORD
from tests.controller.test_rotate_key import NEXT, NEXT_WORDS, OLD, command, keys, place_with_key, steps


def test_other_changes_than_the_key_are_rejected(tmp_path: Path) -> None:
    """This machine does not have a prover node, so the files differ with both keys."""
    place = place_with_key(tmp_path)
    steps(place, killed=True)
    before, staged = place.tree(), keys(place)
    run = place.run(command(place, {}, "-vvvv", "--diff"), DOCKER_HOST=os.environ["DOCKER_HOST"])
    assert run.message() == (
        "node-1: more than the key would change on this host: run aztec_ops.prover.site first (with --check --diff it "
        "shows what), then the same command again; the node keeps its current key"
    )
    assert sum("TASK [aztec_ops.prover.component : Apply the Compose project]" in line for line in run.lines) == 2
    assert place.leaks(run, OLD, staged[NEXT], staged[NEXT_WORDS], PASSWORD) == []
    assert place.tree() == before
