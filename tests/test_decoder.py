"""SAM's decoder over batches, at its true size and with random weights, against `segment_anything`'s own classes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from segment_anything.utils.transforms import ResizeLongestSide
from torch import nn
from torch.nn.utils import parametrize

from benchmarks.backbones import sam_reassociated
from benchmarks.backbones.sam import Segmenter
from benchmarks.backbones.sam_decode import decode
from benchmarks.data.samples import Sample, interior_point
from chanswap import Scorer, Swap, score

CLOSE = dict(atol=1e-4, rtol=0)
ALL = slice(0, 4)


class NoEncoder(nn.Module):
    """Stands where the image encoder would: decoding reads nothing of it but its size in pixels."""

    img_size = 1024


def rough(module: nn.Module) -> nn.Module:
    """Random weights as large as trained ones: attention that is not uniform, logits of a standard deviation of about 4,

    norms and biases that are not the identity. A dropped bias, a wrong head or a swapped sub-pixel then shows.
    """
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, nn.Linear | nn.ConvTranspose2d):
                m.weight.mul_(2.5)
                m.bias.normal_(0, 0.3)
            elif isinstance(m, nn.LayerNorm | LayerNorm2d):
                m.weight.normal_(1, 0.3)
                m.bias.normal_(0, 0.3)
    return module.eval()


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    prompt = PromptEncoder(embed_dim=256, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=16)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    decoder = MaskDecoder(
        num_multimask_outputs=3, transformer=transformer, transformer_dim=256, iou_head_depth=3, iou_head_hidden_dim=256
    )
    return rough(Sam(NoEncoder(), prompt, decoder))


@pytest.fixture
def sam(built):
    """A copy: a test may change it."""
    return copy.deepcopy(built)


@pytest.fixture(scope="module")
def features():
    return torch.randn(2, 256, 64, 64, generator=torch.Generator().manual_seed(1))


def prompts(sam, kind="point"):
    """Sparse and dense embeddings of one prompt."""
    click = torch.tensor([[[400.0, 300.0]]]), torch.ones(1, 1, dtype=torch.int)
    with torch.no_grad():
        if kind == "point":
            return sam.prompt_encoder(points=click, boxes=None, masks=None)
        mask = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(2))
        return sam.prompt_encoder(points=click, boxes=torch.tensor([[100.0, 200.0, 700.0, 800.0]]), masks=mask)


def library(sam, embedding, sparse, dense):
    """The library's masks and IoU scores of one image."""
    return sam.mask_decoder.predict_masks(embedding[None], sam.prompt_encoder.get_dense_pe(), sparse, dense)


def assert_as_library(sam, features, sparse, dense, reassociate):
    with torch.no_grad():
        logits, scores = decode(sam, features, sparse, dense, ALL, iou=True, reassociate=reassociate)
        for k, embedding in enumerate(features):
            one = [p if len(p) == 1 else p[k : k + 1] for p in (sparse, dense)]
            wanted, wanted_scores = library(sam, embedding, *one)
            assert wanted.std() > 1  # else closeness would say nothing
            torch.testing.assert_close(logits[k : k + 1], wanted, **CLOSE)
            torch.testing.assert_close(scores[k : k + 1], wanted_scores, **CLOSE)


@pytest.mark.parametrize("reassociate", [False, True])
@pytest.mark.parametrize("kind", ["point", "point, box and mask"])
def test_masks_and_scores_are_the_librarys(sam, features, kind, reassociate):
    assert sam_reassociated.possible(sam.mask_decoder)
    assert_as_library(sam, features, *prompts(sam, kind), reassociate)


@pytest.mark.parametrize("reassociate", [False, True])
def test_a_prompt_for_each_image(sam, features, reassociate):
    sparse, dense = prompts(sam)
    different = torch.cat([sparse, sparse.flip(1)]), torch.cat([dense, -dense])
    assert_as_library(sam, features, *different, reassociate)


@pytest.mark.parametrize("reassociate", [False, True])
@pytest.mark.parametrize("tokens", [slice(0, 1), slice(1, 4)])
def test_some_masks_are_a_part_of_all(sam, features, tokens, reassociate):
    with torch.no_grad():
        logits, scores = decode(sam, features[:1], *prompts(sam), ALL, iou=True, reassociate=reassociate)
        some, some_scores = decode(sam, features[:1], *prompts(sam), tokens, iou=True, reassociate=reassociate)
        assert decode(sam, features[:1], *prompts(sam), tokens, reassociate=reassociate)[1] is None
    torch.testing.assert_close(some, logits[:, tokens], **CLOSE)
    torch.testing.assert_close(some_scores, scores[:, tokens], **CLOSE)


def test_the_shorter_way_has_the_same_gradients(sam, features):
    """Training goes this way too. Compared relative to each gradient's own size."""
    sparse, dense = prompts(sam)
    weights = torch.randn(1, 4, 256, 256, generator=torch.Generator().manual_seed(3)) / 256
    found = []
    for reassociate in (False, True):
        x = features[:1].clone().requires_grad_()
        sam.zero_grad()
        logits, _ = decode(sam, x, sparse, dense, ALL, reassociate=True) if reassociate else library(sam, x[0], sparse, dense)
        (logits * weights).sum().backward()
        # A bias of keys shifts all of a query's scores alike: its gradient is zero but for rounding, with either way.
        named = [(n, p) for n, p in sam.mask_decoder.named_parameters() if p.grad is not None and not n.endswith("k_proj.bias")]
        found.append({"features": x.grad, **{n: p.grad.clone() for n, p in named}})
    wanted, short = found
    assert wanted.keys() == short.keys()
    for name, gradient in wanted.items():
        assert (short[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-6, name


def test_batched_swaps_score_as_the_librarys_own_loop(sam, features):
    """Single-pair swaps, in batches through `Segmenter`, against one pass of the library's own steps for each."""
    decoder = sam.mask_decoder
    with torch.no_grad():  # the single mask becomes that of token 3, which by chance covers about half of the image
        decoder.mask_tokens.weight[0] = decoder.mask_tokens.weight[3]
        decoder.output_hypernetworks_mlps[0].load_state_dict(decoder.output_hypernetworks_mlps[3].state_dict())
    features = features[:1].clone()
    features[:, ::16] *= 6  # channels that matter: swapping one changes the mask
    swaps = [Swap(channels=256)] + [Swap([pair], channels=256) for pair in [(0, 16), (32, 5), (255, 16), (7, 48), (64, 80)]]
    height, width = 600, 800  # not square: the library crops the padding and resizes twice
    resize = ResizeLongestSide(1024)

    @torch.no_grad()
    def by_the_library(swap, click):
        points = torch.as_tensor(resize.apply_coords(np.array([click], dtype=float), (height, width)), dtype=torch.float32)[None]
        sparse, dense = sam.prompt_encoder(points=(points, torch.ones(1, 1, dtype=torch.int)), boxes=None, masks=None)
        low, _ = decoder(
            image_embeddings=features[:, list(swap.source)],
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return (sam.postprocess_masks(low, (768, 1024), (height, width))[0, 0] > sam.mask_threshold).numpy()

    truth = np.zeros((height, width), bool)
    truth[150:450, 200:700] = True
    sample = Sample("a", np.zeros((height, width, 3), np.uint8), truth)
    wanted = []
    for swap in swaps:
        mask = by_the_library(swap, interior_point(truth))
        wanted.append((mask & truth).sum() / (mask | truth).sum())
    assert 0.05 < min(wanted) and max(wanted) < 0.95 and np.ptp(wanted) > 0.003  # neither empty nor all the same

    segmenter = Segmenter(sam)
    item = segmenter.item(sample)
    table = score(Scorer(list(features), lambda x, image: segmenter.score(x, item), batch=4), swaps)
    np.testing.assert_allclose(table[0].numpy(), wanted, **CLOSE)


def test_bfloat16_stays_near(sam, features):
    """Mean error at most 2 % of the logits' spread (bfloat16 keeps 8 bits, 0.4 %, through some twenty layers), and the

    shorter way loses no more than the library itself does under autocast, up to a quarter.
    """
    sparse, dense = prompts(sam)
    with torch.no_grad():
        wanted, wanted_scores = library(sam, features[0], sparse, dense)
        with torch.autocast("cpu", torch.bfloat16):
            theirs, _ = library(sam, features[0], sparse, dense)
            ours, scores = decode(sam, features[:1], sparse, dense, ALL, iou=True, reassociate=True)
    error = (ours.float() - wanted).abs()
    assert error.mean() < 0.02 * wanted.std() and error.max() < 0.2 * wanted.std()
    assert 0 < error.mean() < 1.25 * (theirs.float() - wanted).abs().mean()
    torch.testing.assert_close(scores.float(), wanted_scores, atol=0.05, rtol=0.02)


# Changed decoders: the shorter way is taken only where it leaves nothing out


def test_hooks_anywhere_forbid_the_shorter_way(sam, features):
    decoder = sam.mask_decoder
    inside = [m for m in decoder.modules() if m is not decoder.output_hypernetworks_mlps]
    for module in inside:
        for handle in (module.register_forward_hook(lambda *_: None), module.register_forward_pre_hook(lambda *_: None)):
            assert not sam_reassociated.possible(decoder)
            handle.remove()
    assert sam_reassociated.possible(decoder)
    # And a hook that changes something has its effect.
    sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image.q_proj.register_forward_hook(lambda m, i, out: 2 * out)
    assert_as_library(sam, features[:1], *prompts(sam), reassociate=True)


@pytest.mark.parametrize(
    "target",
    [
        *(f"cross_attn_token_to_image.{p}" for p in ("q_proj", "k_proj", "v_proj", "out_proj")),
        *(f"cross_attn_image_to_token.{p}" for p in ("q_proj", "k_proj", "v_proj", "out_proj")),
        "final_attn_token_to_image.v_proj",
    ],
)
def test_a_lora_layer_is_not_left_out(sam, features, target):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=[target], init_lora_weights=False)  # not zero at the start: it has an effect
    peft.inject_adapter_in_model(config, sam.mask_decoder)
    sam.eval()
    assert not sam_reassociated.possible(sam.mask_decoder)
    assert_as_library(sam, features[:1], *prompts(sam), reassociate=True)


@pytest.mark.parametrize("target", ["self_attn.v_proj", "mlp.lin1", "output_hypernetworks_mlps.0.layers.0"])
def test_a_lora_layer_elsewhere_counts_either_way(sam, features, target):
    peft = pytest.importorskip("peft")
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=[target], init_lora_weights=False), sam.mask_decoder)
    assert_as_library(sam.eval(), features[:1], *prompts(sam), reassociate=True)


class Doubled(Attention):
    def forward(self, q, k, v):
        return 2 * super().forward(q=q, k=k, v=v)


class Adapted(TwoWayAttentionBlock):
    """As adapters inside the block are usually put there."""

    def forward(self, queries, keys, query_pe, key_pe):
        queries, keys = super().forward(queries=queries, keys=keys, query_pe=query_pe, key_pe=key_pe)
        return queries, 1.5 * keys


class Shifted(LayerNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


class HalfLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) / 2


class Upscaled(nn.ConvTranspose2d):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("transformer.layers.0.cross_attn_token_to_image", Doubled),
        ("transformer.layers.1.cross_attn_image_to_token", Doubled),
        ("transformer.final_attn_token_to_image", Doubled),
        ("transformer.layers.0.self_attn", Doubled),
        ("transformer.layers.1.cross_attn_token_to_image.k_proj", HalfLinear),
        ("transformer.layers.0.mlp.lin2", HalfLinear),
        ("output_upscaling.1", Shifted),
        ("output_upscaling.3", Upscaled),
        ("transformer.layers.0", Adapted),
    ],
)
def test_a_subclassed_layer_is_not_left_out(sam, features, where, kind):
    sam.mask_decoder.get_submodule(where).__class__ = kind
    if "cross" in where or "final" in where or "upscaling" in where:
        assert not sam_reassociated.possible(sam.mask_decoder)
    assert_as_library(sam, features[:1], *prompts(sam), reassociate=True)


def test_a_parametrized_weight_is_not_left_out(sam, features):
    class Halved(nn.Module):
        def forward(self, weight):
            return weight / 2

    attention = sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    parametrize.register_parametrization(attention.q_proj, "weight", Halved())
    assert_as_library(sam, features[:1], *prompts(sam), reassociate=True)


def test_another_norm_or_another_upscaling_is_not_left_out(sam):
    class Doubled(nn.LayerNorm):
        def forward(self, x):
            return 2 * super().forward(x)

    sam.mask_decoder.transformer.layers[0].norm4 = Doubled(256)
    assert not sam_reassociated.possible(sam.mask_decoder)


def test_a_longer_upscaling_is_not_left_out(sam):
    sam.mask_decoder.output_upscaling.append(nn.Identity())
    assert not sam_reassociated.possible(sam.mask_decoder)


def test_a_replaced_forward_is_not_left_out(sam, features):
    attention = sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    plain = attention.forward
    attention.forward = lambda q, k, v: 2 * plain(q=q, k=k, v=v)
    assert_as_library(sam, features[:1], *prompts(sam), reassociate=True)
