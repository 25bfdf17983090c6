"""`dino-mini`: a vision transformer small enough to ship, of timm's own class and DINOv2's build.

128 x 128 pixels in, patches of 16 pixels, so a CLS token and 8 x 8 patch tokens; width 128, 6 blocks with layer scale. It has no
head: a run trains the linear one of its task.
"""

from __future__ import annotations

IMAGE_SIZE = 128
PATCH = 16
WIDTH = 128
DEPTH = 6
HEADS = 4


def build():
    """A `timm.models.vision_transformer.VisionTransformer` with random weights, in eval mode, on the CPU."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=IMAGE_SIZE,
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        num_classes=0,
        init_values=1.0,
        dynamic_img_size=True,
    ).eval()
