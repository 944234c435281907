"""Convolutional networks with normalisation and residual connections, against PyTorch's layers."""

import numpy as np
import pytest
import torch
from optimizee_cases import DIGITS
from torch import nn

from rnnprop_cli.components.optimizees.base import Given
from rnnprop_cli.components.optimizees.conv import ConvSpec, walk
from rnnprop_cli.components.plugins import IDENTITY

F64 = torch.float64
GIVEN = Given(DIGITS, (1,), 6, F64, torch.device("cpu"))


@torch.no_grad()
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_scores_are_those_of_torchs_own_layers(norm: str) -> None:
    spec = ConvSpec(dataset="digits", layout="c-c-p-f", norm=norm, residual=True, activation="gelu")  # type: ignore[arg-type]
    optimizee = spec.build(GIVEN)
    params_CP = optimizee.init_params()
    x = optimizee.minibatches.at(0).inputs_SMD
    first, *_ = tensors = [tensor[0] for tensor in optimizee.layout.split(params_CP)]
    assert first.shape == (16, 1, 3, 3)

    def normalised(z: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        layer = nn.BatchNorm2d(16, dtype=F64) if norm == "batch" else nn.GroupNorm(4, 16, dtype=F64)
        layer.load_state_dict({"weight": 1 + gain, "bias": shift}, strict=False)
        result: torch.Tensor = layer(z)
        return result

    pictures = x[0].view(6, 1, 8, 8)
    a = nn.functional.gelu(normalised(nn.functional.conv2d(pictures, *tensors[:2], padding=1), *tensors[2:4]))
    b = normalised(nn.functional.conv2d(a, *tensors[4:6], padding=1), *tensors[6:8])
    pooled = nn.functional.max_pool2d(nn.functional.gelu(a + b), 2)
    expected = pooled.flatten(1) @ tensors[8] + tensors[9]
    torch.testing.assert_close(optimizee.logits(params_CP, x)[0], expected, rtol=1e-10, atol=1e-12)


def test_an_input_is_added_where_both_have_as_many_channels() -> None:
    layers = walk("c-c-c-p-c-c-f", (16, 8, 8), 10, residual=True)
    assert [layer.residual for layer in layers] == [False, True, True, False, False, True, False]


def test_settings_that_came_later_are_left_out_of_what_identifies_older_cells() -> None:
    older = {"kind": "conv", "dataset": "mnist", "layout": "c-c-p-f", "init": "paper"}
    assert ConvSpec().model_dump(mode="json", context=IDENTITY) == older
    assert ConvSpec(norm="batch").model_dump(mode="json", context=IDENTITY) == older | {"norm": "batch"}
    assert ConvSpec().model_dump(mode="json")["norm"] == "none"


def test_pictures_that_do_not_fit_are_told(tmp_path: object) -> None:
    assert ConvSpec(dataset="digits", layout="c-p-p-p-f").misfit() is None
    assert ConvSpec(dataset="digits", layout="c-p-p-p-p-f").misfit() == (
        "layout",
        "halves pictures of 8 x 8 until nothing is left: take fewer p",
    )
    for shape, setting in (((4, 5), None), ((7,), "dataset"), ((1, 2, 3, 4), "dataset")):
        path = f"{tmp_path}/x.npz"
        np.savez(path, x=np.zeros((4, *shape), dtype=np.uint8), y=np.arange(4) % 2)
        misfit = ConvSpec(dataset=path, layout="c-p-f").misfit()
        assert (None if misfit is None else misfit[0]) == setting
    text = ConvSpec(dataset="sentences").misfit()
    assert text is not None
    assert "is a text" in text[1]
