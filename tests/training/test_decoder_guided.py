import json

import numpy as np
import pytest
import torch

from napari_mobilesam.core.errors import CheckpointError
from napari_mobilesam.models.sam import build_sam
from napari_mobilesam.training.datasets import LOGITS_STRIDE, DataSettings, Steps
from napari_mobilesam.training.decoder_guided import (
    corrective_click,
    examples_loss,
    train,
)
from napari_mobilesam.training.encoder import save_encoder
from napari_mobilesam.training.losses import SAM_WEIGHTS
from napari_mobilesam.training.settings import DecoderGuidedSettings
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import card_for_file, load_sam

DATA = DataSettings(
    input_sizes=(64,),
    size_weights=(1,),
    pixels_per_step=2 * 64**2,
    synthetic_share=1,
    objects_per_image=2,
    max_scene=160,
)
SETTINGS = DecoderGuidedSettings(steps=4, warmup_steps=1, average_decay=0.5)


def bundled():
    return load_sam(get_card("micro"))


def losses_of(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    sam = bundled()
    train(sam, Steps((), DATA), SETTINGS, folder)
    return sam, folder


def test_only_the_encoder_learns(finished):
    before, after = bundled().state_dict(), finished[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("image_encoder.") for name in changed)
    assert not any("running_" in name for name in changed)


def test_a_killed_run_resumes_to_the_same_curve(finished, tmp_path):
    eager = SETTINGS.changed(checkpoint_seconds=0)

    class PowerCutError(Exception):
        pass

    class Interrupted(Steps):
        def __getitem__(self, step):
            if step == 2:
                raise PowerCutError
            return super().__getitem__(step)

    with pytest.raises(PowerCutError):
        train(bundled(), Interrupted((), DATA), eager, tmp_path)
    assert max(losses_of(tmp_path)) == 1
    resumed = bundled()
    train(resumed, Steps((), DATA), SETTINGS, tmp_path)
    assert losses_of(tmp_path) == pytest.approx(losses_of(finished[1]), rel=1e-4)
    expected = finished[0].image_encoder.neck[0].weight
    torch.testing.assert_close(resumed.image_encoder.neck[0].weight, expected, rtol=1e-3, atol=1e-5)


def test_the_loss_of_one_image_falls(tmp_path):
    class OneImage(Steps):
        def __getitem__(self, step):
            return super().__getitem__(0)[:1]

    settings = SETTINGS.changed(steps=10, corrective_share=0)
    torch.manual_seed(0)
    sam = build_sam("tiny_vit")
    decoder = {
        k: v for k, v in bundled().state_dict().items() if not k.startswith("image_encoder.")
    }
    sam.load_state_dict(decoder, strict=False)
    train(sam, OneImage((), DATA), settings, tmp_path)
    curve = losses_of(tmp_path)
    assert curve[9] < 0.6 * curve[0]


def test_the_result_is_a_checkpoint_of_the_zoo(finished):
    sam, folder = finished
    loaded = load_sam(card_for_file(folder / "encoder.safetensors"))
    for name, value in sam.image_encoder.state_dict().items():
        expected = value.half().float() if value.is_floating_point() else value
        torch.testing.assert_close(loaded.image_encoder.state_dict()[name], expected)


def test_the_best_validation_is_kept(tmp_path):
    scores = iter([0.2, 0.9, 0.4, 0.1])
    settings = SETTINGS.changed(steps=3, validation_seconds=0)
    seen = []

    def validate(sam):
        seen.append(sam.image_encoder.neck[0].weight.clone())
        return {"score": next(scores)}

    train(bundled(), Steps((), DATA), settings, tmp_path, validate=validate)
    best = load_sam(card_for_file(tmp_path / "best.safetensors"))
    torch.testing.assert_close(best.image_encoder.neck[0].weight, seen[1].half().float())


def test_the_clock_ends_a_run(tmp_path):
    settings = SETTINGS.changed(steps=1000, seconds=1e-6)
    train(bundled(), Steps((), DATA), settings, tmp_path)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_foreign_checkpoint_is_refused(finished, tmp_path):
    path = tmp_path / "checkpoint.pt"
    state = torch.load(finished[1] / "checkpoint.pt", weights_only=True)
    torch.save(state | {"network": {"other": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match="empty folder"):
        train(bundled(), Steps((), DATA), SETTINGS, tmp_path)


def test_bfloat16_gives_about_the_same_loss():
    sam, example = bundled(), Steps((), DATA)[0][0]
    with torch.no_grad():
        exact = examples_loss(sam, [example], SAM_WEIGHTS)
        with torch.autocast("cpu", torch.bfloat16):
            rough = examples_loss(sam, [example], SAM_WEIGHTS)
    assert float(rough) == pytest.approx(float(exact), rel=0.15)


def test_clicks_fall_where_the_mask_is_wrong():
    truth = torch.zeros(2, 16, 16)
    truth[:, 4:8, 4:8] = 1
    logits = torch.full((2, 16, 16), -5.0)
    logits[1, 4:8, 4:12] = 5
    points, labels = corrective_click(logits, truth, torch.Generator().manual_seed(0))
    columns, rows = (points[:, 0] / LOGITS_STRIDE).long().T
    assert labels[:, 0].tolist() == [1, 0]
    assert truth[0, rows[0], columns[0]] == 1
    assert columns[1] in range(8, 12)
    assert rows[1] in range(4, 8)


def test_a_click_on_a_perfect_mask_falls_on_the_object():
    truth = torch.zeros(1, 16, 16)
    truth[:, 9, 3] = 1
    points, labels = corrective_click(truth - 0.5, truth, torch.Generator().manual_seed(0))
    assert points.tolist() == [[[13.5, 37.5]]]
    assert labels.tolist() == [[1]]


def test_saved_encoders_carry_their_metadata(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "encoder.safetensors"
    save_encoder(bundled().image_encoder, path, {"licence": "Apache-2.0"})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"licence": "Apache-2.0"}
        assert all(name.startswith("image_encoder.") for name in file.keys())  # noqa: SIM118


def test_images_together_give_the_mean_over_their_prompts():
    sam = bundled()
    data = Steps((), DATA.changed(objects_per_image=3, pixels_per_step=3 * 64**2))
    examples = [example for step in range(3) for example in data[step]]
    with torch.no_grad():
        alone = [float(examples_loss(sam, [example], SAM_WEIGHTS)) for example in examples]
        together = float(examples_loss(sam, examples, SAM_WEIGHTS))
    counts = [len(example.masks) for example in examples]
    assert len(set(counts)) > 1
    assert together == pytest.approx(np.average(alone, weights=counts), rel=1e-4)
    assert together != pytest.approx(np.mean(alone), rel=1e-4)


def test_steps_can_be_computed_in_groups_of_images(tmp_path):
    curves = []
    for pixels in (0, 64**2, 2 * 64**2, 10**6):
        settings = SETTINGS.changed(steps=2, pixels_at_once=pixels, corrective_share=1)
        folder = tmp_path / str(pixels)
        train(bundled(), Steps((), DATA.changed(objects_per_image=1)), settings, folder)
        curves.append(losses_of(folder))
    assert curves[1] == curves[0]
    assert curves[3] == curves[2]
    assert curves[2] == pytest.approx(curves[0], rel=0.2)
