# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arguments and the result of the module port_guard."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import Failed, Host
from ansible_collections.aztec_ops.prover.plugins.modules import port_guard


class Module:
    """AnsibleModule with its parameters given."""

    def __init__(self, given: dict, check_mode: bool, argument_spec: dict, supports_check_mode: bool) -> None:
        names = ("section", "ports", "bridges", "containers", "keep_existing", "required_by_docker", "state")
        assert set(argument_spec) == set(names)
        assert [name for name, option in argument_spec.items() if option.get("required")] == ["section"]
        assert argument_spec["ports"]["options"]["port"]["required"] is True
        container = argument_spec["containers"]["options"]
        assert container["mac_address"]["required"] is container["ports"]["required"] is supports_check_mode is True
        self.params = {**{name: option.get("default") for name, option in argument_spec.items()}, **given}
        self.check_mode, self.run_command = check_mode, print

    def get_bin_path(self, name: str, *_more: object, **_options: object) -> str:
        return f"/usr/sbin/{name}"

    def exit_json(self, **result: object) -> None:
        self.result = result

    def fail_json(self, **result: object) -> None:
        self.result = {"failed": True, **result}
        raise SystemExit


@pytest.mark.parametrize(("state", "present"), [("present", True), ("absent", False)])
@pytest.mark.parametrize("actions", [[], ["load the rules"]])
@pytest.mark.parametrize("check", [False, True])
def test_main(monkeypatch: pytest.MonkeyPatch, state: str, present: bool, actions: list, check: bool) -> None:
    seen, modules = [], []
    given = {"section": "prover_broker", "ports": [{"port": 8080}], "state": state, "keep_existing": check}

    def module(argument_spec: dict, supports_check_mode: bool) -> Module:
        modules.append(Module(given, check, argument_spec, supports_check_mode))
        return modules[0]

    def apply(host: Host, section: guard.Section, present: bool, keep_existing: bool) -> tuple[str, list[str]]:
        host.actions += actions
        seen.append((host.nft, host.check, section, present, keep_existing))
        return "text", ["prover_broker"]

    monkeypatch.setattr(port_guard, "AnsibleModule", module)
    monkeypatch.setattr(Host, "apply", apply)
    port_guard.main()
    section = guard.section_of("prover_broker", [{"port": 8080}], [])
    assert seen == [("/usr/sbin/nft", check, section, present, check)]
    assert modules[0].result == {
        "changed": bool(actions),
        "table": "text",
        "sections": ["prover_broker"],
        "actions": actions,
        "diff": [],
    }


ERRORS = [Failed("no"), guard_daemon.Failed("no"), OSError("no"), guard.InvalidSection(["no"])]


@pytest.mark.parametrize("error", ERRORS)
def test_main_fails_in_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    modules = []

    def module(argument_spec: dict, supports_check_mode: bool) -> Module:
        modules.append(Module({"section": "a"}, False, argument_spec, supports_check_mode))
        return modules[0]

    def apply(host: Host, section: guard.Section, present: bool, keep_existing: bool) -> None:
        host.actions.append("enable the unit")
        raise error

    monkeypatch.setattr(port_guard, "AnsibleModule", module)
    monkeypatch.setattr(Host, "apply", apply)
    with pytest.raises(SystemExit):
        port_guard.main()
    assert modules[0].result == {"failed": True, "msg": "no", "actions": ["enable the unit"]}
