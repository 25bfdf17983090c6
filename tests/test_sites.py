"""Sites: where a swap acts in a live model, on toy modules and on the libraries' own."""

from __future__ import annotations

import copy
import io
from collections import OrderedDict, namedtuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from chanswap import DINOV2, SAM, SAM2, Site, SiteError, Swap, SwapError, applied, apply, remove

SWAP = Swap([(0, 2), (1, 0), (5, 4)], channels=6)
MIDDLE, LAST = Site("middle"), Site("last")


class Toy(nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        first, middle, last = (nn.Conv2d(6, 6, 3, padding=1) for _ in range(3))
        super().__init__(OrderedDict(first=first, act=nn.GELU(), middle=middle, act2=nn.GELU(), last=last))


Two = namedtuple("Two", "features extra")


class Wrapped(OrderedDict):
    """Read by attribute too, as Hugging Face's outputs are."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Answers(nn.Module):
    """Returns whatever `pack` makes of its input."""

    def __init__(self, pack):
        super().__init__()
        self.inner = nn.Identity()
        self.inner.forward = pack

    def forward(self, x):
        return self.inner(x)


@pytest.fixture
def toy():
    return Toy().eval()


@pytest.fixture
def x():
    return torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(1))


def by_hand(x, middle=None, last=None):
    """The layers of a toy without hooks one by one, with gather indices where a swap belongs."""
    toy = Toy().eval()
    x = toy.middle(toy.act(toy.first(x)))
    x = x if middle is None else x[:, list(middle.source)]
    x = toy.last(toy.act2(x))
    return x if last is None else x[:, list(last.source)]


# Toy models


def test_applied_swaps_inside_and_leaves_nothing_behind(toy, x):
    before, weights, state = toy(x), copy.deepcopy(toy.state_dict()), str(toy)
    with applied(toy, SWAP, MIDDLE) as inside:
        assert inside is toy
        assert torch.equal(toy(x), by_hand(x, middle=SWAP)) and not torch.equal(toy(x), before)
    assert torch.equal(toy(x), before) and str(toy) == state
    assert all(torch.equal(toy.state_dict()[k], v) for k, v in weights.items()) and toy.state_dict().keys() == weights.keys()
    assert not any(m._forward_hooks for m in toy.modules())


def test_an_exception_inside_the_block_takes_the_swap_off(toy, x):
    before = toy(x)
    with pytest.raises(KeyboardInterrupt), applied(toy, SWAP, MIDDLE):
        raise KeyboardInterrupt
    assert torch.equal(toy(x), before)
    with pytest.raises(SwapError), applied(toy, Swap(channels=7), MIDDLE):  # raised in forward, by the hook itself
        toy(x)
    assert torch.equal(toy(x), before)


def test_the_model_itself_is_a_site(toy, x):
    with applied(toy, SWAP, Site("")):
        assert torch.equal(toy(x), by_hand(x, last=SWAP))


def test_two_sites_at_once(toy, x):
    other = Swap([(3, 1)], channels=6)
    with applied(toy, SWAP, MIDDLE), applied(toy, other, LAST):
        assert torch.equal(toy(x), by_hand(x, middle=SWAP, last=other))
    assert torch.equal(toy(x), by_hand(x))


@given(st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=2, max_size=3))
def test_nested_at_one_site_equals_then(sources):
    toy, x = Toy().eval(), torch.randn(1, 6, 4, 4)
    first, second = (Swap.from_source(s) for s in sources[:2])
    with applied(toy, first.then(second), MIDDLE):
        wanted = toy(x)
    with applied(toy, first, MIDDLE), applied(toy, second, MIDDLE):
        assert torch.equal(toy(x), wanted)


def test_apply_stays_until_remove(toy, x):
    before, weights = toy(x), toy.state_dict().keys()
    other = Swap([(3, 1)], channels=6)
    assert apply(toy, SWAP, MIDDLE) is toy
    assert torch.equal(toy(x), by_hand(x, middle=SWAP))
    apply(toy, other, MIDDLE)
    apply(toy, other, LAST)
    assert torch.equal(toy(x), by_hand(x, middle=SWAP.then(other), last=other))
    assert toy.state_dict().keys() == weights
    with applied(toy, other, LAST):
        pass  # the end of a block takes off its own swap alone
    assert torch.equal(toy(x), by_hand(x, middle=SWAP.then(other), last=other))
    assert remove(toy) == 3 and torch.equal(toy(x), before)
    assert remove(toy) == 0


def test_remove_leaves_other_hooks_alone(toy, x):
    toy.middle.register_forward_hook(lambda module, inputs, output: output + 1)
    before = toy(x)
    apply(toy, SWAP, MIDDLE)
    remove(toy)
    assert torch.equal(toy(x), before) and len(toy.middle._forward_hooks) == 1


def test_weights_of_a_swapped_model_load_into_a_bare_one(toy, x):
    file = io.BytesIO()
    torch.save(apply(toy, SWAP, MIDDLE).state_dict(), file)
    file.seek(0)
    bare = Toy().eval()
    bare.load_state_dict(torch.load(file))
    remove(toy)
    assert torch.equal(bare(x), toy(x))


@pytest.mark.parametrize(
    ("pack", "key"),
    [
        (lambda x: (x + 1, x), 0),
        (lambda x: (x + 1, x), -2),
        (lambda x: [x + 1, x], 0),
        (lambda x: Two(x + 1, x), 0),
        (lambda x: {"features": x + 1, "extra": x}, "features"),
        (lambda x: OrderedDict(features=x + 1, extra=x), "features"),
        (lambda x: Wrapped(features=x + 1, extra=x), "features"),
    ],
    ids=["tuple", "tuple from the end", "list", "namedtuple", "dict", "ordered dict", "dict read by attribute"],
)
def test_one_tensor_of_a_compound_output(pack, key, x):
    plain, model = pack(x), Answers(pack)
    with applied(model, SWAP, Site("inner", key=key)):
        out = model(x)
    assert type(out) is type(plain) and len(out) == 2
    other = "extra" if isinstance(plain, dict) else 1
    assert torch.equal(out[key], (x + 1)[:, list(SWAP.source)]) and torch.equal(out[other], x)
    if hasattr(plain, "features"):
        assert torch.equal(out.features, out[key]) and torch.equal(out.extra, x)


def test_the_output_that_the_module_keeps_is_not_written_to(x):
    kept = {"features": x.clone(), "list": [x]}
    with applied(model := Answers(lambda _: kept), SWAP, Site("inner", key="features")):
        model(x)
    assert torch.equal(kept["features"], x)


def test_hugging_face_output_keeps_its_class(x):
    outputs = pytest.importorskip("transformers.modeling_outputs")
    model = Answers(lambda x: outputs.BaseModelOutput(last_hidden_state=x))
    with applied(model, SWAP, Site("inner", key="last_hidden_state")):
        out = model(x)
    assert torch.equal(out.last_hidden_state, x[:, list(SWAP.source)]) and out[0] is out.last_hidden_state


def message(model, site, x=None):
    with pytest.raises(SiteError) as caught, applied(model, SWAP, site):
        model(x)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_such_module_lists_what_there_is(toy):
    for call in (lambda: applied(toy, SWAP, Site("midle")).__enter__(), lambda: apply(toy, SWAP, Site("middle.weight"))):
        with pytest.raises(SiteError, match="children are: first, act, middle, act2, last"):
            call()
    with pytest.raises(SiteError, match="none"):
        apply(nn.Identity(), SWAP, Site("x"))
    assert remove(toy) == 0


def test_outputs_without_such_a_tensor(x):
    assert "key" in message(Answers(lambda x: (x,)), Site("inner"), x)
    assert "key" in message(Answers(lambda x: {"a": x}), Site("inner"), x)
    assert "NoneType" in message(Answers(lambda x: None), Site("inner"), x)
    assert "'b'" in message(Answers(lambda x: {"a": x}), Site("inner", key="b"), x)
    assert "2" in message(Answers(lambda x: (x, x)), Site("inner", key=2), x)
    assert "'a'" in message(Answers(lambda x: (x, x)), Site("inner", key="a"), x)
    assert "NoneType" in message(Answers(lambda x: (x, None)), Site("inner", key=1), x)
    assert "list" in message(Answers(lambda x: {"a": [x]}), Site("inner", key="a"), x)
    assert "leave key out" in message(Answers(lambda x: x), Site("inner", key=0), x)
    assert "0" in message(Answers(lambda x: None), Site("inner", key=0), x)


def test_a_swap_of_another_width_is_refused(toy, x):
    with pytest.raises(SwapError, match="7 channels"), applied(toy, Swap([(0, 1)], channels=7), MIDDLE):
        toy(x)


# The libraries' own models, with random weights


def full_swap(channels: int) -> Swap:
    """A swap that moves most channels, so that a wrong axis or a missed one shows."""
    return Swap.from_source(torch.randint(channels, (channels,), generator=torch.Generator().manual_seed(2)).tolist())


def test_dinov2_site_is_the_tokens_before_the_head():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch14_dinov2.lvd142m", pretrained=False, img_size=28, num_classes=7).eval()
    swap, image = full_swap(384), torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        plain = model(image)
        tokens = model.forward_features(image)
        permuted = tokens[..., list(swap.source)]
        with applied(model, swap, DINOV2):
            assert torch.equal(model.forward_features(image), permuted)
            assert torch.equal(model(image), model.forward_head(permuted)) and not torch.equal(model(image), plain)
        assert torch.equal(model(image), plain)


def test_sam_site_is_the_image_embedding():
    from segment_anything import SamPredictor

    from benchmarks.backbones import sam_mini

    torch.manual_seed(0)
    sam = sam_mini.build()
    swap = full_swap(sam_mini.CHANNELS)
    image = torch.randint(0, 256, (100, 120, 3), dtype=torch.uint8).numpy()
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    plain = predictor.get_image_embedding()
    with applied(sam, swap, SAM):
        predictor.set_image(image)
        assert torch.equal(predictor.get_image_embedding(), plain[:, list(swap.source)])
    predictor.set_image(image)
    assert torch.equal(predictor.get_image_embedding(), plain)


@pytest.fixture(scope="module")
def sam2():
    """Hiera-tiny for images of 256 pixels: the same modules, an embedding of 16 x 16."""
    build = pytest.importorskip("sam2.build_sam")
    torch.manual_seed(0)
    override = ["++model.image_size=256"]
    model = build.build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", ckpt_path=None, device="cpu", hydra_overrides_extra=override)
    with torch.no_grad():
        model.no_mem_embed.normal_()  # so that it shows on which side of it the swap acts
    return model


def predictor_on_an_image(sam2):
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(sam2)
    predictor._bb_feat_sizes = [(64, 64), (32, 32), (16, 16)]  # the predictor's own are those of 1024 pixels
    predictor.set_image(torch.arange(256 * 256 * 3).mul(37).remainder(256).to(torch.uint8).view(256, 256, 3).numpy())
    return predictor


def masks_of(predictor):
    return predictor.predict(point_coords=[[100, 120]], point_labels=[1], multimask_output=True, return_logits=True)[2]


def test_sam2_site_is_the_image_embedding_that_the_decoder_is_given(sam2):
    """The mask of a swapped model is bit for bit that of a predictor whose `image_embed` was swapped by hand."""
    swap, predictor = full_swap(256), predictor_on_an_image(sam2)
    plain = masks_of(predictor)
    with applied(sam2, swap, SAM2):
        swapped = masks_of(predictor)
    assert (masks_of(predictor) == plain).all() and not (swapped == plain).all()
    predictor._features["image_embed"] = predictor._features["image_embed"][:, list(swap.source)]
    assert (masks_of(predictor) == swapped).all()


class Called(nn.Module):
    def forward(self, first, second=None, *, named=None):
        return first, second, named


def test_an_input_is_found_by_position_or_by_name():
    module, x, y, z = Called(), *(torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(k)) for k in range(3))
    for site, which in ((Site("", input=True), 0), (Site("", key=1, input=True), 1), (Site("", key="named", input=True), 2)):
        with applied(module, SWAP, site):
            found = module(x, y, named=z)
        for k, (given_, tensor) in enumerate(zip(found, (x, y, z), strict=True)):
            assert torch.equal(given_, SWAP(tensor)) if k == which else given_ is tensor
        assert all(a is b for a, b in zip(module(x, y, named=z), (x, y, z), strict=True))


def test_an_input_that_is_not_there_is_named():
    module, x = Called(), torch.randn(2, 6, 3)
    for key, says in ((3, "without argument 3; it was given: 0, named"), ("other", "without argument 'other'")):
        with applied(module, SWAP, Site("", key=key, input=True)), pytest.raises(SiteError, match=says):
            module(x, named=x)
    with applied(module, SWAP, Site("", key="named", input=True)), pytest.raises(SiteError, match="is int, not a tensor"):
        module(x, named=3)


def test_a_swapped_model_can_be_saved_whole(toy, x):
    """`apply` is for good: it survives torch.save of the model."""
    apply(toy, SWAP, MIDDLE)
    file = io.BytesIO()
    torch.save(toy, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), toy(x))
