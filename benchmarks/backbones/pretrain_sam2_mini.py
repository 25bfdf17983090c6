"""Train `sam2-mini` from `sam-mini`, on the generated natural scenes alone, by points and boxes, on one core:

    python -m benchmarks.backbones.pretrain_sam2_mini

Prompt encoder and decoder start as sam-mini's (the wider layers filled up with zeros, the high-resolution maps without effect); the
Hiera starts at random and learns to give sam-mini's features, at first above all, and later to serve the masks. Pictures, prompts
and the losses of masks are those of `pretrain_sam_mini`. It ends after `--minutes` at the latest, the learning rate falling
to nothing by then, and writes a safetensors file and a card beside it: data, steps, seed, sha256 and the quality per domain.
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
from torch import Tensor

from benchmarks.backbones import pretrain_batches, sam2_mini, sam_mini
from benchmarks.backbones.model import Encoded
from benchmarks.backbones.pretrain_sam_mini import HERE, encode_prompts, mask_loss
from benchmarks.backbones.sam2 import Segmenter2

DOMAINS = ("natural", "medical", "camo")


def start(network, teacher) -> None:
    """Give the network the prompt encoder and the decoder of a sam-mini: the same function, until it is trained."""
    own = network.state_dict()
    for name, theirs in teacher.state_dict().items():
        part, _, rest = name.partition(".")
        if part not in ("prompt_encoder", "mask_decoder"):
            continue
        for a, b in ((".mlp.lin1.", ".mlp.layers.0."), (".mlp.lin2.", ".mlp.layers.1.")):
            rest = rest.replace(a, b)
        ours = own[f"sam_{part}.{rest}"]
        with torch.no_grad():  # rows and columns that sam-mini lacks stay without effect
            ours.zero_()
            ours[tuple(slice(0, n) for n in theirs.shape)] = theirs
    for part in (network.sam_mask_decoder.conv_s0, network.sam_mask_decoder.conv_s1):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    with torch.no_grad():
        network.no_mem_embed.zero_()
        for layer in network.sam_mask_decoder.transformer.layers:
            # An input weight of nought and an output weight of nought would never learn; the output's decides what is seen.
            torch.nn.init.normal_(layer.mlp.layers[0].weight[sam_mini.CHANNELS * 4 :], std=0.02)


def _loss(model: Segmenter2, teacher, batch: list[np.ndarray], prompts: int, alike: float) -> tuple[Tensor, float, float]:
    images, masks, points, labels, boxes = (torch.as_tensor(part) for part in batch)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model._transforms.mean, model._transforms.std))
    encoded: Encoded = model.encode((images.float() / 255 - mean) / std)
    network = model.network
    sparse, dense = encode_prompts(network.sam_prompt_encoder, points.float(), labels)
    logits, scores, _, _ = network.sam_mask_decoder.predict_masks(
        image_embeddings=encoded.site.repeat_interleave(prompts, 0),
        image_pe=network.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[part.repeat_interleave(prompts, 0) for part in encoded.rest],
    )
    with torch.no_grad():
        wanted = teacher.image_encoder((images - teacher.pixel_mean) / teacher.pixel_std)
    apart = F.mse_loss(encoded.site, wanted) / wanted.var()
    loss, overlap = mask_loss(logits, scores, masks, boxes)
    return loss + alike * apart, overlap, float(apart.detach())


def quality(network, domain: str, count: int) -> dict[str, float]:
    """Mean IoU on the first `count` test pictures for one interior click: the library's answer, the best-scored of three."""
    from benchmarks.catalog import BEST_OF_THREE
    from benchmarks.data.samples import Sample
    from benchmarks.data.synthetic import scene

    model, totals = Segmenter2(network), np.zeros(2)
    with torch.inference_mode():
        for k in range(count):
            made = scene(domain, "test", k)
            site, rest = model.encode(model.pixels(made.image)[None]).of(0)
            item = model.item(Sample(str(k), made.image, made.target.astype(bool)), rest)
            best = model.controls(site[None], item)[BEST_OF_THREE]["miou"]
            totals += [float(model.score(site[None], item)[0]), float(best[0])]
    return dict(zip(("one_point", "one_point_best_of_three"), (totals / count).round(4).tolist()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--scenes", type=int, default=4_000)
    parser.add_argument("--images", type=int, default=8, help="pictures in a batch")
    parser.add_argument("--prompts", type=int, default=3, help="prompts for each picture")
    parser.add_argument("--parts", type=float, default=0.5, help="share of prompts that mean a part, where the picture has parts")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "sam2-mini.safetensors")
    args = parser.parse_args()
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # what starts at nought has such gradients, and they cost a hundredfold
    torch.manual_seed(args.seed)
    pool, rng = pretrain_batches.scenes(args.scenes, 1), np.random.default_rng(args.seed)
    teacher = sam_mini.build()
    teacher.load_state_dict(load_file(HERE / "sam-mini.safetensors"))
    network = sam2_mini.build().train()
    start(network, teacher)
    model = Segmenter2(network)
    average = copy.deepcopy(model.network).eval()
    unused = ("mask_downscaling", "maskmem_", "no_mem_pos_enc")  # no mask prompts and no video here
    used = [p for n, p in model.network.named_parameters() if not any(part in n for part in unused)]
    optimiser = torch.optim.AdamW(used, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.02)
    begun, step, running = time.monotonic(), 0, [0.0, 0.0, 0.0]
    while (share := (time.monotonic() - begun) / (60 * args.minutes)) < 1:
        rate = min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * share)) * args.lr + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = pretrain_batches.batch(rng, pool, args.images, args.prompts, args.parts)
        loss, overlap, apart = _loss(model, teacher, batch, args.prompts, 10 * (1 - share))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(used, 1.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            keep = min(0.998, step / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(model.network.parameters()), 1 - keep)
        running = [0.99 * old + 0.01 * new for old, new in zip(running, (float(loss.detach()), overlap, apart))]
        if step % 100 == 0:
            seen = 1 - 0.99**step
            print(
                f"step {step} ({share:.0%}) loss {running[0] / seen:.4f} IoU {running[1] / seen:.4f} apart {running[2] / seen:.4f}",
                flush=True,
            )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in average.state_dict().items()}, args.out)
    card = {
        "name": "sam2-mini",
        "architecture": "sam2's classes: 128 px, Hiera of width 24 to 192, patches of stride 2, 64 channels",
        "parameters": sum(p.numel() for p in average.parameters()),
        "trained_on": "generated natural scenes (split pretrain, generator version 1), nothing else; decoder and teacher: sam-mini",
        "made": {
            "scenes": args.scenes,
            "steps": step,
            "minutes": args.minutes,
            "batch": f"{args.images} pictures x {args.prompts} prompts",
            "prompts": "3 of 4 one click (half interior, half any pixel), 1 of 4 a jittered box",
            "meaning": f"{args.parts:.0%} of prompts a part where there is one",
            "loss": "of masks, and 10 falling to 0 times the share of sam-mini's feature variance that is missed",
            "optimiser": f"AdamW, peak {args.lr:g}, cosine, weight decay 0.02; running average of the weights (0.998)",
            "seed": args.seed,
            "device": "cpu, one thread; the number of steps is what the time allowed",
        },
        "sha256": hashlib.sha256(args.out.read_bytes()).hexdigest(),
        "bytes": args.out.stat().st_size,
        "quality_miou_500_test_images": {d: quality(average, d, 500) for d in DOMAINS},
        "licence": "Apache-2.0",
    }
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
