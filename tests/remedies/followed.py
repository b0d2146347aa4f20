"""Remedies that are followed elsewhere: on real machines, or by a test that goes on where the line has ended a run."""

from __future__ import annotations

_ROTATE = "tests/integration/test_rotate_key.py"
_KEYS = "tests/integration/test_keys.py"
_SECRETS = "tests/integration/test_secret_sources.py"
_COMPOSE = "tests/integration/test_compose_stack.py"
_TARGETS = "tests/bad_input/test_targets.py"
_HUNG = "tests/integration/test_hung_engine.py"
_GUARD = "tests/system/guard/test_3_recovery.py"

# A part of the line's text as `python -m tests.remedies.lines` lists it, and the test that does what the line says.
FOLLOWED = [
    # a publisher's key and its rotation
    ("a new publisher's key waits to be used", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("the old publisher's key is still kept", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("PROVER_ID, which rewards go to, changes", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("is kept there until you confirm", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("is there as the next one: the command", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("force goes with {}confirm", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("the new key is the old one", f"{_ROTATE}::test_an_imported_key_and_a_comment_of_ours"),
    ("was changed while this run went on", f"{_ROTATE}::test_a_vault_that_is_changed_while_a_run_waits"),
    ("send ETH to it, then run the same command again with", f"{_ROTATE}::test_no_key_goes_unseen_to_the_node"),
    (
        "then run the same command again (or have it wait",
        "tests/system/rotation/test_rotation.py::test_the_next_proof_is_the_new_publisher_s",
    ),
    (
        "The node was not seen to come up with the key",
        "tests/system/rotation/test_rotation.py::test_the_next_proof_is_the_new_publisher_s",
    ),
    (
        "more than the key would change on this host",
        "tests/system/rotation/test_rotation.py::test_the_next_proof_is_the_new_publisher_s",
    ),
    (
        "Docker does not serve on this host: start it",
        f"{_ROTATE}::test_an_engine_that_is_down_holds_the_rotation_up_and_not_what_is_done_in_spite_of_all",
    ),
    (
        "rotate_key: step is not a choice",
        "tests/unit/plugins/action/test_rotate_key.py::test_the_playbook_passes_every_option",
    ),
    ("no vault password is given", f"{_KEYS}::test_a_new_publisher_and_no_trace_of_its_secrets"),
    ("the vault password was typed in two ways", f"{_KEYS}::test_secrets_that_are_typed"),
    ("it was broken off: run it again", f"{_KEYS}::test_secrets_that_are_typed"),
    ("names still holds the secret in clear", f"{_KEYS}::test_imports"),
    # where secrets come from
    (
        "cannot be decrypted: give its vault password",
        "tests/bad_input/test_preflight.py::test_a_vaulted_key_is_read_and_a_missing_password_is_one_line",
    ),
    ("there is no program sops", f"{_SECRETS}::test_sops_without_its_key_file_or_program"),
    ("sops cannot decrypt", f"{_SECRETS}::test_sops_without_its_key_file_or_program"),
    ("there is no such file: correct its path", f"{_SECRETS}::test_sops_without_its_key_file_or_program"),
    ("is not installed: ansible-galaxy collection install", f"{_SECRETS}::test_a_collection_that_is_not_installed"),
    ("the controller's Python has no hvac", f"{_SECRETS}::test_a_server_with_a_token"),
    ("the server refuses token or path", f"{_SECRETS}::test_a_server_that_refuses"),
    ("it has nothing to log in with", f"{_SECRETS}::test_a_server_that_refuses"),
    ("the server refuses the log-in", f"{_SECRETS}::test_a_log_in_that_is_refused"),
    ("the server has nothing there", f"{_SECRETS}::test_a_server_that_has_nothing_there_or_is_down"),
    ("the server does not answer: start it", f"{_SECRETS}::test_a_server_that_has_nothing_there_or_is_down"),
    ("the server is sealed", f"{_SECRETS}::test_a_server_with_a_token"),
    ("the server's certificate is not trusted", f"{_SECRETS}::test_a_server_with_a_token"),
    # what the actions are given
    (
        "validate_inventory: groups",
        "tests/bad_input/test_preflight.py::test_a_good_inventory_gets_to_the_hosts_and_shows_no_secret",
    ),
    (
        "fleet does not hold a fleet's values",
        "tests/bad_input/test_preflight.py::test_a_good_inventory_gets_to_the_hosts_and_shows_no_secret",
    ),
    (
        "validate_role_arguments: there is no role",
        "tests/integration/test_validate_role_arguments.py::test_good_settings_get_to_the_host",
    ),
    # what a run has hosts of
    ("The inventory has no host in", f"{_TARGETS}::test_an_inventory_without_hosts_of_the_groups"),
    ("--limit excludes all hosts of", f"{_TARGETS}::test_a_limit_that_leaves_no_host"),
    # engines, containers and the CRS
    ("network {} has bridge {}, not {}", f"{_COMPOSE}::test_network_is_made_and_a_wrong_one_refused"),
    ("network {} has {}, not {}: on the host", f"{_COMPOSE}::test_network_is_made_and_a_wrong_one_refused"),
    ("network {} has MTU {}, not {}: on the host", f"{_COMPOSE}::test_network_fits_the_host_and_the_fleet"),
    ("to a subnet that is free", f"{_COMPOSE}::test_no_subnet_is_free_until_one_is_set"),
    ("and if it hangs, run systemctl restart docker", f"{_HUNG}::test_what_is_said_of_an_engine_that_hangs_helps"),
    (
        "ends with the login session",
        "tests/system/prover_agent/test_session.py::test_work_outlives_the_session_where_logind_is_told_to_leave_it",
    ),
    (
        "is not as this module writes it",
        "tests/unit/plugins/module_utils/compose/test_project_directory_state.py::test_state_of_another_form_is_named",
    ),
    (
        "does not hold the result of the work",
        "tests/unit/plugins/module_utils/compose/test_project_directory_state.py::test_result_of_another_form_is_named",
    ),
    (
        "daemon.json was not changed",
        "tests/system/docker_engine/test_5_refused_settings.py::test_corrected_run_follows_at_once",
    ),
    ("would garble the value of", f"{_COMPOSE}::test_any_value_is_read_by_compose_as_it_was"),
    ("The version before is not brought back", f"{_COMPOSE}::test_not_going_back_once_the_data_was_opened"),
    (": correct {}", f"{_COMPOSE}::test_wrong_keys_of_the_operator_are_named_by_the_option"),
    ("Compose refuses the files of", f"{_COMPOSE}::test_wrong_keys_of_the_operator_are_named_by_the_option"),
    ("cannot be fetched from {}: check that it is there", "tests/integration/test_crs.py::test_bad_mirror"),
    ("has another digest than prover_agent_crs_digests", "tests/integration/test_crs.py::test_bad_mirror"),
    ("the CRS is not whole", "tests/integration/test_crs.py::test_what_was_fetched_is_not_whole"),
    (
        "nothing was installed, as the key at",
        "tests/system/docker_engine/test_3_found.py::test_another_fingerprint_is_refused",
    ),
    (
        "containerd runs without what",
        "tests/system/docker_engine/test_4_settings.py::test_settings_that_are_overridden_are_told",
    ),
    ("install and start it first", "tests/system/docker_engine/test_1_runs.py::test_engine_of_the_repository_serves"),
    # the port guard
    (
        "port guard is not loaded, so Docker does not start",
        f"{_GUARD}::test_docker_waits_for_a_guard_that_cannot_load_and_starts_by_itself",
    ),
    # The same again on a real machine: the rows of tables/running.py have the facts alone.
    (
        "the port guard's tables are missing",
        "tests/system/guard/test_2_fallback.py::test_missing_tables_of_a_unit_that_is_active",
    ),
    ("nobody keeps the port guard's tables", f"{_GUARD}::test_what_verify_says_to_do_works"),
    ("delete the file, then run site.yml", f"{_GUARD}::test_what_verify_says_to_do_works"),
    ("gone after a reboot: run site.yml", f"{_GUARD}::test_what_verify_says_to_do_works"),
    ("not created by this module", "tests/integration/test_port_guard.py::test_tables_of_somebody_else_are_refused"),
    (
        "delete it and run the role of",
        "tests/integration/test_port_guard.py::test_a_damaged_section_stops_before_anything_is_changed",
    ),
    (
        "belongs to process {}: end that process",
        "tests/integration/test_port_guard.py::test_a_second_daemon_does_not_start",
    ),
]

# Lines that name no act of their own: they lead to the log, the unit or the line that has the reason.
LEADS_ON = (
    "the daemon does not respond: see systemctl status aztec-port-guard",
    "the engine was installed but does not serve",
    "It is what ran well before: see what has changed around it",
    "Nothing was changed: see its log",
    "the container engine stopped responding",
    "(broker or node) failed above; no container was restarted: mend it and run again",
)
