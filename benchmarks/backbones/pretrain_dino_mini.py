"""Train `dino-mini` from `sam-mini`'s encoder on generated pictures, on one core:

    python -m benchmarks.backbones.pretrain_dino_mini

Its blocks start as those of sam-mini, a patch of 16 pixels as the mean of four of 8. The CLS token learns to tell the shape and the texture of an object apart (two questions, not the 15 classes of `classes-mini`), the
patch tokens on the object its texture too, and in rooms the mean log depth of their pixels; all by linear heads that are thrown
away. Pictures are of the split `pretrain`, which no task uses. It ends after `--minutes` and writes a safetensors file and a card.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.backbones import dino_mini, sam_mini
from benchmarks.backbones.pretrain_sam_mini import HERE
from benchmarks.data import synthetic_classes, synthetic_depth

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TEXTURES = len(synthetic_classes.TEXTURES)
GRID = dino_mini.IMAGE_SIZE // dino_mini.PATCH


def _augmented(rng, image: np.ndarray) -> tuple[np.ndarray, bool]:
    """Channels in another order, contrast, brightness, half of them mirrored; and whether it was mirrored."""
    flip = bool(rng.random() < 0.5)
    image = (image[:, ::-1] if flip else image)[..., rng.permutation(3)].astype(np.float32)
    return np.clip((image - 128) * rng.uniform(0.6, 1.3) + 128 + rng.uniform(-30, 30), 0, 255), flip


def _batch(rng, classes: list, depths: list, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images (2 count, 3, 128, 128), first of objects, then of rooms; labels (count,); of each patch the share that the object covers
    (count, 64); log depth (count, 8, 8)."""
    images, labels, shares, logs = [], [], [], []
    for k in rng.integers(len(classes), size=count):
        image, label, mask = classes[k]
        turns = rng.integers(4)
        image, flip = _augmented(rng, np.rot90(image, turns))
        mask = np.rot90(mask, turns)
        images.append(image)
        cut = (mask[:, ::-1] if flip else mask).astype(np.float32).reshape(GRID, dino_mini.PATCH, GRID, dino_mini.PATCH)
        shares.append(cut.mean((1, 3)).ravel())
        labels.append(label)
    for k in rng.integers(len(depths), size=count):
        image, depth = depths[k]
        image, flip = _augmented(rng, image)
        images.append(image)
        mean = np.log(depth.astype(np.float32) / 1000).reshape(GRID, dino_mini.PATCH, GRID, dino_mini.PATCH).mean((1, 3))
        logs.append(mean[:, ::-1].copy() if flip else mean)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return pixels, torch.tensor(labels), torch.from_numpy(np.stack(shares)), torch.from_numpy(np.stack(logs))


def start(model, teacher) -> None:
    """Give the transformer the patches, positions and blocks of sam-mini's encoder, without its windows and relative positions."""
    theirs = teacher.image_encoder.state_dict()
    named = {name: part for name, part in theirs.items() if name.startswith("blocks.") and ".rel_pos" not in name}
    named = {n.replace(".mlp.lin1.", ".mlp.fc1.").replace(".mlp.lin2.", ".mlp.fc2."): part for n, part in named.items()}
    own = model.state_dict()
    with torch.no_grad():
        for name, part in named.items():
            own[name].copy_(part)
        for name, part in own.items():
            if name.endswith(".gamma"):
                part.fill_(1.0)
        model.patch_embed.proj.weight.copy_(theirs["patch_embed.proj.weight"].repeat(1, 1, 2, 2) / 4)
        model.patch_embed.proj.bias.copy_(theirs["patch_embed.proj.bias"])
        positions = theirs["pos_embed"].permute(0, 3, 1, 2)
        model.pos_embed[:, 1:] = F.avg_pool2d(positions, 2).flatten(2).transpose(1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--pictures", type=int, default=3_000, help="of each kind")
    parser.add_argument("--batch", type=int, default=12, help="pictures of each kind in a step")
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "dino-mini.safetensors")
    args = parser.parse_args()
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    classes = [synthetic_classes.with_mask("pretrain", k) for k in range(args.pictures)]
    depths = [synthetic_depth.picture("pretrain", k) for k in range(args.pictures)]
    teacher = sam_mini.build()
    teacher.load_state_dict(load_file(HERE / "sam-mini.safetensors"))
    model = dino_mini.build().train()
    start(model, teacher)
    heads = nn.ModuleDict(
        {
            "texture": nn.Linear(dino_mini.WIDTH, TEXTURES),
            "shape": nn.Linear(dino_mini.WIDTH, len(synthetic_classes.SHAPES)),
            "patch": nn.Linear(dino_mini.WIDTH, TEXTURES + 1),
            "depth": nn.Linear(2 * dino_mini.WIDTH, 1),
        }
    )
    average = copy.deepcopy(model).eval()
    used = [*model.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(used, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    begun, step, running = time.monotonic(), 0, np.zeros(4)
    while (share := (time.monotonic() - begun) / (60 * args.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * share)) * args.lr + 1e-6
        pixels, labels, shares, logs = _batch(rng, classes, depths, args.batch)
        tokens = model.forward_features(pixels)
        cls, rooms = tokens[: args.batch, 0], tokens[args.batch :]
        both = torch.cat([rooms[:, 1:], rooms[:, :1].expand(-1, GRID * GRID, -1)], 2)
        found = heads["depth"](both)[..., 0].view(-1, GRID, GRID)
        which = torch.where(shares > 0.6, (labels % TEXTURES)[:, None], torch.where(shares == 0, TEXTURES, -1))
        on_patches = heads["patch"](tokens[: args.batch, 1:]).transpose(1, 2)
        losses = (
            F.cross_entropy(heads["texture"](cls), labels % TEXTURES),
            F.cross_entropy(heads["shape"](cls), labels // TEXTURES),
            F.cross_entropy(on_patches, which, ignore_index=-1),
            4 * F.smooth_l1_loss(found, logs, beta=0.1),
        )
        optimiser.zero_grad()
        sum(losses).backward()
        nn.utils.clip_grad_norm_(used, 1.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - min(0.998, step / (step + 10)))
        running = 0.99 * running + 0.01 * np.array([float(loss.detach()) for loss in losses])
        if step % 100 == 0:
            shown = ", ".join(f"{x:.3f}" for x in running / (1 - 0.99**step))
            print(f"step {step} ({share:.0%}) texture, shape, patches, depth: {shown}", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in average.state_dict().items()}, args.out)
    card = {
        "name": "dino-mini",
        "architecture": "timm's VisionTransformer: 128 px, patches of 16, width 128, 6 blocks, 4 heads, layer scale",
        "parameters": sum(p.numel() for p in average.parameters()),
        "trained_on": "generated pictures of classes and of rooms (split pretrain, generator version 1), from the encoder of sam-mini",
        "made": {
            "pictures": f"{args.pictures} of each kind",
            "steps": step,
            "minutes": args.minutes,
            "batch": f"{args.batch} of each kind",
            "optimiser": f"AdamW, peak {args.lr:g}, cosine, weight decay 0.05; running average of the weights (0.998)",
            "seed": args.seed,
            "device": "cpu, one thread; the number of steps is what the time allowed",
        },
        "sha256": hashlib.sha256(args.out.read_bytes()).hexdigest(),
        "bytes": args.out.stat().st_size,
        "licence": "Apache-2.0",
    }
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
