"""Optimizer states with and without the parameters that belong to the strategy rather than to the user's module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def state_excluding(own: Sequence[Tensor], optimizer: Optimizer) -> dict[str, Any]:
    """Returns ``optimizer.state_dict()`` as if the optimizer did not step the parameters ``own``."""
    state, hidden = optimizer.state_dict(), {id(parameter) for parameter in own}
    entries: dict[int, Any] = {}
    groups, number = [], 0
    for packed, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        shown = [
            index for index, p in zip(packed["params"], group["params"], strict=True) if id(p) not in hidden
        ]
        renumbered = {index: number + at for at, index in enumerate(shown)}
        number += len(shown)
        entries |= {new: state["state"][old] for old, new in renumbered.items() if old in state["state"]}
        groups.append({**packed, "params": list(renumbered.values())})
    return {**state, "state": entries, "param_groups": groups}


def state_including(
    own: Sequence[Tensor], states: Sequence[Any], state: dict[str, Any], optimizer: Optimizer
) -> dict[str, Any]:
    """Returns a state dict that also covers the parameters ``own``; the inverse of :func:`state_excluding`.

    Args:
        own: parameters that ``state`` leaves out.
        states: the optimizer's entry for each of them; empty if none is known.
        state: the entries of the other parameters.
        optimizer: the optimizer that will load the result.
    """
    kept = dict(zip(map(id, own), states, strict=False))
    hidden = {id(parameter) for parameter in own}
    entries: dict[int, Any] = {}
    groups, number = [], 0
    for packed, group in zip(state["param_groups"], optimizer.param_groups, strict=False):
        theirs, indices = iter(packed["params"]), []
        for parameter in group["params"]:
            entry = (
                kept.get(id(parameter)) if id(parameter) in hidden else state["state"].get(next(theirs, None))
            )
            if entry:
                entries[number] = entry
            indices.append(number)
            number += 1
        indices += [
            number + at for at, _ in enumerate(theirs)
        ]  # more than expected: the optimizer reports it
        groups.append({**packed, "params": indices})
    return {**state, "state": entries, "param_groups": groups}
