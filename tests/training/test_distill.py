import json

import numpy as np
import pytest
import torch
import zarr

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.training.distill import (
    Lessons,
    distill,
    write_embeddings,
)
from napari_mobilesam.training.settings import DistillSettings
from napari_mobilesam.training.synthetic import generate
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_sam

SIZE = 64
SETTINGS = DistillSettings(
    steps=12,
    learning_rate=5e-4,
    warmup_steps=1,
    batch_size=2,
    average_decay=0.5,
)


@pytest.fixture(scope="module")
def images():
    return [generate("shapes", i, (64, 80)) for i in range(4)]


@pytest.fixture(scope="module")
def teacher():
    return load_sam(get_card("micro"))


@pytest.fixture(scope="module")
def embeddings(teacher, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "embeddings.zarr"
    write_embeddings(teacher, images, SIZE, path)
    return path


def student():
    """The teacher's architecture with weights that are a quarter off."""
    sam = load_sam(get_card("micro"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in sam.image_encoder.parameters():
            weight *= 1 + 0.25 * torch.randn(weight.shape, generator=generator)
    return sam


def curve_of(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_embeddings_are_the_teachers(teacher, images, embeddings):
    assert zarr.open_array(embeddings / "embeddings", mode="r").shape == (4, 256, 4, 4)
    lesson = Lessons(images, embeddings, SETTINGS)
    assert lesson.input_size == SIZE
    rgb = torch.from_numpy(lesson[0].rgb[0]).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = teacher.encode(teacher.preprocess(rgb, SIZE))[0].half()
    torch.testing.assert_close(torch.from_numpy(lesson[0].embeddings[0]), expected)


def test_embedding_goes_on_where_it_was_cut_off(teacher, images, embeddings):
    array, done = (zarr.open_array(embeddings / name, mode="a") for name in ("embeddings", "done"))
    kept, redone = array[0], array[2]
    array[2], done[2], array[0] = 0, False, 7
    write_embeddings(teacher, images, SIZE, embeddings)
    np.testing.assert_array_equal(array[2], redone)
    assert (array[0] == 7).all()
    array[0] = kept


def test_an_epoch_shows_every_image_once(images, embeddings):
    lessons = Lessons(images, embeddings, SETTINGS)
    shown = [rgb.tobytes() for step in (0, 1) for rgb in lessons[step].rgb]
    assert len(set(shown)) == 4


def test_unfinished_embeddings_are_refused(images, embeddings):
    with pytest.raises(FileFormatError, match="same images"):
        Lessons(images[:3], embeddings, SETTINGS)


@pytest.fixture(scope="module")
def finished(images, embeddings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    sam = student()
    distill(sam, Lessons(images, embeddings, SETTINGS), SETTINGS, folder)
    return sam, folder


def test_the_loss_falls_by_half(finished):
    curve = curve_of(finished[1])
    assert np.mean(curve[-2:]) < 0.5 * np.mean(curve[:2])


def test_only_the_student_encoder_learns(finished):
    before, after = student().state_dict(), finished[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("image_encoder.") for name in changed)


def test_a_killed_run_resumes_to_the_same_curve(images, embeddings, finished, tmp_path):
    eager = SETTINGS.changed(checkpoint_seconds=0)

    class PowerCutError(Exception):
        pass

    class Interrupted(Lessons):
        def __getitem__(self, step):
            if step == 2:
                raise PowerCutError
            return super().__getitem__(step)

    with pytest.raises(PowerCutError):
        distill(student(), Interrupted(images, embeddings, eager), eager, tmp_path)
    distill(student(), Lessons(images, embeddings, SETTINGS), SETTINGS, tmp_path)
    np.testing.assert_allclose(curve_of(tmp_path), curve_of(finished[1]), rtol=1e-4)
