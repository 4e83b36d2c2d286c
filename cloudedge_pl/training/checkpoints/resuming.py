"""Completes Lightning's resume, so that a resumed training equals one that was never stopped."""

from __future__ import annotations

import torch

from cloudedge_pl.lightning import pl
from cloudedge_pl.training.checkpoints.random_state import RandomState


def validation_is_set_up(trainer: pl.Trainer) -> bool:
    """Whether the run has opened its validation data, which draws a random number the first time."""
    return trainer.fit_loop.epoch_loop.val_loop._combined_loader is not None


def resume_training(
    trainer: pl.Trainer, validated: bool, random_state: RandomState, device: torch.device
) -> None:
    """Restores loaders and random states at the start of a resumed training, where Lightning 2.6 does not.

    Args:
        trainer: the trainer that resumes.
        validated: whether the run that wrote the checkpoint had opened its validation data.
        random_state: the random states when the checkpoint was written.
        device: the device of the run.
    """
    loop = trainer.fit_loop
    fetcher = loop._data_fetcher
    assert fetcher is not None, "training starts"
    # A module that asked for trainer.estimated_stepping_batches has set the loaders up before their state was read.
    if loop.restarting and loop._combined_loader_states_to_load:
        loop._load_combined_loader_states()
        iter(fetcher)
    # Opening the validation data draws a random number. The first run drew it before the checkpoint; draw it here,
    # before the random states are restored.
    if validated and not validation_is_set_up(trainer):
        trainer.validating = True
        loop.epoch_loop.val_loop.setup_data()
        trainer.training = True
    random_state.restore(device)
    # A new epoch shuffles from the restored random state, so its iterator must be made after it.
    if not loop.restarting:
        iter(fetcher)
