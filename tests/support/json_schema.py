"""A validator for the keywords of JSON Schema 2020-12 that our schemas use; others are refused."""

import re
from collections.abc import Mapping
from typing import Any

ANNOTATIONS = {"$schema", "title", "description"}
TYPES: Mapping[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "object": dict,
    "array": list,
    "null": type(None),
}


def problems(value: Any, schema: Mapping[str, Any], where: str = "$") -> list[str]:
    """What is wrong with a value; empty when it is valid."""
    found: list[str] = []
    for keyword, wanted in schema.items():
        match keyword:
            case "type":
                is_flag = isinstance(value, bool) and wanted != "boolean"
                if is_flag or not isinstance(value, TYPES[wanted]):
                    return [f"{where}: {value!r} is no {wanted}"]
            case "anyOf":
                tried = [problems(value, each, where) for each in wanted]
                if all(tried):
                    tried.sort(key=len)
                    found += tried[0]
            case "enum":
                found += [] if value in wanted else [f"{where}: {value!r} is none of {wanted}"]
            case "pattern":
                found += [] if re.search(wanted, value) else [f"{where}: {value!r}, {wanted}"]
            case "minimum":
                found += [] if value >= wanted else [f"{where}: {value} is below {wanted}"]
            case "items":
                for place, item in enumerate(value):
                    found += problems(item, wanted, f"{where}[{place}]")
            case "properties":
                for name in wanted.keys() & value.keys():
                    found += problems(value[name], wanted[name], f"{where}.{name}")
            case "required":
                found += [f"{where}.{name} is missing" for name in wanted if name not in value]
            case "additionalProperties":
                names = [] if wanted else value.keys() - schema["properties"].keys()
                found += [f"{where}.{name} is not expected" for name in sorted(names)]
            case _ if keyword in ANNOTATIONS:
                pass
            case _:
                raise NotImplementedError(keyword)
    return found
