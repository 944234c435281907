"""The processes that one meta-training is spread over, as each of them sees the others.

Everything that they exchange goes through the host and gloo, on GPUs too: it is the meta-gradient of every task, some
ten kilobytes a window. NCCL would save a copy of that; but where a rank has died it ends the others or lets them wait,
where gloo gives an error, so that the first rank can still write a checkpoint, and it takes no two ranks of one GPU.
Nothing is pickled.

Shape legend: B tasks, K tasks of this rank, R numbers of a task.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor

from rnnprop_cli.errors import RankLostError

PATIENCE: Final = timedelta(minutes=30)  # with a rank that is silent, but for one that has died
SLICE: Final = timedelta(seconds=0.5)  # of waiting, after which signals get their turn
SECONDS_TO_STOP: Final = 3.0  # for a meta-iteration that others are at
LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
_SOURCE_LINE: Final = re.compile(r"^\[[^\]]*:[0-9]+\] *")
_END: Final = (
    -1
)  # the first rank's word to the others; otherwise a word is a signal that a rank has received, or 0


class Team:
    """The ranks of a meta-training. The first one leads: it alone has the store, and says when to go on.

    Args:
        rank: which of them this is.
        ranks: how many there are.

    Attributes:
        hurried: whether somebody asked to stop: then no rank is waited for much longer.
        how_lost: what is known of a rank that has gone; None where nothing is. It may take a moment.
    """

    def __init__(self, rank: int = 0, ranks: int = 1) -> None:
        self.rank, self.ranks = rank, ranks
        self.hurried: Callable[[], bool] = lambda: False
        self.how_lost: Callable[[], str | None] = lambda: None
        self._connected = ranks == 1
        self._over = ranks == 1
        self._broken = False

    @property
    def connected(self) -> bool:
        """Whether the others can be spoken to."""
        return self._connected

    def connect(self, rendezvous: str, *, one_machine: bool) -> None:
        """Meets the others.

        Args:
            rendezvous: where, as `torch.distributed` takes it.
            one_machine: whether all ranks are on this one, so that no port need be open beyond it.

        Raises:
            RankLostError: they do not come.
        """
        if one_machine:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
        try:
            dist.init_process_group(
                "gloo", init_method=rendezvous, rank=self.rank, world_size=self.ranks, timeout=PATIENCE
            )
        except (RuntimeError, ValueError) as error:
            raise RankLostError(
                f"rank {self.rank} of {self.ranks} does not meet the others at {rendezvous}: {_in_short(error)}"
            ) from error
        self._connected = True

    def mine(self, tasks: int) -> range:
        """The numbers of the tasks that this rank computes."""
        return range(self.rank, tasks, self.ranks)

    def gather(self, rows_KR: Tensor, tasks: int) -> Tensor:
        """The rows of all tasks in the order of their numbers, [B, R].

        Args:
            rows_KR: of this rank's tasks.
            tasks: B.

        Raises:
            RankLostError: another rank has gone.
        """
        most = len(range(0, tasks, self.ranks))
        padded = rows_KR.new_zeros(most, rows_KR.shape[1])
        padded[: len(rows_KR)] = rows_KR
        return torch.stack(self._exchange(padded), dim=1).flatten(0, 1)[:tasks]

    def of_the_first(self, tensor: Tensor) -> Tensor:
        """The first rank's tensor of this form."""
        return self._exchange(tensor)[0]

    def texts(self, mine: str) -> list[str]:
        """What every rank has to say."""
        said = torch.frombuffer(bytearray(mine.encode() + b"\0"), dtype=torch.uint8)
        sizes = [int(size) for size in self._exchange(torch.tensor([len(said)]))]
        padded = said.new_zeros(max(sizes))
        padded[: len(said)] = said
        heard = self._exchange(padded)
        return [bytes(part[: size - 1].tolist()).decode() for part, size in zip(heard, sizes, strict=True)]

    def lead(self) -> int | None:
        """The first rank says: go on. Returns a signal that another one has received, None if none has."""
        return next((word for word in self._words(0) if word > 0), None)

    def asked_on(self, signal: int | None) -> bool:
        """Another rank waits for the first one's word: whether to go on.

        Args:
            signal: that this rank has received.
        """
        self._over = self._words(signal or 0)[0] == _END
        return not self._over

    def end(self) -> None:
        """The first rank says that all is over."""
        if self._connected and not self._over:
            self._over = True
            self._words(_END)

    def close(self) -> None:
        """Leaves; whoever still waits for this rank sees it go.

        A group that is broken is left to the end of the process: to take it apart would wait for the silent rank.
        """
        if self._connected and self.ranks > 1 and not self._broken:
            dist.destroy_process_group()
        self._connected, self._over = False, True

    def _words(self, mine: int) -> list[int]:
        return [int(word) for word in self._exchange(torch.tensor([mine]))]

    def _exchange(self, mine: Tensor) -> list[Tensor]:
        """Every rank's tensor, in the order of ranks."""
        if self.ranks == 1:
            return [mine]
        sent = mine.detach().cpu().contiguous()
        parts = [torch.empty_like(sent) for _ in range(self.ranks)]
        try:
            work = dist.all_gather(parts, sent, async_op=True)
            hurried_since: float | None = None
            while not work.is_completed():
                if self.hurried():
                    hurried_since = hurried_since or time.monotonic()
                    if time.monotonic() - hurried_since > SECONDS_TO_STOP:
                        raise RuntimeError("it does not answer")
                with suppress(RuntimeError):  # the slice is over; what else it may be, the last `wait` says
                    work.wait(SLICE)
            work.wait()
        except RuntimeError as error:
            self._over, self._broken = True, True  # no word reaches them any more
            raise RankLostError(self.how_lost() or f"another rank has gone ({_in_short(error)})") from error
        return [part.to(mine.device) for part in parts]


def _in_short(error: Exception) -> str:
    """The first sentence of what gloo says, without the line of its source."""
    line = (str(error).splitlines() or [""])[0]
    return _SOURCE_LINE.sub("", line).split(". ")[0]
