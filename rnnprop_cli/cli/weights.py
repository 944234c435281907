"""`rnnprop weights`: look at meta-params and take them elsewhere."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rnnprop_cli.cli.console import settings, stderr, stdout
from rnnprop_cli.cli.options import AllowCodeOption, JsonOption
from rnnprop_cli.view.safe_text import safe_text

app = typer.Typer(no_args_is_help=True, help="List, show and export the weights of learned optimizers.")


@app.command("list")
def list_weights(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Weights that come with the package, and meta-trainings in the database."""
    from rnnprop_cli.runs.weights import find_weights, shipped_names, trained_names
    from rnnprop_cli.view.weights_facts import WeightsFacts

    shipped, trained = shipped_names(), trained_names(settings(ctx).db)
    if as_json:
        stdout().print_json(json.dumps({"shipped": shipped, "trained": trained}))
        return
    for name in shipped:
        found = find_weights(name, None)
        facts = WeightsFacts.of(name, found.tensors_sha256, found.made)
        stdout().print(f"{facts.sentence}  (shipped)", soft_wrap=True)
    for name in trained:
        stdout().print(f"{safe_text(name)}  (meta-trained here)")


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Shipped name, meta-training or file.")],
    allow_code: AllowCodeOption = False,
) -> None:
    """Architecture, tensors and how the weights were made, as JSON; their curve is in the file beside the tensors."""
    from rnnprop_cli.components import plugins
    from rnnprop_cli.runs.weights import find_weights

    plugins.allow_code(allow_code)
    weights = find_weights(name, settings(ctx).db)
    facts = {
        "source": weights.source,
        "sha256": weights.sha256,
        "optimizer": weights.architecture.model_dump(mode="json"),
        "meta_params": weights.rule().n_meta_params,
        "tensors": {key: list(value.shape) for key, value in weights.tensors.items()},
        "made": {key: value for key, value in weights.made.items() if key != "curve"},
    }
    stdout().print_json(json.dumps(facts))


@app.command()
def export(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Shipped name, meta-training (NAME@N for a checkpoint) or file.")
    ],
    target: Annotated[Path, typer.Argument(help="A new .safetensors or .npz file.")],
    allow_code: AllowCodeOption = False,
) -> None:
    """Write weights to a file of their own, with all that is known of their making."""
    from rnnprop_cli.components import plugins
    from rnnprop_cli.runs.weights import export_weights

    plugins.allow_code(allow_code)
    path = export_weights(name, settings(ctx).db, target)
    stderr().print(f"wrote {path}", soft_wrap=True)
