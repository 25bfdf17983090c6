"""`sam-mini`: a Segment Anything Model small enough to ship, made of segment_anything's own classes.

128 x 128 pixels in, 8-pixel patches, so a 16 x 16 grid; 64 embedding channels where SAM has 256. Everything else (neck,
relative positions, two-way decoder, three ambiguity masks and one single mask, IoU head) is SAM as published.
"""

from __future__ import annotations

IMAGE_SIZE = 128
PATCH = 8
CHANNELS = 64
ENCODER_WIDTH = 128
ENCODER_DEPTH = 6
HEADS = 4
WINDOW = 8  # tokens; attention stays within 8 x 8 windows but for the two global blocks, as in SAM's own encoders
GLOBAL_BLOCKS = (2, 5)


def build():
    """A `segment_anything.modeling.Sam` with random weights, in eval mode, on the CPU."""
    import torch
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    grid = IMAGE_SIZE // PATCH
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=IMAGE_SIZE,
            patch_size=PATCH,
            embed_dim=ENCODER_WIDTH,
            depth=ENCODER_DEPTH,
            num_heads=HEADS,
            mlp_ratio=4,
            out_chans=CHANNELS,
            qkv_bias=True,
            norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
            use_rel_pos=True,
            window_size=WINDOW,
            global_attn_indexes=GLOBAL_BLOCKS,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=CHANNELS,
            image_embedding_size=(grid, grid),
            input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=CHANNELS, mlp_dim=4 * CHANNELS, num_heads=HEADS),
            transformer_dim=CHANNELS,
            iou_head_depth=3,
            iou_head_hidden_dim=CHANNELS,
        ),
    ).eval()
