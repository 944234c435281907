"""The app looks at several databases as one, and sees what is written to each of them."""

from dataclasses import replace

from app_driver import play, until
from synthetic_store import BENCH, make_bench

from rnnprop_cli.records import CellResult
from rnnprop_cli.store.lock import writer_lock
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


def test_halves_of_a_benchmark_are_one_and_what_comes_later_is_seen(tmp_path):
    a, b = tmp_path / "a.db", tmp_path / "b.db"
    make_bench(a, depths=(1,))
    make_bench(b, depths=(1, 2))
    with Reader.open(b) as reader:
        (experiment,) = reader.experiments()
        runs = reader.runs(experiment.id)

    async def script(app, pilot):
        (shown,) = app.state.snapshot.experiments
        assert sum(app.state.snapshot.counts[shown.id].values()) == len(runs)
        with Writer.open(b) as writer:
            facts = replace(runs[0].facts, key="f" * 64, seed=99)
            writer.add_runs(experiment.id, [facts])
            writer.record_results(experiment.id, [CellResult(facts.key, "done", 0.5)])
            writer.begin_experiment(replace(BENCH, name="another", spec_sha256="9" * 64))
        await until(pilot, lambda: len(app.state.snapshot.experiments) == 2)
        assert sum(app.state.snapshot.counts[shown.id].values()) == len(runs) + 1
        assert app.state.snapshot.holder is None
        with writer_lock(b):
            await until(pilot, lambda: app.state.snapshot.holder is not None)

    play(a, script, more=[b])


def test_one_that_is_absent_is_named_until_it_is_there(tmp_path):
    a, b = tmp_path / "a.db", tmp_path / "b.db"
    make_bench(a, depths=(1,))

    async def script(app, pilot):
        await until(pilot, lambda: app.state.unavailable)
        assert "b.db: there is no database" in app.state.unavailable
        make_bench(b, depths=(2,))
        await until(pilot, lambda: app.state.loaded)

    play(a, script, more=[b], loaded=False)
