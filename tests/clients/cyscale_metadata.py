"""Read metadata, events and an extrinsic as async-substrate-interface does, with cyscale."""

import json
import sys
from typing import Any

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset


def read(version: int, metadata: str, events: str, extrinsic: str) -> dict[str, Any]:
    """What metadata of a version say, and what they make of encoded values."""
    config = RuntimeConfigurationObject(ss58_format=42)
    config.clear_type_registry()
    config.update_type_registry(load_type_registry_preset(name="core") or {})
    found = config.create_scale_object("MetadataVersioned", ScaleBytes(metadata))
    found.decode()
    config.add_portable_registry(found)
    body = found.value[1][f"V{version}"]
    stored = found.get_metadata_pallet("System").get_storage_function("Events")

    def decode(type_string: str, data: str) -> Any:
        made = config.create_scale_object(type_string, ScaleBytes(data), metadata=found)
        return made.decode()

    return {
        "left": found.data.get_remaining_length(),
        "types": len(body["types"]["types"]),
        "pallets": [pallet_names(pallet) for pallet in body["pallets"]],
        "apis": {
            api["name"]: {
                method["name"]: [item["name"] for item in method["inputs"]]
                for method in api["methods"]
            }
            for api in body.get("apis", [])
        },
        "events": decode(stored.get_value_type_string(), events),
        "extrinsic": decode("Extrinsic", extrinsic),
    }


def pallet_names(pallet: dict[str, Any]) -> dict[str, Any]:
    """A pallet without the numbers of its types."""
    storage = pallet["storage"]
    return {
        "name": pallet["name"],
        "index": pallet["index"],
        "storage": [entry["name"] for entry in storage["entries"]] if storage else [],
        "constants": [[item["name"], item["value"]] for item in pallet["constants"]],
    }


if __name__ == "__main__":
    request = json.load(sys.stdin)
    shared = request["events"], request["extrinsic"]
    answers = {
        version: read(int(version), metadata, *shared)
        for version, metadata in request["metadata"].items()
    }
    print(json.dumps(answers, default=str))
