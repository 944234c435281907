"""What cannot be meta-trained is told before anything is begun, with the user's own file and line."""

from collections.abc import Callable

import pytest
from outside_samples import SMALL
from test_through_steps import example

from rnnprop_cli.components.learned import ARCHITECTURES
from rnnprop_cli.components.learned.outside import OutsideSpec
from rnnprop_cli.errors import CodeError
from rnnprop_cli.meta.soundness import check_architecture

Outside = Callable[..., OutsideSpec]


def check(spec: OutsideSpec) -> None:
    check_architecture(spec.build(), spec.source.source, spec.alpha)


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind != "architecture"])
def test_our_own_pass(kind: str) -> None:
    check_architecture(ARCHITECTURES[kind]().build(), kind, 0.1)


def test_the_example_passes_and_so_does_a_plain_class(outside: Outside) -> None:
    check(example())
    check(outside(hidden=2))


WRONG = [  # what is replaced, by what, and what is said
    ("class Small", "class Other", r"own.py:Small: AttributeError: .*has no attribute 'Small'"),
    ("import torch\n", "import torch\n1 / 0\n", r"own.py:Small: line 2, in <module>: ZeroDivisionError"),
    ("def step", "def stop", "has no step: a learned optimizer has named_shapes, init, step"),
    ("hidden=3", "width=3", r"TypeError: .*unexpected keyword argument 'hidden'"),
    ("(self.hidden, 2)", "(self.hidden, 0)", r"named_shapes gives \('w', \(3, 0\)\): .* at least 1"),
    ('("b"', '("w"', "gives the name 'w' twice"),
    ('("b"', '("adam.m"', "'adam.m' twice, or it is ours"),
    ("    def init(",
     "    def init_meta_params(self, generator):\n        return {'w': torch.ones(1)}\n\n    def init(",
     r"init_meta_params gives w \(1,\); named_shapes says w \(3, 2\), b \(3,\)"),
    ("    def init(", "    def init_meta_params(self, generator):\n        return "
     "{n: torch.randn(s) for n, s in self.named_shapes()}\n\n    def init(", "other numbers the second time"),
    ("return context.rate_C", "return 1 / 0 * context.rate_C", "own.py:Small: line 20, in step: ZeroDivisionError"),
    ("return context.rate_C[:, None] * factor * move,", "return move[0],", r"step returns updates of \(17,\)"),
    ("return context.rate_C[:, None] * factor * move,", "return move.float(),", "float32 for params of"),
    ("return context", "return", "own.py:Small: line 20: SyntaxError: invalid syntax"),
    ("[..., 0] - m", "[..., 0].detach() - m", "do not depend on the meta-params"),
    ("[..., 0] - m", "[..., 0] * 0 - m", "with respect to all meta-params is 0"),
    ("factor * move", "factor * move / 0", "step 1 gives NaN or infinity"),
    ("factor * move", "factor * move * torch.rand(())", "other updates the second time"),
    ("factor * move", "factor * (move - move.mean())", "a cell takes other steps in company than alone"),
    ("m = 0.9 * state", "grads.mul_(2); m = 0.9 * state", "step changes what it is given"),
    ('{"m": m,', '{"m": m[0],', "the state is .* after a step"),
    ('"seen": [0]', '"seen": {0}', "made of tensors, numbers, tuples, lists and dicts, not of set"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=range(len(WRONG)))
def test_a_fault_is_told(old: str, new: str, said: str, outside: Outside) -> None:
    assert old in SMALL
    with pytest.raises(CodeError, match=said):
        check(outside(SMALL.replace(old, new), hidden=3))


def test_a_function_that_makes_no_optimizer_is_told(outside: Outside) -> None:
    with pytest.raises(CodeError, match=r"own\.py:Small: is of type int, not a class"):
        check(outside("Small = 3\n"))
