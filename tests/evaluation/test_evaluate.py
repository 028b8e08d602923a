import json

import numpy as np
import pytest
from PIL import Image

from napari_mobilesam.api import load_model
from napari_mobilesam.core.errors import CancelledError
from napari_mobilesam.evaluation.evaluate import evaluate
from napari_mobilesam.evaluation.plots import plot

from .test_baselines import discs


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for number, dark in enumerate((False, True, False)):
        image, labels = discs(dark)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(labels.astype(np.uint16)).save(folder / "labels" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def sam():
    return load_model("micro", input_size=256)


@pytest.fixture(scope="module")
def evaluation(sam, images):
    return evaluate(sam, images, baselines=["otsu"], against=sam, clicks=True, limit=2)


def test_everything_is_measured(evaluation):
    assert evaluation.images == 2
    assert evaluation.prompts.objects == 8
    assert evaluation.prompts.box > 0.85
    assert set(evaluation.everything) == {"everything mode", "Otsu and watershed"}
    assert evaluation.everything["Otsu and watershed"].average_precision[0.5] == 1
    assert 0 < evaluation.box_recall[10] <= evaluation.box_recall[1000] <= 1
    assert 0 < evaluation.mask_recall[320] <= 1
    assert 1 <= evaluation.clicks.clicks[0.8] <= 10


def test_a_model_agrees_with_itself(evaluation):
    agreement = evaluation.agreement
    assert agreement.box == agreement.worst_box == agreement.point == agreement.worst_point == 1


def test_figures_are_written_and_drawn(evaluation, tmp_path):
    evaluation.to_json(tmp_path / "e.json")
    stored = json.loads((tmp_path / "e.json").read_text())
    assert stored["prompts"]["box"] == evaluation.prompts.box
    table = evaluation.table()
    assert len(evaluation.to_markdown().splitlines()) == len(table) + 2
    assert {"prompts", "boxes", "masks", "clicks", "agreement"} <= set(table["of"])
    plot(evaluation, tmp_path / "e.png")
    assert np.asarray(Image.open(tmp_path / "e.png")).std() > 10


def test_progress_counts_every_pass_and_can_stop(sam, images):
    told = []

    def stop_at_four(done, total):
        told.append((done, total))
        if done == 4:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        evaluate(sam, images, objects_per_image=1, progress=stop_at_four)
    assert told == [(done, 9) for done in range(5)]


def test_small_objects_are_looked_at_closer_unless_that_is_not_wanted(tmp_path):
    rows, columns = np.ogrid[:400, :400]
    labels, image = (
        np.zeros((400, 400), np.uint16),
        np.random.default_rng(0).normal(80, 12, (400, 400)),
    )
    for number, (y, x) in enumerate(((60, 70), (150, 320), (250, 90), (330, 260)), start=1):
        disc = (rows - y) ** 2 + (columns - x) ** 2 < 7**2
        labels[disc], image[disc] = number, image[disc] + 50
    for part, pixels in (("images", image.clip(0, 255).astype(np.uint8)), ("labels", labels)):
        (tmp_path / part).mkdir()
        Image.fromarray(pixels).save(tmp_path / part / "a.png")
    sam = load_model("micro", input_size=256)
    closer, whole = (evaluate(sam, tmp_path, closer=look).prompts for look in (None, False))
    assert closer.box > whole.box + 0.05
    assert closer.point > whole.point + 0.05
