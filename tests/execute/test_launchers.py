"""Which rank a process is, by what a launcher or the user says."""

import pytest

from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.launchers import Place, find_place

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_JOB_ID": "40123",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[007-008,11]",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}


def test_nobody_asks_for_ranks() -> None:
    assert find_place(None, {}) is None
    in_a_batch_script = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}
    assert find_place(None, in_a_batch_script) is None


def test_the_user_asks_for_ranks() -> None:
    assert find_place(3, {}) == Place(0, 3, 0, None, True)


def test_torchrun_says_which_rank() -> None:
    assert find_place(None, TORCHRUN) == Place(3, 4, 1, "env://", False)
    assert find_place(4, TORCHRUN | {"LOCAL_WORLD_SIZE": "4"}) == Place(3, 4, 1, "env://", True)


def test_srun_says_which_rank_and_the_first_node_is_where_they_meet() -> None:
    assert find_place(None, SRUN) == Place(5, 8, 1, "tcp://gpu007:20125", False)
    assert find_place(8, SRUN | {"SLURM_STEP_NUM_NODES": "1"}) == Place(
        5, 8, 1, "tcp://127.0.0.1:20125", True
    )
    told = find_place(None, SRUN | {"MASTER_ADDR": "head", "MASTER_PORT": "7000"})
    assert told is not None
    assert told.rendezvous == "tcp://head:7000"


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("one", "one"), ("a,b[1-2]", "a"), ("n[1,3-4]", "n1"), ("r[08-09]-gpu,x", "r08-gpu")],
)
def test_the_first_host_of_a_list_of_nodes(nodes: str, host: str) -> None:
    place = find_place(None, SRUN | {"SLURM_STEP_NODELIST": nodes})
    assert place is not None
    assert place.rendezvous == f"tcp://{host}:20125"


def test_one_rank_leaves_a_launcher_aside() -> None:
    assert find_place(1, SRUN) == find_place(1, {}) == Place(0, 1, 0, None, True)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (TORCHRUN, "torchrun has started 4"),
        (SRUN, "srun has started 8"),
        (TORCHRUN | {"RANK": "x"}, "RANK=x"),
        (SRUN | {"SLURM_STEP_NODELIST": ""}, "MASTER_ADDR"),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}, "SLURM_PROCID"),
    ],
)
def test_what_does_not_fit_is_refused(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        find_place(2, environment)
