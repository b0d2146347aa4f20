# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which texts of a value are secret, which files a run has its variables from, and where a secret is found in them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.plain_secrets import (
    COMMAND_LINE,
    Secret,
    Text,
    plain_problem,
    read,
    search_in,
    secrets_of,
    url_keys,
    variable_files,
)

KEY = "0x" + "5ec2e7ab" * 8
NO_LOG = {"type": "str", "no_log": True}
SECRETS = "prover_node_secret_environment"


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("https://rpc.lan", []),
        ("http://10.0.0.5:8545/", []),
        ("https://rpc.lan/eth/mainnet/v3/execution-client", []),
        ("https://rpc.lan/v3/0123456789abcdef0123456789abcdef", ["0123456789abcdef0123456789abcdef"]),
        ("https://rpc.lan/AbCdEfGh1jKlMnOp/", ["AbCdEfGh1jKlMnOp"]),
        ("https://me:S3cret@rpc.lan/x", ["me:S3cret@"]),
        ("https://me:S3cretPass@rpc.lan/x", ["S3cretPass"]),
        ("https://S3cret@rpc.lan", ["S3cret@"]),
        ("https://rpc.lan/?network=sepolia&full=1", []),
        ("https://rpc.lan/?network=sepolia&dkey=abc", ["dkey=abc"]),
        ("https://rpc.lan/?dkey=abcdefgh", ["abcdefgh"]),
        ("https://rpc.lan/?0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("https://[", []),
    ],
)
def test_what_is_a_key_in_a_url(url: str, keys: list) -> None:
    assert url_keys(url) == keys


@pytest.mark.parametrize(
    ("name", "option", "value", "found"),
    [
        ("prover_node_publisher_private_key", NO_LOG, KEY, [("", KEY)]),
        ("prover_node_publisher_private_key", NO_LOG, "", []),
        ("prover_node_publisher_private_key", NO_LOG, None, []),
        ("prover_node_some_keys", NO_LOG, [KEY, "b"], [("entry 1", KEY), ("entry 2", "b")]),
        ("aztec_version", {"type": "str"}, KEY, []),
        (SECRETS, {}, {"A": "one", "B": True, "C": 5, "D": ["x"]}, [("A", "one"), ("C", "5"), ("D", "x")]),
        (SECRETS, {}, {"L1_CONSENSUS_HOST_API_KEY_HEADERS": "Authorization"}, []),
        (SECRETS, {}, {"S3cret name": "one"}, [("an entry", "one")]),
        ("aztec_l1_execution_urls", {}, ["http://a", "http://b:c@d"], [("the key in entry 2", "b:c@")]),
        ("prover_node_web3signer_url", NO_LOG, "http://10.0.0.5:9000", []),
        ("prover_node_web3signer_url", NO_LOG, "http://b:c@d", [("the key in it", "b:c@")]),
    ],
)
def test_what_of_a_value_is_secret(name: str, option: dict, value: object, found: list) -> None:
    assert [(secret.label, secret.text) for secret in secrets_of(name, option, value)] == found


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (KEY, f'a: 1\nkey: "{KEY}"\n'),
        (KEY, f"a: 1\nkey: {KEY[2:].upper()}\n"),
        (KEY, f"a: 1\n# once: {KEY}\n"),
        ("say \"a\" and 'b'", 'a: 1\nkey: "say \\"a\\" and \'b\'"\n'),
        ("say 'a' and 'b'", "a: 1\nkey: 'say ''a'' and ''b'''\n"),
        ("back\\slash and more", 'a: 1\nkey: "back\\\\slash and more"\n'),
        ("clé très secrète", 'a: 1\n{"key": "cl\\u00e9 tr\\u00e8s secr\\u00e8te"}'),
        ("words that are folded over two lines", "a: 1\nkey: >-\n  x\n  words that are folded\n  over two lines"),
        ("two\nlines of a file", "a: 1\nkey: |\n  two\n  lines of a file\n"),
    ],
)
def test_a_secret_is_found_as_it_is_written(text: str, content: str) -> None:
    found = search_in([Text("other.yml", "a: b"), Text("main.yml", content)])(Secret("", "key", text))
    assert found is not None and found.startswith("in clear text in main.yml, line ")
    assert found[-1] in "234"


def test_a_short_secret_is_found_only_after_its_name() -> None:
    search = search_in([Text("main.yml", "port: 8080\nOTHER: pass1\nPASSWORD: 'pass1'\nLONGER: 80801\n")])
    assert search(Secret("PASSWORD", "PASSWORD", "pass1")) == "in clear text in main.yml, line 3"
    assert search(Secret("PIN", "PIN", "8080")) is None
    assert search(Secret("LONGER", "LONGER", "8080")) is None


def test_what_is_in_no_text_is_not_found() -> None:
    search = search_in([Text("main.yml", 'key: "{{ vault_key }}"'), Text("", "a=b")])
    assert search(Secret("", "key", KEY)) is None
    assert search_in([])(Secret("", "key", KEY)) is None


def test_the_command_line_is_named_first() -> None:
    search = search_in([Text("", f"key={KEY}"), Text("main.yml", KEY)])
    assert search(Secret("", "key", KEY)) == COMMAND_LINE


def test_the_line_on_several_secrets_of_a_variable() -> None:
    secrets = [Secret("A", "A", "S3cret-one"), Secret("B", "B", "S3cret-two"), Secret("C", "C", "S3cret-three")]
    search = search_in([Text("one.yml", "S3cret-one S3cret-two"), Text("two.yml", "\nS3cret-three")])
    assert plain_problem(secrets, search)[0] == (
        "A, B are in clear text in one.yml, line 1, and C is in clear text in two.yml, line 2"
    )
    assert plain_problem(secrets, search_in([])) is None
    assert plain_problem([], search) is None


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_files_of_an_inventory_and_next_to_it(tmp_path) -> None:
    folder, single, books = tmp_path / "prod", tmp_path / "single", tmp_path / "books"
    wanted = [
        put(folder / "group_vars/all/deep/main.yml"),
        put(folder / "group_vars/all/vault.yml"),
        put(folder / "host_vars/node-1"),
        put(folder / "hosts.yml"),
        put(single / "hosts.ini"),
        put(single / "group_vars/all.yml"),
        put(books / "host_vars/node-1.yml"),
    ]
    for other in (folder / ".git/config", folder / "group_vars/.all.swp", single / "notes", books / "site.yml"):
        put(other)
    (folder / "group_vars/all/again").symlink_to(folder / "group_vars")
    found = variable_files([str(folder), str(single / "hosts.ini"), "a,b,", str(tmp_path / "gone")], [books])
    assert sorted(map(os.path.realpath, found)) == sorted(map(str, wanted))


def test_what_is_read(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    files = [
        put(tmp_path / "plain.yml", "a: b"),
        put(tmp_path / "vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162"),
        put(tmp_path / "large.yml", "x" * (1024 * 1024 + 1)),
        put(tmp_path / "empty.yml", ""),
        tmp_path / "gone.yml",
        tmp_path / "pipe",
        tmp_path / "loop",
    ]
    (tmp_path / "latin.yml").write_bytes(b"a: \xe9")
    found = read([*files, tmp_path / "latin.yml"])
    names = {Path(text.name).name: text.content for text in found}
    assert names == {"plain.yml": "a: b", "latin.yml": "a: \ufffd"}


def test_the_search_in_a_large_inventory_takes_no_time(tmp_path) -> None:
    for number in range(200):
        put(tmp_path / f"host_vars/agent-{number}.yml", "aztec_address: 10.0.0.1\n" * 20)
    put(tmp_path / "hosts.yml", "agent-1:\n  ansible_host: 10.0.0.21\n" * 200)
    started = time.process_time()
    search = search_in(read(variable_files([tmp_path])))
    for _host in range(200):
        for number in range(5):
            assert search(Secret("", "key", f"{KEY}{number}")) is None
    assert time.process_time() - started < 0.5


def test_no_secret_is_in_the_repr_of_an_object() -> None:
    assert "S3cret" not in repr([Secret("", "key", "S3cret"), Text("main.yml", "S3cret")])
