"""The drop-in inside a CUDA graph of the user's: refused, as torch.optim refuses what is not capturable."""

import pytest
import torch

from rnnprop_cli.torch_optim import RNNprop


def test_a_step_that_is_being_captured_is_refused_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    optimizer = RNNprop([parameter], kernel="reference")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match=r"RNNprop.step\(\) cannot be captured"):
        optimizer.step()
    assert torch.equal(parameter.detach(), torch.ones(3))
    assert not optimizer.state
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    optimizer.step()
    assert not torch.equal(parameter.detach(), torch.ones(3))
