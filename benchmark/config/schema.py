"""The JSON Schema of a sweep, with every method's fields, for editors that complete and check YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.config.sweep import Sweep
from methods import registry
from methods.method import Work
from tasks import registry as task_registry


def sweep_schema() -> dict[str, Any]:
    """Return the schema; methods and tasks are those installed here."""
    schema = Sweep.model_json_schema()
    # A sweep without a name is called after its file.
    schema["required"].remove("name")
    properties = schema["properties"]
    properties["methods"]["items"] = _entry(registry.methods(), schema)
    properties["studies"]["items"] = _entry(registry.studies(), schema)
    names = [spelling for task in task_registry.tasks().values() for spelling in (task.name, *task.aliases)]
    properties["tasks"]["items"] = {"enum": names}
    properties["corpus"]["anyOf"].append({"type": "string"})
    properties["seeds"] = {
        "description": "a number n means 1..n; or a list of seeds",
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        ],
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Leanboard sweep"}


def _entry(works: Mapping[str, type[Work]], schema: dict[str, Any]) -> dict[str, Any]:
    """A name, or names with their fields; what these refer to goes into the schema's definitions."""
    fields: dict[str, Any] = {}
    for name, work in works.items():
        # Two works, maybe of plug-ins, may call different models of their fields by one name.
        described = work.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        nested = described.pop("$defs", {})
        schema["$defs"] |= {
            f"{name}.{model}": _fields(content) if "properties" in content else content
            for model, content in nested.items()
        }
        fields[name] = _fields(described)
    return {
        "anyOf": [
            {"enum": sorted(works)},
            {"type": "object", "additionalProperties": False, "properties": fields},
        ]
    }


def _fields(method: dict[str, Any]) -> dict[str, Any]:
    """Every field is a value or a grid of values."""
    return {
        "type": ["object", "null"],
        "description": method.get("description", ""),
        "additionalProperties": False,
        "properties": {
            name: {
                "description": field.get("description", ""),
                "anyOf": [
                    field,
                    {
                        "type": "object",
                        "required": ["grid"],
                        "additionalProperties": False,
                        "properties": {"grid": {"type": "array", "items": field, "minItems": 1}},
                    },
                ],
            }
            for name, field in method.get("properties", {}).items()
        },
    }
