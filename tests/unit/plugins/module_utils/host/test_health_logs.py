# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last lines of a container's log, without secrets."""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_engine import EngineError
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import LINE_LENGTH, last_lines

KEY = "0x" + "ab" * 32
INSPECTED = {
    "Id": "c1",
    "Config": {
        "Tty": True,
        "Env": ["ETHEREUM_HOSTS=https://user:hunter22@l1.test/v3/abcdef123456", "API_TOKEN=token-of-the-fleet"],
    },
}
LOG = f"""\
2026-11-23T03:47:29Z [03:47:29.000] INFO: node started
2026-11-23T03:47:30Z \x1b[32m[03:47:30.000]\x1b[0m ERROR: POST https://user:hunter22@l1.test/v3/abcdef123456 failed
2026-11-23T03:47:31Z {{"level":40,"module":"l1","msg":"token-of-the-fleet rejected"}}
2026-11-23T03:47:32Z key {KEY} and {"x" * 3000}
"""


class _Engine:
    """An engine with one log."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.query: dict = {}

    def get(self, path: str, **query: str) -> bytes:
        self.query = {"path": path, **query}
        if self.text is None:
            raise EngineError("the engine returns 501", 501)
        return self.text.encode()


def test_last_lines() -> None:
    engine = _Engine(LOG)
    found = last_lines(engine, INSPECTED, 3)
    assert engine.query == {
        "path": "/containers/c1/logs", "stdout": "1", "stderr": "1", "timestamps": "1", "tail": "3",
    }
    assert found["error"] == ""
    assert [at for at, _text in found["lines"]] == [1795405650.0, 1795405651.0, 1795405652.0]
    texts = [text for _at, text in found["lines"]]
    assert texts[0].startswith("[03:47:30.000] ERROR: POST https://")
    assert texts[1] == "WARN: l1 *** rejected"
    assert len(texts[2]) == LINE_LENGTH
    for secret in ("hunter22", "abcdef123456", "l1.test", "token-of-the-fleet", KEY):
        assert not any(secret in text for text in texts)


def test_an_engine_that_keeps_no_log() -> None:
    assert last_lines(_Engine(None), INSPECTED, 3) == {"lines": [], "error": "the engine returns 501"}
