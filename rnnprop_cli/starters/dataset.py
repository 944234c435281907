"""A dataset of your own: a file of arrays. Run this once; it writes my_data.npz.

    [[optimizees]]
    kind = "mlp"
    dataset = "my_data.npz"    # beside the spec

x: inputs [N, ...], uint8 or floats. y: labels [N] from 0 on, or floats to be predicted. x_test, y_test: optional.

A package offers a dataset without a file: a function that returns {"x": x, "y": y} under an entry point
`rnnprop.datasets`, whose name then stands for the file's.
"""

import numpy as np


def main() -> None:
    """Two spirals."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 3_000)
    turn = 3 * np.pi * random.random(3_000) ** 0.5
    angle = turn + np.pi * label
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / 6
    x = (points + 0.05 * random.standard_normal(points.shape)).astype(np.float32)
    np.savez("my_data.npz", x=x[:2_400], y=label[:2_400], x_test=x[2_400:], y_test=label[2_400:])


if __name__ == "__main__":
    main()
