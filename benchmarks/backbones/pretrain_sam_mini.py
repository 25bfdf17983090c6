"""Train `sam-mini` on the generated natural scenes alone, by points and boxes. Three commands made the shipped weights:

    python -m benchmarks.backbones.pretrain_sam_mini --out first.safetensors
    python -m benchmarks.backbones.pretrain_sam_mini --init first.safetensors --steps 1600 --scenes 3000 --seed 1 --lr 3e-4
        --parts 0.8 --out second.safetensors
    python -m benchmarks.backbones.pretrain_sam_mini --average first.safetensors second.safetensors --weight 0.65

After SAM's recipe: focal and Dice loss in the ratio 20:1, an IoU head, the least loss of three masks for a single click
(which may mean an object or its part), and the single mask on every prompt. It writes a safetensors file and a card beside
it: data, steps, seed, sha256 and the quality per domain.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.backbones import pretrain_batches

HERE = Path(__file__).parent / "checkpoints"


def encode_prompts(encoder, points, labels):
    """What `PromptEncoder` makes of a click (label 1, and -1 for the padding it adds) or of a box's corners (2 and 3).

    The library embeds clicks and boxes in separate calls; a training batch holds both, hence this one for all labels.
    """
    import torch

    sparse = encoder.pe_layer.forward_with_coords(points, encoder.input_image_size)
    kinds = torch.stack([e.weight[0] for e in encoder.point_embeddings])
    sparse = torch.where((labels < 0)[..., None], encoder.not_a_point_embed.weight[0], sparse + kinds[labels.clamp(min=0)])
    dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(len(points), -1, *encoder.image_embedding_size)
    return sparse, dense


def _loss(sam, batch, prompts, device):
    import torch

    from benchmarks.backbones.sam_decode import decode

    images, masks, points, labels, boxes = [torch.as_tensor(v).to(device) for v in batch]
    mean, std = sam.pixel_mean, sam.pixel_std
    features = sam.image_encoder((images - mean) / std).repeat_interleave(prompts, dim=0)
    sparse, dense = encode_prompts(sam.prompt_encoder, points.float(), labels)
    logits, scores = decode(sam, features, sparse, dense, slice(0, 4), iou=True)
    return mask_loss(logits.float(), scores.float(), masks, boxes)


def mask_loss(logits, scores, masks, boxes):
    """The loss, and the mean IoU of the single mask, of logits (B, 4, h, w) and predicted IoU (B, 4); masks (B, 128, 128), boxes
    (B,): which prompts are boxes."""
    import torch
    import torch.nn.functional as F

    target = F.interpolate(masks[:, None].float(), size=logits.shape[-2:], mode="area").expand_as(logits)
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    wrong = p * (1 - target) + (1 - p) * target
    focal = (wrong**2 * entropy).mean((2, 3))
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)
    each = 20 * focal + dice
    # A box leaves no doubt, so the ambiguity masks learn from clicks alone, and of them the best one only.
    clicks = (~boxes).float()
    ambiguous = (each[:, 1:].min(1).values * clicks).sum() / clicks.sum().clamp(min=1)
    with torch.no_grad():
        hard, truth = logits > 0, target > 0.5
        overlap = (hard & truth).sum((2, 3)) / (hard | truth).sum((2, 3)).clamp(min=1)
    return each[:, 0].mean() + ambiguous + F.mse_loss(scores, overlap), float(overlap[:, 0].mean())


def quality(sam, domain: str, count: int) -> dict[str, float]:
    """Mean IoU on the first `count` test pictures: one interior click (single mask, best-scored of three) and a box."""
    import torch
    from scipy import ndimage

    from benchmarks.backbones.sam_decode import decode
    from benchmarks.data.synthetic import scene

    totals = np.zeros(3)
    with torch.no_grad():
        for index in range(count):
            made = scene(domain, "test", index)
            ys, xs = np.nonzero(made.target)
            depth = ndimage.distance_transform_edt(np.pad(made.target, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(int(depth.argmax()), depth.shape)
            image = torch.as_tensor(made.image).permute(2, 0, 1)[None].float()
            feature = sam.image_encoder((image - sam.pixel_mean) / sam.pixel_std)
            points = torch.tensor([[[x + 0.5, y + 0.5], [0, 0]], [[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]]]).float()
            sparse, dense = encode_prompts(sam.prompt_encoder, points, torch.tensor([[1, -1], [2, 3]]))
            logits, scores = decode(sam, feature.expand(2, -1, -1, -1), sparse, dense, slice(0, 4), iou=True)
            full = torch.nn.functional.interpolate(logits, size=(128, 128), mode="bilinear", align_corners=False) > 0
            truth = torch.as_tensor(made.target)
            iou = (full & truth).sum((2, 3)) / (full | truth).sum((2, 3)).clamp(min=1)
            totals += [float(iou[0, 0]), float(iou[0, 1 + int(scores[0, 1:].argmax())]), float(iou[1, 0])]
    return dict(zip(("one_point", "one_point_best_of_three", "box"), (totals / count).round(4).tolist()))


def _train(args, pool, rank: int):
    """One of `args.workers` processes: its share of every batch, gradients averaged. Returns the averaged weights."""
    import torch
    import torch.distributed as dist
    from safetensors.torch import load_file, save_file

    from benchmarks.backbones import sam_mini

    torch.set_num_threads(args.threads)
    dist.init_process_group("gloo", init_method=f"file://{args.meet}", rank=rank, world_size=args.workers)
    torch.manual_seed(args.seed)  # the same on every worker, so that they start from the same weights
    sam = sam_mini.build()
    if args.init:
        sam.load_state_dict(load_file(args.init))
    sam = sam.to(args.device).train()
    average = copy.deepcopy(sam).eval()
    used = [p for n, p in sam.named_parameters() if "mask_downscaling" not in n]  # no mask prompts here
    optimiser = torch.optim.AdamW(used, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.02)
    rng = np.random.default_rng([args.seed, rank])
    running, begun = [0.0, 0.0], time.time()
    for step in range(args.steps):
        rate = min(1, (step + 1) / 500) * (0.5 + 0.5 * math.cos(math.pi * step / args.steps)) * args.lr + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = pretrain_batches.batch(rng, pool, args.images // args.workers, args.prompts, args.parts)
        with torch.autocast(torch.device(args.device).type, torch.bfloat16):
            loss, overlap = _loss(sam, batch, args.prompts, args.device)
        optimiser.zero_grad(set_to_none=False)
        loss.backward()
        if args.workers > 1:
            flat = torch.cat([p.grad.flatten() for p in used if p.grad is not None]).cpu()
            dist.all_reduce(flat)
            flat = (flat / args.workers).to(args.device)
            for p, g in zip((p for p in used if p.grad is not None), flat.split([p.numel() for p in used if p.grad is not None])):
                p.grad.copy_(g.view_as(p))
        torch.nn.utils.clip_grad_norm_(used, 1.0)
        optimiser.step()
        with torch.no_grad():
            keep = min(0.999, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(average.parameters()), list(sam.parameters()), 1 - keep)
        running = [0.99 * running[0] + 0.01 * float(loss.detach()), 0.99 * running[1] + 0.01 * overlap]
        if rank == 0 and (step + 1) % 250 == 0:
            seen, spent = 1 - 0.99 ** (step + 1), time.time() - begun
            left = spent / (step + 1) * (args.steps - step - 1)
            print(
                f"step {step + 1}/{args.steps} loss {running[0] / seen:.4f} IoU {running[1] / seen:.4f} {spent:.0f} s, {left:.0f} s left",
                flush=True,
            )
        if rank == 0 and ((step + 1) % 2000 == 0 or step + 1 == args.steps):
            args.out.parent.mkdir(parents=True, exist_ok=True)
            save_file({k: v.contiguous() for k, v in average.state_dict().items()}, args.out)
            print({d: quality(average.cpu(), d, 60) for d in ("natural", "medical", "camo")}, flush=True)
            average.to(args.device)
    dist.destroy_process_group()
    return average.cpu()


def _averaged(first: Path, second: Path, weight: float):
    """The model whose weights are (1 - weight) x first + weight x second (Wortsman et al. 2022, arXiv 2109.01903)."""
    from safetensors.torch import load_file

    from benchmarks.backbones import sam_mini

    one, two, sam = load_file(first), load_file(second), sam_mini.build()
    sam.load_state_dict({name: (1 - weight) * one[name] + weight * two[name] for name in one})
    return sam


def _write_card(sam, out: Path, made: dict) -> None:
    card = {
        "name": "sam-mini",
        "architecture": "segment_anything's classes: 128 px, 8 px patches, width 128, depth 6, 64 channels",
        "parameters": sum(p.numel() for p in sam.parameters()),
        "trained_on": "generated natural scenes (split pretrain, generator version 1), nothing else",
        "made": made,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "bytes": out.stat().st_size,
        "quality_miou_500_test_images": {d: quality(sam, d, 500) for d in ("natural", "medical", "camo")},
        "licence": "Apache-2.0",
    }
    out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--scenes", type=int, default=6_000)
    parser.add_argument("--images", type=int, default=8, help="pictures in a batch")
    parser.add_argument("--prompts", type=int, default=4, help="prompts for each picture")
    parser.add_argument(
        "--parts", type=float, default=0.25, help="share of prompts that mean a part, where the picture has parts"
    )
    parser.add_argument("--init", type=Path, help="weights to go on from, instead of random ones")
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that share each batch")
    parser.add_argument("--threads", type=int, default=1, help="of each process; more of them lose against more processes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HERE / "sam-mini.safetensors")
    parser.add_argument("--average", type=Path, nargs=2, metavar=("FIRST", "SECOND"), help="train nothing: mix two files")
    parser.add_argument("--weight", type=float, default=0.5, help="of the second of the two (default: 0.5)")
    args = parser.parse_args()
    args.meet = Path(tempfile.mkdtemp()) / "meet"

    if args.average:
        from safetensors.torch import save_file

        sam = _averaged(*args.average, args.weight)
        save_file({k: v.contiguous() for k, v in sam.state_dict().items()}, args.out)
        cards = [json.loads(path.with_suffix(".json").read_text()) for path in args.average]
        mixed = {"average": [1 - args.weight, args.weight], "of": [{"sha256": c["sha256"], **c["made"]} for c in cards]}
        _write_card(sam, args.out, mixed)
        return
    begun = time.time()
    pool = pretrain_batches.scenes(args.scenes, max(1, multiprocessing.cpu_count()))
    print(f"{args.scenes} scenes in {time.time() - begun:.0f} s", flush=True)
    begun = time.time()
    context = multiprocessing.get_context("fork")
    helpers = [context.Process(target=_train, args=(args, pool, rank), daemon=True) for rank in range(1, args.workers)]
    for helper in helpers:
        helper.start()
    sam = _train(args, pool, 0)
    for helper in helpers:
        helper.join()
    made = {
        "scenes": args.scenes,
        "steps": args.steps,
        "batch": f"{args.images} pictures x {args.prompts} prompts, shared by {args.workers} workers",
        "prompts": "3 of 4 one click (half interior, half any pixel), 1 of 4 a jittered box",
        "meaning": f"{args.parts:.0%} of prompts a part where there is one" if args.parts else "6 of 10 an object, else any mask",
        "optimiser": f"AdamW, peak {args.lr:g}, cosine, weight decay 0.02; running average of the weights (0.999)",
        "seed": args.seed,
        "init": args.init and hashlib.sha256(args.init.read_bytes()).hexdigest(),
        "device": args.device,
    }
    _write_card(sam, args.out, made)


if __name__ == "__main__":
    main()
