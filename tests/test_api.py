import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from mobile_sam import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from safetensors.torch import save_file
from skimage import data

import napari_mobilesam as mobilesam
from napari_mobilesam.core.errors import (
    CancelledError,
    ImageError,
    PromptError,
    SettingsError,
    UnknownModelError,
)
from napari_mobilesam.core.planes import to_rgb8
from napari_mobilesam.zoo.catalog import get_card
from napari_mobilesam.zoo.checkpoints import load_detector
from napari_mobilesam.zoo.export import export_model

IMAGE = data.immunohistochemistry()[:300, :450]

ROUGH_MASK = np.full((256, 256), -6, np.float32)
ROUGH_MASK[40:90, 60:130] = 6

PROMPTS = {
    "point": {"points": [(120, 200)]},
    "points": {"points": [(120, 200), (10, 20), (290, 440)], "point_labels": [1, 0, 0]},
    "box": {"box": (50, 60, 150, 180)},
    "box and points": {"points": [(120, 200)], "box": (50.5, 60, 150, 280)},
    "mask": {"mask_input": ROUGH_MASK},
    "mask and point": {"mask_input": ROUGH_MASK, "points": [(75, 110)]},
}


@pytest.fixture(scope="module")
def micro_1024():
    return mobilesam.load_model("micro", device="cpu", input_size=1024)


@pytest.fixture(scope="module")
def embedding(micro_1024):
    return micro_1024.embed(IMAGE, limits="dtype")


@pytest.fixture(scope="module")
def reference_model(tmp_path_factory):
    """MobileSAM's own model with our weights."""
    path = tmp_path_factory.mktemp("reference") / "mobile_sam.pt"
    export_model(get_card("micro"), path, "mobile_sam")
    return sam_model_registry["vit_t"](checkpoint=str(path)).eval()


@pytest.fixture(scope="module")
def reference(reference_model):
    """Its predictor, with our image."""
    predictor = SamPredictor(reference_model)
    predictor.set_image(IMAGE)
    return predictor


def in_reference_order(points=(), point_labels=None, box=None, mask_input=None):
    xy = np.array(points).reshape(-1, 2)[:, ::-1]
    return {
        "point_coords": xy if len(xy) else None,
        "point_labels": np.array(point_labels or [1] * len(xy)) if len(xy) else None,
        "box": None if box is None else np.array(box)[[1, 0, 3, 2]],
        "mask_input": None if mask_input is None else mask_input[np.newaxis],
    }


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", PROMPTS)
def test_masks_are_the_references_pixel_for_pixel(
    micro_1024, embedding, reference, kind, multimask
):
    prompts = PROMPTS[kind]
    ours = micro_1024.predict(embedding, multimask=multimask, **prompts)
    masks, scores, logits = reference.predict(
        **in_reference_order(**prompts), multimask_output=multimask
    )
    order = np.argsort(-scores)
    np.testing.assert_array_equal(ours.to_array(), masks[order])
    np.testing.assert_allclose(ours.scores, scores[order].clip(0, 1), atol=1e-4)
    np.testing.assert_allclose(ours.low_res_logits, logits[order], atol=1e-4)


def test_boxes_at_once_are_the_references_pixel_for_pixel(micro_1024, embedding, reference):
    corner = np.random.default_rng(0).uniform(0, (250, 400), (9, 2))
    boxes = np.concatenate([corner, corner + 45], axis=1)
    input_boxes = torch.from_numpy(boxes[:, [1, 0, 3, 2]])
    masks, scores, _ = reference.predict_torch(
        point_coords=None,
        point_labels=None,
        boxes=reference.transform.apply_boxes_torch(input_boxes, IMAGE.shape[:2]).float(),
        multimask_output=False,
    )
    ours = micro_1024.predict_boxes(embedding, boxes)
    np.testing.assert_array_equal(ours.to_array(), masks[:, 0].numpy())
    np.testing.assert_allclose(ours.scores, scores[:, 0].clip(0, 1).numpy(), atol=1e-4)


def test_the_grid_finds_what_the_references_mask_generator_finds(
    micro_1024, embedding, reference_model
):
    generator = SamAutomaticMaskGenerator(
        reference_model, points_per_side=4, pred_iou_thresh=0.4, stability_score_thresh=0.5
    )
    expected = sorted(generator.generate(IMAGE), key=lambda mask: -mask["predicted_iou"])
    assert expected
    found = micro_1024.everything(
        IMAGE,
        embedding=embedding,
        sampler="grid",
        points_per_side=4,
        grid_min_score=0.4,
        grid_min_stability=0.5,
        min_score=0.0,
        min_area=1,
        max_overlap=1.0,
    )
    masks = [mask.to_array(IMAGE.shape[:2]) for mask in found.masks]
    np.testing.assert_array_equal(masks, [mask["segmentation"] for mask in expected])
    for column, key in (("score", "predicted_iou"), ("stability", "stability_score")):
        np.testing.assert_allclose(found.table[column], [mask[key] for mask in expected], atol=1e-4)


def test_everything_is_its_parts_put_together(micro):
    image, _ = disks(3)
    settings = micro.default_settings().changed(confidence=0.1, max_overlap=0.3, min_area=20)
    embedding = micro.embed(image)
    proposals = micro.propose(to_rgb8(image), settings)
    batch = micro.predict_boxes(embedding, proposals.boxes_yxyx)
    masks, labels, scores = batch.to_array(), np.zeros(image.shape, int), []
    for index in np.argsort(-batch.scores, kind="stable"):
        mask = masks[index] & near(proposals.boxes_yxyx[index], image.shape)
        visible = mask & (labels == 0)
        if visible.sum() >= 20 and (mask & ~visible).sum() <= 0.3 * mask.sum():
            scores.append(batch.scores[index])
            labels[visible] = len(scores)
    found = micro.everything(image, embedding=embedding, settings=settings)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.scores, scores)
    means = [image[labels == label].mean() for label in found.table["label"]]
    np.testing.assert_allclose(found.table["mean_intensity"], means, rtol=1e-5)


def near(box_yxyx, shape):
    """Pixels in the box and a quarter of its sides around it."""
    y0, x0, y1, x1 = box_yxyx
    rows, columns = (y1 - y0) / 4, (x1 - x0) / 4
    inside = np.zeros(shape, bool)
    inside[
        max(int(y0 - rows), 0) : int(np.ceil(y1 + rows)),
        max(int(x0 - columns), 0) : int(np.ceil(x1 + columns)),
    ] = True
    return inside


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000)])
def test_tiny_and_thin_planes(micro, shape):
    image = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    embedding = micro.embed(image)
    assert micro.predict(embedding, points=[(0, 0)]).to_array().shape == (3, *shape)
    assert micro.predict_boxes(embedding, [(0, 0, 1, 1)]).to_array().shape == (1, *shape)
    found = micro.everything(image, embedding=embedding, sampler="grid", points_per_side=2)
    assert found.labels.shape == shape


def test_everything_finds_the_disks_of_an_image(micro):
    image, centres = disks(3)
    found = micro.everything(image)
    assert len(found) == len(centres)
    assert len({found.labels[y, x] for y, x in centres} - {0}) == len(centres)
    assert found.table["mean_intensity"].between(100, 255).all()
    assert (found.table["confidence"] >= micro.default_settings().confidence).all()


def test_everything_from_a_grid(micro):
    image, centres = disks(2)
    reports = []
    found = micro.everything(
        image,
        sampler="grid",
        points_per_side=2,
        grid_min_score=0.5,
        grid_min_stability=0.5,
        progress=lambda *report: reports.append(report),
    )
    assert all(found.labels[y, x] for y, x in centres)
    assert (found.table["confidence"] == 1).all()
    assert reports == [(0, 4), (4, 4)]


def test_everything_may_find_nothing(micro):
    found = micro.everything(np.zeros((90, 70), np.uint16))
    assert len(found) == 0
    assert found.labels.shape == (90, 70)
    assert found.labels.dtype == np.int32


def test_a_cancelled_run_leaves_model_and_embedding_as_they_were(micro):
    image, _ = disks(2)
    embedding = micro.embed(image)
    features = embedding.features.copy()
    before = micro.everything(image)

    def stop(done, _total):
        if done:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        micro.everything(image, embedding=embedding, progress=stop)
    np.testing.assert_array_equal(embedding.features, features)
    after = micro.everything(image, embedding=embedding)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert len(after) == 4


@pytest.mark.parametrize("shape", [(9,), (4, 5, 6, 7), (1, 2, 3, 4, 5), (0, 8)])
def test_what_is_no_plane_is_not_embedded(micro, shape):
    for use in (micro.embed, micro.everything):
        with pytest.raises(ImageError) as caught:
            use(np.zeros(shape))
        assert caught.value.expected
        assert str(shape) in caught.value.got
        assert caught.value.remedy


@pytest.mark.parametrize(
    "prompts",
    [
        {},
        {"points": []},
        {"points": [(np.nan, 3)]},
        {"points": [(3, 450)]},
        {"box": (300, 0, 310, 9)},
        {"box": (np.inf, 0, 1, 1)},
        {"points": [(1, 1)], "mask_input": np.zeros((8, 8))},
    ],
)
def test_prompts_that_mean_nothing(micro_1024, embedding, prompts):
    with pytest.raises(PromptError) as caught:
        micro_1024.predict(embedding, **prompts)
    assert caught.value.expected
    assert caught.value.got
    assert caught.value.remedy


def test_an_embedding_of_another_model_or_image_is_refused(micro, embedding):
    with pytest.raises(PromptError, match=r"micro at input size 768.*micro at input size 1024"):
        micro.predict(embedding, points=[(1, 1)])
    with pytest.raises(ImageError, match="not of this image"):
        micro.everything(np.zeros((8, 9)), embedding=micro.embed(np.zeros((9, 8))))


def test_models_and_sizes_that_are_not_there():
    with pytest.raises(UnknownModelError, match=r"one of micro.*'mirco'\. Did you mean micro"):
        mobilesam.load_model("mirco")
    for sizes in (500, (512, 500), (1024, 512), (256, 512, 1024)):
        with pytest.raises(SettingsError, match="multiple of 64"):
            mobilesam.load_model("micro", input_size=sizes)
    with pytest.raises(SettingsError, match="device"):
        mobilesam.load_model("micro", device="abacus")


def test_lite_medsam_by_its_name():
    sam = mobilesam.load_model("lite_medsam", device="cpu")
    image, centres = disks(2)
    embedded = sam.embed(image)
    masks = sam.predict_boxes(embedded, [(y - 20, x - 20, y + 20, x + 20) for y, x in centres])
    assert masks.low_res_logits.shape == (4, 256, 256)
    for (y, x), mask in zip(centres, masks.to_array(), strict=True):
        assert mask[y, x]


def test_three_hundred_objects_fit_in_little_memory():
    script = """
        import sys
        import numpy as np
        import napari_mobilesam as mobilesam

        sys.path.insert(0, sys.argv[1])
        from memory import peak_memory

        rng = np.random.default_rng(0)
        rows, columns = np.mgrid[:1024, :1024]
        image = rng.normal(20, 5, (1024, 1024))
        for y, x in np.ndindex(18, 18):
            image[(rows - 28 - 56 * y) ** 2 + (columns - 28 - 56 * x) ** 2 < 18**2] += 150
        found = mobilesam.load_model("micro", device="cpu").everything(image)
        print(len(found), peak_memory())
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, peak = map(int, done.stdout.split())
    assert count >= 300
    assert peak < 1.5 * 1024**3


def disks(side):
    """A noisy image of side x side bright disks of radius 15, and their centres."""
    centres = [(30 + 60 * y, 30 + 60 * x) for y, x in np.ndindex(side, side)]
    rows, columns = np.mgrid[: 60 * side, : 60 * side]
    image = np.random.default_rng(0).normal(30, 4, (60 * side, 60 * side))
    for y, x in centres:
        image[(rows - y) ** 2 + (columns - x) ** 2 < 15**2] += 150
    return image.clip(0, 255).astype(np.uint8), centres


def test_a_detector_of_ones_own_takes_the_place_of_the_models(tmp_path, micro):
    tensors = load_detector(get_card("micro")).state_dict()
    path = tmp_path / "detector.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    own = mobilesam.load_model("micro", device="cpu", detector=path)
    assert own.card.detector_file.name == path.name
    settings = micro.default_settings()
    expected, found = (sam.propose(IMAGE, settings) for sam in (micro, own))
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    np.testing.assert_array_equal(found.boxes_yxyx, expected.boxes_yxyx)
    assert len(found)
    with pytest.raises(UnknownModelError, match="no such detector"):
        mobilesam.load_model("micro", detector=tmp_path / "nowhere.safetensors")


def test_a_cache_tells_precisions_apart_and_rounds_alike(tmp_path, fresh_cache):
    image = IMAGE[:200, :256]
    options = {"device": "cpu", "input_size": 256, "precision": "float32"}
    plain = mobilesam.load_model(**options)
    assert not plain.rounded
    first = mobilesam.load_model(**options, cache=tmp_path)
    assert first.rounded
    computed = first.embed(image).features
    np.testing.assert_array_equal(
        computed, plain.embed(image).features.astype(np.float16).astype(np.float32)
    )
    (entry,) = mobilesam.EmbeddingCache(tmp_path).entries()
    again = mobilesam.load_model(**options, cache=str(tmp_path))
    np.testing.assert_array_equal(again.embed(image).features, computed)
    options["precision"] = "bfloat16"
    mobilesam.load_model(**options, cache=mobilesam.EmbeddingCache(tmp_path)).embed(image)
    assert len(mobilesam.EmbeddingCache(tmp_path).entries()) == 2
    assert entry.path.exists()
    assert list(fresh_cache.iterdir()) == []


def test_the_usual_cache_is_beside_the_weights(fresh_cache):
    mobilesam.load_model(device="cpu", input_size=256, cache=True).embed(IMAGE[:64, :64])
    assert len(mobilesam.EmbeddingCache(fresh_cache / "embeddings").entries()) == 1
