"""Contracts of every network: any picture (or waveform) in, logits out, and gradients on the way back."""

import copy
import inspect
import re

import pytest
import safetensors.torch
import torch

from fakevoice.core import plugins
from fakevoice.core.errors import ConfigError
from fakevoice.training.unlabeled_clips import last_linear

NAMES = plugins.names("models")
models = pytest.mark.parametrize("name", NAMES)
SHAPES = [(64, 80), (40, 157)]
WAVEFORMS = [(1, 4000), (1, 7001)]  # what networks with a front end of their own are given
HEARS_SAMPLES = {"aasist", "encoder", "rawnet"}
# models whose size depends on the picture
COUNTED_ON = {"ann": (64, 188), "frame_attention": (512, 50), "lcnn": (60, 80), "linear": (2560, 1), "mlp": (13, 9)}
PLAIN = {"norm": False, "pooling": "flatten"}
PEERS = ["ann", "cnn", "lcnn", "mlp", "resblock", "resnet2"]


def shapes(name: str) -> list[tuple[int, int]]:
    return WAVEFORMS if name in HEARS_SAMPLES else SHAPES


def build(name: str, shape: tuple[int, int], n_outputs: int = 2, **args) -> torch.nn.Module:
    torch.manual_seed(0)
    return plugins.load("models", name).build(shape, n_outputs, **args)


def pictures(n: int, shape: tuple[int, int]) -> torch.Tensor:
    return torch.randn(n, 1, *shape, generator=torch.Generator().manual_seed(1))


@models
@pytest.mark.parametrize("which", [0, 1])
def test_forward_and_backward(name, which):
    shape = shapes(name)[which]
    model = build(name, shape)
    logits = model.train()(pictures(2, shape))
    assert logits.shape == (2, 2) and logits.dtype == torch.float32 and torch.isfinite(logits).all()
    logits.square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert all(gradient.abs().max() > 0 for gradient in (gradients[0], gradients[-1]))  # all the way back


@models
@pytest.mark.parametrize("n_outputs", [1, 10])
def test_as_many_logits_as_outputs(name, n_outputs):
    shape = shapes(name)[0]
    assert build(name, shape, n_outputs).eval()(pictures(2, shape)).shape == (2, n_outputs)


@models
@pytest.mark.parametrize("value", [0.0, -1e3])
def test_a_constant_picture_gives_no_nan(name, value):
    shape = shapes(name)[0]
    model, picture = build(name, shape), torch.full((2, 1, *shape), value)
    logits = model.train()(picture)
    logits.sum().backward()
    assert torch.isfinite(logits).all() and torch.isfinite(model.eval()(picture)).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@models
def test_scoring_is_deterministic_and_blind_to_the_rest_of_the_batch(name):
    shape = shapes(name)[0]
    model, batch = build(name, shape).eval(), pictures(4, shape)
    with torch.inference_mode():
        whole, again, alone = model(batch), model(batch), model(batch[2:3])
    assert torch.equal(whole, again)
    torch.testing.assert_close(alone, whole[2:3], atol=1e-4, rtol=1e-4)


@models
def test_same_seed_same_weights_under_the_same_names(name):
    first, second = (build(name, shapes(name)[0]).state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@models
def test_what_is_saved_is_the_whole_network(name):
    shape = shapes(name)[0]
    model, batch = build(name, shape), pictures(2, shape)
    model.train()(pictures(4, shape))  # running statistics of its own
    saved = safetensors.torch.save({key: tensor.contiguous() for key, tensor in model.state_dict().items()})
    torch.manual_seed(1)
    other = plugins.load("models", name).build(shape, 2)
    other.load_state_dict(safetensors.torch.load(saved))
    with torch.inference_mode():
        logits = model.eval()(batch)
        torch.testing.assert_close(other.eval()(batch), logits)
        torch.testing.assert_close(copy.deepcopy(model)(batch), logits)  # the moving average is a copy


@models
def test_it_ends_in_a_linear_layer(name):
    model, given = build(name, shapes(name)[0], 3).eval(), []
    last_linear(model, 3).register_forward_hook(lambda layer, inputs, output: given.append(output))
    assert torch.equal(model(pictures(2, shapes(name)[0])), given[0])


@models
def test_pictures_differ_in_it(name):
    shape = shapes(name)[0]
    logits = build(name, shape).eval()(pictures(4, shape))
    assert logits.std(dim=0).min() > 1e-6


@models
def test_arguments_are_typed_keywords_with_defaults(name):
    parameters = list(inspect.signature(plugins.load("models", name).build).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["shape", "n_outputs"]
    for parameter in parameters[2:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty and parameter.annotation is not parameter.empty


def n_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_resnet_grows_with_its_arguments():
    sizes = [n_parameters(build("resnet", SHAPES[0], **args)) for args in ({}, {"n_blocks": 2}, {"width": 32})]
    assert sizes[0] < sizes[1] and 3 * sizes[0] < sizes[2]


@pytest.mark.parametrize("shape", [(8, 8), (13, 400), (128, 9)])
def test_resnet_takes_unusual_pictures(shape):
    assert torch.isfinite(build("resnet", shape, width=4).train()(pictures(2, shape))).all()


@models
def test_bfloat16_reaches_the_same_answer(name):
    shape = shapes(name)[0]
    model, batch = build(name, shape).eval(), pictures(4, shape)
    with torch.inference_mode():
        exact = model(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model(batch).float()
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "encoder"])
def test_as_many_parameters_as_it_says(name):
    said = re.search(r"([\d,]+)\s+parameters", plugins.load("models", name).build.__doc__)[1]
    assert f"{n_parameters(build(name, COUNTED_ON.get(name, shapes(name)[0]))):,}" == said


@pytest.mark.parametrize(
    ("name", "shape", "n_outputs", "args", "n"),
    [
        ("cnn", (64, 188), 2, {"n_blocks": 2, "kernel": 5}, 60_770),
        ("cnn", (3 * 128, 128), 2, {**PLAIN, "n_channels": 3, "widths": [256]}, 8_482_626),
        ("cnn", (64, 188), 1, {**PLAIN, "n_blocks": 2, "kernel": 5, "widths": [1024, 512, 256]}, 49_992_577),
        ("ann", (64, 188), 1, {"norm": False}, 12_978_177),
        ("lcnn", (60, 80), 2, {"pooling": "lstm"}, 356_418),
        ("aasist", (1, 80_000), 2, {}, 297_866),  # as published
        ("aasist", (1, 80_000), 2, {"widths": [32, 24]}, 85_306),  # and its light form
    ],
)
def test_variants_have_as_many_parameters_as_it_says(name, shape, n_outputs, args, n):
    with torch.device("meta"):  # counts without allocating the weights
        assert n_parameters(plugins.load("models", name).build(shape, n_outputs, **args)) == n
    assert f"{n:,}" in plugins.load("models", name).build.__doc__


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (13, 400), (128, 9), (64, 32)])
def test_peers_take_unusual_pictures(name, shape):
    assert torch.isfinite(build(name, shape).train()(pictures(2, shape))).all()


def test_the_perceptron_hears_the_mean_alone():
    model, batch = build("mlp", SHAPES[0]).eval(), pictures(2, SHAPES[0])
    torch.testing.assert_close(model(batch), model(batch.flip(3)))
    torch.testing.assert_close(model(batch), model(batch.mean(dim=3, keepdim=True)))


def test_max_feature_map_keeps_the_larger_of_each_pair():
    layer = plugins.load("models", "lcnn").MaxFeatureMap(1, 3, 1)
    with torch.no_grad():
        layer.conv.weight[:, 0, 0, 0] = torch.tensor([1.0, 2.0, -3.0, 4.0, -5.0, 6.0])
        layer.conv.bias.zero_()
        out = layer(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)).flatten(1)
    assert out.tolist() == [[4.0, 2.0, 6.0], [-1.0, 5.0, 3.0]]


def test_attention_pooling_is_a_weighted_mean():
    lcnn, frames = plugins.load("models", "lcnn"), torch.randn(2, 7, 5)
    pooling = lcnn.AttentionPooling(5)
    low, high = frames.min(dim=1).values, frames.max(dim=1).values
    assert ((pooling(frames) >= low) & (pooling(frames) <= high)).all()
    torch.nn.init.zeros_(pooling.score.weight)
    torch.testing.assert_close(pooling(frames), lcnn.MeanPooling()(frames))
    shape = (60, 80)
    attentive, mean = (build("lcnn", shape, pooling=word).eval()(pictures(2, shape)) for word in ("attention", "mean"))
    assert not torch.allclose(attentive, mean)


def test_graph_pooling_keeps_the_nodes_that_score_highest():
    pool = plugins.load("models", "aasist").GraphPool(2, 0.5).eval()
    torch.nn.init.constant_(pool.score.bias, 0.0)
    with torch.no_grad():
        pool.score.weight[:] = torch.tensor([[1.0, 0.0]])
    nodes = torch.tensor([[[0.0, 1.0], [3.0, 1.0], [-2.0, 1.0], [5.0, 1.0], [4.0, 1.0]]])
    kept = pool(nodes)
    expected = nodes[:, [3, 4]] * nodes[:, [3, 4], :1].sigmoid()
    torch.testing.assert_close(kept, expected)
    assert pool(nodes[:, :1]).shape == (1, 1, 2)  # one node is never pooled away


def test_attention_within_and_across_kinds_is_scored_apart():
    """With a score for pairs across kinds alone, a moment hears the bands only."""
    layer = plugins.load("models", "aasist").HeterogeneousAttention(4, 4).eval()
    moments, bands, stack = torch.randn(1, 3, 4), torch.randn(1, 2, 4), torch.randn(1, 1, 4)
    with torch.no_grad():
        torch.nn.init.zeros_(layer.pair.weight), torch.nn.init.constant_(layer.pair.bias, 10.0)
        torch.nn.init.zeros_(layer.own.weight), torch.nn.init.zeros_(layer.score.weight)
        layer.score.weight[1] = 1e4  # moments, across, bands
        first, second, _ = layer(moments, bands, stack)
        louder, _, _ = layer(moments * 3, bands, stack)
    torch.testing.assert_close(first, first[:, :1].expand_as(first))  # all moments hear the same bands
    torch.testing.assert_close(louder, first)  # and nothing of each other
    assert not torch.allclose(first[:, 0], second[:, 0])


def test_the_masks_of_training_are_neighbouring_filters():
    aasist = plugins.load("models", "aasist")
    front = aasist.FrontEnd(aasist.sinc_filters(30, 129, 16_000), 1, 10)
    torch.manual_seed(0)
    kept = front._mask(200, torch.device("cpu"))[:, :, 0]
    silenced = (~kept).sum(dim=1)
    assert silenced.min() == 0 and silenced.max() == 10
    edges = (kept[:, 1:] != kept[:, :-1]).sum(dim=1)
    assert edges.max() <= 2 and not kept.all(dim=0).any()  # one stretch, and any filter may be in it
    assert torch.equal(front.eval()(pictures(1, (1, 900))[:, 0]), front.eval()(pictures(1, (1, 900))[:, 0]))


hearing = pytest.mark.parametrize("name", sorted(HEARS_SAMPLES - {"encoder"}))


@hearing
@pytest.mark.parametrize("n_samples", [3, 128, 2000])
def test_clips_may_have_any_length(name, n_samples):
    model = build(name, (1, n_samples)).train()
    assert torch.isfinite(model(pictures(2, (1, n_samples)))).all()
    assert torch.isfinite(model(pictures(2, (1, 3000)))).all()  # another than it was built for


@hearing
def test_who_hears_samples_sees_no_spectrogram(name):
    with pytest.raises(ConfigError, match="give its network the feature waveform"):
        build(name, SHAPES[0])(pictures(2, SHAPES[0]))


def test_aasist_never_masks_every_filter():
    with pytest.raises(ConfigError, match="max_masked 24"):
        build("aasist", WAVEFORMS[0], n_filters=24, max_masked=24)


def test_a_kernel_keeps_the_size_of_the_picture():
    model, sizes = build("cnn", (64, 188), kernel=5, n_blocks=2), []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda layer, inputs, output: sizes.append(output.shape[2:]))
    assert model(pictures(2, (64, 188))).shape == (2, 2)
    assert [tuple(size) for size in sizes] == [(64, 188), (32, 94)]


def test_the_picture_network_of_the_source_is_reproduced_layer_by_layer():
    """Three convolutions with pooling, the flattened picture, a dense layer: the same logits from the same weights."""
    ours = build("cnn", (3 * 16, 16), n_channels=3, width=4, widths=[8], norm=False, pooling="flatten").eval()
    source = torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Conv2d(4, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Flatten(), torch.nn.Linear(16 * 2 * 2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)),
    )
    source.load_state_dict(dict(zip(source.state_dict(), ours.state_dict().values(), strict=True)))
    picture = torch.randn(2, 3, 16, 16)  # red, green, blue
    torch.testing.assert_close(ours(picture.reshape(2, 1, 48, 16)), source(picture))


def test_flattened_pictures_have_one_shape_and_bands_fill_the_channels():
    with pytest.raises(ConfigError, match=r"built for \(8, 9\) pixels, not \(8, 10\): use pooling=mean"):
        build("cnn", (8, 9), pooling="flatten")(pictures(2, (8, 10)))
    with pytest.raises(ConfigError, match="64 bands cannot be divided into n_channels=3"):
        build("cnn", (64, 9), n_channels=3)


def test_recurrent_pooling_is_the_mean_and_what_the_layers_add():
    pooling, frames = plugins.load("models", "lcnn").RecurrentPooling(6), torch.randn(2, 9, 6)
    backwards = pooling(frames.flip(1))
    assert pooling(frames).shape == (2, 6) and not torch.allclose(pooling(frames), backwards)  # order is heard
    for weight in pooling.parameters():
        torch.nn.init.zeros_(weight)
    torch.testing.assert_close(pooling(frames), frames.mean(dim=1))  # the skip around them


def test_pixels_have_weights_of_their_own():
    with pytest.raises(ConfigError, match=r"built for \(8, 9\) pixels, not \(8, 10\)"):
        build("ann", (8, 9))(pictures(2, (8, 10)))


def test_dilated_blocks_see_ever_further_in_time():
    """A change of one frame reaches as far as the two convolutions of each block go, and no further."""
    resnet2 = plugins.load("models", "resnet2")
    for rate in (1, 4, 16):
        block, picture = resnet2.DilatedBlock(1, 1, rate).eval(), torch.ones(1, 1, 3, 101, requires_grad=True)
        for weight in (block.layers[0].weight, block.layers[3].weight):
            torch.nn.init.ones_(weight)
        block.layers(picture)[0, 0, 1, 50].backward()
        reached = picture.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten() - 50
        assert reached.tolist() == [-2 * rate, -rate, 0, rate, 2 * rate]
    blocks = build("resnet2", SHAPES[0], n_blocks=4).blocks
    assert [block.layers[0].dilation for block in blocks] == [(1, 1), (1, 2), (1, 4), (1, 8)]


def test_time_attention_is_a_weighted_mean():
    pooling, frames = plugins.load("models", "resnet2").TimeAttention(5), torch.randn(2, 5, 7)
    assert not torch.allclose(pooling(frames), frames.mean(dim=2))
    torch.nn.init.zeros_(pooling.score[2].weight)
    torch.testing.assert_close(pooling(frames), frames.mean(dim=2))


def test_feature_maps_are_scaled_by_their_own_weights():
    scaling, maps = plugins.load("models", "rawnet").FeatureMapScaling(2), torch.tensor([[[1.0, 3.0], [5.0, 5.0]]])
    with torch.no_grad():
        scaling.score.weight[:], scaling.score.bias[:] = torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.zeros(2)
    first, second = torch.tensor([2.0, -5.0]).sigmoid()  # of the means 2 and 5
    expected = torch.stack([torch.stack([2 * first, 4 * first]), torch.stack([6 * second, 6 * second])])[None]
    torch.testing.assert_close(scaling(maps), expected)


def test_rawnet_hears_what_comes_last():
    """What the upper recurrent layer says at the last moment."""
    model = build("rawnet", (1, 20_000), n_gru=32, n_gru_layers=2).eval()
    ends = []
    model.gru.register_forward_hook(lambda layer, inputs, output: ends.append(output[0][:, -1]))
    logits = model(pictures(1, (1, 20_000)))
    torch.testing.assert_close(model.head(model.dense(ends[0])), logits)
