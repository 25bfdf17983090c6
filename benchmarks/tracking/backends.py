"""Where scalars go. A backend may raise whatever it likes: the tracker hears it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Backend(Protocol):
    """`name` is that of the flag; a run is opened by making one."""

    name: str

    def scalar(self, tag: str, value: float, step: int) -> None: ...

    def summary(self, settings: dict, metrics: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `folder`/`run`. Raises ImportError without the package tensorboard."""

    name = "tensorboard"

    def __init__(self, folder: Path, run: str):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / run))

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._writer.add_scalar(tag, value, step)

    def summary(self, settings: dict, metrics: dict[str, float]) -> None:
        self._writer.add_hparams(settings, metrics, run_name=".")  # beside the scalars: one run in the list, not two

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """A run in `folder`/wandb, for `wandb sync`; uploaded at once where WANDB_MODE=online. Raises ImportError without wandb."""

    name = "wandb"

    def __init__(self, folder: Path, run: str):
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        # Never online by itself: it would ask for a key on the terminal, or wait for a network that is not there.
        mode = os.environ.get("WANDB_MODE", "offline")
        settings = wandb.Settings(silent=True, console="off")
        self._run = wandb.init(project="chanswap", name=run, dir=str(folder), mode=mode, settings=settings)

    def scalar(self, tag: str, value: float, step: int) -> None:
        # Its own step only grows, over all tags; ours starts again with each.
        self._run.log({tag: value, f"{tag}/step": step})

    def summary(self, settings: dict, metrics: dict[str, float]) -> None:
        self._run.config.update(settings)
        self._run.summary.update(metrics)

    def close(self) -> None:
        self._run.finish()


BACKENDS = {backend.name: backend for backend in (TensorBoard, Wandb)}
