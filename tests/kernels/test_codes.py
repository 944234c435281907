"""What Python calls by number is what C++ means by it."""

import re
from pathlib import Path

import pytest

from rnnprop_cli.kernels import cpu_passes
from rnnprop_cli.kernels.passes import ACTIVATIONS

KERNELS = Path(cpu_passes.__file__).parent


@pytest.mark.parametrize(
    ("header", "enum", "names"),
    [("cpu_rules.h", "Rule", cpu_passes.RULES), ("cpu_mlp.h", "Activation", ACTIVATIONS)],
)
def test_names_stand_in_the_order_of_the_enum(header: str, enum: str, names: tuple[str, ...]) -> None:
    (members,) = re.findall(rf"enum class {enum} : int {{ (.*?) }};", (KERNELS / header).read_text())
    assert [member.replace("_", " ") for member in members.split(", ")] == list(names)
