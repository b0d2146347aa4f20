# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proxies that are set anywhere are never used for loopback or for the fleet's own hosts."""

from __future__ import annotations

import json

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import (
    bypass_list,
    client_proxies,
    merged_model,
    no_proxy_settings,
    with_settings,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import daemon_settings
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.fleet import fleet

LOCAL = "localhost,127.0.0.1,::1,[::1]"
PROXY = "http://user:S3cret@proxy.lan:3128"
SOCKET = "unix:///var/run/docker.sock"
KEY = "0x" + "ab" * 32


def service(environment: object = None, env_file: object = None) -> dict:
    found = {"image": "a:1", "env_file": [".env"] if env_file is None else env_file}
    return {"services": {"s": found if environment is None else {**found, "environment": environment}}}


def seen(model: dict, values: dict | None = None, client: dict | None = None) -> object:
    """Return the environment of the one service, None where it has none of its own."""
    return after(model, values or {}, client or {}, ["broker.lan", "10.0.0.10"])["s"].get("environment")


def after(model: dict, values: dict, client: dict, names: list) -> dict:
    """Return the services as Compose merges them with the override file."""
    settings = no_proxy_settings(merged_model(model, {}), values, client, names, "/opt/p")
    return merged_model(model, with_settings({}, "environment", settings))["services"]


@pytest.mark.parametrize(
    ("config", "names"),
    [
        pytest.param("", {}, id="no file"),
        pytest.param("{}", {}, id="no proxies"),
        pytest.param("{", {}, id="not JSON, which the CLI ignores"),
        pytest.param('{"proxies": []}', {}, id="another form"),
        pytest.param('{"proxies": {"default": {"httpProxy": 7}}}', {}, id="no text"),
        pytest.param('{"proxies": {"tcp://other": {"httpProxy": "p"}}}', {}, id="of another engine"),
        pytest.param('{"proxies": {"default": {"httpProxy": "p"}}}', {"http_proxy": "p"}, id="one"),
        pytest.param('{"proxies": {"default": {"HTTPPROXY": "p"}}}', {"http_proxy": "p"}, id="case of the keys"),
        pytest.param(
            '{"proxies": {"default": {"httpsProxy": "a", "allProxy": "b", "ftpProxy": "c", "noProxy": "d"}}}',
            {"https_proxy": "a", "all_proxy": "b", "ftp_proxy": "c", "no_proxy": "d"},
            id="all",
        ),
        pytest.param(
            f'{{"proxies": {{"default": {{"httpProxy": "p"}}, "{SOCKET}": {{"allProxy": "q"}}}}}}',
            {"all_proxy": "q"},
            id="those of the engine take precedence",
        ),
    ],
)
def test_what_the_cli_adds(config: str, names: dict) -> None:
    assert client_proxies(config, SOCKET) == {**names, **{name.upper(): value for name, value in names.items()}}


@pytest.mark.parametrize(
    ("existing", "names", "value"),
    [
        ([], [], LOCAL),
        ([], ["broker.lan", "fd00::10"], f"{LOCAL},broker.lan,fd00::10,[fd00::10]"),
        (["corp.lan, 127.0.0.1"], ["broker.lan"], "corp.lan,127.0.0.1,localhost,::1,[::1],broker.lan"),
        (["a.lan", "b.lan a.lan"], [], f"a.lan,b.lan,{LOCAL}"),
        (["*"], ["broker.lan"], "*"),
        (["a.lan,*"], [], "*"),
        ([""], [], LOCAL),
    ],
)
def test_bypass_list(existing: list, names: list, value: str) -> None:
    assert bypass_list(existing, names) == value


ADDED = f"{LOCAL},broker.lan,10.0.0.10"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("place", ["config.json", ".env", "compose", "compose's list", "no value of its own"])
def test_no_proxy_is_filled_wherever_a_proxy_is_set(name: str, place: str) -> None:
    both = {"NO_PROXY": ADDED, "no_proxy": ADDED}
    if place == "config.json":
        assert seen(service(), {}, {name: PROXY}) == both
    elif place == ".env":
        assert seen(service(), {name: PROXY}) == both
    elif place == "compose":
        assert seen(service({name: PROXY})) == {name: PROXY, **both}
    elif place == "compose's list":
        assert seen(service([f"{name}={PROXY}"])) == {name: PROXY, **both}
    else:
        assert seen(service([name])) == {name: None, **both}


@pytest.mark.parametrize(
    ("environment", "values", "client", "wanted"),
    [
        pytest.param(None, {"A": "1"}, {}, None, id="no proxy"),
        pytest.param({"A": "1"}, {"NO_PROXY": "a"}, {"no_proxy": "b"}, {"A": "1"}, id="an exception without a proxy"),
        pytest.param({"HTTP_PROXY": ""}, {"HTTP_PROXY": PROXY}, {}, {"HTTP_PROXY": ""}, id="removed manually"),
        pytest.param(
            None,
            {"NO_PROXY": "corp.lan"},
            {"http_proxy": "p", "no_proxy": "other.lan"},
            dict.fromkeys(("NO_PROXY", "no_proxy"), f"corp.lan,other.lan,{ADDED}"),
            id="exceptions of both are kept",
        ),
        pytest.param(
            {"no_proxy": "own.lan"},
            {"https_proxy": "p", "no_proxy": "corp.lan"},
            {},
            dict.fromkeys(("no_proxy", "NO_PROXY"), f"own.lan,{ADDED}"),
            id="Compose's own takes precedence over .env",
        ),
        pytest.param(
            None,
            {"https_proxy": "p", "no_proxy": "a$b"},
            {},
            dict.fromkeys(("no_proxy", "NO_PROXY"), f"a$$b,{ADDED}"),
            id="a dollar sign is none of Compose's variables",
        ),
    ],
)
def test_what_is_there_already(environment: object, values: dict, client: dict, wanted: object) -> None:
    assert seen(service(environment), values, client) == wanted


def test_a_service_that_does_not_read_the_env_file_is_not_changed() -> None:
    assert seen(service(env_file=["other.env"]), {"HTTP_PROXY": PROXY}) is None


def test_the_model_is_not_changed() -> None:
    model = service({"HTTP_PROXY": PROXY})
    before = json.dumps(model)
    seen(model)
    assert json.dumps(model) == before


def test_every_service_is_treated() -> None:
    model = {"services": {"a": {"image": "a:1"}, "b": {"image": "b:1", "environment": {"X": "1"}}}}
    found = after(model, {}, {"http_proxy": "p"}, [])
    assert [one["environment"]["no_proxy"] for one in found.values()] == [LOCAL, LOCAL]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, None),
        ({"proxies": {"no-proxy": "a.lan"}}, "a.lan"),
        ({"proxies": {"http-proxy": PROXY}}, f"{LOCAL},10.0.0.10"),
        ({"proxies": {"https-proxy": PROXY, "no-proxy": "a.lan"}}, f"a.lan,{LOCAL},10.0.0.10"),
        ({"proxies": {"https-proxy": "", "no-proxy": ""}}, ""),
    ],
)
def test_the_engine_s_own_proxy(options: dict, wanted: str | None) -> None:
    assert daemon_settings([], options, ["10.0.0.10"]).get("proxies", {}).get("no-proxy") == wanted


def test_the_fleet_s_names_and_addresses() -> None:
    hosts = {
        "node-1": {"aztec_address": "10.0.0.10", "prover_node_publisher_private_key": KEY},
        "broker-1": {"aztec_address": "fd00::11", "aztec_address6": "fd00::12"},
        "agent-1": {"aztec_address": "10.0.0.21", "prover_agent_broker_host": "nat.lan"},
        "agent-2": {"aztec_address": "fd00::22"},
    }
    groups = {"prover_node": ["node-1"], "prover_broker": ["broker-1"], "prover_agent": ["agent-1", "agent-2"]}
    addresses = {name: [name] for name in ("10.0.0.10", "fd00::11", "10.0.0.21", "fd00::22")}
    found = fleet(hosts, groups, resolved={**addresses, "nat.lan": ["10.9.9.9"], "node-1": ["10.0.0.10"]})["hosts"]
    shared = ["prover-node", "prover-broker", "fd00::11", "10.0.0.10", "fd00::12"]
    assert found["agent-1"]["no_proxy"] == [*shared, "nat.lan"]
    assert [found[host]["no_proxy"] for host in ("node-1", "broker-1", "agent-2")] == [shared] * 3
