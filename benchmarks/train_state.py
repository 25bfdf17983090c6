"""What training leaves after each epoch, so that a killed run goes on from there to the same weights."""

from __future__ import annotations

import json
import logging
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.files import write_atomically

log = logging.getLogger("benchmarks")
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # Adam's, by torch's names


@dataclass(frozen=True)
class TrainState:
    """The file of one training: `key` names what is trained on what, and a file of another key is never read."""

    path: Path
    key: str

    def save(
        self,
        parameters: dict[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
        losses: list[float],
        seconds: float = 0.0,
        micro_batch: int | None = None,
    ) -> None:
        """Weights, the optimiser's moments, the epochs' losses and seconds so far, and the smallest micro-batch, whole or not at
        all. Raises OSError."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        for name, parameter in parameters.items():
            tensors[f"weight {name}"] = parameter.detach()
            for moment, value in optimiser.state.get(parameter, {}).items():
                tensors[f"{moment} {name}"] = value
        tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
        about = {"key": self.key, "losses": json.dumps(losses), "seconds": str(seconds)}
        about |= {"micro_batch": str(micro_batch)} if micro_batch else {}
        write_atomically(self.path, save(tensors, {**about, "check": _check(about, tensors)}))

    def seconds(self) -> float:
        """What the epochs took that are kept here; 0 where there is nothing to go on from."""
        return float(self._noted("seconds", 0.0))

    def micro_batch(self) -> int | None:
        """The smallest micro-batch of the epochs that are kept here, where it is known."""
        size = int(self._noted("micro_batch", 0))
        return size if size > 0 else None

    def _noted(self, name: str, otherwise: float) -> float:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
            value = float(about[name]) if about.get("key") == self.key else otherwise
            return value if 0 <= value < math.inf else otherwise
        except (SafetensorError, OSError, ValueError, KeyError):
            return otherwise

    def load(self, parameters: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> list[float]:
        """Put everything back and return the losses of the epochs that are done: [] where there is nothing to go on from."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                if about.get("key") != self.key:
                    log.warning("%s is of another training; this one starts anew", self.path)
                    return []
                losses = json.loads(about["losses"])
                # Copies: what is read is a view of the file, which the next epoch replaces.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
            if about.pop("check", "") != _check(about, tensors):
                raise ValueError("its checksum does not fit")
            weights = {name: tensors.pop(f"weight {name}") for name in parameters}
            moments: dict[str, dict[str, Tensor]] = {}
            for key, tensor in tensors.items():
                moment, name = key.split(" ", 1)
                moments.setdefault(name, {})[moment] = tensor
            if any(of.keys() != _MOMENTS for of in moments.values()):
                raise ValueError("its optimiser kept other moments")
        except FileNotFoundError:
            return []
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            log.warning("%s cannot be read (%s); training starts anew", self.path, error)
            return []
        state = optimiser.state_dict()
        state["state"] = {}
        for k, (name, parameter) in enumerate(parameters.items()):
            with torch.no_grad():
                parameter.copy_(weights[name])
            if name in moments:  # a parameter that never had a gradient has none
                state["state"][k] = moments[name]
        optimiser.load_state_dict(state)
        return losses

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _check(about: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """Over all that the file holds, which has no checksum of its own: a flipped bit of a weight is as good a weight."""
    total = zlib.crc32(json.dumps([about, sorted(tensors)], sort_keys=True).encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].contiguous().flatten().view(torch.uint8).numpy(), total)
    return f"{total:08x}"
