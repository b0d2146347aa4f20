# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each range by values inside and outside of it, and which range an option has."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import (
    RANGES,
    range_of,
    range_problem,
)

ADDRESSES = (
    [["10.0.0.1"], ["10.0.0.0/8", "fd00::/64"], [], ["0.0.0.0/0"]],
    [["10.0.0.0/33"], ["10.0.0.1", "10.0.0.1/8"], ["host.lan"], [10]],
)
URLS = (["https://mirror.lan/docker"], ["mirror.lan", "ftp://mirror.lan", "https://mirror.example"])
DIRECTORIES = ["", "/", "//", "opt", -1, "/opt/a:b", "/opt/$a", "/opt/a ", "/opt/a\n", "/opt/../etc", "/tmp/a", "//run"]
IMAGES = ["aztec:1", "aztec@sha256:00", "https://a.lan/b", "Aztec/a", "a b"]
ENVIRONMENTS = [{"A-B": 1}, {"1A": 1}, {"A": {}}, {"A": 10**20}, {1: 1}, {"A": [{}]}, {"A": "\0"}]
STORES = ["https://a.lan/x", "http://a.lan:80", "s3://bucket/x", "gs://bucket", "file:///data"]
NO_STORES = [
    "a.lan/x",
    "ftp://a.lan",
    "s3://",
    "gs:///",
    "https://a.example",
    "s3://a b",
    "s3://[a",
    "s3://a,b",
    "file:///",
]
AUTO = (["auto", 1, "2"], [0, -1, "many", "2.5", True])

# Range -> values that it takes, values that it refuses.
ROOTS = (
    ["", "/data/docker", "/mnt/disk-1/x_y.z@w+v/", "/var/lib/docker", "/var/lib/containerd"],
    ["docker", "/", "/var", "/opt", "/tmp/x", "/run/docker", "/a b", "/a%i", "/a'b", "/a/../b", "/a$b", "/a\nb"],
)
VALUES = {
    "broker_host": (
        ["10.0.0.1", "fd00::1", "broker.lan"],
        ["http://a.lan", "a.lan:80", "[fd00::1]", "10.0.0.300", "a b"],
    ),
    "port": ([1, 65535, "8080"], [0, 65536, -1, "http", True]),
    "prover_agent_count": AUTO,
    "hardware_concurrency": AUTO,
    "poll_interval_ms": ([1, 29999], [0, 30000]),
    "drain_timeout": ([1, "900"], [0, -1]),
    "agents_at_once": (["25%", "1%", "100%", 1, "3", 400], [0, "0", "0%", "150%", "101%", -1, "half", "2.5", True]),
    "next_version": (["", "6.0.1", "v4.1.2", "5.0.0-rc.1"], ["latest", "6.0", "6"]),
    "upgrade_wait": ([0, 3600, "60"], [-1]),
    "aztec_components": (
        ["", [], "prover_agent", ["prover_node", "prover_broker"], "prover_node, prover_monitor"],
        ["prover_agnet", ["prover_node", "agent"], {"prover_node": 1}],
    ),
    "timeout": ([0, 600, "5"], [-1]),
    "memory_limit": (["", "16g", "500M", "512mb"], ["16", 16, "16 g", "0g", "1.5g", "16t"]),
    "cpu_limit": ([0, 0.0, 0.01, 3.5, "2", 64], [-1, 0.001, "two", "", True]),
    "l1_chain_id": ([0, 1, "31337"], [-1]),
    "l1_max_head_age": ([1, "300"], [0, "5 min"]),
    "l1_timeout": ([1, 60], [0, -5, 0.5]),
    "l1_balance_warn": ([0, 0.1, "2.5", 100], [-0.1, "0.1 ETH", "", float("nan"), True]),
    "l1_balance_fail": ([0, "0.05"], [-1, "none"]),
    "l1_submission_gas": ([1, 3_500_000, "2000000"], [0, -1, 1.5, "3.5M"]),
    "max_fee_gwei": (
        ["", 1, 0.5, "2.25", "0.000000001", 5000],
        [0, "0", 0.0, -1, "-0.1", "0.0000000001", "2 gwei", True, None],
    ),
    "log_max_size": (["100m", "1g", "20k"], ["", "100", 100, "m"]),
    "log_max_files": ([1, "3"], [0, -1, "many", 1.5]),
    "crs_source": (
        ["", "image", "/srv/crs", "https://mirror.lan/crs", "http://10.0.0.5:8000"],
        [
            "/",
            "srv/crs",
            "mirror.lan",
            "https://me:S3cret@m.lan",
            "https://m.lan/?k=v",
            "http://m.lan/'",
            "http://m.lan/$x",
        ],
    ),
    "crs_digests": (
        [{}, {"bn254_g1.dat": "sha256:" + "0a" * 32}],
        [{"bn254_g1.dat": "0a" * 32}, {"../x": "sha256:" + "0a" * 32}, {"a b": "sha256:" + "0a" * 32}, {"a": ""}],
    ),
    "stop_grace_period": (["", "60s", "1m30s", "1.5h", "500ms", "1h5m30s20ms"], [60, "60", "60 s", "1d", "-1s", "s"]),
    "version": (["2.1.5", "v4.1.2", "5.2.0-rc.1", "7.0.0"], ["", "latest", "4.1", "3.0"]),
    "release_line": (["", "2.1", "6", 6], ["7", "2", "6.0", "latest"]),
    "snapshot_urls": ([[], *([url] for url in STORES)], [[url] for url in NO_STORES]),
    "blob_file_store_urls": ([[], ["https://a.lan", "gs://bucket"]], [["https://a.lan", "bucket"]]),
    "tx_file_store_urls": ([[], ["https://a.lan", "s3://bucket/x"]], [["ssh://a.lan"]]),
    "proof_store": (["", "s3://bucket/x", "gs://bucket", "file:///data"], ["https://a.lan", "s3://", "/data"]),
    "funding_threshold": ([0, 0.1, "2.5"], [-0.1, "0.1 ETH"]),
    "funding_amount": ([0, "1", 0.00002], [-1, "none", float("inf"), -0.00002]),
    "priority_fee_bump_percentage": ([0, 1, "30", 1000], [-1, 1001, 0.5, "30 %"]),
    "priority_fee_retry_bump_percentage": ([0, 10, 1000], [1, 9, 1001, ""]),
    "admin_api_key": (
        ["", "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "kB7/qXz0_pL-w=TnVr4+8.", "abcdefghijklmnopqrstuvwxyzab"],
        ["0f1e2d3c4b5a69788796a5b4c3d2e1f", "kB7/qXz0_pL-w=TnVr4", "0123456789" * 3, "ab" * 32, "a b" * 20, "\u00e4"],
    ),
    "p2p_private_key": (
        ["", "08021220" + "0a" * 32],
        ["0x" + "0a" * 32, "08021220" + "0a" * 31, "08021220" + "0a" * 32 + "0", "08021220" + "0A" * 32],
    ),
    "admin_api_key_hash": (["", "0a" * 32, "0A" * 32], ["0a", "0x" + "0a" * 32, "zz" * 32]),
    "image": (["", "aztecprotocol/aztec", "registry.lan:5000/aztec"], IMAGES),
    "image_digest": (["", "sha256:" + "0a" * 32], ["sha256:0a", "0a" * 32, "sha256:" + "0A" * 32]),
    "directory": (["/opt/aztec", "/srv/a b/", "/data"], [*DIRECTORIES, "/opt", "/var/lib/", "//etc"]),
    "aztec_instance": (["", "a", "main2", "a23456789"], ["2main", "Main", "a-b", "a_b", "a b", "a234567890", 2]),
    "aztec_inventory_name": (["", "prod", "Our-prover_2.1"], ["our prover", "a/b", "a)", "a\n"]),
    "aztec_directory": (["/opt/aztec", "/opt", "/srv/"], DIRECTORIES),
    "log_level": (
        ["", "info", "info;debug:prover", "warn; debug: p2p,prover; TRACE:x"],
        ["INFO", "loud", "debug:prover", "info;", "info;prover", "info;loud:prover"],
    ),
    "environment": ([{}, {"A": 1, "_B": True, "C1": "x"}], ENVIRONMENTS),
    "docker_network": (["aztec-prover", "a.b_c"], ["", "host", "bridge", "none", "default", "-a", "a b"]),
    "docker_bridge": (["aztec0", "br-1.2_3"], ["", "a" * 16, "-a", "a b", "a/b", "lo", "docker0"]),
    "docker_ipv4_subnet": (
        ["", "10.201.0.0/24", "172.16.0.0/12", "192.168.7.0/28"],
        ["10.0.0.1/24", "10.0.0.0/7", "10.0.0.0/29", "10.0.0.0", "fd00::/64", "127.0.0.0/24", "224.0.0.0/8", "x"],
    ),
    "docker_mtu": ([0, 1280, "1400", 9000, 65535], [-1, 1, 1279, 65536, "", "1400 bytes", True]),
    "docker_ipv6_subnet": (["", "fd00:1::/64"], ["10.0.0.0/8", "fd00:1::1/64", "fd00"]),
    "address": (
        ["", "10.0.0.10", "fd00::10", "[fd00::10]", "fe80::1%eth0", "node-1", "node_1.lan.", "1st.lan", "bücher.lan"],
        ["10.0.0.10/24", "fd00::/64", "172.31.77.300", "10.10", "0x7f.1", "7", "a..lan", "-a", "a b", "a:22", "a" * 64],
    ),
    "publish_addresses": ([[], ["10.0.0.10", "::", "node.lan"]], [["10.0.0.0/24"], ["10.0.0.10", "10.0.0.256"]]),
    "address6": (["", "fd00::10"], ["10.0.0.1", "node.lan", "fd00::/64"]),
    "admit": ADDRESSES,
    "admitted": ADDRESSES,
    "admits": ADDRESSES,
    "sources": ADDRESSES,
    "monitor_admitted": ADDRESSES,
    "metrics_admitted": ADDRESSES,
    "otlp_endpoint": (
        ["", "http://10.0.0.5:4318/v1/metrics", "https://collector.lan/a/v1/metrics"],
        ["10.0.0.5:4318/v1/metrics", "http://10.0.0.5:4318", "http://10.0.0.5:4318/v1/traces", "ftp://a.lan/v1/metrics"],
    ),
    "otlp_interval": ([5, "30", 300], [4, 301, "30s"]),
    "host_metrics_interval": ([5, "60", 300], [4, 301, "1m"]),
    "scrape_interval": ([5, "30", 300], [4, 301, "30s"]),
    "retention_days": ([1, "30"], [0, -1, "30d"]),
    "retention_gb": ([1, "20"], [0, "20GB"]),
    "grafana_admin_password": (
        ["correct-horse-battery", "x" * 12, "admin" + "x" * 30],
        ["", "x" * 11, "admin", "admin1234567", "prom-operator", "password-123", " " + "x" * 12, "x" * 12 + "\n"],
    ),
    "telegram_chat_id": (["", "123", "-100123456"], ["@name", "12.5", "--1"]),
    "telegram_bot_token": (["", "123456:" + "t" * 35], ["123456", "t" * 35, "123456:short"]),
    "slack_channel": (["", "#prover", "@someone"], ["prover", "#", "#two words"]),
    "pagerduty_routing_key": (["", "k" * 32], ["k" * 31, "k" * 33, "-" * 32]),
    "email_to": (["", "a@b.lan"], ["a", "a@b@c", "a b@c.lan", "a@b.lan,c@d.lan"]),
    "email_from": (["", "a@b.lan"], ["a"]),
    "email_smarthost": (["", "mail.lan:587", "[fd00::1]:25"], ["mail.lan", "mail.lan:", "smtp://mail.lan:25"]),
    "webhook_url": (["", *URLS[0]], URLS[1]),
    "watchdog_url": (["", *URLS[0]], URLS[1]),
    "monitor_targets.address": (["10.0.0.1", "fd00::1"], ["http://a.lan", "a.lan:80", "10.0.0.300"]),
    "docker_engine_data_root": ROOTS,
    "docker_engine_containerd_root": ROOTS,
    "docker_engine_version": (["", "28.5.2", "28.5.2-1", "26.1.5+dfsg1"], ["28", "28.5", "latest", "v28.5.2"]),
    "docker_engine_apt_url": URLS,
    "docker_engine_apt_key_fingerprint": (["0A" * 20, "9dc8 " * 10], ["", "0A" * 19, "0x" + "0A" * 19, "ZZ" * 20]),
    "docker_engine_registry_mirrors": ([[], *([url] for url in URLS[0])], [[url] for url in URLS[1]]),
    "port_guard_section": (["prover_node", "a"], ["", "A", "1a", "a-b", "a" * 41]),
    "port_guard_ports.addresses": ADDRESSES,
    "port_guard_containers.mac_address": (
        ["02:a2:7e:00:00:01", "FF:ff:FF:ff:FF:ff"],
        ["", "02:a2:7e:00:00", "02:a2:7e:00:00:01:02", "02-a2-7e-00-00-01", "02:a2:7e:00:00:0g", "02:a2:7e:00:00:01\n"],
    ),
    "port_guard_containers.ports": ([[], [1, 65535, "8880"]], [[0], [8880, 65536], ["http"], [True]]),
    "port_guard_bridges": ([[], ["aztec0", "br-1.2:3@4"]], [[""], ["a" * 16], ["br-*"], ["lo"]]),
}

GOOD = [pytest.param(name, value, id=f"{name}-{value}") for name, (values, _bad) in VALUES.items() for value in values]
BAD = [pytest.param(name, value, id=f"{name}-{value}") for name, (_good, values) in VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_inside(name: str, value: object) -> None:
    assert range_problem(name, value) is None


@pytest.mark.parametrize(("name", "value"), BAD)
def test_outside(name: str, value: object) -> None:
    wrong, remedy = range_problem(name, value)
    assert wrong and remedy
    assert "\n" not in wrong + remedy


def test_every_check_has_values_on_both_sides() -> None:
    assert set(VALUES) == {name for name, one in RANGES.items() if one.problem}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("prover_node_admin_port", "port"),
        ("ansible_port", "port"),
        ("port", "port"),
        ("aztec_docker_network", "docker_network"),
        ("prover_node_network", "network"),
        ("docker_engine_version", "docker_engine_version"),
        ("prover_agent_version", "version"),
        ("prover_node_secret_environment", "environment"),
        ("prover_agent_crs_directory", "directory"),
        ("port_guard_lock_timeout", "timeout"),
        ("prover_broker_publish_addresses", "publish_addresses"),
        ("port_guard_ports.port", "port"),
        ("port_guard_ports.addresses", "port_guard_ports.addresses"),
        ("port_guard_containers.ports", "port_guard_containers.ports"),
    ],
)
def test_the_longest_name_that_fits_counts(name: str, key: str) -> None:
    assert range_of(name) is RANGES[key]


def test_names_that_only_look_alike_have_none() -> None:
    assert range_of("passport") is None
    assert range_of("prover_node_compose") is None
    assert range_of("port_guard_ports") is None
    assert range_of("port_guard_containers") is None


def test_an_entry_is_named_by_its_number() -> None:
    assert range_problem("admit", ["10.0.0.1", "10.0.0.0/33"])[0] == "entry 2, '10.0.0.0/33' is not an address"
    assert range_problem("docker_engine_registry_mirrors", ["x"])[0] == "entry 1 has no scheme"


def test_what_may_be_a_secret_is_not_quoted() -> None:
    assert range_problem("admit", ["0x" + "ab" * 32]) == (
        "entry 1 a text is not an address",
        "set an IPv4 or IPv6 address or CIDR",
    )


@pytest.mark.parametrize(
    ("url", "wrong", "remedy"),
    [
        ("a.lan/x", "has no scheme", "begin it with one of http://, https://, s3://, gs://, file://"),
        ("ftp://a.lan", "has a scheme other than http, https, s3, gs, file", "write the URL of a store"),
        ("s3:///", "has no bucket or path", "write it as s3://bucket/path"),
        ("file:///", "has no bucket or path", "write it as file:///path"),
    ],
)
def test_a_store_s_url_gets_its_own_line(url: str, wrong: str, remedy: str) -> None:
    found = range_problem("snapshot_urls", [url])
    assert found[0] == f"entry 1 {wrong}"
    assert found[1].startswith(remedy)


def test_the_words_name_unit_and_emptiness() -> None:
    assert RANGES["timeout"].sentence == "Takes seconds from 0."
    assert RANGES["image_digest"].sentence == "Takes C(sha256:) and 64 hex digits, or nothing."
    assert RANGES["admit"].sentence == "Takes a list, each entry an address or a CIDR."
