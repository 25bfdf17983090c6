"""`sam2-mini`: a SAM 2 small enough to ship, made of sam2's own classes.

128 x 128 pixels in; a Hiera whose patches have stride 2 where SAM 2's have 4, so that the image embedding is 16 x 16 tokens of 64
channels and the two high-resolution maps are 64 x 64 and 32 x 32. Decoder, dynamic choice of the mask and the embedding of "no
memory" are SAM 2 as published; what only video needs is left out.
"""

from __future__ import annotations

IMAGE_SIZE = 128
STRIDE = 8
CHANNELS = 64
WIDTH = 24  # of the first stage; each of the three that follow doubles it
STAGES = (1, 1, 3, 1)
GLOBAL_BLOCKS = (3, 4)  # in the third stage, whose 16 x 16 tokens are the image embedding
WINDOWS = (8, 4, 8, 8)  # tokens
HEADS = 4  # of the decoder


def build():
    """A `sam2.modeling.sam2_base.SAM2Base` with random weights, in eval mode, on the CPU."""
    import torch
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.backbones.utils import PatchEmbed
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam2_base import SAM2Base

    trunk = Hiera(
        embed_dim=WIDTH,
        num_heads=1,
        stages=STAGES,
        global_att_blocks=GLOBAL_BLOCKS,
        window_spec=WINDOWS,
        window_pos_embed_bkg_spatial_size=(8, 8),
    )
    trunk.patch_embed = PatchEmbed(kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), embed_dim=WIDTH)
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=CHANNELS, normalize=True, scale=None, temperature=10000),
        d_model=CHANNELS,
        backbone_channel_list=[8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH],
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    model = SAM2Base(
        image_encoder=ImageEncoder(scalp=1, trunk=trunk, neck=neck),
        memory_attention=torch.nn.Identity(),
        memory_encoder=torch.nn.Identity(),
        num_maskmem=1,
        image_size=IMAGE_SIZE,
        backbone_stride=STRIDE,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        # as sam2.build_sam sets it for SAM2ImagePredictor
        sam_mask_decoder_extra_args={
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
    )
    for part in model.sam_mask_decoder.transformer.modules():
        if hasattr(part, "num_heads"):
            part.num_heads = HEADS  # the library's eight would be four numbers wide here
    return model.eval()
