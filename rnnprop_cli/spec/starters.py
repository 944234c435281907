"""Commented specs to begin with, and the JSON schemas that editors complete from."""

from typing import Any, Final

from rnnprop_cli.fields import Spec
from rnnprop_cli.spec.axes import SECTIONS
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.train import TrainSpec

STARTERS: Final = {
    "bench": """\
# A benchmark: every optimizer on every optimizee and horizon, over the same seeds.
# Run it with `rnnprop bench --spec FILE`; run it again and only what is missing is computed.
name = "my-bench"
description = "What this benchmark is to show"
seed = 0              # root of all randomness
seeds = 10            # final runs of every optimizer: same theta_0, same minibatches
horizon = [100]       # inner steps; several horizons make several races
minibatch = 128
sampling = "epochs"     # without replacement; or "replacement"

# Any setting below may be a list: its values are combined with those of the other lists.
[[optimizees]]
kind = "mlp"          # mlp | conv | lstm | quadratic
dataset = "digits"    # digits (bundled) | mnist | cifar10 (see `rnnprop data list`)
depth = [1, 2]        # hidden layers
hidden = 20
activation = ["sigmoid", "relu"]

[[optimizers]]
kind = ["sgd", "momentum", "adagrad", "rmsprop", "adam"]
lr = "tuned"          # searched on the grid 2^(-k/2); or "default", or a number

[[optimizers]]
kind = "adam"
lr = "tuned"
schedule = "cosine"   # constant | cosine | linear-warmup-cosine

# A learned optimizer, by the name of shipped weights, of a meta-training, or of a file:
# [[optimizers]]
# kind = "learned"
# weights = "my-rnnprop"
# schedule = "cosine"

[tuning]
seeds = 3             # never those of the final runs
points = 9            # first round; more follow while the best one lies at an edge
""",
    "train": """\
# A meta-training. Run it with `rnnprop train --spec FILE`; `--set key=value` changes a setting.
name = "my-rnnprop"
description = "What this meta-training is to show"
seed = 0
meta_iterations = 15000
minibatch = 128
sampling = "epochs"     # without replacement; or "replacement"
meta_loss = "last"    # last: loss at the end of each window (RNNprop); mean: of all its steps (DMoptimizer)
meta_batch = 1        # tasks per meta-iteration
random_scaling = 3.0  # L of section 4.1; false switches it off

[optimizer]
kind = "rnnprop"      # rnnprop | dm | architecture (a class of your own: docs/meta_training.md)

[optimizee]             # several, each with its weight: [[optimizees]]
kind = "mlp"
dataset = "digits"    # digits (bundled) | mnist | cifar10 (see `rnnprop data list`)
depth = 1
hidden = 20
activation = "sigmoid"

[convex]              # combination with a convex function; without this table it is off
dimension = 20
scaling = 1.0         # L of its Random Scaling; false switches it off

[truncation]
horizon = 100         # inner steps of a whole trajectory; or [20, 100], or { log_uniform = [20, 200] }
unroll = 20           # inner steps that a meta-gradient flows through

[validation]
every = 100           # meta-iterations

[checkpoint]
every = 1000          # kept for good
rolling = 50          # the latest two are kept, for --resume
select = "epoch_average"  # or moving_average, mean_loss, validation
""",
}

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
