"""Backbones of timm: any name, any picture, weights from a file, the first layers frozen."""

import pytest
import safetensors.torch
import torch
from torch import nn

from fakevoice.core.errors import ConfigError
from fakevoice.training.models.timm_backbone import build, fetch, import_timm

SHAPE = (64, 157)
BAKE_OFF = [
    "resnet18",
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnext_large",
    "vit_base_patch16_224",
    "efficientnet_b0",
]


def pictures(n: int = 2, shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    return torch.randn(n, 1, *shape, generator=torch.Generator().manual_seed(1))


def colour_checkpoint(path, backbone="resnet10t", n_classes=5, **args):
    """A file as others publish them: three channels in, so many classes out, running statistics of some data."""
    torch.manual_seed(3)
    model = import_timm().create_model(backbone, num_classes=n_classes, **args)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.1, 0.3)  # so small a variance lets pictures make a difference
    (safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save)(model.state_dict(), path)
    return model.eval()


def test_timm_works_beside_the_installed_torchvision():
    assert import_timm().is_model("resnet18")


def test_the_bake_off_can_be_had():
    assert all(import_timm().is_model(name) for name in BAKE_OFF)


@pytest.mark.parametrize(
    ("backbone", "shape"),
    [
        *(("resnet18", SHAPE), ("efficientnet_b0", SHAPE), ("convnext_atto", SHAPE), ("convnext_atto", (40, 80))),
        *(("vit_tiny_patch16_224", SHAPE), ("vit_tiny_patch16_224", (40, 80))),
        *(("swin_tiny_patch4_window7_224", SHAPE), ("mixer_s32_224", SHAPE)),  # made for one size too
    ],
)
def test_backbones_take_the_pictures_of_a_config(backbone, shape):
    model = build(shape, 3, backbone=backbone).train()
    logits = model(pictures(2, shape))
    logits.sum().backward()
    assert logits.shape == (2, 3) and torch.isfinite(logits).all()


def test_the_last_frames_of_no_whole_patch_are_seen():
    model, picture = build(SHAPE, 2, backbone="vit_tiny_patch16_224").eval(), pictures(1)
    other = picture.clone()
    other[..., -1] += 5.0
    assert model.net.patch_embed.grid_size == (4, 10) and not torch.allclose(model(picture), model(other))


def test_it_is_the_one_named_and_starts_from_nothing():
    torch.manual_seed(0)
    first = build(SHAPE, 3, backbone="resnet10t")
    assert sum(p.numel() for p in first.parameters()) < 6e6
    assert not torch.equal(first.net.conv1[0].weight, build(SHAPE, 3, backbone="resnet10t").net.conv1[0].weight)


@pytest.mark.parametrize("backbone", ["resnet1O", "hf-hub:timm/resnet18", ""])
def test_an_unknown_backbone_is_a_config_error(backbone):
    with pytest.raises(ConfigError, match=f"no backbone '{backbone}'"):
        build(SHAPE, 2, backbone=backbone)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_a_file_score_as_they_did(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    published = colour_checkpoint(path)
    model = build(SHAPE, 5, backbone="resnet10t", weights=str(path)).eval()
    with torch.inference_mode():
        expected = published(pictures().expand(-1, 3, -1, -1))
        torch.testing.assert_close(model(pictures()), expected, atol=1e-3, rtol=1e-3)
    assert expected.std(dim=0).max() > 0.1  # the pictures made the difference, not the biases


def test_a_classifier_of_another_size_is_left_out(tmp_path):
    published = colour_checkpoint(tmp_path / "weights.pth")
    model = build(SHAPE, 2, backbone="resnet10t", weights=str(tmp_path / "weights.pth")).eval()
    assert model(pictures()).shape == (2, 2)
    assert torch.equal(model.net.layer4[0].conv2.weight, published.layer4[0].conv2.weight)


def test_positions_are_stretched_to_the_picture(tmp_path):
    published = colour_checkpoint(tmp_path / "weights.pth", "vit_tiny_patch16_224", img_size=32)
    path = str(tmp_path / "weights.pth")
    model = build((40, 60), 2, backbone="vit_tiny_patch16_224", weights=path)
    assert published.pos_embed.shape[1] == 1 + 2 * 2 and model.net.pos_embed.shape[1] == 1 + 3 * 4
    torch.testing.assert_close(model.net.pos_embed[:, 0], published.pos_embed[:, 0])
    same = build((32, 32), 2, backbone="vit_tiny_patch16_224", weights=path)
    torch.testing.assert_close(same.net.pos_embed, published.pos_embed)


def test_weights_that_are_not_there_are_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"no file .*nothing\.pth"):
        build(SHAPE, 2, weights=str(tmp_path / "nothing.pth"))


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"x" * 5000])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_something_else_is_a_config_error(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"weights{suffix} cannot be read as those of resnet10t"):
        build(SHAPE, 2, backbone="resnet10t", weights=str(path))


def test_a_pickle_of_code_is_never_run(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="with nothing else in it"):
        build(SHAPE, 2, backbone="resnet10t", weights=str(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("backbone", "file"),
    [("resnet18", "resnet34"), ("resnet34", "resnet18"), ("resnet10t", "resnet18")],
)
def test_weights_of_another_network_are_a_config_error(tmp_path, backbone, file):
    colour_checkpoint(tmp_path / "weights.pth", file)
    with pytest.raises(ConfigError, match=rf"is no checkpoint of {backbone}: \d+ tensors are missing, too many or of"):
        build(SHAPE, 2, backbone=backbone, weights=str(tmp_path / "weights.pth"))


def test_weights_of_another_family_are_a_config_error(tmp_path):
    colour_checkpoint(tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="cannot be read as those of convnext_atto"):
        build(SHAPE, 2, backbone="convnext_atto", weights=str(tmp_path / "weights.pth"))


def test_old_files_count_no_batches(tmp_path):
    state = colour_checkpoint(tmp_path / "new.pth").state_dict()
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save({"state_dict": old}, tmp_path / "old.pth")
    model = build(SHAPE, 2, backbone="resnet10t", weights=str(tmp_path / "old.pth"))
    assert torch.equal(model.net.bn1.running_mean, state["bn1.running_mean"])


def test_weights_of_the_hub_are_read_from_the_folder_of_models(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_MODELS", str(tmp_path))
    with pytest.raises(ConfigError, match=r"timm/resnet10t\.x is not in .*fetch-models"):
        build(SHAPE, 2, backbone="resnet10t", weights="timm/resnet10t.x")
    folder = tmp_path / "timm" / "resnet10t.x"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    published = colour_checkpoint(folder / "model.safetensors")
    model = build(SHAPE, 2, backbone="resnet10t", weights="timm/resnet10t.x")
    assert torch.equal(model.net.layer4[0].conv2.weight, published.layer4[0].conv2.weight)
    assert fetch(weights="timm/resnet10t.x") == folder and fetch(weights="file.pth") is None


def test_the_first_parameters_are_frozen_with_their_statistics():
    model = build(SHAPE, 2, backbone="resnet10t", n_frozen=9).train()
    parameters = list(model.parameters())
    assert [p.requires_grad for p in parameters] == [False] * 9 + [True] * (len(parameters) - 9)
    before = {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(pictures()).square().mean().backward()
    optimizer.step()
    after = dict([*model.named_parameters(), *model.named_buffers()])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert {name for name in frozen if name.endswith("bias")} and not changed & set(frozen)
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    still = {name for name in norms if f"{name}.running_mean" not in changed}
    assert still == {name for name in norms if f"{name}.weight" in frozen}
    assert 0 < len(still) < len(norms)
    assert all(module.training for name, module in model.named_modules() if name not in still)


def test_something_is_left_to_train():
    n = len(list(build(SHAPE, 2, backbone="resnet10t").parameters()))
    with pytest.raises(ConfigError, match=f"n_frozen {n} must be less than the {n} parameters"):
        build(SHAPE, 2, backbone="resnet10t", n_frozen=n)


@pytest.mark.parametrize(("backbone", "size"), [("resnet10t", (176, 176)), ("vit_tiny_patch16_224", (224, 224))])
def test_pictures_are_resized_to_the_size_of_the_pretraining(tmp_path, backbone, size):
    published = colour_checkpoint(tmp_path / "weights.pth", backbone)
    model = build(SHAPE, 5, backbone=backbone, weights=str(tmp_path / "weights.pth"), resize=True).eval()
    large = nn.functional.interpolate(pictures(), size, mode="bilinear", align_corners=False)
    with torch.inference_mode():
        expected = published(large.expand(-1, 3, -1, -1))
        torch.testing.assert_close(model(pictures()), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("backbone", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224", "efficientnet_b0"])
def test_learning_rates_rise_from_the_stem_to_the_classifier(backbone):
    model = build(SHAPE, 2, backbone=backbone, rate_decay=0.5)
    factors = model.rate_factors()
    assert factors.keys() == {*model.parameters()}
    assert factors[model.net.get_classifier().weight] == 1
    n_stages = len({*factors.values()})
    assert n_stages >= 3
    assert factors[next(model.parameters())] == min(factors.values()) == 0.5 ** (n_stages - 1)
