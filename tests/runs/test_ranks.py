"""A meta-training on several ranks: the same bits for any number, and nothing is lost with one of them."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from team_samples import in_threads
from torch import Tensor
from train_samples import ENGINE, SPEC, fingerprint, run

from rnnprop_cli.errors import RankLostError, UsageError
from rnnprop_cli.execute.launchers import Place
from rnnprop_cli.execute.team import Team, _in_short
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.meta.task_by_task import in_order
from rnnprop_cli.records import TRAIN_LOSS
from rnnprop_cli.runs.ranks import Leader, leading, placed
from rnnprop_cli.runs.train_identity import train_environment
from rnnprop_cli.spec.train import TrainSpec, ValidationSpec
from rnnprop_cli.store.reader import Reader

FOUR = SPEC.model_copy(
    update={"meta_iterations": 2, "meta_batch": 4, "validation": ValidationSpec(every=9, seeds=1)}
)
ALONE = Place(0, 1, 0, None, True)


def state_after(spec: TrainSpec, ranks: int | None) -> list[bytes]:
    """Of every rank: the bits of meta-params and Adam's moments when all is done."""
    found: dict[int, bytes] = {}

    def work(team: Team | None) -> None:
        with torch.no_grad():
            training = MetaTraining(spec, ENGINE, team=team)
            if team is None or team.rank == 0:
                losses = [event.result.train_loss for event in training.run()]
                assert len(losses) == spec.meta_iterations
                if team is not None:
                    team.end()
            else:
                while team.asked_on(None):
                    training.advance()
        state = training.state
        tensors = (state.meta_params_Q, *state.optimizer.slots_CP)
        digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).digest()
        found[0 if team is None else team.rank] = digest

    if ranks is None:
        work(None)
    else:
        in_threads(ranks, work)
    return [found[rank] for rank in range(ranks or 1)]


def test_any_number_of_ranks_gives_the_same_bits() -> None:
    (one,) = state_after(FOUR, 1)
    assert {*state_after(FOUR, 2), *state_after(FOUR, 3), *state_after(FOUR, 4)} == {one}


def test_one_task_on_one_rank_has_the_bits_of_a_training_without_ranks() -> None:
    single = FOUR.model_copy(update={"meta_batch": 1})
    assert state_after(single, 1) == state_after(single, None)
    assert train_environment(single, ENGINE, ranks=True) == train_environment(single, ENGINE)


def test_several_tasks_one_by_one_are_another_identity_with_nearly_the_same_losses() -> None:
    double = FOUR.model_copy(update={"dtype": "float64"})
    plain, apart = (MetaTraining(double, ENGINE, team=team) for team in (None, Team()))
    for one, other in zip(plain.run(), apart.run(), strict=True):
        assert one.result.train_loss == pytest.approx(other.result.train_loss, rel=1e-9)
    assert train_environment(FOUR, ENGINE, ranks=True) != train_environment(FOUR, ENGINE)


def test_rows_are_added_in_their_order() -> None:
    rows = torch.tensor([[1e8], [-1e8], [1.0], [1.0]])
    assert in_order(rows).tolist() == [0.5]
    assert in_order(rows[[0, 2, 3, 1]]).tolist() == [0.0]  # 1e8 + 1 rounds to 1e8


class Silent:
    """What becomes of an exchange with a rank that stands still."""

    def is_completed(self) -> bool:
        return False

    def wait(self, timeout: object) -> None:
        raise RuntimeError("Operation timed out!")


def test_a_rank_that_stands_still_is_not_waited_for_once_somebody_asks_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.distributed.all_gather", lambda *arguments, **options: Silent())
    monkeypatch.setattr("rnnprop_cli.execute.team.SECONDS_TO_STOP", 0.05)
    first, asked = Team(0, 2), time.monotonic() + 0.1
    first.hurried = lambda: time.monotonic() > asked
    with pytest.raises(RankLostError, match="another rank has gone"):
        first.gather(torch.ones(1, 3), 2)
    assert time.monotonic() >= asked + 0.05
    first.end()  # nobody is spoken to any more
    first.close()


def test_what_gloo_says_is_shortened_to_what_it_means() -> None:
    said = "[/a/b/pair.cc:553] Connection closed by peer [127.0.0.1]:1. This is typically caused by"
    assert _in_short(RuntimeError(said)) == "Connection closed by peer [127.0.0.1]:1"


def test_ranks_of_a_machine_take_its_gpus_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnprop_cli.runs.ranks.slot_devices", lambda device: ("cuda:0", "cuda:1"))
    engine = replace(ENGINE, device="cuda")
    found = [placed(engine, Place(rank, 3, rank, None, True)).device for rank in range(3)]
    assert found == ["cuda:0", "cuda:1", "cuda:0"]


class Dying(Team):
    """A rank is lost in the middle of a meta-iteration."""

    def __init__(self, windows: int) -> None:
        super().__init__()
        self.windows = windows

    def gather(self, rows_KR: Tensor, tasks: int) -> Tensor:
        if not self.windows:
            raise RankLostError("rank 1 has ended (killed by SIGKILL)")
        self.windows -= 1
        return super().gather(rows_KR, tasks)


def test_where_a_rank_is_lost_there_is_a_checkpoint_and_it_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole" / "a.db", tmp_path / "broken" / "a.db"
    for path in (whole, broken):
        path.parent.mkdir()
    with leading(ALONE) as leader:
        run(whole, leader=leader)
    with pytest.raises(RankLostError, match=r"Meta-iteration 7 is kept.*train --resume tiny --ranks 1"):
        run(broken, leader=Leader(ALONE, Dying(windows=2 * 7 + 1)))  # two windows a meta-iteration
    with Reader.open(broken) as reader:
        (info,) = reader.runs(1)
        assert info.result.status == "interrupted"
        assert len(reader.curve(info.id, TRAIN_LOSS)[0]) == 7
    with leading(ALONE) as leader:
        run(broken, leader=leader, must_exist=True)
    assert fingerprint(whole) == fingerprint(broken)


def test_a_rank_lost_before_the_first_meta_iteration_leaves_nothing_wrong(tmp_path: Path) -> None:
    two = SPEC.model_copy(update={"meta_iterations": 2})
    with pytest.raises(RankLostError):
        run(tmp_path / "a.db", two, leader=Leader(ALONE, Dying(windows=1)))
    with leading(ALONE) as leader:
        assert run(tmp_path / "a.db", two, leader=leader).meta_iterations == 2


def test_going_on_without_ranks_is_refused_and_says_what_was(tmp_path: Path) -> None:
    two = SPEC.model_copy(update={"meta_iterations": 2})
    with leading(ALONE) as leader:
        run(tmp_path / "a.db", two, leader=leader)
    with pytest.raises(UsageError, match=r"ranks was any \(--ranks N\), is None"):
        run(tmp_path / "a.db", two, must_exist=True)


def test_ranks_without_a_task_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"3 ranks, but 'tiny' trains on 2 at a time .*--ranks 2"),
        leading(Place(0, 3, 0, None, True)) as leader,
    ):
        run(tmp_path / "a.db", leader=leader)
    with Reader.open(tmp_path / "a.db") as reader:
        assert not reader.experiments()


# ---- whole processes

RECIPE = """
name = "tiny"
meta_iterations = {meta_iterations}
minibatch = 8
meta_batch = 4
optimizer = {{ kind = "rnnprop", embedding = 4, hidden = 4 }}
optimizee = {{ kind = "mlp", dataset = "digits", hidden = 3 }}
truncation = {{ horizon = 8, unroll = 4 }}
validation = {{ every = 10 }}
checkpoint = {{ every = 20, rolling = 5 }}
"""


def train(folder: Path, *options: object, meta_iterations: int = 20) -> list[str]:
    """The command; the folder has a recipe then."""
    folder.mkdir(exist_ok=True)
    (folder / "r.toml").write_text(RECIPE.format(meta_iterations=meta_iterations))
    command = [sys.executable, "-m", "rnnprop_cli", "--db", str(folder / "a.db"), "train"]
    return [
        *command,
        *(["--spec", str(folder / "r.toml")] if "--resume" not in options else []),
        *map(str, options),
    ]


def last_checkpoint(folder: Path) -> bytes:
    (path,) = (folder / "checkpoints").glob("*/meta-000000020.safetensors")
    return path.read_bytes()


def wait_for_losses(process: "subprocess.Popen[str]", database: Path, least: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if database.exists():
            with Reader.open(database) as reader:
                runs = [run for each in reader.experiments() for run in reader.runs(each.id)]
                if runs and len(reader.curve(runs[0].id, TRAIN_LOSS)[0]) >= least:
                    return
        time.sleep(0.1)
    pytest.fail(f"no {least} losses: {process.poll()}")


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def listening(pid: int) -> set[str]:
    """The addresses at which a process waits for connections, as the kernel writes them."""
    links = (str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink())
    inodes = {found[1] for link in links if (found := re.fullmatch(r"socket:\[(\d+)\]", link))}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


@pytest.mark.slow
def test_processes_give_the_bits_of_one(tmp_path: Path) -> None:
    for ranks in (1, 2, 4):
        subprocess.run(train(tmp_path / str(ranks), "--ranks", ranks), check=True, timeout=300)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    plain = train(tmp_path / "torchrun")[1:]
    subprocess.run([*command, *plain], check=True, timeout=300)
    found = {last_checkpoint(tmp_path / name) for name in ("1", "2", "4", "torchrun")}
    assert len(found) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_rank_ends_the_job_with_a_checkpoint_and_another_number_goes_on(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(train(whole, "--ranks", 1, meta_iterations=600), check=True, timeout=600)
    process = subprocess.Popen(
        train(broken, "--ranks", 3, meta_iterations=600), stderr=subprocess.PIPE, text=True
    )
    wait_for_losses(process, broken / "a.db", 10)
    others = children_of(process.pid)
    assert len(others) == 2
    for pid in (process.pid, *others):
        assert listening(pid) == {"0100007F"}  # 127.0.0.1
    os.kill(others[1], signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "rank 2 has ended (killed by SIGKILL). Meta-iteration" in told
    assert "Traceback" not in told
    assert not any(Path(f"/proc/{pid}").exists() for pid in others)
    process = subprocess.Popen(
        train(broken, "--resume", "tiny", "--ranks", 2), stderr=subprocess.PIPE, text=True
    )
    wait_for_losses(process, broken / "a.db", 50)
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "train --resume tiny --ranks 2" in told
    subprocess.run(train(broken, "--resume", "tiny", "--ranks", 4), check=True, timeout=600)
    names = "checkpoints/*/meta-000000600.safetensors"
    (one,), (other,) = whole.glob(names), broken.glob(names)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_ranks_of_a_launcher_learn_of_the_first_ones_mistake(tmp_path: Path) -> None:
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_JOB_ID": str(os.getpid())}
    first, second = (
        subprocess.Popen(
            train(tmp_path / str(rank), "--set", f"nothing={rank}", "--threads", "1"),
            env=os.environ | step | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    )
    assert "nothing: is not a setting" in first.communicate(timeout=120)[1]
    assert "another rank has gone" in second.communicate(timeout=120)[1]
    assert (first.returncode, second.returncode) == (2, 1)
    assert not (tmp_path / "1" / "a.db").exists()
