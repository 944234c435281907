import subprocess
import sys

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.cpu import CpuKernel
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel

# What meta-training needs in float32; rounding alone leaves about 2e-7.
TOLERANCE = 1e-4
# Sizes that fill no register, one lane, and a remainder of every tile.
ODD = Network(features=3, embedding=7, hidden=13, layers=3)
TINY = Network(features=1, embedding=0, hidden=1, layers=1, bounded=False)


@pytest.fixture(scope="module")
def kernel():
    try:
        return CpuKernel()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def one_and_two_threads():
    threads = torch.get_num_threads()
    yield (1, 2)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("n", [1, 7, 33, 4097])
def test_step_agrees_with_reference(kernel, problem, relative_error, network, n):
    p = problem(network, n)
    output, new = kernel.step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    d = p.double()
    true_output, true_new = ReferenceKernel().step(network, d.meta_params_Q, d.features_TFN[0], d.hidden)
    # One coordinate's output may be near zero by cancellation, hence the absolute part.
    assert (output.double() - true_output).norm() <= TOLERANCE * true_output.norm() + 1e-6
    assert relative_error(new.h_LHN, true_new.h_LHN) < 1e-6
    assert relative_error(new.c_LHN, true_new.c_LHN) < 1e-6


@pytest.mark.parametrize("n", [1, 7, 33, 4097])
def test_window_gradient_agrees_with_reference(kernel, problem, relative_error, network, n):
    p = problem(network, n)
    assert relative_error(kernel.window_gradient(*p.window), p.true_gradient()) < TOLERANCE


@pytest.mark.parametrize("sizes", [ODD, TINY], ids=["odd", "tiny"])
def test_other_sizes_agree_with_reference(kernel, problem, relative_error, sizes):
    p = problem(sizes, 50)
    assert relative_error(kernel.window_gradient(*p.window), p.true_gradient()) < TOLERANCE
    d = p.double()
    output, _ = kernel.step(sizes, p.meta_params_Q, p.features_TFN[0], p.hidden)
    truth, _ = ReferenceKernel().step(sizes, d.meta_params_Q, d.features_TFN[0], d.hidden)
    assert relative_error(output, truth) < TOLERANCE


def test_long_trajectory_stays_with_reference(kernel, problem, relative_error, network):
    p = problem(network, 40, steps=100)
    hidden, truth = p.copy_of_hidden(), p.double().copy_of_hidden()
    for features_FN in p.features_TFN:
        output, hidden = kernel.step(network, p.meta_params_Q, features_FN, hidden, donate=True)
        true_output, truth = ReferenceKernel().step(
            network, p.meta_params_Q.double(), features_FN.double(), truth
        )
    assert relative_error(output, true_output) < TOLERANCE
    assert relative_error(kernel.window_gradient(*p.window), p.true_gradient()) < TOLERANCE


def test_large_gates_saturate_as_in_reference(kernel, problem, relative_error, network):
    p = problem(network, 100)
    p.meta_params_Q.mul_(30)
    output, new = kernel.step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    d = p.double()
    truth, true_new = ReferenceKernel().step(network, d.meta_params_Q, d.features_TFN[0], d.hidden)
    assert torch.isfinite(output).all()
    # Gates of size 100 carry rounding of 1e-5, and steep sigmoids do not shrink it.
    assert relative_error(output, truth) < 1e-3
    assert relative_error(new.c_LHN, true_new.c_LHN) < 1e-4


@pytest.mark.parametrize(
    "zero_steps", [slice(0, 2), slice(3, 5), slice(4, 5)], ids=["first", "last two", "last"]
)
def test_zero_output_gradients_are_left_out_exactly(kernel, problem, relative_error, network, zero_steps):
    p = problem(network, 200)
    p.output_grad_TN[zero_steps] = 0
    p.output_grad_TN[:, 20:90] = 0
    p.output_grad_TN[:, ::7] = 0
    assert relative_error(kernel.window_gradient(*p.window), p.true_gradient()) < TOLERANCE


def test_no_output_gradient_gives_no_meta_gradient(kernel, problem, network):
    p = problem(network, 40)
    p.output_grad_TN.zero_()
    assert torch.equal(kernel.window_gradient(*p.window), torch.zeros(network.n_meta_params))


def test_no_coordinates_give_nothing(kernel, problem, network):
    p = problem(network, 0)
    output, _ = kernel.step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    assert output.shape == (0,)
    assert torch.equal(kernel.window_gradient(*p.window), torch.zeros(network.n_meta_params))


def test_state_is_kept_unless_donated(kernel, problem, network):
    p = problem(network, 100)
    before = p.copy_of_hidden()
    output, new = kernel.step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    kernel.window_gradient(*p.window)
    assert torch.equal(p.hidden.h_LHN, before.h_LHN)
    assert torch.equal(p.hidden.c_LHN, before.c_LHN)
    donated_output, donated = kernel.step(network, p.meta_params_Q, p.features_TFN[0], before, donate=True)
    assert donated.h_LHN.data_ptr() == before.h_LHN.data_ptr()
    assert donated.c_LHN.data_ptr() == before.c_LHN.data_ptr()
    assert torch.equal(donated_output, output)
    assert torch.equal(before.h_LHN, new.h_LHN)
    assert torch.equal(before.c_LHN, new.c_LHN)


def test_strided_state_can_be_donated(kernel, problem, network):
    p = problem(network, 30)
    _, plain = kernel.step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    wide = Hidden(*(state.repeat_interleave(2, dim=-1)[..., ::2] for state in p.hidden))
    _, new = kernel.step(network, p.meta_params_Q, p.features_TFN[0], wide, donate=True)
    assert new.h_LHN.data_ptr() == wide.h_LHN.data_ptr()
    assert torch.equal(wide.h_LHN, plain.h_LHN)
    assert torch.equal(wide.c_LHN, plain.c_LHN)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_feature_stays_in_its_coordinate(kernel, problem, network, bad):
    p = problem(network, 50)
    good_output, good = kernel.step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    features_FN = p.features_TFN[0].clone()
    features_FN[0, 17] = bad
    output, new = kernel.step(network, p.meta_params_Q, features_FN, p.hidden)
    others = torch.arange(50) != 17
    assert torch.equal(output[others], good_output[others])
    assert torch.equal(new.h_LHN[..., others], good.h_LHN[..., others])
    if bad != bad:
        assert output[17].isnan()
        assert new.c_LHN[..., 17].isnan().all()


def test_nan_in_the_output_gradient_is_not_hidden(kernel, problem, network):
    p = problem(network, 50)
    p.output_grad_TN.zero_()
    p.output_grad_TN[2, 17] = float("nan")
    assert kernel.window_gradient(*p.window).isnan().any()


def test_same_bits_for_any_number_of_threads(kernel, problem, network, one_and_two_threads):
    p = problem(network, 4097, steps=3)
    results = []
    for threads in (*one_and_two_threads, 2):
        torch.set_num_threads(threads)
        output, new = kernel.step(network, p.meta_params_Q, p.features_TFN[0], p.hidden)
        results.append((output, new.h_LHN, new.c_LHN, kernel.window_gradient(*p.window)))
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_only_pytorchs_openmp_runtime_is_loaded():
    program = """
import pathlib, torch
from rnnprop_cli.kernels.cpu_library import load_library
def runtimes():
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    return {line.split()[-1] for line in lines if "libgomp" in line or "libomp" in line}
before = runtimes()
load_library()
assert runtimes() == before, runtimes() - before
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if "DeviceError" in result.stderr:
        pytest.skip("no compiler")
    assert result.returncode == 0, result.stderr


def test_float64_goes_to_the_reference(kernel, problem, relative_error, network):
    d = problem(network, 20).double()
    assert kernel.window_gradient(*d.window).dtype == torch.float64
    assert relative_error(kernel.window_gradient(*d.window), d.true_gradient()) < 1e-12


def test_wrong_shapes_are_refused(kernel, problem, network):
    p = problem(network, 20)
    with pytest.raises(ValueError, match="shapes do not fit"):
        kernel.step(network, p.meta_params_Q[:-1], p.features_TFN[0], p.hidden)
    with pytest.raises(ValueError, match="output_grad_TN"):
        kernel.window_gradient(*p.window[:-1], p.output_grad_TN[:-1])
