"""`rnnprop weights`: look at meta-params and take them elsewhere."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rnnprop_cli.cli import completion
from rnnprop_cli.cli.console import settings, stderr, stdout
from rnnprop_cli.cli.options import AllowCodeOption, JsonOption
from rnnprop_cli.errors import suggested
from rnnprop_cli.naming import shell_word
from rnnprop_cli.view.safe_text import safe_text

app = typer.Typer(no_args_is_help=True, help="List, show and export the weights of learned optimizers.")


@app.command("list")
def list_weights(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Weights that come with the package, and meta-trainings in the database; unfinished ones are marked."""
    from rnnprop_cli.cli.weights_table import weights_table
    from rnnprop_cli.runs.weights_list import list_weights

    found = list_weights(settings(ctx).db)
    if as_json:
        typer.echo(json.dumps({"weights": [vars(each) for each in found]}, indent=2))
        return
    stdout().print(weights_table(found))


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Shipped name, meta-training or file.", autocompletion=completion.weights)
    ],
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
        str,
        typer.Argument(
            help="Shipped name, meta-training (NAME@N for a checkpoint) or file.",
            autocompletion=completion.weights,
        ),
    ],
    target: Annotated[Path, typer.Argument(help="A new .safetensors or .npz file.")],
    allow_code: AllowCodeOption = False,
) -> None:
    """Write weights to a file of their own, with all that is known of their making."""
    from rnnprop_cli.components import plugins
    from rnnprop_cli.runs.weights import export_weights

    plugins.allow_code(allow_code)
    path, unfinished = export_weights(name, settings(ctx).db, target)
    if unfinished is not None:
        again = suggested(*settings(ctx).place, "train", "--resume", name)
        stderr().print(
            safe_text(
                f"warning: meta-training '{name}' is not finished ({unfinished}): these are the weights of its best "
                f"checkpoint so far; go on with: {again}"
            ),
            soft_wrap=True,
        )
    stderr().print(f"wrote {shell_word(str(path))}", soft_wrap=True)
