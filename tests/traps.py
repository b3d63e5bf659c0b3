"""What unmodified clients trip over, each with the tests that are named after it.

`TRAPS` are the traps that were found by running the clients against another server and by reading
their sources; `FURTHER` is what they rely on besides. `tests/test_traps.py` holds this list and the
tests against each other: no entry without its tests, no `test_trap_…` that is not listed.
"""

from collections.abc import Mapping, Sequence

_RPC = "tests/rpc/test_traps.py::test_trap_"
_FOLLOW = "tests/rpc/test_chain_head.py::test_trap_"
_METADATA = "tests/runtime/test_metadata.py::test_trap_"
_PAPI = "tests/clients/test_papi.py::test_trap_"

TRAPS: Mapping[str, Sequence[str]] = {
    "order: the reply to a subscription precedes its first notification": (
        f"{_RPC}order_the_reply_precedes_the_first_notification",
    ),
    "method name: notifications are matched by method and id": (
        f"{_RPC}method_name_notifications_have_exactly_the_name_that_clients_match",
        f"{_RPC}method_name_subscription_ids_are_unique_in_a_connection",
    ),
    "lower case: returned keys are compared as text": (
        f"{_RPC}lower_case_keys_are_echoed_as_the_client_compares_them",
    ),
    "hex input: without 0x, and empty": (f"{_RPC}hex_input_may_be_bare_or_empty",),
    "single key: a change set without the key means that the value is gone": (
        f"{_RPC}single_key_a_change_set_without_the_key_is_never_sent",
    ),
    "merkle value: closestDescendantMerkleValue must be real": (
        f"{_FOLLOW}merkle_value_of_a_map_is_real",
        f"{_PAPI}merkle_value_lets_watch_entries_see_a_new_entry",
    ),
    "code: PAPI crashes without a value under :code, and keeps metadata by its hash": (
        f"{_RPC}code_there_is_a_value_under_code_and_its_hash_can_be_asked",
        f"{_FOLLOW}code_key_is_readable_by_its_hash",
        f"{_METADATA}code_changes_with_the_metadata",
    ),
    "V16: the extensions stand under extension version 0": (
        "tests/clients/test_metadata.py::"
        "test_trap_v16_extensions_by_version_have_the_key_0_which_papi_looks_for",
    ),
    "extension order: Python clients have it by heart": (
        f"{_METADATA}extension_order_is_the_one_that_python_clients_have_by_heart",
    ),
    "custom extensions: none but Substrate's own may carry data": (
        f"{_METADATA}custom_extensions_that_carry_data_are_not_there",
    ),
    "at the block asked: validity is not judged at the newest state": (
        f"{_RPC}at_the_block_asked_validity_is_not_judged_at_the_newest_state",
        f"{_FOLLOW}at_the_block_asked_a_call_of_a_follower_is_answered",
        f"{_PAPI}at_the_block_asked_an_included_extrinsic_is_not_taken_for_stale",
    ),
    "package: the latest @polkadot/api cannot be installed": (
        "tests/clients/test_installation.py::"
        "test_trap_package_polkadot_api_is_pinned_to_a_version_that_can_be_installed",
    ),
}

FURTHER: Mapping[str, Sequence[str]] = {
    "aliases: clients that do not fall back": (
        f"{_RPC}aliases_that_clients_die_without_are_there",
    ),
    "method not found: PAPI compares the text": (
        f"{_RPC}method_not_found_has_the_very_text_that_papi_compares",
    ),
    "batch: one array is answered by one array": (
        f"{_RPC}batch_one_array_is_answered_by_one_array",
    ),
    "pipelined: many requests at once": (f"{_RPC}pipelined_requests_do_not_wait_for_one_another",),
    "missing: trailing parameters may be missing or null": (
        f"{_RPC}missing_trailing_parameters_and_null_are_alike",
    ),
    "commit first: a block is read as soon as it is told": (
        f"{_RPC}commit_first_a_block_can_be_read_as_soon_as_it_is_told",
    ),
    "genesis: its block, its number, its parent": (
        f"{_RPC}genesis_is_a_block_with_a_zero_number",
        "tests/runtime/test_traps.py::test_trap_genesis_header_is_what_clients_hash",
    ),
    "apis: pairs here, an object there": (
        f"{_RPC}apis_is_a_list_of_pairs_here_and_an_object_there",
    ),
    "event index: the phase of an event is the place in the body": (
        "tests/runtime/test_traps.py::test_trap_event_index_is_the_place_in_the_body",
    ),
    "outcome events: their names, indices and fields": (
        "tests/runtime/test_traps.py::test_trap_outcome_events_have_the_form_that_clients_look_for",
    ),
    "keys: what clients compute for themselves": (
        "tests/runtime/test_traps.py::test_trap_keys_are_those_that_clients_compute",
    ),
    "author: an aura digest, and Session.Validators": (
        "tests/runtime/test_traps.py::test_trap_author_is_named_by_slot_and_validators",
        "tests/clients/test_polkadotjs.py::test_trap_author_of_a_block_is_shown",
    ),
    "mortality: a rounded period must not outlive the hashes": (
        "tests/clients/test_polkadotjs.py::test_trap_mortality_fits_into_the_hashes_that_are_kept",
    ),
    "extrinsic type: its parameters and their order": (
        f"{_METADATA}extrinsic_type_has_the_parameters_that_polkadot_js_needs",
    ),
    "array length: at most 2048": (f"{_METADATA}array_length_is_within_what_polkadot_js_takes",),
    "field names: some are changed by polkadot.js": (
        f"{_METADATA}field_names_that_polkadot_js_changes_are_avoided",
    ),
    "hashers: a map must keep its keys": (
        f"{_METADATA}hashers_keep_the_key_so_that_every_map_can_be_iterated",
    ),
    "fake signature: a fee is told for it": (
        "tests/runtime/test_apis.py::"
        "test_trap_fake_signature_does_not_hinder_the_estimate_of_a_fee",
    ),
    "old blocks: each by the metadata of its time": (
        "tests/clients/test_upgrade.py::"
        "test_trap_old_blocks_are_read_by_the_metadata_of_their_time",
    ),
}
