"""Checkpoints: what was saved is what loads, or nothing loads."""

import errno
import json
import math
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rnnprop_cli.errors import CheckpointError, StoreError
from rnnprop_cli.store.checkpoints import inside, load_checkpoint, save_checkpoint, side_path

RNG = np.random.default_rng(7)
TENSORS = {
    "lstm.0.weight": RNG.standard_normal((12, 7)).astype(np.float32),
    "lstm.0.bias": RNG.standard_normal(12).astype(np.float32).T,
    "scalar": np.array(3.5),
    "steps": np.array([1, 2**62]),
    "empty": np.zeros((0, 4), dtype=np.float32),
    "transposed": RNG.standard_normal((3, 5)).T,
}
METADATA = {
    "meta_iteration": 300,
    "moving_average": 0.25,
    "name": "ré",
    "rates": [0.1, 1e-300],
    "spec": {"a": None},
}


@pytest.fixture
def saved(tmp_path):
    return save_checkpoint(tmp_path / "run", "step-000300", TENSORS, METADATA)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tensors_and_metadata_come_back_as_they_were(saved):
    tensors, metadata = load_checkpoint(saved.path, saved.sha256)
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype
        assert tensors[name].shape == value.shape
        assert np.array_equal(tensors[name], value)
    assert set(files_of(saved.path.parent)) == {"step-000300.safetensors", "step-000300.json"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8),
        npst.arrays(
            st.sampled_from(["f4", "f8", "i8", "u1", "?"]),
            npst.array_shapes(min_dims=0, max_dims=3, max_side=4),
        ),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.one_of(st.floats(), st.integers(), st.text(max_size=5))),
)
def test_any_tensors_and_metadata_round_trip(tmp_path, tensors, metadata):
    path, _ = save_checkpoint(tmp_path, "x", tensors, metadata)
    loaded, facts = load_checkpoint(path)
    assert {k: v.tobytes() for k, v in loaded.items()} == {k: v.tobytes() for k, v in tensors.items()}
    assert facts == {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in metadata.items()
    }


def test_saving_the_same_twice_gives_the_same_bytes(tmp_path, saved):
    again = save_checkpoint(tmp_path / "again", "step-000300", dict(reversed(TENSORS.items())), METADATA)
    assert files_of(again.path.parent) == files_of(saved.path.parent)
    assert again.sha256 == saved.sha256


def test_numbers_that_json_lacks_become_null(tmp_path):
    path, _ = save_checkpoint(tmp_path, "x", {}, {"loss": math.nan, "deep": [{"x": (math.inf, 1)}]})
    assert load_checkpoint(path)[1] == {"loss": None, "deep": [{"x": [None, 1]}]}


@pytest.mark.parametrize("which", ["tensors", "metadata"])
def test_300_flipped_bits_are_all_refused(saved, which):
    path = saved.path if which == "tensors" else side_path(saved.path)
    good = path.read_bytes()
    accepted = []
    for bit in random.Random(1).sample(range(8 * len(good)), 300):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            load_checkpoint(saved.path)
            accepted.append(bit)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert "Use an earlier checkpoint" in str(error)  # noqa: PT017
    assert accepted == []


@pytest.mark.parametrize("which", ["tensors", "metadata"])
def test_100_truncations_are_all_refused(saved, which):
    path = saved.path if which == "tensors" else side_path(saved.path)
    good = path.read_bytes()
    for length in random.Random(2).sample(range(len(good)), 100):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(saved.path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"sha256": NaN}',
        b'{"sha256": 1}',
        pickle.dumps({"sha256": "x"}),
    ],
)
def test_a_side_file_that_is_something_else_is_refused(saved, content):
    side_path(saved.path).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-000300\.json: is damaged"):
        load_checkpoint(saved.path)


def test_a_pickle_in_place_of_the_tensors_is_refused_and_never_run(saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    saved.path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError):
        load_checkpoint(saved.path)
    assert not (tmp_path / "exploded").exists()


def test_another_checkpoint_under_this_name_is_refused_by_the_recorded_hash(saved, tmp_path):
    other = save_checkpoint(tmp_path / "run", "step-000300", {"x": np.ones(3)}, {})
    with pytest.raises(CheckpointError, match="not the checkpoint that the database recorded"):
        load_checkpoint(other.path, saved.sha256)


def test_a_renamed_pair_and_an_absent_half_are_refused(saved):
    renamed = saved.path.with_name("best.safetensors")
    saved.path.rename(renamed)
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(renamed)
    side_path(saved.path).rename(side_path(renamed))
    with pytest.raises(CheckpointError, match=r"belongs to 'step-000300\.safetensors'"):
        load_checkpoint(renamed)
    with pytest.raises(CheckpointError, match=r"name the \.safetensors file"):
        load_checkpoint(side_path(renamed))


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/etc/x", "", ".hidden", "..", "a\x00b", "x" * 101, "a\\b", "ä", "-x", "a b"]
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, name):
    with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
        save_checkpoint(tmp_path / "run", name, TENSORS, {})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_symlink_is_not_followed(saved, tmp_path, suffix):
    link = saved.path.with_name("step-000300" + suffix)
    moved = link.rename(tmp_path / "elsewhere")
    link.symlink_to(moved)
    with pytest.raises(CheckpointError, match="symbolic link"):
        load_checkpoint(saved.path)


@pytest.mark.parametrize("relative", ["../x", "/etc/passwd", "a/../../x", "link/x", "link"])
def test_a_recorded_path_that_leads_out_of_the_folder_is_refused(tmp_path, relative):
    folder = tmp_path / "results"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(CheckpointError, match="leads out of"):
        inside(folder, relative)
    assert inside(folder, "run/x.safetensors") == folder.resolve() / "run" / "x.safetensors"


class FailAt:
    """Stands in for an os function and fails at the n-th call."""

    def __init__(self, real, n):
        self.real, self.n, self.calls = real, n, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*arguments, **options)


@pytest.mark.parametrize("function", ["write", "fsync", "open"])
@pytest.mark.parametrize("n", [1, 2])
def test_a_full_disk_leaves_the_last_checkpoint_intact_and_no_temporary_file(saved, monkeypatch, function, n):
    before = files_of(saved.path.parent)
    for name in ("step-000300", "step-000400"):
        with monkeypatch.context() as patched:
            patched.setattr(os, function, FailAt(getattr(os, function), n))
            with pytest.raises(StoreError, match=r"No space left.*bytes are free"):
                save_checkpoint(saved.path.parent, name, {"x": np.ones(9)}, {})
        assert files_of(saved.path.parent) == before
    load_checkpoint(saved.path, saved.sha256)


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:100]))
    path, sha256 = save_checkpoint(tmp_path, "x", TENSORS, METADATA)
    monkeypatch.undo()
    assert load_checkpoint(path, sha256)[1] == METADATA


def test_a_crash_between_the_two_moves_is_seen_when_loading(saved):
    before = side_path(saved.path).read_bytes()
    save_checkpoint(saved.path.parent, "step-000300", {"x": np.ones(9)}, {})
    side_path(saved.path).write_bytes(before)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(saved.path)


def test_the_side_file_is_plain_json_that_names_every_tensor(saved):
    side = json.loads(side_path(saved.path).read_bytes())
    assert side["format"] == "rnnprop checkpoint 1"
    assert side["file_sha256"] == saved.sha256
    assert side["tensors"]["scalar"] == ["float64", []]
    assert side["metadata"]["moving_average"] == 0.25
