"""Ranks without processes: threads that exchange through a list, as the processes do through gloo."""

from collections.abc import Callable
from threading import Barrier, Thread

from torch import Tensor

from rnnprop_cli.execute.team import Team


class ThreadTeam(Team):
    """One of several ranks in this process."""

    def __init__(self, rank: int, table: list[Tensor], barrier: Barrier) -> None:
        super().__init__(rank, len(table))
        self.table, self.barrier = table, barrier
        self._connected, self._over = True, False

    def _exchange(self, mine: Tensor) -> list[Tensor]:
        self.table[self.rank] = mine.clone()
        self.barrier.wait(60)
        found = list(self.table)
        self.barrier.wait(60)
        return found


def in_threads(ranks: int, work: Callable[[Team], None]) -> None:
    """Does the work on every rank, the first one's in this thread."""
    table, barrier = [Tensor()] * ranks, Barrier(ranks)
    first, *others = (ThreadTeam(rank, table, barrier) for rank in range(ranks))
    threads = [Thread(target=work, args=(team,)) for team in others]
    for thread in threads:
        thread.start()
    work(first)
    for thread in threads:
        thread.join()
