"""Train `dino-mini` on generated pictures, on one core:

    python -m benchmarks.backbones.pretrain_dino_mini

The patches start as two-dimensional cosines of brightness and colour, all else is random. The CLS token learns to tell the shape and
the texture of an object apart (two questions, not the 15 classes of `classes-mini`), the patch tokens on the object its texture too,
from the middle of the network on, and in rooms the depth of their pixels; all by linear heads that are thrown away. Every second step
shows quarters of pictures around the object, and half of the objects stand on a plain ground: textures are learnt sooner so.
Pictures are of the split `pretrain`, which no task uses. It ends after `--minutes` and writes a safetensors file and a card.
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

from benchmarks import backbones, data, heads
from benchmarks.backbones import dino_mini
from benchmarks.catalog import BACKBONES, DATASETS, TASKS
from benchmarks.data import synthetic_classes, synthetic_depth
from benchmarks.protocols import PROTOCOLS

HERE = Path(__file__).parent / "checkpoints"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TEXTURES = len(synthetic_classes.TEXTURES)
EARLY = 3  # the block after which patches are first asked for their texture: three are left in which CLS can read it
GRID = dino_mini.IMAGE_SIZE // dino_mini.PATCH


def _augmented(rng, image: np.ndarray) -> tuple[np.ndarray, bool]:
    """Channels in another order, contrast, brightness, half of them mirrored; and whether it was mirrored."""
    flip = bool(rng.random() < 0.5)
    image = (image[:, ::-1] if flip else image)[..., rng.permutation(3)].astype(np.float32)
    return np.clip((image - 128) * rng.uniform(0.6, 1.3) + 128 + rng.uniform(-30, 30), 0, 255), flip


def _pixels(images: list[np.ndarray]) -> Tensor:
    pixels = torch.from_numpy(np.stack(images)).float().permute(0, 3, 1, 2) / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def _by_patch(values: np.ndarray) -> np.ndarray:
    """Means (8, 8) of (128, 128) over each patch."""
    return values.astype(np.float32).reshape(GRID, dino_mini.PATCH, GRID, dino_mini.PATCH).mean((1, 3))


def _objects(rng, classes: list, count: int, quarters: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Images (count, 3, S, S), labels (count,), and of each patch the share (count, T) that the object covers. S is 128, or 64 for
    `quarters`, each about where most of the object is."""
    images, labels, shares = [], [], []
    for k in rng.integers(len(classes), size=count):
        image, label, mask = classes[k]
        turns = rng.integers(4)
        image, flip = _augmented(rng, np.rot90(image, turns))
        mask = np.rot90(mask, turns)
        mask = mask[:, ::-1] if flip else mask
        if rng.random() < 0.5:
            image = np.where(mask[..., None], image, rng.uniform(40, 215, 3))
        share = _by_patch(mask)
        if quarters:
            side, least = GRID // 2, dino_mini.PATCH
            sums = np.lib.stride_tricks.sliding_window_view(share, (side, side)).mean((2, 3))
            y, x = np.unravel_index((sums + 0.15 * rng.random(sums.shape)).argmax(), sums.shape)
            share = share[y : y + side, x : x + side]
            image = image[least * y : least * (y + side), least * x : least * (x + side)]
        images.append(image)
        labels.append(label)
        shares.append(share.ravel())
    return _pixels(images), torch.tensor(labels), torch.from_numpy(np.stack(shares))


def _rooms(rng, depths: list, count: int) -> tuple[Tensor, Tensor]:
    """Images (count, 3, 128, 128) and, of each patch, mean log depth and mean depth (count, 64, 2)."""
    images, truths = [], []
    for k in rng.integers(len(depths), size=count):
        image, depth = depths[k]
        image, flip = _augmented(rng, image)
        images.append(image)
        metres = depth.astype(np.float32) / 1000
        metres = metres[:, ::-1] if flip else metres
        truths.append(np.stack([_by_patch(np.log(metres)), _by_patch(metres)], -1).reshape(-1, 2))
    return _pixels(images), torch.from_numpy(np.stack(truths))


def start(model) -> None:
    """Cosines as patches, those of higher frequency stronger, since pictures hold less of them; and random weights large enough for
    a width of 128, where timm's are made for 768 and more."""
    size = dino_mini.PATCH
    at = (np.arange(size) + 0.5) * math.pi / size
    waves = np.stack([np.cos(k * at) * math.sqrt((2 if k else 1) / size) for k in range(size)])
    order = sorted((a * a + b * b, a, b) for a in range(size) for b in range(size))
    brightness, colours, filters = (1, 1, 1), ((1, -1, 0), (0.5, 0.5, -1)), []
    for colour, count, strength in ((brightness, 100, 1), *((c, 14, 1.5) for c in colours)):
        mix = np.array(colour) / np.linalg.norm(colour)
        for square, a, b in order[:count]:
            filters.append(mix[:, None, None] * np.outer(waves[a], waves[b]) * strength * (1 + math.sqrt(square)) / 8)
    with torch.no_grad():
        model.patch_embed.proj.weight.copy_(torch.from_numpy(np.stack(filters)))
        model.patch_embed.proj.bias.zero_()
        for name, part in model.named_parameters():
            if name.startswith("blocks.") and part.ndim == 2:
                nn.init.xavier_uniform_(part)
        nn.init.normal_(model.cls_token, std=0.5)
        nn.init.normal_(model.pos_embed, std=0.2)


def quality(network) -> dict[str, dict[str, float]]:
    """Test metrics of `depth` and `classification` under mini-v1, by the suite's own heads."""
    found = {}
    for name, dataset in (("classification", "classes-mini"), ("depth", "depth-mini")):
        task, dataset = TASKS.get(name), DATASETS.get(dataset)
        protocol = PROTOCOLS.get("mini-v1").for_task(task)
        heads.attach(network, task, protocol, dataset.classes)
        model = backbones.as_model(BACKBONES.get("dino-mini"), network.eval(), task, protocol)

        def sites(samples, model=model):
            with torch.inference_mode():
                return [model.encode(model.pixels(s.image)[None]).site[0].clone() for s in samples]

        train = data.ids(dataset, "train", protocol)
        pool = set(train[:: protocol.rules["search_pool"]])
        samples = data.load(dataset, "train", [i for i in train if i not in pool])
        heads.fit(model, sites(samples), samples, protocol)
        tests = data.load(dataset, "test", data.ids(dataset, "test", protocol))
        with torch.inference_mode():
            rows = [model.measures(site[None], model.item(s)) for site, s in zip(sites(tests), tests)]
        found[name] = {m: round(float(np.mean([float(r[m][0]) for r in rows])), 4) for m in task.metrics}
    network.head = nn.Identity()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, help="end after so many, should the time allow them")
    parser.add_argument("--objects", type=int, default=5_000, help="pictures of objects to learn from")
    parser.add_argument("--rooms", type=int, default=3_000, help="pictures of rooms to learn from")
    parser.add_argument("--batch", type=int, default=16, help="pictures of each kind in a step; three times as many quarters")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "dino-mini.safetensors")
    args = parser.parse_args()
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    classes = [synthetic_classes.with_mask("pretrain", k) for k in range(args.objects)]
    depths = [synthetic_depth.picture("pretrain", k) for k in range(args.rooms)]
    model = dino_mini.build().train()
    start(model)
    width = dino_mini.WIDTH
    ends = nn.ModuleDict(
        {
            "texture": nn.Linear(width, TEXTURES),
            "shape": nn.Linear(width, len(synthetic_classes.SHAPES)),
            "early": nn.Linear(width, TEXTURES + 1),
            "late": nn.Linear(width, TEXTURES + 1),
            "depth": nn.Linear(2 * width, 2),
        }
    )
    middle: list[Tensor] = []
    model.blocks[EARLY].register_forward_hook(lambda _, __, tokens: middle.append(tokens))
    by_class = torch.tensor([1.0] * TEXTURES + [0.25])  # most patches are ground
    average = copy.deepcopy(model).eval()
    average.blocks[EARLY]._forward_hooks.clear()
    used = [*model.parameters(), *ends.parameters()]
    optimiser = torch.optim.AdamW(used, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    begun, step, running = time.monotonic(), 0, np.zeros(5)
    while (share := (time.monotonic() - begun) / (60 * args.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * share)) * args.lr + 1e-6
        quarters = bool(step % 2)
        pixels, labels, shares = _objects(rng, classes, (3 if quarters else 1) * args.batch, quarters)
        count, depth_loss = len(pixels), None
        if not quarters:
            rooms, truths = _rooms(rng, depths, args.batch)
            pixels = torch.cat([pixels, rooms])
        middle.clear()
        tokens = model.forward_features(pixels)
        cls = tokens[:count, 0]
        which = torch.where(shares > 0.6, (labels % TEXTURES)[:, None], torch.where(shares == 0, TEXTURES, -1))
        on_patches = [
            F.cross_entropy(ends[name](part[:count, 1:]).transpose(1, 2), which, weight=by_class, ignore_index=-1)
            for name, part in (("early", model.norm(middle[0])), ("late", tokens))
        ]
        losses = [
            F.cross_entropy(ends["texture"](cls), labels % TEXTURES),
            F.cross_entropy(ends["shape"](cls), labels // TEXTURES),
        ]
        losses += on_patches
        if not quarters:
            rooms = tokens[count:]
            found = ends["depth"](torch.cat([rooms[:, 1:], rooms[:, :1].expand(-1, GRID * GRID, -1)], 2))
            depth_loss = 4 * F.smooth_l1_loss(found[..., 0], truths[..., 0], beta=0.1)
            depth_loss = depth_loss + F.smooth_l1_loss(found[..., 1], truths[..., 1] / 2, beta=0.1)
            losses.append(depth_loss)
        optimiser.zero_grad()
        sum(losses).backward()
        nn.utils.clip_grad_norm_(used, 1.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - min(0.998, step / (step + 10)))
        seen = [float(loss.detach()) for loss in losses]
        running[: len(seen)] = 0.98 * running[: len(seen)] + 0.02 * np.array(seen)
        if step % 250 == 0:
            shown = ", ".join(f"{x:.3f}" for x in running)
            print(f"step {step} ({share:.0%}) texture, shape, patches early and late, depth: {shown}", flush=True)
        if args.steps and step >= args.steps:
            break
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in average.state_dict().items()}, args.out)
    card = {
        "name": "dino-mini",
        "architecture": "timm's VisionTransformer: 128 px, patches of 16, width 128, 6 blocks, 4 heads, layer scale",
        "parameters": sum(p.numel() for p in average.parameters()),
        "trained_on": "generated pictures of classes and of rooms (split pretrain, generator version 1)",
        "made": {
            "pictures": f"{args.objects} of objects, {args.rooms} of rooms",
            "steps": step,
            "minutes": args.minutes,
            "batch": f"{args.batch} of each kind, and {3 * args.batch} quarters of objects, in turn",
            "optimiser": f"AdamW, peak {args.lr:g}, cosine, weight decay 0.05; running average of the weights (0.998)",
            "seed": args.seed,
            "device": "cpu, one thread; the number of steps is what the time allowed",
        },
        "sha256": hashlib.sha256(args.out.read_bytes()).hexdigest(),
        "bytes": args.out.stat().st_size,
        "quality_500_test_images": quality(average),
        "licence": "Apache-2.0",
    }
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
