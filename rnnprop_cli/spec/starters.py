"""Commented files to begin with, and the JSON schemas that editors complete from."""

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from rnnprop_cli.fields import Spec
from rnnprop_cli.spec.axes import SECTIONS
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.train import TrainSpec

# What there is to start from; the file of a kind is `starters/KIND.py` or `.toml`.
KINDS: Final = ("bench", "train", "optimizee", "optimizer", "architecture", "dataset")


def starter(kind: str) -> str:
    """A commented file to start from, which works as it is."""
    folder = Path(str(files("rnnprop_cli"))) / "starters"
    suffix = ".toml" if kind in _MODELS else ".py"
    return (folder / f"{kind}{suffix}").read_text(encoding="utf-8")


_MODELS: Final[dict[str, type[Spec]]] = {"bench": BenchSpec, "train": TrainSpec}


def json_schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a spec file of `kind` ("bench" or "train"), the axes of a bench file included."""
    schema = _MODELS[kind].model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for table in [schema, *schema["$defs"].values()]:
        for setting in table.get("properties", {}).values():
            # TOML has no null: a setting that may be absent is switched off with false
            if {"type": "null"} in setting.get("anyOf", []):
                setting["anyOf"][setting["anyOf"].index({"type": "null"})] = {"const": False}
            if setting.get("default", ...) is None:
                del setting["default"]
    for section in SECTIONS:
        if kind == "bench":
            items = schema["properties"][section]["items"]
            mapping = items.pop("discriminator")["mapping"]
            for reference in mapping.values():
                _accept_lists(schema["$defs"][reference.rsplit("/", 1)[-1]])
            several = {"type": "array", "items": {"enum": list(mapping)}, "minItems": 1}
            of_several_kinds = {"required": ["kind"], "properties": {"kind": several}}
            schema["properties"][section]["items"] = {"anyOf": [*items.pop("oneOf"), of_several_kinds]}
    return schema


def _accept_lists(table: dict[str, Any]) -> None:
    for name, setting in table["properties"].items():
        if name != "kind":
            one = {key: value for key, value in setting.items() if key not in {"default", "title"}}
            outer = {key: value for key, value in setting.items() if key in {"default", "title"}}
            table["properties"][name] = outer | {
                "anyOf": [one, {"type": "array", "items": one, "minItems": 1}]
            }
