# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress of a pull."""

from __future__ import annotations

import os

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.pull import Progress, megabytes, pull

ONE, TWO = "0123456789ab", "ba9876543210"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "0.0 MB, 0.0 MB/s, 10 s"),
        ([f"{ONE}: Pulling fs layer"], "0 of 1 layers, 0.0 MB, 0.0 MB/s, 10 s"),
        ([f"{ONE}: Already exists"], "1 of 1 layers, 0.0 MB, 0.0 MB/s, 10 s"),
        ([f"\x1b[2K{ONE}: Downloading  12.5MB/200MB\x1b[1B"], "0 of 1 layers, 12.5 MB, 1.2 MB/s, 10 s"),
        ([f"{ONE}: Downloading [==>   ]  1.5kB/3GB"], "0 of 1 layers, 0.0 MB, 0.0 MB/s, 10 s"),
        ([f"{ONE}: Downloading 1GB/2GB", f"{ONE}: Verifying Checksum"], "0 of 1 layers, 2000 MB, 200 MB/s, 10 s"),
        (
            [f"{ONE}: Downloading 1MB/2MB", f"{TWO}: Downloading 3 MB/4 MB", f"{ONE}: Pull complete"],
            "1 of 2 layers, 5.0 MB, 0.5 MB/s, 10 s",
        ),
        # The amount of an extraction is not one of a download.
        ([f"{ONE}: Downloading 1MB/2MB", f"{ONE}: Extracting 1MB/2MB"], "0 of 1 layers, 2.0 MB, 0.2 MB/s, 10 s"),
    ],
)
def test_text(lines: list, text: str) -> None:
    progress = Progress(100.0)
    for line in lines:
        progress.read(line)
    assert progress.text(110.0) == text


def test_the_rate_is_that_of_the_last_seconds() -> None:
    progress = Progress(0.0)
    for second in range(1, 31):
        progress.read(f"{ONE}: Downloading {min(second, 15)}MB/100MB")
        text = progress.text(float(second))
    assert text == "0 of 1 layers, 15.0 MB, 0.0 MB/s, 30 s"


@pytest.mark.parametrize(("number", "text"), [(0, "0.0 MB"), (99.94e6, "99.9 MB"), (1e8, "100 MB"), (2.5e9, "2500 MB")])
def test_megabytes(number: float, text: str) -> None:
    assert megabytes(number) == text


def test_messages_are_lines_that_are_not_of_a_layer() -> None:
    progress = Progress(0.0)
    for line in ("4.1.2: Pulling from aztec", f"{ONE}: Downloading 1MB/2MB", "", "error: denied", "error: denied"):
        progress.read(line)
    assert progress.messages == ["4.1.2: Pulling from aztec", "error: denied"]


def test_pull_reports_while_the_command_prints_nothing() -> None:
    script = f"test -t 1 && echo '{ONE}: Downloading 1MB/2MB'; sleep 4; printf '{ONE}: Pull complete\\rdenied'; exit 3"
    reports: list[str] = []
    code, text = pull(["sh", "-c", script], dict(os.environ), [], reports.append)
    assert (code, text) == (3, "denied")
    assert len(reports) >= 3
    # The last report may come after the command's last line.
    assert reports[-2].startswith("0 of 1 layers, 1.0 MB, ")


def test_a_large_output_is_read_completely() -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"
    _code, text = pull(["sh", "-c", script], dict(os.environ), [], lambda _text: None)
    assert text.splitlines()[-1] == "line 19999"
    assert len(text.splitlines()) == 20000
