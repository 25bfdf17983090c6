"""Batches of prompted pictures to train the small SAMs on: generated natural scenes, turned and recoloured, with clicks and boxes."""

from __future__ import annotations

import multiprocessing

import numpy as np


def _packed(index: int):
    from benchmarks.data.synthetic import scene

    made = scene("natural", "pretrain", index)
    masks = list(made.objects) + [part for _, part in made.parts]
    return made.image, [np.packbits(m) for m in masks], len(made.objects)


def scenes(count: int, workers: int) -> list:
    """The first `count` natural scenes of the split for pretraining, as `batch` reads them: image, packed masks of the objects and
    then of their parts, and how many of them are objects."""
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        return pool.map(_packed, range(count), chunksize=64)


def _prompt(rng, mask: np.ndarray):
    """One prompt for a mask: (points (2, 2) x-y in pixels, labels (2,)); a click is padded, a box is its two corners."""
    ys, xs = np.nonzero(mask)
    if rng.random() < 0.25:
        slack = 0.1 * max(np.ptp(xs), np.ptp(ys), 8) * rng.standard_normal(4) * 0.5
        corners = np.array([[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]]) + slack.reshape(2, 2)
        return np.clip(corners, 0, 128), np.array([2, 3]), True
    if rng.random() < 0.5:
        from scipy import ndimage

        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    else:
        k = rng.integers(len(xs))
        x, y = xs[k], ys[k]
    return np.array([[x + 0.5, y + 0.5], [0.0, 0.0]]), np.array([1, -1]), False


def _choose(rng, whole: int, masks: int, parts: float) -> int:
    """Which mask a prompt means: one of the `whole` objects, or one of the parts that follow them in the list.

    With `parts`, that share of the prompts means a part where the picture has one. Without, six of ten mean a whole object
    and the others any mask alike.
    """
    if parts:
        ask_part = masks > whole and rng.random() < parts
        return rng.integers(whole, masks) if ask_part else rng.integers(whole)
    return rng.integers(whole) if rng.random() < 0.6 else rng.integers(masks)


def batch(rng, pool, images: int, prompts: int, parts: float):
    """Images (I, 3, 128, 128), masks (I*P, 128, 128), points, labels and which prompts are boxes."""
    xs, ms, ps, ls, bs = [], [], [], [], []
    for k in rng.integers(len(pool), size=images):
        image, masks, whole = pool[k]
        turn, flip, order = rng.integers(4), rng.random() < 0.5, rng.permutation(3)
        image = np.rot90(image[..., order], turn)
        image = (image[:, ::-1] if flip else image).astype(np.float32)
        if rng.random() < 0.15:
            image = np.repeat(image.mean(2, keepdims=True), 3, axis=2)
        contrast, shift = rng.uniform(0.6, 1.2), rng.uniform(-25, 25)
        xs.append(np.clip((image - 128) * contrast + 128 + shift, 0, 255).transpose(2, 0, 1))
        for _ in range(prompts):
            which = _choose(rng, whole, len(masks), parts)
            mask = np.unpackbits(masks[which]).reshape(128, 128).astype(bool)
            mask = np.rot90(mask, turn)
            mask = np.ascontiguousarray(mask[:, ::-1] if flip else mask)
            points, labels, box = _prompt(rng, mask)
            ms.append(mask), ps.append(points), ls.append(labels), bs.append(box)
    return [np.ascontiguousarray(np.stack(v)) for v in (xs, ms, ps, ls, bs)]
