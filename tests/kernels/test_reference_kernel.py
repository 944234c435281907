import pytest
import torch

from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.reference import (
    COORDINATES_PER_BLOCK,
    ReferenceKernel,
    autograd_window_gradient,
    network_step,
)

SMALL = Network(features=2, embedding=3, hidden=3, layers=2, bounded=True)
SMALL_DM = Network(features=2, embedding=0, hidden=3, layers=2, bounded=False)


def window_value(network, meta_params_Q, features_TFN, hidden, output_grad_TN):
    value = meta_params_Q.new_zeros(())
    for features_FN, output_grad_N in zip(features_TFN, output_grad_TN, strict=True):
        output_N, hidden = network_step(network, network.weights(meta_params_Q), features_FN, hidden)
        value = value + output_grad_N @ output_N
    return value


@pytest.mark.parametrize("small", [SMALL, SMALL_DM], ids=["rnnprop", "dm"])
def test_network_passes_gradcheck(problem, small):
    p = problem(small, 3, steps=3).double()
    leaf = p.meta_params_Q.requires_grad_()
    assert torch.autograd.gradcheck(lambda q: window_value(small, q, *p.window[2:]), leaf)


@pytest.mark.parametrize("small", [SMALL, SMALL_DM], ids=["rnnprop", "dm"])
def test_window_gradient_is_the_finite_difference(problem, small):
    p = problem(small, 3, steps=3).double()
    gradient = ReferenceKernel().window_gradient(*p.window)
    step = 1e-5  # central differences: error about step^2 from the curve, 1e-16 / step from rounding
    for j in range(small.n_meta_params):
        shift = torch.zeros_like(p.meta_params_Q)
        shift[j] = step
        above, below = (window_value(small, p.meta_params_Q + s * shift, *p.window[2:]) for s in (1, -1))
        assert float((above - below) / (2 * step)) == pytest.approx(float(gradient[j]), abs=1e-8)


@pytest.mark.parametrize("zero", [False, True], ids=["dense", "zeros"])
def test_written_out_gradient_is_autograds(problem, relative_error, network, zero):
    p = problem(network, 70, steps=7).double()
    if zero:  # blank pixels, and the last step of a window
        p.output_grad_TN[:, 20:50] = 0
        p.output_grad_TN[-1] = 0
    truth = autograd_window_gradient(*p.window)
    # float64: rounding of some hundred additions
    assert relative_error(ReferenceKernel().window_gradient(*p.window), truth) < 1e-13


def test_written_out_step_is_the_networks(problem, relative_error, network):
    p = problem(network, 70).double()
    output, new = ReferenceKernel().step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    truth, true_new = network_step(network, network.weights(p.meta_params_Q), p.features_TFN[0], p.hidden)
    assert relative_error(output, truth) < 1e-13
    assert relative_error(new.h_LHN, true_new.h_LHN) < 1e-14
    assert relative_error(new.c_LHN, true_new.c_LHN) < 1e-14


def test_nan_in_the_output_gradient_is_not_hidden(problem, network):
    p = problem(network, 10)
    p.output_grad_TN.zero_()
    p.output_grad_TN[2, 7] = float("nan")
    assert ReferenceKernel().window_gradient(*p.window).isnan().any()


def test_gradient_reaches_every_meta_param(problem, network):
    gradient = ReferenceKernel().window_gradient(*problem(network, 50).double().window)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).all()


def test_blocks_of_coordinates_add_up(problem):
    n = COORDINATES_PER_BLOCK + 3
    p = problem(SMALL, n, steps=2).double()

    def part(block):
        hidden = Hidden(*(state[..., block] for state in p.hidden))
        return ReferenceKernel().window_gradient(
            SMALL, p.meta_params_Q, p.features_TFN[..., block], hidden, p.output_grad_TN[:, block]
        )

    whole = ReferenceKernel().window_gradient(*p.window)
    # Sums in another order: rounding only.
    torch.testing.assert_close(part(slice(0, 100)) + part(slice(100, n)), whole, rtol=1e-10, atol=1e-10)


def test_donated_buffers_become_the_new_state(problem, network):
    p = problem(network, 9)
    kept_output, kept = ReferenceKernel().step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    given = p.copy_of_hidden()
    output, new = ReferenceKernel().step(network, p.meta_params_Q, p.features_TFN[0], given, donate=True)
    assert new.h_LHN.data_ptr() == given.h_LHN.data_ptr()
    assert torch.equal(output, kept_output)
    assert torch.equal(new.h_LHN, kept.h_LHN)
    assert torch.equal(new.c_LHN, kept.c_LHN)


def test_published_sizes():
    assert Network().n_meta_params == 6641
    assert Network(embedding=0, bounded=False).n_meta_params == 5141


def test_flatten_is_the_inverse_of_named(problem, network):
    q = problem(network, 1).meta_params_Q
    assert torch.equal(network.flatten(network.named(q)), q)
