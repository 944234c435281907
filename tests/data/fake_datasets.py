"""Small files in the layout of the real datasets."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np

N_TRAIN, N_TEST, SIDE = 5_010, 20, 2


def mnist_bytes() -> dict[str, bytes]:
    """Decompressed idx files: 5,010 training images of 2x2 pixels, 20 test images."""
    random = np.random.default_rng(0)
    files = {}
    for part, count in (("train", N_TRAIN), ("t10k", N_TEST)):
        pixels = random.integers(0, 256, count * SIDE * SIDE, dtype=np.uint8).tobytes()
        labels = random.integers(0, 10, count, dtype=np.uint8).tobytes()
        files[f"{part}-images-idx3-ubyte"] = struct.pack(">4I", 2051, count, SIDE, SIDE) + pixels
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, count) + labels
    return files


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """SHA-256 by file name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write_mnist(root: Path, files: dict[str, bytes], *, compressed: bool = True) -> Path:
    """`root/mnist/`, with the files as .gz or plain."""
    folder = root / "mnist"
    folder.mkdir(parents=True)
    for name, content in files.items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def cifar10_bytes(n_records: int, seed: int = 0) -> bytes:
    """Records of one label byte and 3,072 pixels."""
    random = np.random.default_rng(seed)
    records = random.integers(0, 256, (n_records, 3073), dtype=np.uint8)
    records[:, 0] %= 10
    return records.tobytes()


def write_cifar10(root: Path, batches: dict[str, bytes]) -> Path:
    """`root/cifar10/` with the given files, compressed where the name says so."""
    folder = root / "cifar10"
    folder.mkdir(parents=True)
    for name, content in batches.items():
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder
