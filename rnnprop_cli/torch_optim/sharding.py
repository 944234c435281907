"""Parameters that are spread over processes: DTensors (FSDP2, tensor parallelism) and the flat shards of FSDP1.

Every process steps the shard that it holds: the coordinates of a network are independent. Nothing here talks to another
process but `summed`, and `redistributed` where a gradient is laid out otherwise than its parameter.
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is a DTensor."""
    if type(tensor) is Tensor or type(tensor) is nn.Parameter:
        return False
    module = sys.modules.get(
        "torch.distributed.tensor"
    )  # without it there is none, and loading it takes a while
    return module is not None and isinstance(tensor, module.DTensor)


def is_flat_shard(param: Tensor) -> bool:
    """Whether FSDP1 made it: a part of a flat parameter."""
    return bool(getattr(param, "_fsdp_flattened", False))


def local(tensor: Tensor) -> Tensor:
    """What this process holds of it, sharing memory; to be asked for without a graph."""
    if not is_sharded(tensor):
        return tensor
    held: Tensor = tensor.to_local()  # type: ignore[attr-defined]
    return held


def redistributed(tensor: Tensor, param: Tensor) -> Tensor:
    """A gradient, or an entry of the state, cut as its parameter is; does nothing for plain tensors."""
    if not is_sharded(param) or not is_sharded(tensor):
        return tensor
    mesh, placements = _layout(param, tensor.dim() - param.dim())
    if (tensor.device_mesh, tensor.placements) == (mesh, placements):  # type: ignore[attr-defined]
        return tensor
    moved: Tensor = tensor.redistribute(mesh, placements)  # type: ignore[attr-defined]
    return moved


def laid_out_as(param: Tensor, held: Tensor) -> Tensor:
    """`held` [*rows, *local shape of the param] as the state of a parameter: a DTensor if the parameter is one."""
    if not is_sharded(param):
        return held
    from torch.distributed.tensor import DTensor

    rows = held.dim() - param.dim()
    shape = torch.Size((*held.shape[:rows], *param.shape))
    mesh, placements = _layout(param, rows)
    return DTensor.from_local(
        held,
        mesh,
        placements,
        run_check=False,
        shape=shape,
        stride=torch.empty(shape, device="meta").stride(),
    )


def any_process(flag: Tensor, params: list[Tensor]) -> Tensor:
    """Whether the flag [] is set in any process that holds a shard of one of the parameters.

    Raises:
        RuntimeError: a parameter is a shard of FSDP1, which does not tell who holds the others.
    """
    groups: dict[int, Any] = {}
    for param in params:
        if is_flat_shard(param):
            raise RuntimeError(
                "skip_nonfinite cannot ask the other processes of FSDP1; use its ShardedGradScaler, or fully_shard"
            )
        if is_sharded(param):
            mesh: Any = param.device_mesh  # type: ignore[attr-defined]
            for dimension in range(mesh.ndim):
                group = mesh.get_group(dimension)
                groups[id(group)] = group
    for group in groups.values():
        flag = flag.to(torch.int32)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX, group=group)
    return flag


def summed(value: Tensor, param: Tensor) -> Tensor:
    """The sum of a value over the processes among which a parameter is cut; the value itself for a plain one."""
    if not is_sharded(param):
        return value
    given: Any = param
    for dimension, placement in enumerate(given.placements):
        if placement.is_shard():
            value = value.clone()
            torch.distributed.all_reduce(value, group=given.device_mesh.get_group(dimension))
    return value


def _layout(param: Tensor, rows: int) -> tuple[Any, tuple[Any, ...]]:
    """Mesh and placements of a tensor that has `rows` dimensions in front of those of the parameter."""
    given: Any = param
    return given.device_mesh, tuple(_behind(placement, rows) for placement in given.placements)


def _behind(placement: Any, rows: int) -> Any:
    if rows == 0 or not hasattr(placement, "dim"):
        return placement
    if hasattr(placement, "split_factor"):
        return type(placement)(placement.dim + rows, split_factor=placement.split_factor)
    return type(placement)(placement.dim + rows)
