"""Every method on every family of backbones that it does not skip: SAM, SAM 2 and DINOv2, small and with random weights."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from benchmarks.backbones import sam_mini
from benchmarks.backbones.anatomy import anatomy, decoder_names, encoder_names
from benchmarks.backbones.sam_decode import decode
from benchmarks.catalog import METHODS
from benchmarks.methods import Attachment, freeze, trainable

FAMILIES = ("sam", "sam2", "dinov2")
SKIPPED = {("sam-parser", "dinov2")}
PAIRS = [(name, family) for family in FAMILIES for name in METHODS if name != "base" and (name, family) not in SKIPPED]
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
SIDE = {"sam": 128, "sam2": 128, "dinov2": 28}  # pixels


def build(family: str) -> nn.Module:
    """A model of random weights, stirred: what starts at zero (or, like DINOv2's layer scale, near it) would hide mistakes."""
    torch.manual_seed(0)
    if family == "sam":
        model = sam_mini.build()
    elif family == "sam2":
        from sam2.build_sam import build_sam2

        side = [f"++model.image_size={SIDE[family]}"]
        model = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", ckpt_path=None, device="cpu", hydra_overrides_extra=side)
    else:
        import timm

        model = timm.create_model("vit_small_patch14_dinov2.lvd142m", pretrained=False, img_size=SIDE[family], num_classes=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def bare():
    """The bare model of a family, built once. For looking at and copying, not for attaching to."""
    models = {}
    return lambda family: models[family] if family in models else models.setdefault(family, build(family))


def outputs(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """All that the encoder gives and all that the decoder or head makes of it, for one image and one click."""
    family = anatomy(model).family
    side = SIDE[family]
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    if family == "dinov2":
        tokens = model.forward_features(image)
        return [tokens], [model.forward_head(tokens)]
    click = (torch.tensor([[[side / 3, side / 2]]]), torch.ones(1, 1, dtype=torch.int))
    if family == "sam":
        features = model.image_encoder(image)
        sparse, dense = model.prompt_encoder(points=click, boxes=None, masks=None)
        return [features], list(decode(model, features, sparse, dense, slice(0, 4), iou=True))
    decoder, prompts = model.sam_mask_decoder, model.sam_prompt_encoder
    high, middle, low = features = model.image_encoder(image)["backbone_fpn"]
    sparse, dense = prompts(points=click, boxes=None, masks=None)
    made = decoder.predict_masks(
        image_embeddings=low + model.no_mem_embed.view(1, -1, 1, 1),
        image_pe=prompts.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[decoder.conv_s0(high), decoder.conv_s1(middle)],
    )
    return features, list(made)


def attach(name: str, model: nn.Module, seed: int) -> Attachment:
    torch.manual_seed(seed)
    attachment = METHODS.get(name)().attach(model)
    freeze(model, attachment)
    return attachment


def step(model: nn.Module) -> dict[str, Tensor]:
    """Gradients, by parameter, of a random projection of all outputs; then every trained weight moves a little."""
    generator = torch.Generator().manual_seed(2)
    encoded, decoded = outputs(model)
    loss = sum((out * torch.randn(out.shape, generator=generator)).sum() for out in encoded + decoded)
    model.zero_grad()
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in gradients:
                parameter.sub_(0.01 * gradients[name].sign())
    return gradients


@dataclass
class Life:
    """What one method did on one family, from the attaching to weights saved, loaded and compared."""

    attachment: Attachment
    asked: set[str]
    before: int
    after: int
    own: int
    besides: dict[str, int]
    base: tuple[list[Tensor], list[Tensor]]
    start: tuple[list[Tensor], list[Tensor]]
    end: tuple[list[Tensor], list[Tensor]]
    loaded: tuple[list[Tensor], list[Tensor]]
    first: set[str]
    second: dict[str, float]


@pytest.fixture(scope="module", params=PAIRS, ids="-on-".join)
def life(request, bare) -> Life:
    name, family = request.param
    method = METHODS.get(name)()
    model = copy.deepcopy(bare(family))
    before = method.count(model)
    with torch.inference_mode():
        base = outputs(model)
    attachment = attach(name, model, seed=3)
    own, besides = trainable(model, attachment)
    asked = {n for n, p in model.named_parameters() if p.requires_grad}
    with torch.inference_mode():
        start = outputs(model)
    first = step(model)
    second = {n: float(g.abs().max()) for n, g in step(model).items()}
    with torch.inference_mode():
        end = outputs(model)
    state = dict(model.named_parameters())
    kept = load(save({n: state[n].detach().contiguous() for n in attachment.names}))
    again = copy.deepcopy(bare(family))
    assert attach(name, again, seed=4) == attachment
    with torch.no_grad():
        for n, p in again.named_parameters():
            if n in kept:
                p.copy_(kept[n])
    with torch.inference_mode():
        loaded = outputs(again)
    return Life(attachment, asked, before, method.count(model), own, besides, base, start, end, loaded, set(first), second)


def test_starts_where_base_is(life):
    for before, after in zip(life.base[0] + life.base[1], life.start[0] + life.start[1]):
        torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_counts_by_formula_as_by_sum(life):
    assert life.own == life.before == life.after > 0
    assert len(set(life.attachment.names)) == len(life.attachment.names)


def test_exactly_what_is_declared_gets_a_gradient(life):
    names = set(life.attachment.names)
    assert life.asked == life.first == set(life.second) == names
    # A bias on keys shifts all scores of a query alike, which softmax does not see: its gradient is zero but for rounding.
    idle = {name for name, size in life.second.items() if size == 0 and not name.endswith("k_proj.bias")}
    assert idle == set()


def test_changes_features_where_it_trains_the_encoder_and_nowhere_else(life, request):
    trains_encoder = METHODS.get(request.node.callspec.params["life"][0]).trains_encoder
    assert all(torch.equal(a, b) != trains_encoder for a, b in zip(life.start[0], life.end[0]))
    assert not any(torch.equal(a, b) for a, b in zip(life.start[1], life.end[1]))


def test_saved_weights_give_the_same_outputs(life):
    for trained, loaded in zip(life.end[0] + life.end[1], life.loaded[0] + life.loaded[1]):
        assert torch.equal(loaded, trained)


@pytest.mark.parametrize("name, family", PAIRS)
def test_a_swap_goes_on_every_method_and_off_without_a_trace(name, family, bare):
    """At the family's own site, on a model whose method has been trained a little."""
    from chanswap import DINOV2, SAM, SAM2, Swap, applied

    site = {"sam": SAM, "sam2": SAM2, "dinov2": DINOV2}[family]
    width = {"sam": 64, "sam2": 256, "dinov2": 384}[family]
    model = copy.deepcopy(bare(family))
    attach(name, model, seed=3)
    step(model)
    state = {n: t.clone() for n, t in model.state_dict().items()}
    with torch.inference_mode():
        plain = masks(model)
        with applied(model, Swap([(0, 1), (5, 9)], channels=width), site):
            assert not torch.equal(masks(model), plain)
        assert torch.equal(masks(model), plain)
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())


def masks(model: nn.Module) -> Tensor:
    """What the whole model answers, through the modules that a swap hangs on."""
    if anatomy(model).family != "sam2":
        return outputs(model)[1][0]
    image = torch.randn(1, 3, SIDE["sam2"], SIDE["sam2"], generator=torch.Generator().manual_seed(1))
    click = (torch.tensor([[[40.0, 60.0]]]), torch.ones(1, 1, dtype=torch.int))
    decoder, prompts = model.sam_mask_decoder, model.sam_prompt_encoder
    high, middle, low = model.image_encoder(image)["backbone_fpn"]
    sparse, dense = prompts(points=click, boxes=None, masks=None)
    return decoder(
        image_embeddings=low + model.no_mem_embed.view(1, -1, 1, 1),
        image_pe=prompts.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        repeat_image=False,
        high_res_features=[decoder.conv_s0(high), decoder.conv_s1(middle)],
    )[0]


def test_what_is_trained_besides(life, request):
    """The decoder or head whole, by the methods whose published code trains it besides; nothing by the others."""
    name, family = request.node.callspec.params["life"]
    part = {"sam": "mask_decoder", "sam2": "sam_mask_decoder", "dinov2": "head"}[family]
    assert set(life.besides) == ({part} if name in ("adapter", "lora", "dora", "cobot") else set())


@EVERY_FAMILY
def test_every_method_attaches_or_says_why_not(family, bare):
    for name in METHODS:
        reason = METHODS.get(name).skips.get(family)
        assert bool(reason) == ((name, family) in SKIPPED)
        if reason:
            with pytest.raises(ValueError, match=reason):
                METHODS.get(name)().attach(copy.deepcopy(bare(family)))
    assert set().union(*(METHODS.get(name).skips for name in METHODS)) <= set(FAMILIES)


@EVERY_FAMILY
def test_split_qkv_changes_no_output(family, bare):
    from benchmarks.methods.qkv import split_qkv

    model = copy.deepcopy(bare(family))
    layers = split_qkv(model)
    assert len(layers) == len(anatomy(model).blocks) == len(split_qkv(model))
    for block, layer in zip(anatomy(model).blocks, layers):
        fused = bare(family).get_submodule(f"{block}.attn.qkv")
        x = torch.randn(2, 3, fused.in_features)
        assert (layer.in_features, layer.out_features) == (fused.in_features, fused.out_features)
        for k, part in enumerate((layer.q, layer.k, layer.v)):
            width = fused.out_features // 3
            assert torch.equal(part.weight, fused.weight[k * width : (k + 1) * width])
        torch.testing.assert_close(layer(x), fused(x), atol=1e-5, rtol=1e-5)  # one product or three: only rounding differs
    with torch.inference_mode():
        for after, before in zip(outputs(model)[0], outputs(bare(family))[0]):
            torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_hiera_widens_in_its_qkv(bare):
    """What the counts of SAM 2 must take care of: query width is not input width in the first block of a stage."""
    from benchmarks.methods.low_rank import qv_widths

    tiny = [(96, 96), (96, 192), (192, 192), (192, 384), *[(384, 384)] * 6, (384, 768), (768, 768)]
    assert sorted(qv_widths(bare("sam2"))) == sorted(tiny)
    assert METHODS.get("sam-parser")().count(bare("sam2")) == 256 + 256 + 192 + 96


def test_a_fused_layer_that_does_not_part_in_three_is_refused():
    from benchmarks.methods.qkv import SplitQKV

    with pytest.raises(ValueError, match="3 x width outputs, this one 32"):
        SplitQKV(nn.Linear(16, 32))


@EVERY_FAMILY
def test_anatomy_names_what_is_there(family, bare):
    model, parts = bare(family), anatomy(bare(family))
    assert parts.family == family
    assert all(hasattr(model.get_submodule(block), "norm2") for block in parts.blocks)
    assert all(isinstance(model.get_submodule(name), nn.Conv2d) for name in parts.neck)
    assert len(parts.neck) == {"sam": 2, "sam2": 4, "dinov2": 0}[family]
    encoder, decoder, every = set(encoder_names(model)), set(decoder_names(model)), {n for n, _ in model.named_parameters()}
    assert encoder and decoder and not encoder & decoder
    if family == "dinov2":
        assert encoder | decoder == every
    convolutions = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and ".neck." in n}
    assert convolutions == set(parts.neck)


def test_models_without_a_place_for_a_method_are_refused_in_words(bare):
    import timm

    with pytest.raises(TypeError, match="Linear is none of the models .* sam2 SAM2Base"):
        anatomy(nn.Linear(1, 1))
    headless = timm.create_model("vit_small_patch14_dinov2.lvd142m", pretrained=False, img_size=28, num_classes=0)
    assert anatomy(headless).decoder is None
    assert METHODS.get("encoder")().count(headless) == sum(p.numel() for p in headless.parameters())
    for name in ("decoder", "medsam", "lora"):
        with pytest.raises(ValueError, match="no decoder or linear head to train"):
            METHODS.get(name)().attach(copy.deepcopy(headless))


def test_anatomy_of_sam_imports_no_other_family():
    code = (
        "import sys; from benchmarks.backbones import sam_mini; from benchmarks.backbones.anatomy import anatomy;"
        "print(anatomy(sam_mini.build()).family, sorted({'sam2', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "sam []"


# What the methods are, told apart from what they count.


def test_cobot_is_its_formula():
    """Place 3 of six, every weight random; the quaternion product written out as Hamilton has it."""
    from benchmarks.methods.cobot_layers import RelatedLinear, Relation

    torch.manual_seed(0)
    base, relation = nn.Linear(10, 7), Relation(4, 6)
    assert torch.equal(relation(3), torch.ones(4))
    layer = RelatedLinear(base, relation, place=3)
    assert layer.quaternion[0] == 0 and (layer.quaternion[1:] > 0).all() and torch.equal(layer.gamma, torch.ones(4))
    x = torch.randn(5, 10)
    assert torch.equal(layer(x), base(x))
    with torch.no_grad():
        for parameter in [*layer.parameters(), *relation.parameters()]:
            parameter.copy_(torch.randn_like(parameter))
    low = x @ layer.down.weight.T
    factors = relation.coefficients @ relation.mixing
    a, b, c, d = (low * factors[:, 3] + layer.gamma * low).unbind(-1)
    r, i, j, k = layer.quaternion
    mixed = [
        r * a - i * b - j * c - k * d,
        r * b + i * a + j * d - k * c,
        r * c - i * d + j * a + k * b,
        r * d + i * c - j * b + k * a,
    ]
    torch.testing.assert_close(layer(x), base(x) + torch.stack(mixed, -1) @ layer.up.weight.T)


@EVERY_FAMILY
def test_cobot_shares_its_factors_between_all_blocks(family, bare):
    model = copy.deepcopy(bare(family))
    attach("cobot", model, seed=3)
    factors = [name for name, _ in model.named_parameters(remove_duplicate=False) if ".mixing" in f".{name}"]
    assert len(factors) == 1 and factors == [name for name in model.state_dict() if name.endswith(".mixing")]
    step(model)
    gradient = step(model)[factors[0]]
    assert gradient.shape == (2 * len(anatomy(model).blocks),) * 2
    assert gradient.abs().amax(0).gt(0).all()  # a place has its own column, and every place is heard

    twin = copy.deepcopy(model)
    with torch.inference_mode():
        before = outputs(model)[0]
        twin.get_parameter(factors[0]).mul_(3)
        assert all(torch.equal(a, b) for a, b in zip(outputs(model)[0], before))
        assert not any(torch.equal(a, b) for a, b in zip(outputs(twin)[0], before))
        model.load_state_dict(twin.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(outputs(model)[0], outputs(twin)[0]))


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_sam_parser_scales_the_directions_of_a_kernel(family, bare):
    model = copy.deepcopy(bare(family))
    attachment = attach("sam-parser", model, seed=3)
    with torch.no_grad():
        for name in anatomy(model).neck:
            old, new = bare(family).get_submodule(name), model.get_submodule(name)
            assert torch.equal(new.kernel(), old.weight) and torch.equal(new.weight, old.weight)
            assert (new.bias is None) == (old.bias is None)
            new.singular_values.mul_(1.5)
            torch.testing.assert_close(new.kernel(), 1.5 * old.weight)
            new.singular_values[1:] = 0
            assert torch.linalg.matrix_rank(new.kernel().flatten(1), atol=1e-4) == 1
    saved = {name for name in model.state_dict() if name not in bare(family).state_dict()}
    assert saved == set(attachment.names)  # the SVD's factors follow from the kernel


def test_sam_parser_starts_bit_identical(bare):
    for family in ("sam", "sam2"):
        model = copy.deepcopy(bare(family))
        attach("sam-parser", model, seed=3)
        with torch.inference_mode():
            for after, before in zip(sum(outputs(model), []), sum(outputs(bare(family)), [])):
                assert torch.equal(after, before)


def test_adapter_follows_the_mlp_before_its_residual_is_added(bare):
    model = copy.deepcopy(bare("sam"))
    attach("adapter", model, seed=3)
    block, x = model.image_encoder.blocks[2], torch.randn(1, 16, 16, 128)
    with torch.inference_mode():
        for parameter in block.mlp.adapter.parameters():
            parameter.copy_(torch.randn_like(parameter))
        down, up = block.mlp.adapter.down, block.mlp.adapter.up
        assert (down.in_features, down.out_features, up.in_features, up.out_features) == (128, 32, 32, 128)
        attended = x + block.attn(block.norm1(x))  # block 2 attends globally: no windows
        inner = block.mlp.mlp(block.norm2(attended))
        torch.testing.assert_close(block(x), attended + inner + up(nn.functional.gelu(down(inner))))


def test_prompt_encoders_are_never_trained(bare):
    for family, part in (("sam", "prompt_encoder"), ("sam2", "sam_prompt_encoder")):
        with pytest.raises(ValueError, match="prompt encoder is never trained"):
            freeze(copy.deepcopy(bare(family)), Attachment(own=(f"{part}.no_mask_embed.weight",)))
