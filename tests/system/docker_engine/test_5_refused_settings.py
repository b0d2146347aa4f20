"""Settings with which the engine does not start: the host does not change, and a corrected run succeeds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.docker_engine.conftest import Engines
from tests.system.docker_engine.test_2_pin import GIVEN, HOST
from tests.system.fleet import Fleet

MIRRORS = {"docker_engine_registry_mirrors": GIVEN["docker_engine_registry_mirrors"]}


def kept(fleet: Fleet) -> tuple[str, ...]:
    """Return what a failed run must not change: the settings, the role's record of them, and the running engine."""
    files = fleet.execute(HOST, "cd /etc/docker && tail -n +1 daemon.json .aztec_ops_prover && ls -A").out
    return files, fleet.execute(HOST, ["docker", "info", "-f", "{{.LoggingDriver}} {{.DefaultRuntime}}"]).out


@pytest.mark.parametrize(
    ("options", "line"),
    [
        pytest.param(
            {"hosts": ["tcp://127.0.0.1:2375"]},
            "docker.service has the flag --host, and the engine does not start if /etc/docker/daemon.json sets "
            "hosts too: remove hosts from docker_engine_daemon_options, or the flag from its unit (systemctl cat "
            "docker.service shows it)",
            id="flag of the unit",
        ),
        pytest.param(
            {"no-such-setting": True},
            "daemon.json was not changed, because the engine would not start with it (the following directives don't "
            "match any configuration option: no-such-setting): correct docker_engine_daemon_options and run again",
            id="rejected by the check",
        ),
        # dockerd --validate accepts these.
        pytest.param(
            {"log-driver": "journald", "log-opts": {"max-file": "5"}},
            "the engine did not start with the new daemon.json (failed to start daemon: failed to set log opts",
            id="rejected at the start",
        ),
        pytest.param(
            {"default-runtime": "no-such-runtime"},
            "the engine did not start with the new daemon.json (failed to start daemon: specified default runtime",
            id="rejected at the start again",
        ),
    ],
)
def test_settings_are_rejected(fleet: Fleet, engines: Engines, options: dict[str, Any], line: str) -> None:
    """One line contains the reason. Settings, record and engine do not change."""
    before = kept(fleet)
    applied = engines.apply(HOST, docker_engine_daemon_options=options, **MIRRORS)
    assert applied.code == 2
    assert f"{HOST}: {line}" in applied.output
    assert kept(fleet) == before


def test_corrected_run_succeeds(fleet: Fleet, engines: Engines) -> None:
    """No start limit prevents it, and another log driver does not get the options of json-file."""
    given = {"docker_engine_daemon_options": {"log-driver": "journald"}, **MIRRORS}
    assert engines.apply(HOST, **given).changed(HOST) > 0
    assert fleet.execute(HOST, ["docker", "info", "-f", "{{.LoggingDriver}}"]).out.strip() == "journald"
    assert "log-opts" not in json.loads(fleet.execute(HOST, "cat /etc/docker/daemon.json").out)


def test_engine_that_an_earlier_run_left_broken_is_started(fleet: Fleet, engines: Engines) -> None:
    """The role starts it with valid settings, during the minute in which systemd refuses to start it."""
    broken = """printf '{"default-runtime": "no-such-runtime"}' > /etc/docker/daemon.json"""
    starts = "for start in 1 2 3 4 5; do systemctl restart docker.service; done"
    fleet.execute(HOST, f"{broken}; {starts}; systemctl stop docker.socket", check=False)
    assert fleet.execute(HOST, ["systemctl", "is-failed", "docker.service"]).out.strip() == "failed"
    given = {"docker_engine_daemon_options": {"log-driver": "journald"}, **MIRRORS}
    assert engines.apply(HOST, **given).changed(HOST) > 0
    assert fleet.execute(HOST, ["docker", "info", "-f", "{{.LoggingDriver}}"]).out.strip() == "journald"
