"""Remedies that are followed elsewhere: on real machines, or by a test that continues where the line ended a run."""

from __future__ import annotations

_ROTATE = "tests/controller/test_rotate_key.py"
_KEYS = "tests/controller/test_keys.py"
_SECRETS = "tests/controller/test_secret_sources.py"
_COMPOSE = "tests/integration/test_compose_stack.py"
_TARGETS = "tests/bad_input/test_targets.py"
_HUNG = "tests/integration/test_hung_engine.py"
_REMOVAL = "tests/system/removal/test_removal.py"
_OPERATIONS = "tests/system/operations/test_operations.py"
_REWARDS = "tests/integration/test_rewards.py"
_GUARD = "tests/system/guard/test_2_recovery.py"
_FOLDER = "tests/harness/test_operator_folder.py"

# A part of the line's text as `python -m tests.remedies.lines` lists it, and the test that applies the remedy.
FOLLOWED = [
    # the operator's folder
    ("dest is not set: name the folder", f"{_FOLDER}::test_refused_and_then_as_the_line_states"),
    ("env is not a name of an environment", f"{_FOLDER}::test_refused_and_then_as_the_line_states"),
    ("is not a folder: choose another name", f"{_FOLDER}::test_refused_and_then_as_the_line_states"),
    ("is writable by all users", f"{_FOLDER}::test_refused_and_then_as_the_line_states"),
    ("has other files ({}): choose", f"{_FOLDER}::test_refused_and_then_as_the_line_states"),
    ("cannot be written ({}): choose", f"{_FOLDER}::test_refused_and_then_as_the_line_states"),
    ("in {} is not valid", f"{_FOLDER}::test_folder_for_another_version"),
    ("run ansible-galaxy collection install --upgrade", f"{_FOLDER}::test_folder_for_another_version"),
    ("uses the inventory plugin", f"{_FOLDER}::test_inventory_plugin_that_is_not_installed"),
    ("does not set the version of", f"{_FOLDER}::test_requirements_without_a_version"),
    ("edit inventories/{}/hosts.yml and group_vars", f"{_FOLDER}::test_from_an_empty_folder_to_the_first_connection"),
    # a publisher's key and its rotation
    ("a new publisher's key is staged but not used yet", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("the old publisher's key is still kept", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("PROVER_ID, the address for rewards, changes", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("is kept there until you confirm", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("is staged: run the command without options", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("force requires {}confirm", f"{_ROTATE}::test_a_key_with_its_mnemonic_goes_round"),
    ("the new key is in the vault already", f"{_ROTATE}::test_an_imported_key_and_the_comment_of_a_key"),
    ("was changed during this run", f"{_ROTATE}::test_a_vault_that_is_changed_while_a_run_waits"),
    ("send ETH to it, then run the same command again with", f"{_ROTATE}::test_no_key_goes_unseen_to_the_node"),
    (
        "then run the same command again (or have it wait",
        "tests/system/rotation/test_rotation.py::test_the_next_proof_is_the_new_publisher_s",
    ),
    (
        "The node did not start with the key",
        "tests/system/rotation/test_rotation.py::test_the_next_proof_is_the_new_publisher_s",
    ),
    (
        "more than the key would change on this host",
        "tests/system/rotation/test_rotation.py::test_the_next_proof_is_the_new_publisher_s",
    ),
    (
        "Docker is not usable on this host: start it",
        f"{_ROTATE}::test_engine_that_is_down_blocks_the_rotation_but_not_a_forced_removal",
    ),
    (
        "rotate_key: step is not a valid choice",
        "tests/unit/plugins/action/test_rotate_key.py::test_the_playbook_passes_every_option",
    ),
    ("no vault password is given", f"{_KEYS}::test_a_new_publisher_and_no_trace_of_its_secrets"),
    ("the vault passwords do not match", f"{_KEYS}::test_secrets_that_are_typed"),
    ("the prompt was interrupted: run the command again", f"{_KEYS}::test_secrets_that_are_typed"),
    ("still contains the secret in plain text", f"{_KEYS}::test_imports"),
    # upgrades and logs
    ("another run changes the fleet", "tests/unit/plugins/action/test_upgrade_lock.py::test_the_second_of_two_stops"),
    ("another run began an upgrade", "tests/unit/plugins/action/test_upgrade_lock.py::test_two_at_the_same_moment"),
    ("--limit excludes {}: run upgrade.yml", "tests/system/operations/test_upgrade.py::test_upgrade_and_rollback"),
    ("aztec_next_version is not set", "tests/bad_input/test_versions.py::test_logs_of_hosts_that_are_unreachable"),
    ("no host of this run has {}", "tests/bad_input/test_versions.py::test_logs_of_hosts_that_are_unreachable"),
    # rewards and their claims
    ("does not return the balance of {}: use another", f"{_REWARDS}::test_an_l1_client_that_does_not_tell"),
    ("does not return the transactions of {}: use another", f"{_REWARDS}::test_an_l1_client_that_does_not_tell"),
    ("does not return the fees for gas: use another", f"{_REWARDS}::test_an_l1_client_that_does_not_tell"),
    ("does not return all rewards of {}: use another", f"{_REWARDS}::test_an_l1_client_that_does_not_tell"),
    ("does not return all rollups of the registry: use", f"{_REWARDS}::test_an_l1_client_that_does_not_tell"),
    ("a simulated claim of epochs {} of {} pays", f"{_REWARDS}::test_an_l1_client_that_does_not_tell"),
    ("cannot be estimated ({}): use another", f"{_REWARDS}::test_an_l1_client_that_does_not_tell"),
    ("the gas can cost up to {}: send ETH to it", f"{_REWARDS}::test_accounts_that_must_not_or_cannot_pay"),
    ("the publisher's key is in a web3signer: set {}", f"{_REWARDS}::test_accounts_that_must_not_or_cannot_pay"),
    ("no account pays for the gas: set", f"{_REWARDS}::test_accounts_that_must_not_or_cannot_pay"),
    ("whose proofs a claim can block", f"{_REWARDS}::test_accounts_that_must_not_or_cannot_pay"),
    ("a transaction of {} is pending: run again", f"{_REWARDS}::test_accounts_that_must_not_or_cannot_pay"),
    ("whether the node is submitting a proof is not", f"{_REWARDS}::test_accounts_that_must_not_or_cannot_pay"),
    ("the node is submitting a proof: run again", f"{_REWARDS}::test_accounts_that_must_not_or_cannot_pay"),
    ("nothing was sent: correct the cause", f"{_REWARDS}::test_an_l1_that_is_different_after_the_simulation"),
    ("was reverted and paid nothing", f"{_REWARDS}::test_an_l1_that_is_different_after_the_simulation"),
    ("compare it with a block explorer", f"{_REWARDS}::test_an_l1_that_is_different_after_the_simulation"),
    ("a simulated claim of epochs {} of {} fails", f"{_REWARDS}::test_an_l1_that_is_different_after_the_simulation"),
    (
        "returns another receipt than that of",
        "tests/unit/plugins/plugin_utils/rewards/test_claims.py::test_the_receipt_decides",
    ),
    ("the receipt of {} is missing ({})", f"{_REWARDS}::test_a_transaction_that_is_not_mined"),
    ("another program sent a transaction of {}", f"{_REWARDS}::test_an_account_that_another_program_uses"),
    ("does not know the transaction before this one", f"{_REWARDS}::test_an_l1_client_that_is_behind"),
    ("the current epoch is {}: name an epoch of", f"{_REWARDS}::test_epochs_that_cannot_be_claimed"),
    ("is already claimed: remove it from rewards_epochs", f"{_REWARDS}::test_epochs_that_cannot_be_claimed"),
    ("nothing: remove it from rewards_epochs", f"{_REWARDS}::test_epochs_that_cannot_be_claimed"),
    ("are still accepted: claim it after {}", f"{_REWARDS}::test_epochs_that_cannot_be_claimed"),
    ("does not allow claims yet: run again when", f"{_REWARDS}::test_rewards_of_a_former_rollup"),
    ("of a rollup of release 2.1 to 6: use", f"{_REWARDS}::test_a_rollup_with_other_functions"),
    ("no L1 client of the node responds ({})", f"{_REWARDS}::test_the_wrong_chain_registry_and_rollup"),
    ("the L1 client is on chain {}, but {} is on", f"{_REWARDS}::test_the_wrong_chain_registry_and_rollup"),
    ("is not the registry of {}: correct", f"{_REWARDS}::test_the_wrong_chain_registry_and_rollup"),
    ("the registry does not know the rollup {}", f"{_REWARDS}::test_the_wrong_chain_registry_and_rollup"),
    ("of {} were not queried: add", f"{_REWARDS}::test_epochs_that_are_not_queried"),
    ("gas: increase rewards_gas_limit", f"{_REWARDS}::test_a_gas_limit_that_is_too_low_for_one_epoch"),
    ("pays the sender of a claim: pay", f"{_REWARDS}::test_a_contract_that_pays_the_sender"),
    ("the chain is not known because {}", "tests/unit/plugins/action/test_rewards.py::test_an_unknown_l1"),
    ("the registry is not known because {}", "tests/unit/plugins/action/test_rewards.py::test_an_unknown_l1"),
    ("rewards_epochs is not a list of epochs", "tests/unit/plugins/action/test_rewards.py::test_wrong_options"),
    ("rewards_use_publisher requires", "tests/unit/plugins/action/test_rewards.py::test_wrong_options"),
    ("rewards_from_epoch are both set", "tests/unit/plugins/action/test_rewards.py::test_wrong_options"),
    ("{} is not an option: remove it", "tests/unit/plugins/action/test_rewards.py::test_wrong_options"),
    # where secrets come from
    (
        "cannot be decrypted: pass its vault password",
        "tests/bad_input/test_preflight.py::test_a_vaulted_key_is_read_and_a_missing_password_is_one_line",
    ),
    ("the program sops is not installed", f"{_SECRETS}::test_sops_without_its_key_file_or_program"),
    ("sops cannot decrypt", f"{_SECRETS}::test_sops_without_its_key_file_or_program"),
    ("the file does not exist: correct its path", f"{_SECRETS}::test_sops_without_its_key_file_or_program"),
    ("is not installed: ansible-galaxy collection install", f"{_SECRETS}::test_a_collection_that_is_not_installed"),
    ("the controller's Python does not have hvac", f"{_SECRETS}::test_a_server_with_a_token"),
    ("the server rejects the token or the path", f"{_SECRETS}::test_a_server_that_refuses"),
    ("it has no credentials", f"{_SECRETS}::test_a_server_that_refuses"),
    ("the server rejects the login", f"{_SECRETS}::test_a_log_in_that_is_refused"),
    ("the server has no such secret", f"{_SECRETS}::test_a_server_that_has_nothing_there_or_is_down"),
    ("the server does not answer: start it", f"{_SECRETS}::test_a_server_that_has_nothing_there_or_is_down"),
    ("the server is sealed", f"{_SECRETS}::test_a_server_with_a_token"),
    ("the server's certificate is not trusted", f"{_SECRETS}::test_a_server_with_a_token"),
    # arguments of the actions
    (
        "validate_inventory: groups",
        "tests/bad_input/test_preflight.py::test_a_good_inventory_gets_to_the_hosts_and_shows_no_secret",
    ),
    (
        "fleet does not contain the values of a fleet",
        "tests/bad_input/test_preflight.py::test_a_good_inventory_gets_to_the_hosts_and_shows_no_secret",
    ),
    (
        "is not a role of this collection",
        "tests/integration/test_validate_role_arguments.py::test_good_settings_get_to_the_host",
    ),
    # hosts of a run
    ("The inventory does not have a host in", f"{_TARGETS}::test_an_inventory_without_hosts_of_the_groups"),
    ("--limit excludes all hosts of", f"{_TARGETS}::test_a_limit_that_leaves_no_host"),
    # operations
    ("is stopped, and is left as it is: run start.yml", f"{_OPERATIONS}::test_all_is_stopped_and_started"),
    ("became unreachable, see above: run again when", f"{_OPERATIONS}::test_all_is_stopped_and_started"),
    ("is unreachable, see above: check it, then run start.yml", f"{_OPERATIONS}::test_all_is_stopped_and_started"),
    ("became unreachable, see above: run start.yml for it", f"{_OPERATIONS}::test_all_is_stopped_and_started"),
    (
        "does not run yet: see its log; the other batches",
        "tests/rendered/test_operations.py::test_a_batch_whose_agents_run_has_not_failed",
    ),
    # the monitor
    (
        "has expressions that are not checked, because the controller has no promtool",
        "tests/unit/plugins/plugin_utils/inventory/checks/test_monitor.py::test_rule_files_without_promtool",
    ),
    ("promtool refuses {} ({}): correct the rule", "tests/monitor/test_alerts.py::test_promtool_refuses_a_rule"),
    ("no receiver is set: set one, as", "tests/monitor/test_rendered.py::test_a_test_alert_needs_a_receiver"),
    (
        "Alertmanager does not respond on {}: run status.yml",
        "tests/system/monitor/test_monitor.py::test_the_monitor_stops_and_starts",
    ),
    # removals
    ("is kept, because the container", f"{_COMPOSE}::test_absent_keeps_what_another_project_uses"),
    ("became unreachable, see above: run the same command again", f"{_REMOVAL}::test_a_removed_agent_leaves_nothing"),
    ("Docker was not removed, because it has containers", f"{_REMOVAL}::test_the_engine_stays_while_others_need_it"),
    ("Docker was not removed, because apt would", f"{_REMOVAL}::test_the_engine_stays_while_others_need_it"),
    ("the removal of data was not confirmed", f"{_REMOVAL}::test_a_removed_agent_leaves_nothing"),
    # engines, containers and the CRS
    ("network {} has {}, not {}: on the host", f"{_COMPOSE}::test_network_is_created_and_a_wrong_one_is_rejected"),
    ("network {} has MTU {}, not {}: on the host", f"{_COMPOSE}::test_network_fits_the_host_and_the_fleet"),
    ("to a subnet that is free", f"{_COMPOSE}::test_missing_free_subnet_is_reported"),
    ("and if it hangs, run systemctl restart docker", f"{_HUNG}::test_remedy_for_a_hanging_engine_works"),
    (
        "ends with the login session",
        "tests/system/prover_agent/test_session.py::test_work_outlives_the_session_with_the_logind_setting",
    ),
    (
        "was not written by this module",
        "tests/unit/plugins/module_utils/compose/test_project_directory_state.py::test_state_of_another_form_is_named",
    ),
    (
        "does not contain the result of the work",
        "tests/unit/plugins/module_utils/compose/test_project_directory_state.py::test_result_of_another_form_is_named",
    ),
    (
        "daemon.json was not changed",
        "tests/system/docker_engine/test_5_refused_settings.py::test_corrected_run_succeeds",
    ),
    (
        "the engine did not start with the new daemon.json",
        "tests/system/docker_engine/test_5_refused_settings.py::test_corrected_run_succeeds",
    ),
    (
        "did not start with the new settings of containerd",
        "tests/system/docker_engine/test_5_roots.py::test_empty_roots_are_changed",
    ),
    ("would change the value of", f"{_COMPOSE}::test_compose_reads_any_value_unchanged"),
    ("The previous version was not restored", f"{_COMPOSE}::test_no_rollback_after_the_data_was_changed"),
    (": correct {}", f"{_COMPOSE}::test_rejected_keys_are_reported_with_their_variable"),
    ("Compose rejects the files of", f"{_COMPOSE}::test_rejected_keys_are_reported_with_their_variable"),
    ("cannot be downloaded from", "tests/integration/test_crs.py::test_bad_mirror"),
    ("has another digest than in prover_agent_crs_digests", "tests/integration/test_crs.py::test_bad_mirror"),
    ("the CRS is incomplete", "tests/integration/test_crs.py::test_what_was_fetched_is_not_whole"),
    (
        "nothing was installed, because the key at",
        "tests/system/docker_engine/test_3_found.py::test_another_fingerprint_is_rejected",
    ),
    (
        "containerd runs without the settings in",
        "tests/system/docker_engine/test_4_settings.py::test_overridden_settings_are_reported",
    ),
    ("install and start it first", "tests/system/docker_engine/test_1_runs.py::test_engine_of_the_repository_serves"),
    # the port guard
    (
        "port guard is not loaded, so Docker does not start",
        f"{_GUARD}::test_docker_starts_only_after_the_guard",
    ),
    # The same again on a real machine: the rows of tables/running.py only have the facts.
    (
        "the port guard's tables are missing",
        "tests/system/guard_hosts/test_1_fallback.py::test_missing_tables_of_a_unit_that_is_active",
    ),
    ("the port guard's tables do not have an owner", f"{_GUARD}::test_remedies_of_verify_work"),
    ("delete the file, then run site.yml", f"{_GUARD}::test_remedies_of_verify_work"),
    ("does not start after a reboot: run site.yml", f"{_GUARD}::test_remedies_of_verify_work"),
    ("not created by this module", "tests/integration/test_port_guard.py::test_tables_of_another_program_are_rejected"),
    (
        "delete it and run the role of",
        "tests/integration/test_port_guard.py::test_a_damaged_section_stops_before_anything_is_changed",
    ),
    ("is not deployed on this host: run site.yml first", f"{_COMPOSE}::test_a_project_that_is_not_deployed"),
    (
        "belongs to process {}: end that process",
        "tests/integration/test_port_guard.py::test_a_second_daemon_does_not_start",
    ),
]

# Lines without an action of their own: they refer to the log, the unit or the line with the reason.
LEADS_ON = (
    "the daemon does not respond: see systemctl status aztec-port-guard",
    "the engine was installed but is not usable",
    "{} does not start ({}): see journalctl -u {}.service",
    "These files and images ran before: check what else has changed on the host",
    "Its files were not changed: see its log",
    "the container engine stopped responding",
    "did not get the alert: read docker logs prover-monitor-alertmanager",
    "(broker or node) failed, see above; no container was restarted: fix it and run again",
    "The broker was not deployed, see above: correct the error and run again",
    "The broker did not start with the new version, see above",
)
