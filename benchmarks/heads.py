"""The linear head of a depth or classification task: put on a network, and trained once on the bare backbone's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.catalog import DEPTH, Task
from benchmarks.errors import RunFailed
from benchmarks.progress import progress

if TYPE_CHECKING:
    from benchmarks.backbones.model import Model
    from benchmarks.protocols import Protocol

SEED = 0  # of the order of the images; a head belongs to a backbone, not to a run's seed


def attach(network: nn.Module, task: Task, protocol: Protocol, classes: int) -> None:
    """A new head in the network: from a patch token beside the CLS token to depth bins, or from the CLS token to classes."""
    width = network.embed_dim
    shape = (2 * width, protocol.rules["head_bins"]) if task.kind == DEPTH else (width, classes)
    network.head = nn.Linear(*shape)


def fit(model: Model, sites: Sequence[Tensor], samples: Sequence, protocol: Protocol) -> dict[str, Tensor]:
    """Train the model's head on sites (C, T) of the samples; returns its weights. Deterministic on a CPU."""
    head = model.network.head
    with torch.enable_grad():
        if protocol.rules["head_loss"] == "silog":
            _by_steps(model, head, sites, samples, protocol)
        else:
            features = torch.stack([sites[k][:, 0] for k in range(len(sites))])
            labels = torch.tensor([samples[k].label for k in range(len(samples))])
            weight, bias = logistic(
                features.to(model.device), labels.to(model.device), head.out_features, protocol.rules["head_l2"]
            )
            with torch.no_grad():
                head.weight.copy_(weight)
                head.bias.copy_(bias)
    return {name: part.detach().clone() for name, part in head.state_dict().items()}


def logistic(features: Tensor, labels: Tensor, classes: int, l2: float) -> tuple[Tensor, Tensor]:
    """Weight (K, C) and bias (K,) of multinomial logistic regression of features (n, C): the minimum of the summed cross-entropy
    plus l2 / 2 times the squared weights, which is scikit-learn's LogisticRegression(C=1 / l2). In float64, by L-BFGS."""
    x, y = features.double(), F.one_hot(labels, classes).double()
    centre, scale = x.mean(0), x.std(0).clamp(min=1e-6)
    x = (x - centre) / scale  # conditions the problem; the penalty below is that of the unscaled weights
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, device=x.device, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        (weight, bias), max_iter=2000, tolerance_grad=1e-9, tolerance_change=1e-14, history_size=30, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = F.linear(x, weight, bias)
        loss = -(y * logits.log_softmax(1)).sum() + l2 / 2 * (weight / scale).square().sum()
        loss = loss / len(x)
        loss.backward()
        return loss

    optimiser.step(closure)
    true = (weight / scale).detach()
    bias = bias.detach() - true @ centre
    return true.float(), (bias - bias.mean()).float()


def _by_steps(model: Model, head: nn.Linear, sites: Sequence[Tensor], samples: Sequence, protocol: Protocol) -> None:
    """AdamW on the model's own loss, by the rules that start with head_. Raises RunFailed where the loss is not finite."""
    from benchmarks.backbones.model import Encoded
    from benchmarks.train import Examples

    rules = protocol.rules
    head.requires_grad_(True)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        nn.init.normal_(head.weight.data, std=0.01, generator=generator)
        head.bias.zero_()
    optimiser = torch.optim.AdamW(head.parameters(), lr=rules["head_learning_rate"], weight_decay=rules["head_weight_decay"])
    examples = Examples(model, len(samples))
    with progress("head", rules["head_epochs"] * len(sites), "images") as bar:
        for epoch in range(rules["head_epochs"]):
            for some in torch.randperm(len(sites), generator=generator).split(rules["head_batch"]):
                chosen = some.tolist()
                known = [examples.of(k, None if k in examples.known else samples[k]) for k in chosen]
                site = torch.stack([sites[k] for k in chosen]).to(model.device)
                loss = model.loss(Encoded(site), tuple(torch.cat(part) for part in zip(*known)))
                if not torch.isfinite(loss):
                    names = ", ".join(samples[k].id for k in chosen)
                    raise RunFailed(f"the head's loss is {loss.item()} in epoch {epoch + 1} on {names}; look at these images")
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                bar.step(len(chosen))
    head.requires_grad_(False)
