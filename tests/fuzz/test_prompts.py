"""Whatever is drawn or given as a prompt makes masks in the plane, or an error of ours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mobilesam import load_model
from napari_mobilesam.core.drawn import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PolygonPrompt,
    ScribblePrompt,
    combine,
    usable,
)
from napari_mobilesam.core.masks import CroppedMask

from .invariants import check_masks
from .profiles import attempt, cases

SHAPES = [(37, 61), (1, 1), (1, 300), (300, 1)]

near = st.integers(-3, 70) | st.floats(-2, 70)
number = near | near | near | st.floats() | st.sampled_from([1e300, -1e300, 0.5, -0.5, 2**70])
pair = st.tuples(number, number)
inside = st.tuples(st.floats(0, 36), st.floats(0, 60))
box = st.tuples(number, number, number, number)
duplicates = st.tuples(inside, st.integers(2, 3000)).map(lambda it: [it[0]] * it[1])
points = st.lists(pair, max_size=6) | st.lists(inside, max_size=6) | duplicates
ragged = st.lists(st.lists(number, max_size=3), max_size=4) | st.just("here") | st.just([None])


@pytest.fixture(scope="module")
def model():
    return load_model("micro", device="cpu", input_size=64)


@pytest.fixture(scope="module")
def embeddings(model):
    rng = np.random.default_rng(0)
    return [model.embed(rng.integers(0, 255, shape).astype(np.uint8)) for shape in SHAPES]


which = st.integers(0, len(SHAPES) - 1)


@cases(50)
@given(which, st.none() | points | ragged, st.data(), st.none() | box | ragged, st.booleans())
def test_prompts_of_one_object(model, embeddings, which, points, data, box, multimask):
    count = len(points) if isinstance(points, list) else 0
    labels = data.draw(
        st.none()
        | st.just([0] * count)
        | st.just([i % 2 for i in range(count)])
        | st.lists(st.integers(-1, 2), max_size=7)
    )
    arguments = {"points": points, "point_labels": labels, "box": box, "multimask": multimask}
    found = attempt(lambda: model.predict(embeddings[which], **arguments))
    if found is None:
        return
    assert len(found) == (3 if multimask else 1)
    assert (np.diff(found.scores) <= 0).all()
    check_masks(found, SHAPES[which])


@cases(20)
@given(which, st.lists(box, max_size=9) | ragged | st.just([(0, 0, 5, 5)] * 200))
def test_many_boxes(model, embeddings, which, boxes):
    found = attempt(lambda: model.predict_boxes(embeddings[which], boxes))
    if found is None:
        return
    assert len(found) == len(boxes)
    check_masks(found, SHAPES[which])


@cases(25)
@given(which, st.integers(0, 40), st.integers(0, 3), st.floats(width=32), st.booleans())
def test_mask_inputs(model, embeddings, which, side, ndim, value, with_point):
    logits = np.full((side,) * ndim, value, np.float32)
    logits = np.full((16, 16), value, np.float32) if side > 20 else logits
    point = {"points": [(0, 0)]} if with_point else {}
    found = attempt(lambda: model.predict(embeddings[which], mask_input=logits, **point))
    if found is None:
        return
    check_masks(found, SHAPES[which])


vertices = st.lists(pair, max_size=8).map(lambda it: np.array(it, dtype=float).reshape(-1, 2))
crossing = st.lists(inside, min_size=4, max_size=9).map(np.array)  # their lines cross at random
outlines = vertices | crossing
drawn = st.one_of(
    st.builds(PointPrompt, pair, st.booleans()),
    st.builds(BoxPrompt, box),
    st.builds(PolygonPrompt, outlines),
    st.builds(ScribblePrompt, outlines, st.booleans()),
    st.builds(
        lambda y0, x0, height, width: MaskPrompt(
            CroppedMask(y0, x0, np.ones((height, width), dtype=bool))
        ),
        st.integers(-50, 90),
        st.integers(-50, 90),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
)


@cases(50)
@given(which, st.lists(drawn, max_size=6), st.sampled_from(["one", "many"]))
def test_whatever_is_drawn(model, embeddings, which, drawn, mode):
    embedding = embeddings[which]
    kept, skipped = attempt(lambda: usable(drawn, embedding.plane_shape))
    assert len(kept) + len(skipped) == len(drawn)
    prompts = attempt(lambda: combine(drawn, embedding.frame, mode))
    found = attempt(lambda: model.predict_objects(embedding, prompts, multimask=True))
    assert len(found) == 3 * len(prompts)
    check_masks(found, SHAPES[which])
