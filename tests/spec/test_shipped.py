"""Specs that come with the package: a file goes before them, and every one is found by its name."""

from pathlib import Path

import pytest

import rnnprop_cli
from rnnprop_cli.errors import SpecError
from rnnprop_cli.spec import shipped
from rnnprop_cli.spec.shipped import find_shipped, find_spec, shipped_specs

REPOSITORY = Path(rnnprop_cli.__file__).parents[1] / "bench_specs"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_spec_of_the_repository_is_shipped() -> None:
    assert list(shipped_specs()) == sorted(path.stem for path in REPOSITORY.glob("*.toml"))


@pytest.mark.parametrize("named", ["deep_mlp", "deep_mlp.toml", "bench_specs/deep_mlp.toml"])
def test_a_shipped_spec_is_found_from_anywhere(named: str, elsewhere: Path) -> None:
    assert find_spec(Path(named)).read_bytes() == (REPOSITORY / "deep_mlp.toml").read_bytes()


def test_a_file_goes_before_a_shipped_spec_and_a_folder_does_not(elsewhere: Path) -> None:
    (elsewhere / "deep_mlp").mkdir()
    assert find_spec(Path("deep_mlp")).parent == REPOSITORY
    Path("deep_mlp.toml").write_text("mine")
    assert find_spec(Path("deep_mlp.toml")) == Path("deep_mlp.toml")
    assert find_spec(Path("deep_mlp")).parent == REPOSITORY


@pytest.mark.parametrize("named", ["x/deep_mlp.toml", "/deep_mlp.toml", "n" * 300])
def test_paths_elsewhere_are_paths(named: str, elsewhere: Path) -> None:
    assert find_spec(Path(named)) == Path(named)


def test_what_is_neither_says_what_is_close(elsewhere: Path) -> None:
    with pytest.raises(
        SpecError, match=r"deep_mpl: no such file, .*did you mean deep_mlp.*rnnprop spec list"
    ):
        find_spec(Path("deep_mpl"))
    with pytest.raises(SpecError, match="deep_mpl: no spec of that name"):
        find_shipped("deep_mpl")


def test_a_wheel_has_them_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "rnnprop_cli"
    (package / "bench_specs").mkdir(parents=True)
    (package / "bench_specs" / "one.toml").write_text("")
    monkeypatch.setattr(shipped, "files", lambda _: package)
    assert shipped_specs() == {"one": package / "bench_specs" / "one.toml"}
