import subprocess
import sys

import pytest

from rnnprop_cli.execute.openmp import SPIN_TURNS, bound_spin


def test_idle_openmp_threads_do_not_spin_for_long_unless_the_user_says_how_they_wait() -> None:
    environment: dict[str, str] = {}
    bound_spin(environment)
    assert environment == {"GOMP_SPINCOUNT": SPIN_TURNS}


@pytest.mark.parametrize("given", [{"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "active"}])
def test_what_the_user_has_set_stays(given: dict[str, str]) -> None:
    environment = dict(given)
    bound_spin(environment)
    assert environment == given


def test_it_is_said_without_loading_pytorch() -> None:
    program = "import sys, rnnprop_cli.execute.openmp; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
