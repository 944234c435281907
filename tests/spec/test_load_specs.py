"""Loading spec files: what is right is resolved, what is wrong is told with its place, all at once."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnprop_cli.errors import SpecError
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.load import load_bench, load_train, resolve
from rnnprop_cli.spec.source import MAX_BYTES, parse
from rnnprop_cli.spec.starters import json_schema, starter
from rnnprop_cli.spec.train import TrainSpec

BENCH = """\
name = "b"
horizon = [100]
[[optimizees]]
kind = "mlp"
dataset = "digits"
[[optimizers]]
kind = "adam"
[tuning]
seeds = 2
"""
TRAIN = """\
name = "t"
[optimizer]
kind = "rnnprop"
[truncation]
horizon = 100
[convex]
dimension = 20
"""


def _write(folder: Path, text: str | bytes, name: str = "spec.toml") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def _problems(file: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        resolve(file)
    return [problem.removeprefix(f"{file}:") for problem in caught.value.problems]


def test_a_bench_and_a_train_spec_are_told_apart(tmp_path: Path) -> None:
    bench, train = resolve(_write(tmp_path, BENCH)), resolve(_write(tmp_path, TRAIN, "t.toml"))
    assert (bench.kind, type(bench.spec), bench.toml) == ("bench", BenchSpec, BENCH)
    assert (train.kind, type(train.spec), train.toml) == ("train", TrainSpec, TRAIN)


@pytest.mark.parametrize("kind", ["bench", "train"])
def test_starters_are_right(kind: str, tmp_path: Path) -> None:
    assert resolve(_write(tmp_path, starter(kind))).kind == kind


@pytest.mark.parametrize("kind", ["bench", "train"])
def test_a_resolved_spec_survives_json(kind: str, tmp_path: Path) -> None:
    spec = resolve(_write(tmp_path, starter(kind))).spec
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("kind", ["adamw", "schedule-free-adamw", "learned"])
def test_a_misspelt_law_is_told_that_there_are_laws(kind: str, tmp_path: Path) -> None:
    row = f'kind = "{kind}"\nschedule = "lwa"' + '\nweights = "rnnprop"' * (kind == "learned")
    with pytest.raises(SpecError, match=r"or 'law', not 'lwa' - did you mean 'law'"):
        resolve(_write(tmp_path, BENCH.replace('kind = "adam"', row)))


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "bench_specs").glob("*.toml")), ids=lambda file: file.name
)
def test_shipped_specs_are_right(file: Path) -> None:
    resolve(file)


# Each: the line of BENCH or TRAIN that is replaced ("" = appended), by what, and the start of each problem.
WRONG = [
    (BENCH, 'name = "b"', "", ["1:1: name: is missing"]),
    (BENCH, 'name = "b"', 'name = "a b"', ["1:8: name: must be letters, digits"]),
    (BENCH, 'name = "b"', 'name = "../b"', ["1:8: name: must be letters, digits"]),
    (BENCH, 'name = "b"', f'name = "{"x" * 101}"', ["1:8: name: must be letters, digits"]),
    (BENCH, "horizon = [100]", "horizont = 1", ["2:1: horizont: is not a setting - did you mean 'horizon'?"]),
    (BENCH, "horizon = [100]", "zzz = 1", ["2:1: zzz: is not a setting; settings here: name, "]),
    (BENCH, "horizon = [100]", "horizon = []", ["2:11: horizon: must not be empty"]),
    (BENCH, "horizon = [100]", "horizon = [10, 0]", ["2:16: horizon[1]: must be at least 1, not 0"]),
    (BENCH, "horizon = [100]", "horizon = [5, 5]", ["2:15: horizon[1]: 5 stands here twice"]),
    (BENCH, "horizon = [100]", "horizon = 'x'", ["2:11: horizon: must be a list, not 'x'"]),
    (BENCH, "horizon = [100]", 'seeds = "3"', ["2:9: seeds: must be a whole number, not '3'"]),
    (BENCH, "horizon = [100]", "seeds = 3.0", ["2:9: seeds: must be a whole number, not 3.0"]),
    (BENCH, "horizon = [100]", "seeds = true", ["2:9: seeds: must be a whole number, not true"]),
    (BENCH, "horizon = [100]", "seeds = 1979-05-27", ["2:9: seeds: must be a whole number, not 1979-05-27"]),
    (BENCH, "horizon = [100]", f"seed = 0x{'f' * 5000}", ["2:8: seed: must be less than 9,223,372,036,854,775,808,"]),
    (BENCH, "horizon = [100]", f"seed = {'9' * 5000}", ["1:1: is not TOML: Exceeds the limit"]),
    (BENCH, "horizon = [100]", "dtype = 'float3'", ["2:9: dtype: must be 'float32' or 'float64', not 'float3' - did"]),
    (BENCH, "horizon = [100]", "untuned = 1", ["2:11: untuned: must be true or false, not 1"]),
    (BENCH, 'kind = "mlp"', 'kind = "mpl"', ["4:8: optimizees[0].kind: must be one of conv, lstm, mlp"]),
    (BENCH, 'kind = "mlp"', "", ["3:1: optimizees[0]: kind is missing: give one of conv"]),
    (BENCH, 'kind = "mlp"', 'kind = "mlp"\nhiden = 3', ["5:1: optimizees[0].hiden: is not a setting of kind 'mlp'"]),
    (BENCH, 'kind = "mlp"', 'kind = "mlp"\ndepth = [1, -2]', ["5:13: optimizees[0].depth[1]: must be at least 0"]),
    (BENCH, 'kind = "mlp"', 'kind = "mlp"\ndepth = []', ["5:9: optimizees[0].depth: is an empty list"]),
    (BENCH, 'kind = "mlp"', 'kind = "mlp"\ndepth = [2, 2]', ["5:13: optimizees[0].depth[1]: stands in this list"]),
    (BENCH, 'kind = "mlp"', 'kind = "mlp"\ndepth = [[1]]', ["5:10: optimizees[0].depth[0]: must be a whole number"]),
    (BENCH, '"digits"', '"imagenet"', ["5:11: optimizees[0].dataset: must be 'digits', 'mnist', 'cifar10', 'mnist"]),
    (BENCH, 'dataset = "digits"', "[optimizees.dataset]", ["5:1: optimizees[0].dataset: must be text in quotes"]),
    (BENCH, 'kind = "adam"', 'kind = "adam"\nlr = 0', ["8:6: optimizers[0].lr: must be 'tuned' or 'default' or"]),
    (BENCH, 'kind = "adam"', 'kind = "adam"\nlr = nan', ["8:6: optimizers[0].lr: must be 'tuned'"]),
    (BENCH, 'kind = "adam"', 'kind = "adam"\nbeta1 = inf', ["8:9: optimizers[0].beta1: must be"]),
    (BENCH, 'kind = "adam"', 'kind = ["adam", "adm"]', ["7:17: optimizers[0].kind[1]: must be one of adadelta"]),
    (BENCH, 'kind = "adam"', 'kind = ["adam", "adam"]', ["7:17: optimizers[0].kind[1]: stands in this list"]),
    (BENCH, 'kind = "adam"', 'kind = "learned"', ["6:1: optimizers[0].weights: is missing"]),
    (BENCH, "[[optimizers]]", "[optimizers]", ["6:1: optimizers: must be a list, not a table"]),
    (BENCH, "[tuning]", "[tunning]", ["8:1: tunning: is not a setting - did you mean 'tuning'?"]),
    (BENCH, "[tuning]", "[[tuning]]", ["8:1: tuning: must be a table, not a list"]),
    (BENCH, "[tuning]", "[name]", ["8:6: is not TOML: Cannot"]),
    (BENCH, "[tuning]", "[tuning", ["8:8: is not TOML: Expected ']'"]),
    (BENCH, "seeds = 2", "seeds = 2\nseeds = 3", ["10:10: is not TOML: Cannot overwrite"]),
    (BENCH, "seeds = 2", 'seeds = "2', ["9:11: is not TOML: "]),
    (TRAIN, '"rnnprop"', '"rnprop"', ["3:8: optimizer.kind: must be one of architecture, dm, law,"]),
    (TRAIN, 'kind = "rnnprop"', 'kind = "dm"\nbeta1 = 0.9', ["4:1: optimizer.beta1: is not a setting of kind 'dm'"]),
    (TRAIN, "horizon = 100", "horizon = 90", ["4:1: truncation: horizon 90 is not a multiple of unroll 20"]),
    (TRAIN, "dimension = 20", "scaling = true", ["7:11: convex.scaling: must be a number, not true"]),
    (TRAIN, "dimension = 20", "dimension = 20\n[[optimizers]]", ["2:1: a spec has [optimizer] or"]),
    ("name = 'x'\n", "", "", [" is neither a bench spec"]),
    ("", "", "", [" is neither a bench spec"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "expected"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_told_with_its_place(
    text: str, old: str, new: str, expected: list[str], tmp_path: Path
) -> None:
    problems = _problems(_write(tmp_path, text.replace(old, new, 1) if old else text))
    assert [p[: len(e)] for p, e in zip(problems, expected, strict=True)] == expected
    assert "Traceback" not in "".join(problems)


def test_every_mistake_is_told_in_one_go_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        BENCH.replace("[100]", "0").replace('"mlp"', '"mlp"\nhiden = 1').replace('"adam"', '"adm"')
        + "point = 5\n"
    )
    problems = _problems(_write(tmp_path, text))
    assert [p.split(":")[0] for p in problems] == ["2", "5", "8", "11"]


def test_a_mistake_beside_an_axis_is_told_once(tmp_path: Path) -> None:
    text = BENCH.replace('"mlp"', '"mlp"\ndepth = [1, 2, 3]\nhiden = 1')
    assert len(_problems(_write(tmp_path, text))) == 1


def test_the_source_line_and_a_caret_follow(tmp_path: Path) -> None:
    [problem] = _problems(_write(tmp_path, BENCH.replace("seeds = 2", "seeds =   0")))
    assert problem.splitlines()[1:] == ["  9 | seeds =   0", "    |           ^"]


def test_thousands_of_mistakes_are_cut_short(tmp_path: Path) -> None:
    problems = _problems(_write(tmp_path, "".join(f"w{i} = 1\n" for i in range(20_000)) + BENCH))
    assert problems[-1] == "and 19,950 more mistakes"


def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake(tmp_path: Path) -> None:
    assert load_bench(_write(tmp_path, b"\xef\xbb\xbf" + BENCH.replace("\n", "\r\n").encode())).name == "b"
    [problem] = _problems(_write(tmp_path, BENCH.replace("[100]", "0").replace("\n", "\r\n")))
    assert problem.startswith("2:11:")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name = '\xff'", "1:9: is not UTF-8 text"),
        (b"#" * (MAX_BYTES + 1), " is too large (1,000,001 bytes; at most 1,000,000 are read)"),
        (b"a = " + b"[" * 5000, "1:37: is nested more than 32 deep"),
        (b"\x00", "1:1: is not TOML"),
    ],
)
def test_what_is_no_toml_file_is_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    [problem] = _problems(_write(tmp_path, content))
    assert problem.startswith(expected)


def test_absent_files_folders_devices_and_impossible_names_are_refused(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "absent", "no such file"),
        (tmp_path, "is a directory"),
        (Path("/dev/zero"), "is a device, not a file"),
        (Path("a\0b"), "is no name of a file"),
        (Path("x" * 5000), "cannot be read"),
    ]:
        with pytest.raises(SpecError, match=reason):
            resolve(path)


def test_the_other_kind_of_spec_is_refused_with_the_command_for_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="this is a train spec: run it with `rnnprop train --spec"):
        load_bench(_write(tmp_path, TRAIN))
    with pytest.raises(SpecError, match="this is a bench spec: run it with `rnnprop bench --spec"):
        load_train(_write(tmp_path, BENCH))


def test_false_switches_a_setting_off(tmp_path: Path) -> None:
    spec = load_train(_write(tmp_path, TRAIN.replace("dimension = 20", "scaling = false")))
    assert spec.convex is not None
    assert spec.convex.scaling is None


def test_one_horizon_needs_no_list(tmp_path: Path) -> None:
    assert load_bench(_write(tmp_path, BENCH.replace("[100]", "100"))).horizon == (100,)


def test_overrides_lie_over_the_file(tmp_path: Path) -> None:
    spec = load_train(
        _write(tmp_path, TRAIN),
        [
            "truncation.horizon=200",
            "optimizee.kind=mlp",
            "optimizee.activation = relu",
            "convex=false",
            "seed=7",
        ],
    )
    assert (spec.truncation.horizon, spec.truncation.unroll, spec.convex, spec.seed) == (200, 20, None, 7)
    assert (spec.optimizee.label, spec.optimizee.network) == ("mlp", "mlp relu")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "--set seed: must be key=value"),
        ("=3", "--set =3: must be key=value"),
        ("a b=3", "--set a b=3: must be key=value"),
        ("seed=", "--set seed=: nothing is not a TOML value"),
        ("seed=[", "--set seed=[: [ is not a TOML value"),
        ("seed=1\nname='x'", "--set seed=1\nname='x': "),
        ("seed=x", "--set seed=x: seed: must be a whole number, not 'x'"),
        ("sed=3", "--set sed=3: sed: is not a setting - did you mean 'seed'?"),
        ("name.x=3", "--set name.x=3: name is not a table"),
        ("truncation.unroll=30", "--set truncation.unroll=30: truncation: horizon 100 is not a multiple"),
        (
            "convex.dimenson=3",
            "--set convex.dimenson=3: convex.dimenson: is not a setting - did you mean 'dimension'?",
        ),
    ],
)
def test_a_wrong_override_is_named(override: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_train(_write(tmp_path, TRAIN), [override])
    [problem] = caught.value.problems
    assert problem.startswith(expected)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from([*re.findall(r"\S+|\n", BENCH + TRAIN), "=", "[", "{", "1e999"]), max_size=30
        ).map(" ".join),
        st.tuples(st.integers(0, len(BENCH)), st.text(max_size=3)).map(lambda cut: BENCH[: cut[0]] + cut[1]),
    )
)
def test_garbage_is_a_spec_or_a_spec_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        resolve(file)
    except SpecError as error:
        assert error.problems  # noqa: PT017  any number of examples is right


def test_parse_reports_under_the_given_name() -> None:
    with pytest.raises(SpecError, match=r"^stdin:1:4: is not TOML"):
        parse("a =", "stdin")


def test_schema_admits_axes_and_false() -> None:
    bench, train = json_schema("bench"), json_schema("train")
    depth = bench["$defs"]["MLPSpec"]["properties"]["depth"]
    assert [option["type"] for option in depth["anyOf"]] == ["integer", "array"]
    assert {"const": False} in train["properties"]["convex"]["anyOf"]
