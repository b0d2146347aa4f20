"""Return only readable characters."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.common.redaction import MASK, Redactor, pieces, url_parts

KEY = "0x" + "aB" * 32
URL = "https://user:p%40ssword1@l1.example:8545/v3/pathsecret9?key=querysecret7&x=1"


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("hunter2!", "key hunter2! wrong", f"key {MASK} wrong"),
        ("hunter2!", "hunter2", "hunter2"),
        (KEY, f"bad {KEY}", f"bad {MASK}"),
        (KEY, "bad " + KEY[2:], f"bad {MASK}"),
        (KEY, "bad " + KEY.lower(), f"bad 0x{MASK}"),
        (f"{KEY},0x{'cd' * 32}", f"first {KEY}", f"first {MASK}"),
        (URL, "POST https://l1.example:8545/v3/pathsecret9 failed", f"POST https://l1.example:8545{MASK} failed"),
        (URL, "user:p%40ssword1@", f"{MASK}@"),
        (URL, "password p@ssword1", f"password {MASK}"),
        (URL, "querysecret7", MASK),
        (URL, "l1.example:8545 refused", "l1.example:8545 refused"),
        (f"http://a.example,{URL}", "pathsecret9", MASK),
        ("http://l1.example:8545", "http://l1.example:8545 refused", "http://l1.example:8545 refused"),
        ("line one\nline two", "saw line two", f"saw {MASK}"),
        ("pa$word", "pa$$word", MASK),
        ('a"b\\c', json.dumps('a"b\\c'), f'"{MASK}"'),
        ("a b/c&d", quote("a b/c&d", safe=""), MASK),
        ("hunter2!", base64.b64encode(b"hunter2!").decode(), MASK + "="),
        ("abc", "S=abc and abc", f"S={MASK} and abc"),
        ("8080", "port 8080", "port 8080"),
        ("8080", '"S": "8080"', f'"S": "{MASK}"'),
    ],
)
def test_secret_is_hidden(secret, text, shown):
    assert Redactor({"S": secret})(text) == shown


def test_basic_authentication_is_hidden():
    header = base64.b64encode(b"user:p@ssword1").decode()
    assert header not in Redactor({"S": URL})(f"Authorization: Basic {header}")


def test_secret_over_two_lines_is_hidden_in_lines():
    assert Redactor({"S": "first\nsecond"}).lines("a first\nsecond b") == [f"a {MASK} b"]


def test_strings_of_a_document_are_hidden():
    masker = Redactor(documents=[json.dumps({"schemaVersion": 1, "prover": {"publisher": [KEY]}})])
    assert masker(f"publisher {KEY}, version 1") == f"publisher {MASK}, version 1"
    assert Redactor(documents=["no json, a password"])("no json, a password") == MASK


def test_no_secrets_change_nothing():
    assert Redactor()("a {} b") == "a {} b"
    assert Redactor({"S": "\n"})("a\nb") == "a\nb"


def test_longest_is_hidden_first():
    assert Redactor({"A": "abcdef", "B": "abcdefghi"})("abcdefghi") == MASK


@pytest.mark.parametrize("url", ["http://a.example", "http://a.example/", "http://[fd00::1]:80/"])
def test_plain_url_has_no_secret_parts(url):
    assert url_parts(url) == set()
    assert pieces(url) == set()


def test_broken_url_is_secret_as_a_whole():
    assert pieces("http://[oops/secret") == {"http://[oops/secret"}
