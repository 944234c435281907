"""Search by populations: who is asked next, and what follows from how well they did.

Shape legend: n searched numbers, L candidates.
"""

import warnings
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A candidate that is worse than all others for a generation without an answer (NaN) stands behind these.
WORST: Final = 1e9
SOLVED: Final = 1e-8  # losses below it are all alike: training data learned by heart


class CMA:
    """CMA-ES (Hansen 2016), as the package `cma` has it.

    What it does next follows from its seed and all fitnesses so far, so these are all that a checkpoint keeps.

    Args:
        start_n: [n] the first mean.
        sigma: standard deviation of the first candidates.
        population: L.
        seed: of the candidates.
        fitness_GL: [G, L] of the generations before.
    """

    def __init__(
        self, start_n: Array, sigma: float, population: int, seed: int, fitness_GL: Array | None = None
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about plots, which we do not draw
            import cma

        generator = np.random.Generator(np.random.PCG64(seed))
        options: dict[str, Any] = {
            "popsize": population,
            "randn": lambda rows, columns: generator.standard_normal((rows, columns)),
            "seed": np.nan,  # its own: nobody else's generator is touched
            "verbose": -9,
            "maxiter": np.inf,
        }
        self._search = cma.CMAEvolutionStrategy(start_n, sigma, options)
        self.history: list[Array] = []
        self._means_Gn: list[Array] = []  # after every generation
        for fitness_L in [] if fitness_GL is None else fitness_GL:
            self.ask()
            self.tell(fitness_L)

    def ask(self) -> Array:
        """[L, n] the candidates of the next generation."""
        self._asked = self._search.ask()
        return np.array(self._asked)

    def tell(self, fitness_L: Array) -> None:
        """How well the candidates did that were asked last; the less the better."""
        self._search.tell(self._asked, np.nan_to_num(fitness_L, nan=WORST, posinf=WORST).tolist())
        self.history.append(np.asarray(fitness_L, dtype=np.float64))
        self._means_Gn.append(self._mean)

    @property
    def _mean(self) -> Array:
        """[n] of the candidates to come."""
        return np.array(self._search.mean, dtype=np.float64)

    def result(self, averaged: float = 0.0) -> Array:
        """[n] what the search has come to.

        Args:
            averaged: share of the generations so far, the last ones, whose means are averaged; 0: the last mean.
        """
        count = max(1, ceil(averaged * len(self._means_Gn)))
        return np.mean(self._means_Gn[-count:], axis=0) if self._means_Gn else self._mean


def relative_fitness(losses_DL: Array, clip: float) -> Array:
    """[L] mean over the draws of ln(loss / the median candidate's), cut off at `clip`; the less the better.

    Args:
        losses_DL: [D, L] final losses; not finite: diverged.
        clip: how much a single draw counts at most, either way.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        logs_DL = np.log(np.maximum(losses_DL, SOLVED))
    logs_DL[~np.isfinite(losses_DL)] = np.inf
    fitness_L: Array = np.clip(_against_median(logs_DL), -clip, clip).mean(0)
    return fitness_L


def _against_median(logs_DL: Array) -> Array:
    """Differences to the median of every row; where that diverged too, the finite are ahead of it."""
    middle_D1 = np.median(logs_DL, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        differences_DL: Array = logs_DL - middle_D1
    return np.nan_to_num(differences_DL, nan=0.0, posinf=np.inf, neginf=-np.inf)
