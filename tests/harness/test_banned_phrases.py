"""The check for banned phrases: what it finds, what it accepts, and how it reports."""

from __future__ import annotations

import pytest

from tests.harness import banned_phrases

PHRASES = banned_phrases.load_phrases()


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Mend the file.", "Mend"),
        ("The address is no address.", "is no"),
        ('"""Give the environment."""', '"""Give'),
        ('"""Is the engine running?"""', '"""Is the engine running?'),
        ("the latest values that were told", "told"),
        ("told_values = {}", "told"),
        ("values.latest_told", "told"),
        ("# the file is removed by\n# hand", "by hand"),
        ("- name: Report what\n    stands there", "stands"),
        ("query = ask_l1(url)", "ask_l1"),
        ("host_look", "host_look"),
    ],
)
def test_a_banned_phrase_is_reported(text: str, phrase: str) -> None:
    findings = list(banned_phrases.find_phrases("plugins/a.py", text, PHRASES))
    assert any(f'"{phrase}"' in finding for finding in findings), findings


@pytest.mark.parametrize(
    "text",
    [
        "There is no host in the group.",
        "The host is no longer in the inventory.",
        "where sudo asks for a password, add --ask-become-pass",
        "a well-known address is well-formed",
        "no_log is no_log",
        "Wants=network-pre.target\nmulti-user.target.wants",
        "files owned by root",
        "Give the fleet WireGuard addresses.",
    ],
)
def test_plain_text_is_accepted(text: str) -> None:
    assert list(banned_phrases.find_phrases("plugins/a.py", text, PHRASES)) == []


def test_a_finding_names_file_line_phrase_and_replacement() -> None:
    findings = list(banned_phrases.find_phrases("docs/a.md", "one\ntwo\nremove it by hand\n", PHRASES))
    assert findings == ['docs/a.md:3: "by hand": manually']


def test_a_phrase_with_paths_is_banned_only_there() -> None:
    text = "a connection of a stranger"
    assert list(banned_phrases.find_phrases("docs/a.md", text, PHRASES))
    assert not list(banned_phrases.find_phrases("tests/system/a.py", text, PHRASES))


def test_the_changelog_may_name_old_names_as_code() -> None:
    assert not list(banned_phrases.find_phrases("CHANGELOG.md", "| `host_look` | `host_info` |", PHRASES))
    assert list(banned_phrases.find_phrases("README.md", "| `host_look` | `host_info` |", PHRASES))


def test_the_check_reads_committed_prose_and_no_data() -> None:
    names = banned_phrases.committed_files()
    assert {"README.md", "plugins/modules/host_info.py", "roles/prover_node/meta/argument_specs.yml"} <= set(names)
    data = {"LICENSE", "lab/images/aztec/package-lock.json", "lab/l1/state.json.gz"}
    assert data <= set(names)
    assert banned_phrases.check_files(sorted(data)) == []
