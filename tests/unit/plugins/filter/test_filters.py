# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter's own part: the questions as text, and errors that show nothing."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aztec_ops.prover.plugins.filter.filters import FilterModule

FLEET = {
    "network": "testnet",
    "publishers": [],
    "hosts": {"broker-1": {"components": ["prover_broker"]}, "agent-1": {"components": ["prover_agent"]}},
}
l1_queries = FilterModule().filters()["l1_queries"]


def test_questions_are_text() -> None:
    values = {"aztec_l1_execution_urls": ["https://rpc.lan/S3cret"]}
    assert json.loads(l1_queries(values, FLEET, "broker-1"))["execution"] == [
        {"url": "https://rpc.lan/S3cret", "headers": {}}
    ]
    assert l1_queries(values, FLEET, "agent-1") == ""


def test_errors_are_one_line_without_values() -> None:
    with pytest.raises(AnsibleFilterError, match="l1_queries: cannot work with what it was given") as error:
        l1_queries({"aztec_l1_execution_urls": ["S3cret"], "aztec_l1_timeout": ["S3cret"]}, FLEET, "broker-1")
    assert "S3cret" not in str(error.value)
