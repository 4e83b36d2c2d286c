"""Order, batches and resumption of the training images."""

import pytest
import torch

from cloudedge_pl.data import SyntheticDataModule
from cloudedge_pl.data.loading import EpochBatches
from cloudedge_pl.lightning import pl


def _data(**options) -> SyntheticDataModule:
    defaults = {
        "num_train": 80,
        "num_test": 20,
        "image_size": 8,
        "batch_size": 16,
        "val_fraction": 0.1,
        "augment": True,
    }
    return SyntheticDataModule(**defaults | options)


def _epoch(loader, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader.batches.set_epoch(epoch)
    return list(loader)


def _equal(one, other) -> bool:
    return len(one) == len(other) and all(
        x.equal(u) and y.equal(v) for (x, y), (u, v) in zip(one, other, strict=True)
    )


def test_each_epoch_shuffles_every_picture_into_whole_batches():
    batches = EpochBatches(21, 4, seed=3, drop_last=True)
    first = [batch.indices.tolist() for batch in batches]
    assert len(batches) == len(first) == 5
    assert [len(indices) for indices in first] == [4] * 5
    assert len({index for indices in first for index in indices}) == 20
    batches.set_epoch(1)
    assert [batch.indices.tolist() for batch in batches] != first


def test_without_a_seed_the_order_is_kept_and_the_last_batch_may_be_smaller():
    batches = EpochBatches(10, 4, seed=None, drop_last=False)
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(batches) == 3


def test_order_and_augmentation_depend_on_seed_and_epoch_only():
    torch.manual_seed(1)
    one = _epoch(_data(seed=5).train_dataloader(), 2)
    torch.manual_seed(2)
    loader = _data(seed=5).train_dataloader()
    _epoch(loader, 0)
    assert _equal(one, _epoch(loader, 2))
    assert not _equal(one, _epoch(loader, 3))
    other = _data(seed=5)
    other.seed = 6
    assert not _equal(one, _epoch(other.train_dataloader(), 2))


def test_workers_give_the_same_batches():
    alone = _epoch(_data().train_dataloader(), 1)
    helped = _epoch(_data(num_workers=1).train_dataloader(), 1)
    assert _equal(alone, helped)


@pytest.mark.parametrize(("batches", "left"), [(0, 4), (3, 1)])
def test_a_loader_goes_on_where_its_state_was_taken(batches, left):
    loader = _data().train_dataloader()
    whole = _epoch(loader, 4)
    iterator = iter(loader)
    for _ in range(batches):
        next(iterator)
    state = loader.state_dict() if batches else {"epoch": 4, "batches": 0}
    resumed = _data().train_dataloader()
    resumed.load_state_dict(state)
    resumed.batches.set_epoch(4)
    rest = list(resumed)
    assert len(rest) == left
    assert _equal(rest, whole[batches:])
    assert _equal(list(resumed), whole), "only the first iteration is cut short"


def test_a_finished_epoch_resumes_with_the_next():
    loader = _data().train_dataloader()
    _epoch(loader, 0)
    resumed = _data().train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert _equal(list(resumed), _epoch(loader, 1))


class Recorder(pl.LightningModule):
    """Keeps a sum of every batch it sees; stops by raising at a given step."""

    def __init__(self, stop_before: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[float, list[int]]] = []
        self.stop_before = stop_before

    def training_step(self, batch, batch_idx):
        if len(self.seen) == self.stop_before:
            raise KeyboardInterrupt
        images, labels = batch
        self.seen.append((float(images.double().sum()), labels.tolist()))
        return self.weight * 1.0

    def validation_step(self, batch, batch_idx):
        pass

    def test_step(self, batch, batch_idx):
        pass

    def predict_step(self, batch, batch_idx):
        return batch[1]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveOnException(pl.callbacks.Callback):
    def __init__(self, path) -> None:
        self.path = path

    def on_exception(self, trainer, pl_module, exception) -> None:
        trainer.save_checkpoint(self.path)


def _trainer(folder, *callbacks, **options) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(
            isinstance(callback, pl.callbacks.ModelCheckpoint) for callback in callbacks
        ),
        callbacks=list(callbacks),
        **options,
    )


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("steps", [2, 4, 6])  # in an epoch, between two, and in a later one
def test_a_resumed_run_sees_the_same_batches(tmp_path, steps, num_workers):
    whole = Recorder()
    _trainer(tmp_path).fit(whole, datamodule=_data())
    assert len(whole.seen) == 12

    every_step = pl.callbacks.ModelCheckpoint(
        tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1
    )
    _trainer(tmp_path, every_step).fit(Recorder(), datamodule=_data())
    resumed = Recorder()
    data = _data(num_workers=num_workers)
    _trainer(tmp_path).fit(resumed, datamodule=data, ckpt_path=tmp_path / f"step={steps}.ckpt")
    assert resumed.seen == whole.seen[steps:]


@pytest.mark.parametrize("steps", [1, 5])
def test_a_run_interrupted_in_a_step_repeats_that_step(tmp_path, steps):
    whole = Recorder()
    _trainer(tmp_path).fit(whole, datamodule=_data())
    path = tmp_path / "interrupted.ckpt"
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        _trainer(tmp_path, SaveOnException(path)).fit(Recorder(stop_before=steps), datamodule=_data())
    resumed = Recorder()
    _trainer(tmp_path).fit(resumed, datamodule=_data(), ckpt_path=path)
    assert resumed.seen == whole.seen[steps:]


def test_validate_test_and_predict_see_every_picture_once(tmp_path):
    data = _data(val_fraction=0.2)
    trainer = _trainer(tmp_path)
    trainer.validate(Recorder(), datamodule=data, verbose=False)
    trainer.test(Recorder(), datamodule=data, verbose=False)
    predictions = trainer.predict(Recorder(), datamodule=data)
    assert predictions is not None
    assert torch.cat(predictions).equal(data.splits.test.labels)


def test_training_works_without_validation_images(tmp_path):
    recorder = Recorder()
    _trainer(tmp_path).fit(recorder, datamodule=_data(val_fraction=0))
    assert len(recorder.seen) == 15
