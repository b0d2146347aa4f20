"""The tables of cases, by their names."""

from __future__ import annotations

from tests.remedies.tables.earning import EARNING
from tests.remedies.tables.engines import ENGINES
from tests.remedies.tables.fleets import FLEETS
from tests.remedies.tables.hosts import HOSTS
from tests.remedies.tables.keys import KEYS_AND_VAULTS
from tests.remedies.tables.l1 import L1
from tests.remedies.tables.monitor import MONITORS
from tests.remedies.tables.networks import NETWORKS
from tests.remedies.tables.operations import OPERATIONS
from tests.remedies.tables.others import OTHERS
from tests.remedies.tables.removals import REMOVALS
from tests.remedies.tables.running import RUNNING
from tests.remedies.tables.upgrades import UPGRADES

TABLES = {
    "hosts": HOSTS,
    "engines": ENGINES,
    "networks": NETWORKS,
    "monitors": MONITORS,
    "keys": KEYS_AND_VAULTS,
    "l1": L1,
    "running": RUNNING,
    "operations": OPERATIONS,
    "removals": REMOVALS,
    "others": OTHERS,
    "fleets": FLEETS,
    "upgrades": UPGRADES,
    "earning": EARNING,
}
