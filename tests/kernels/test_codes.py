"""Python and the compiled kernel mean the same by a name, for the kernel itself says what its codes are."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import cpu_passes, recipe
from rnnprop_cli.kernels.compiler import find_compiler
from rnnprop_cli.kernels.cpu_library import check, code_of
from rnnprop_cli.kernels.cpu_passes import CpuPasses
from rnnprop_cli.kernels.cpu_tensors import FORMATS
from rnnprop_cli.kernels.passes import ACTIVATIONS

KERNELS = Path(cpu_passes.__file__).parent
# An enum, its table of names, and the header that has both.
TABLES = {
    "rule": ("Rule", "RULES", "cpu_rules.h"),
    "activation": ("Activation", "ACTIVATIONS", "cpu_mlp.h"),
    "layer": ("ConvKind", "CONV_KINDS", "cpu_conv_plan.h"),
    "format": ("Format", "FORMATS", "cpu_numbers.h"),
}


@pytest.fixture(scope="module")
def passes() -> CpuPasses:
    try:
        return CpuPasses()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("table", TABLES)
def test_every_member_of_an_enum_has_a_name_of_its_own(passes: CpuPasses, table: str) -> None:
    enum, names, header = TABLES[table]
    text = (KERNELS / header).read_text()
    (members,) = re.findall(rf"enum class {enum} : \w+ {{ (.*?) }};", text)
    (rows,) = re.findall(rf"constexpr Name<{enum}> {names}\[\] = {{\n(.*?)\n}};", text, re.DOTALL)
    named = re.findall(rf'{{"([\w ]+)", {enum}::(\w+)}}', rows)
    assert sorted(member for _, member in named) == sorted(members.split(", "))
    assert len({code_of(table, name) for name, _ in named}) == len(named)


def test_the_kernel_knows_the_names_that_python_uses(passes: CpuPasses) -> None:
    for name in ACTIVATIONS:
        code_of("activation", name)
    for name in FORMATS.values():
        code_of("format", name)


@pytest.mark.parametrize(("table", "name"), [("rule", "lion"), ("activation", "gelu"), ("other", "adam")])
def test_an_unknown_name_is_refused(passes: CpuPasses, table: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"knows no {table} '{name}'"):
        code_of(table, name)


def test_a_rule_that_the_kernel_lacks_changes_nothing(passes: CpuPasses) -> None:
    params_CP = torch.ones(2, 4)
    with pytest.raises(ValueError, match="knows no rule 'lion'"):
        passes.rule_step("lion", (), torch.ones(2), torch.ones(2, 4), (), params_CP)
    assert torch.equal(params_CP, torch.ones(2, 4))


def test_a_code_that_the_kernel_did_not_give_is_an_error(passes: CpuPasses) -> None:
    status = passes._library.rnnprop_rule_step(99, 1, 4, 1, *[None] * 6)
    with pytest.raises(ValueError, match="did not give"):
        check(status)


def test_no_switch_over_codes_leaves_one_out_or_takes_the_rest_together() -> None:
    sources = [*KERNELS.glob("*.h"), *KERNELS.glob("*.cpp")]
    assert not [path.name for path in sources if "default:" in path.read_text()]
    try:
        compiler = find_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    flags = [flag for flag in recipe.FLAGS if flag not in ("-w", "-shared", "-O3")]
    command = [*compiler, *flags, "-fsyntax-only", "-Werror=switch", str(KERNELS / recipe.MAIN_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
