"""The generated SCALE codec against scalecodec, on the 2 000 events of a block of transfers."""

import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.primitives.scale import Struct, codec
from tests.bench.block_import import Bench
from tests.bench.rounds import medians, show

EVENTS = 2_000
ROUNDS = 5


def events_of_a_block() -> tuple[Bench, list[Struct]]:
    """A chain with one block of transfers, and the first events of it."""
    with tempfile.TemporaryDirectory(prefix="dret-bench-") as folder:
        bench = Bench.new(Path(folder) / "db")
        bench.import_block()
        stored = bench.chain.best_state().get(bench.runtime.system.events.prefix)
        bench.database.close()
    assert stored is not None
    record: Any = bench.runtime.assembly.types.event_record
    records: list[Struct] = list(islice(codec(list[record]).decode(stored), EVENTS))
    assert len(records) == EVENTS
    return bench, records


def _for_encoding(record: Any) -> Any:
    """A record as scalecodec encodes it; it does not take what its own decoder gives."""
    event = record["event"]
    return {
        "phase": {"ApplyExtrinsic": record["extrinsic_idx"]},
        "event": {event["module_id"]: {event["event_id"]: event["attributes"]}},
        "topics": record["topics"],
    }


def run() -> None:
    """Measure and print."""
    bench, records = events_of_a_block()
    ours: Any = codec(list[bench.runtime.assembly.types.event_record])  # type: ignore[name-defined]
    data: bytes = ours.encode(records)

    config = RuntimeConfigurationObject(ss58_format=42)
    config.clear_type_registry()
    config.update_type_registry(load_type_registry_preset(name="core"))
    metadata = config.create_scale_object(
        "MetadataVersioned", ScaleBytes(bench.runtime.metadata(14))
    )
    metadata.decode()
    config.add_portable_registry(metadata)
    events = metadata.get_metadata_pallet("System").get_storage_function("Events")
    name = events.get_value_type_string()

    def theirs() -> Any:
        return config.create_scale_object(name, ScaleBytes(data), metadata=metadata)

    values = [_for_encoding(record) for record in theirs().decode()]
    assert bytes(theirs().encode(values).data) == data, "scalecodec encodes something else"
    decoding = medians(
        {"ours": lambda: ours.decode(data), "scalecodec": lambda: theirs().decode()}, ROUNDS
    )
    encoding = medians(
        {"ours": lambda: ours.encode(records), "scalecodec": lambda: theirs().encode(values)},
        ROUNDS,
    )
    show(f"Decoding {EVENTS:,} events, {len(data):,} bytes", decoding, "ours")
    show(f"Encoding {EVENTS:,} events", encoding, "ours")


if __name__ == "__main__":
    run()
