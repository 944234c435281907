"""Runs `docs/notebook.ipynb` and shows it as a page. Needs no Jupyter.

python docs/site/notebook.py docs/notebook.ipynb      # run it, and keep what its cells gave
"""

import argparse
import ast
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """Those that can be run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> list[str]:
    """Runs the cells in an empty folder.

    Returns:
        What each of them printed, and its last expression.
    """
    scope: dict[str, Any] = {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return [_run_cell("".join(cell["source"]), scope) for cell in code_cells(notebook)]
        finally:
            os.chdir(before)


def output_of(cell: Cell) -> str:
    """What a cell gave when it was run."""
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


def as_markdown(path: Path) -> str:
    """A page with cells and what they gave."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        if output := output_of(cell).rstrip():
            parts.append(f"```text\n{output}\n```")
    return "\n\n".join(parts) + "\n"


def _run_cell(source: str, scope: dict[str, Any]) -> str:
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "notebook", "exec"), scope)
        value = eval(compile(ast.Expression(last.value), "notebook", "eval"), scope) if last else None
    return printed.getvalue() + ("" if value is None else f"{value!r}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebook", type=Path)
    path: Path = parser.parse_args().notebook
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell, output in zip(code_cells(notebook), run(notebook), strict=True):
        stream = {"output_type": "stream", "name": "stdout", "text": output.splitlines(keepends=True)}
        cell["outputs"] = [stream] if output else []
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
