# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command when a play starts, to change something between the plays of a run."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: between
type: aggregate
short_description: Runs a command when a play starts
description:
  - Runs the command of BETWEEN_COMMAND on the controller when the play of this name starts.
requirements: [none]
options:
  play:
    description: Name of the play.
    env: [{name: BETWEEN_PLAY}]
    type: str
    required: true
"""


class CallbackModule(CallbackBase):
    """Runs the command before the first task of the play."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "between"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if play.get_name() == os.environ["BETWEEN_PLAY"]:
            subprocess.run(os.environ["BETWEEN_COMMAND"], shell=True, check=True)
