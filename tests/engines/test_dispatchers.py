"""What holds for every engine. Stand-ins, no cluster."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_samples import ENGINE, Story, job, jobs, outcomes, poll_on, run_all

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.errors import DataError
from rnnprop_cli.execute.bench import BatchDone
from rnnprop_cli.execute.dispatch import Dispatcher
from rnnprop_cli.execute.in_process import InProcess

Make = Callable[[], Dispatcher]


@pytest.fixture(params=["in_process", "slurm", "ray"])
def make(request: pytest.FixtureRequest, by_slurm: Make, by_ray: Make) -> Make:
    return {"in_process": InProcess, "slurm": by_slurm, "ray": by_ray}[request.param]


def one_after_the_other(dispatcher: Dispatcher) -> Iterator[Story]:
    for each in jobs():
        yield run_all(dispatcher, [each])


def test_every_batch_comes_back_once_whole_and_with_the_same_numbers(
    make: Make, expected: dict[str, Any]
) -> None:
    dispatcher = make()
    stories = (
        [run_all(dispatcher, jobs())] if dispatcher.window > 1 else list(one_after_the_other(dispatcher))
    )
    dispatcher.close()
    assert outcomes(*stories) == expected
    for story in stories:
        assert story.repeated == 0
        assert all(steps == 5 for steps in story.curves.values())
        assert {result.node for done in story.done.values() for result in done.results} == {
            os.uname().nodename
        }
    assert {key for story in stories for key in story.curves} == expected.keys()


def test_what_is_done_is_told_at_the_end_without_waiting(make: Make) -> None:
    dispatcher = make()
    dispatcher.submit(job())
    assert all(isinstance(each.event, BatchDone) for each in dispatcher.finished())
    dispatcher.close()


def test_an_error_that_is_no_result_reaches_the_driver_as_what_it_is(make: Make) -> None:
    asked = job()
    mnist = replace(asked.batch.problem, optimizee=MLPSpec(dataset="mnist", hidden=2))
    engine = replace(ENGINE, data_dir=Path("/nowhere"))
    dispatcher = make()
    dispatcher.submit(replace(asked, batch=replace(asked.batch, problem=mnist), engine=engine))
    with pytest.raises(DataError, match="rnnprop data fetch mnist"):
        poll_on(dispatcher)
