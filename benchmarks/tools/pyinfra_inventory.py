"""pyinfra's inventory: the hosts of the desired state in the directory BENCHMARK_STATE."""

import os
from pathlib import Path

STATE = Path(os.environ["BENCHMARK_STATE"]).resolve()

hosts = [
    (path.name, {"ssh_config_file": str(STATE / "ssh_config"), "_sudo": True, "state": str(path)})
    for path in sorted(STATE.iterdir())
    if path.is_dir()
]
