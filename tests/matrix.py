"""Which client can do what, each "ok" with the tests in which the unmodified client does it.

`tests/test_matrix.py` holds the table in `docs/rpc.md` and the tests against this list. Tests of
PAPI run twice, by the new and by the old methods.
"""

from collections.abc import Mapping, Sequence

CLIENTS = (
    "@polkadot/api 16.5.6",
    "substrate-interface 1.8.1",
    "async-substrate-interface 2.2.1",
    "PAPI 2.2.2, new methods",
    "PAPI 2.2.2, old methods only",
)

Cell = Sequence[str] | str
"""Tests, or why there are none."""

_JS = "tests/clients/test_polkadotjs.py::test_"
_SI = "tests/live/test_sdk.py::test_an_sdk_"
_PY = "tests/clients/test_python_clients.py::test_"
_PAPI = "tests/clients/test_papi.py::test_"
NEVER = "never sends one"
NOT_OFFERED = "-"

_CUSTOM = "it_reads_pallets_that_no_other_chain_has"
_SIGNED = (f"{_PAPI}trap_at_the_block_asked_an_included_extrinsic_is_not_taken_for_stale",)
_SUBSCRIBED = (
    f"{_PAPI}it_follows_finalized_blocks_and_a_value",
    f"{_PAPI}trap_merkle_value_lets_watch_entries_see_a_new_entry",
)
_ASI_SIGNED = (f"{_PY}asi_signs_submits_and_reads_events",)
_JS_SIGNED = (f"{_JS}each_scheme_signs_immortal_with_a_tip_and_over_256_bytes",)
_SI_SIGNED = (f"{_SI}transfers_and_waits_for_finality",)

MATRIX: Mapping[str, Sequence[Cell]] = {
    "connect, query System.Account": (
        (f"{_JS}it_reads_the_chain_and_its_state",),
        (f"{_SI}connects_and_reads_what_the_chain_is", f"{_SI}queries_values_and_walks_maps"),
        (f"{_PY}asi_reads_the_chain_and_its_state",),
        (f"{_PAPI}it_reads_the_chain_and_its_state",),
        (f"{_PAPI}it_reads_the_chain_and_its_state",),
    ),
    "this chain's pallets: value, map, double map, constant": (
        (f"{_JS}{_CUSTOM}",),
        (f"{_PY}substrate_interface_reads_pallets_that_no_other_chain_has",),
        (f"{_PY}asi_reads_pallets_that_no_other_chain_has",),
        (f"{_PAPI}{_CUSTOM}",),
        (f"{_PAPI}{_CUSTOM}",),
    ),
    "this chain's runtime APIs, typed": (
        (f"{_JS}{_CUSTOM}",),
        "knows only Substrate's own",
        (f"{_PY}asi_reads_pallets_that_no_other_chain_has",),
        (f"{_PAPI}it_calls_every_function_of_the_runtime_by_its_types",),
        (f"{_PAPI}it_calls_every_function_of_the_runtime_by_its_types",),
    ),
    "subscribe to storage and headers": (
        (f"{_JS}it_hears_of_heads_and_of_changed_storage",),
        (f"{_SI}follows_the_heads", f"{_SI}follows_a_value"),
        (f"{_PY}asi_hears_of_heads",),
        _SUBSCRIBED,
        _SUBSCRIBED,
    ),
    "sign and submit with sr25519, events, to finality": (
        (*_JS_SIGNED, f"{_JS}a_mortal_batch_is_estimated_submitted_and_watched_to_finality"),
        _SI_SIGNED,
        _ASI_SIGNED,
        _SIGNED,
        _SIGNED,
    ),
    "ed25519, also over 256 bytes": (
        _JS_SIGNED,
        (*_SI_SIGNED, f"{_SI}signs_over_256_bytes"),
        _ASI_SIGNED,
        _SIGNED,
        _SIGNED,
    ),
    "ecdsa": (
        _JS_SIGNED,
        (f"{_SI}takes_the_signatures_of_an_ecdsa_key",),
        _ASI_SIGNED,
        _SIGNED,
        _SIGNED,
    ),
    "JSON-RPC batch": (
        NEVER,
        NEVER,
        (f"{_PY}asi_sends_a_batch_of_runtime_calls",),
        NEVER,
        NEVER,
    ),
    "errors of pallets by name": (
        (f"{_JS}a_failed_call_shows_its_module_error_with_its_docs",),
        (f"{_SI}names_the_errors_of_pallets",),
        (f"{_PY}asi_shows_a_module_error",),
        (f"{_PAPI}a_failed_call_shows_its_module_error",),
        (f"{_PAPI}a_failed_call_shows_its_module_error",),
    ),
    "estimate of the fee": (
        (f"{_JS}a_mortal_batch_is_estimated_submitted_and_watched_to_finality",),
        _SI_SIGNED,
        _ASI_SIGNED,
        _SIGNED,
        _SIGNED,
    ),
    "CheckMetadataHash in mode 1": (
        (f"{_JS}a_signature_may_commit_to_the_metadata",),
        NOT_OFFERED,
        NOT_OFFERED,
        _SIGNED,
        _SIGNED,
    ),
    "author of a block": (
        (f"{_JS}trap_author_of_a_block_is_shown",),
        (f"{_SI}reads_blocks_and_older_states",),
        NOT_OFFERED,
        NOT_OFFERED,
        NOT_OFFERED,
    ),
    "over HTTP": (
        (f"{_JS}it_works_over_http",),
        (f"{_PY}substrate_interface_works_over_http",),
        NOT_OFFERED,
        NOT_OFFERED,
        NOT_OFFERED,
    ),
    "typed descriptors (papi add)": (
        NOT_OFFERED,
        NOT_OFFERED,
        NOT_OFFERED,
        (f"{_PAPI}papi_add_writes_typed_descriptors",),
        NOT_OFFERED,
    ),
}


def as_markdown() -> str:
    """The table of the documentation."""
    lines = [f"| | {' | '.join(f'{name}' for name in CLIENTS)} |", f"|---|{'---|' * len(CLIENTS)}"]
    for requirement, cells in MATRIX.items():
        texts = [cell if isinstance(cell, str) else "ok" for cell in cells]
        lines.append(f"| {requirement} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"
