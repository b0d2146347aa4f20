"""What the tests of this role have in common."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.fleet import Fleet
from tests.system.single_role import Applied, apply

URL = "http://172.31.77.60/docker"


class Engines:
    """Applies the role with the address of the tests' packages and the key that they are signed with."""

    def __init__(self, fleet: Fleet) -> None:
        self.fingerprint = fleet.execute("packages-1", "cat /srv/docker/fingerprint").out

    def apply(self, host: str, **arguments: Any) -> Applied:
        """Apply the role to one host."""
        given = {"docker_engine_apt_url": URL, "docker_engine_apt_key_fingerprint": self.fingerprint, **arguments}
        return apply("docker_engine", host, **given)


@pytest.fixture(scope="session")
def engines(fleet: Fleet) -> Engines:
    """Return the role."""
    return Engines(fleet)
