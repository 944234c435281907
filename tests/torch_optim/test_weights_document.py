"""docs/weights.md says what is so: its programs, tables, numbers and commands are run against the package."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from torch import Tensor, nn
from typer.testing import CliRunner

from rnnprop_cli import DMOptimizer, Mixture, RNNprop
from rnnprop_cli.cli.app import app
from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.law import AveragingSpec, LawSpec, ShapeSpec
from rnnprop_cli.components.learned.mixture import MixtureSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.runs.shipped_weights import shipped_folder, shipped_names
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.torch_optim.learned_optimizer import CoordinatewiseOptimizer

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
OPTIMIZERS: dict[str, type[CoordinatewiseOptimizer]] = {"rnnprop": RNNprop, "dm": DMOptimizer}
ARCHITECTURES = {"RNNprop": RNNpropSpec(), "DMoptimizer": DMSpec()}
PROGRAMS = {"rnnprop": "RNNprop", "dm": "DMoptimizer"}  # classes in the document
RANDOM = ["random rnnprop", "random dm"]
NETWORKS = [name for name in shipped_names() if find_weights(name, None).architecture.kind in PROGRAMS]
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}  # as the document says


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def section(heading: str) -> str:
    """The text under a heading, up to the next heading of any level."""
    (text,) = re.findall(
        rf"^#+ {re.escape(heading)}[^\n]*\n(.*?)(?=^#+ |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE
    )
    return text


def table(text: str) -> list[list[str]]:
    """Rows of the one table of a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def program(name: str, *before: str) -> Any:
    """What the Python block that defines `name` defines, behind the blocks that define what it needs."""
    scope: dict[str, Any] = {}
    for each in (*before, name):
        (source,) = (
            block
            for block in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
            if re.search(rf"^(class|def) {each}\b", block, re.MULTILINE)
        )
        exec(compile(source, f"docs/weights.md: {each}", "exec"), scope)
    return scope[name]


def weights_called(name: str) -> Weights:
    if name not in RANDOM:
        return find_weights(name, None)
    spec = RNNpropSpec() if name == "random rnnprop" else DMSpec()
    rule = spec.build()
    return weights_of(spec, rule.start(3, torch.float32, torch.device("cpu")))


def weights_of(spec: RNNpropSpec | DMSpec, meta_params_Q: Tensor) -> Weights:
    named = spec.build().named(meta_params_Q)
    return Weights(spec, {name: value.numpy() for name, value in named.items()}, "0" * 64, "a test")


def gradient(step: int, index: int, shape: tuple[int, ...]) -> Tensor:
    """Of any sign, and of sizes from 1e-8 to 100; one coordinate's is always 0."""
    generator = torch.Generator().manual_seed(100 * step + index)
    size = 10 ** torch.empty(shape, dtype=torch.float64).uniform_(-8, 2, generator=generator)
    grad = torch.randn(shape, dtype=torch.float64, generator=generator) * size
    grad.view(-1)[0] = 0
    return grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", [*NETWORKS, *RANDOM])
def test_the_numpy_program_takes_the_steps_of_the_package(
    tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    weights = weights_called(name)
    kind = weights.architecture.kind
    np.savez(tmp_path / "weights.npz", **weights.tensors)
    params = [
        nn.Parameter(gradient(1000, index, shape).to(dtype)) for index, shape in enumerate([(3, 4), (5,)])
    ]
    theirs = [param.detach().numpy().flatten() for param in params]
    optimizer = OPTIMIZERS[kind](params, weights=weights)
    numpy_dtype = theirs[0].dtype
    programs = [
        program(PROGRAMS[kind])(tmp_path / "weights.npz", theta.size, dtype=numpy_dtype) for theta in theirs
    ]
    for step in range(30):
        for index, param in enumerate(params):
            param.grad = None
            if index == 0 or step % 3 != 1:  # the second parameter is skipped now and then
                param.grad = gradient(step, index, tuple(param.shape)).to(dtype)
                theirs[index] = programs[index].step(theirs[index], param.grad.numpy().flatten())
        optimizer.step()
    for param, theta, numpy_program in zip(params, theirs, programs, strict=True):
        assert theta.dtype == numpy_dtype
        close = {"rtol": 0, "atol": TOLERANCES[dtype]}
        np.testing.assert_allclose(theta, param.detach().numpy().flatten(), **close)
        state = optimizer.state[param]
        for ours, theirs_LHn in ((state["hidden"], numpy_program.h), (state["cell"], numpy_program.c)):
            np.testing.assert_allclose(theirs_LHn.reshape(ours.shape), ours.numpy(), **close)


def mixture_law(hidden: int, averaged: bool) -> Weights:
    """Far from where training begins."""
    spec = LawSpec(base=MixtureSpec(hidden=hidden))
    if averaged:
        spec = LawSpec(
            base=MixtureSpec(hidden=hidden),
            shape=ShapeSpec(inputs=0.4, matrices=0.2),
            averaging=AveragingSpec(),
        )
    flat_Q = spec.build().start(3, torch.float32, torch.device("cpu"))
    flat_Q = flat_Q + 0.3 * torch.randn(len(flat_Q), generator=torch.Generator().manual_seed(1))
    named = spec.build().named(flat_Q)
    return Weights(spec, {name: value.numpy() for name, value in named.items()}, "0" * 64, "a test")


@pytest.mark.parametrize("total_steps", [40, None])
@pytest.mark.parametrize(("hidden", "averaged"), [(0, False), (8, False), (0, True), (8, True)])
def test_the_program_of_the_mixture_takes_the_steps_of_the_package(
    tmp_path: Path, hidden: int, averaged: bool, total_steps: int | None
) -> None:
    weights = mixture_law(hidden, averaged)
    np.savez(tmp_path / "weights.npz", **weights.tensors)
    params = [nn.Parameter(0.1 * gradient(1000, j, shape)) for j, shape in enumerate([(3, 4), (5,), ()])]
    params[1].data.zero_()
    theirs = [param.detach().numpy().copy() for param in params]
    optimizer = Mixture(params, weights=weights, total_steps=total_steps)
    made = program("MixtureLaw", "Law", "Average")(tmp_path / "weights.npz", theirs, total_steps)
    for step in range(30):
        grads = [gradient(step, j, tuple(param.shape)) for j, param in enumerate(params)]
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        theirs = made.step(theirs, [grad.numpy() for grad in grads])
        optimizer.step()
    for param, theta in zip(params, theirs, strict=True):
        np.testing.assert_allclose(theta, param.detach().numpy(), rtol=0, atol=TOLERANCES[torch.float64])


@pytest.mark.parametrize("optimizer_name", ARCHITECTURES)
def test_the_numbers_to_test_against_are_those_of_the_package_and_of_the_program(
    tmp_path: Path, optimizer_name: str
) -> None:
    spec = ARCHITECTURES[optimizer_name]
    k = torch.arange(spec.build().n_meta_params, dtype=torch.float64)
    weights = weights_of(spec, 0.3 * torch.sin(k + 1))
    np.savez(tmp_path / "weights.npz", **weights.tensors)
    param = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = OPTIMIZERS[spec.kind]([param], weights=weights)
    numpy_program, theta = program(optimizer_name)(tmp_path / "weights.npz", 3), np.zeros(3)
    rows = [row[1:] for row in table(section("Numbers to test against")) if row[0] == optimizer_name]
    expected = {int(step): [float(value) for value in values] for step, *values in rows}
    assert set(expected) == {1, 2, 10}
    for step in range(1, 11):
        grad = np.array([np.sin(step + n) * 10.0 ** (-3 * n) for n in range(3)])
        param.grad = torch.from_numpy(grad)
        optimizer.step()
        theta = numpy_program.step(theta, grad)
        if step in expected:
            assert param.tolist() == pytest.approx(expected[step], rel=0, abs=1e-11)
            assert theta.tolist() == pytest.approx(expected[step], rel=0, abs=1e-11)


@pytest.mark.parametrize("optimizer_name", ARCHITECTURES)
def test_the_tables_name_every_tensor_with_its_shape_in_order(optimizer_name: str) -> None:
    rule = ARCHITECTURES[optimizer_name].build()
    told = [(name, tuple(json.loads(shape))) for name, shape, _ in table(section(f"{optimizer_name}: "))]
    assert told == rule.named_shapes()
    assert f"### {optimizer_name}: {rule.n_meta_params:,} numbers" in DOCUMENT


@pytest.mark.parametrize("name", shipped_names())
def test_the_document_names_every_key_of_the_shipped_json_files(name: str) -> None:
    side = json.loads((shipped_folder() / f"{name}.json").read_bytes())
    files = DOCUMENT.split("## Files")[1].split("### Verify")[0]
    named = set(re.findall(r"`([\w.]+)`", files))
    assert set(side) - {"metadata"} <= named
    assert {f"metadata.{key}" for key in side["metadata"]} <= named
    assert set(side["metadata"]["optimizer"]) <= named
    assert set(side["metadata"]["made"]) <= named
    assert side["format"] in files


def test_the_settings_in_the_formulas_are_the_defaults() -> None:
    rnnprop, dm = RNNpropSpec(), DMSpec()
    update = section("The update")
    told = dict(re.findall(r"(β1|β2|ε|p) = ([\d.e-]+)", update))
    assert {key: float(value) for key, value in told.items()} == {
        "β1": rnnprop.beta1,
        "β2": rnnprop.beta2,
        "ε": rnnprop.eps,
        "p": dm.p,
    }
    alphas = re.findall(r"^θ .* α = ([\d.]+)$", update, re.MULTILINE)
    assert [float(alpha) for alpha in alphas] == [rnnprop.alpha, dm.alpha]


@pytest.mark.parametrize("damaged", ["weights.safetensors", "weights.json"])
def test_the_check_of_the_hashes_finds_damage_in_either_file(tmp_path: Path, damaged: str) -> None:
    intact = program("intact")
    for suffix in (".safetensors", ".json"):
        shutil.copy(shipped_folder() / f"rnnprop{suffix}", tmp_path / f"weights{suffix}")
    assert intact(tmp_path / "weights.safetensors")
    content = (tmp_path / damaged).read_bytes()
    at = content.index(b'"seed": 0') + 8 if damaged.endswith(".json") else len(content) - 1
    (tmp_path / damaged).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert not intact(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_state_is_as_the_document_says(kind: str) -> None:
    label = OPTIMIZERS[kind].__name__
    text = section("In PyTorch")
    entries, sizes = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    (bytes_told,) = (row[1:] for row in table(sizes) if row[0] == label)
    n = 12
    found: list[int] = []
    for dtype, state_dtype in ((torch.float32, None), (torch.float32, torch.bfloat16), (torch.float64, None)):
        param = nn.Parameter(torch.zeros(3, 4, dtype=dtype))
        param.grad = torch.ones_like(param)
        optimizer = OPTIMIZERS[kind](
            [param], weights=weights_called(f"random {kind}"), state_dtype=state_dtype
        )
        optimizer.step()
        saved = optimizer.state_dict()
        state = saved["state"][0]
        shapes = {"the parameter's": (3, 4), "[]": (), "[40, ...]": (40, 3, 4)}
        dtypes = {"float32, on the CPU": torch.float32, "computing": dtype, "state": state_dtype or dtype}
        expected = {
            name: (shapes[shape], dtypes[kept_in])
            for name, shape, kept_in, _, whose in table(entries)
            if whose in ("both", label)
        }
        assert {name: (tuple(value.shape), value.dtype) for name, value in state.items()} == expected
        found.append(sum(value.nbytes for name, value in state.items() if name != "step") // n)
        assert all(f"`{key}`" in text for key in saved["param_groups"][0] if key != "params")
    assert [int(told) for told in bytes_told] == [found[0] // 4, *found]


def commands(text: str) -> list[list[str]]:
    """Every `rnnprop ...` in sh blocks and between backquotes, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(rnnprop [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in [*lines, *inline]]


def test_every_command_and_option_exists() -> None:
    found = commands(DOCUMENT)
    assert len(found) >= 8
    for words in found:
        if words[1:] == ["checkpoint", "1"]:  # the name of the format
            continue
        command: Any = typer.main.get_command(app)
        rest = words[1:]
        while hasattr(command, "commands"):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= options, words
        for word in rest:
            assert not word.startswith("bench_specs/") or (ROOT / word).is_file(), words


def invoke(words: list[str]) -> str:
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_the_commands_that_get_weights_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands(section("Where to get them")):
        if words[1] == "weights":
            invoke(words)
    assert program("intact")(tmp_path / "rnnprop.safetensors")
    with np.load("rnnprop.npz") as arrays:
        for name, value in find_weights("rnnprop.safetensors", None).tensors.items():
            assert np.array_equal(arrays[name], value)


def test_weights_of_ones_own_are_made_and_used_as_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = section("Make your own")
    (block,) = re.findall(r"```sh\n.*?```", text, re.DOTALL)
    for words in commands(block):
        short = ["--set", "meta_iterations=1", "--set", "checkpoint.every=1", "--threads", "1"]
        here = [str(ROOT / word) if word.startswith("bench_specs/") else word for word in words]
        invoke(here + short if words[1] == "train" else here)
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope: dict[str, Any] = {"model": nn.Linear(2, 1)}
    exec(compile(source, "docs/weights.md: Make your own", "exec"), scope)
    by_name, by_file = scope["from_database"].weights, scope["from_file"].weights
    assert by_name.made == by_file.made
    assert all(np.array_equal(by_name.tensors[name], by_file.tensors[name]) for name in by_name.tensors)


def test_links_and_anchors_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", DOCUMENT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    targets = re.findall(r"\]\(([^)]+)\)", DOCUMENT)
    assert targets
    for target in targets:
        here = target.startswith("#") and target.removeprefix("#") in anchors
        assert target.startswith("https://") or here or (ROOT / "docs" / target).is_file(), target
