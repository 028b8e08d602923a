import json

import numpy as np
import pytest
import typer

from napari_mobilesam.cli.prompts import PromptSet, parse_prompts, read_prompts, split_objects
from napari_mobilesam.core.errors import PromptError

MIXED = PromptSet(points=((1, 2), (3, 4, 1), (5, 6, 0)), boxes=((0, 0, 9, 9),))


def test_parse():
    assert parse_prompts(None, None) is None
    assert parse_prompts("1,2;3,4,1;5,6,0", "0,0,9,9") == MIXED


def test_parse_refuses_labels_other_than_0_and_1():
    with pytest.raises(typer.BadParameter, match="label of a point"):
        parse_prompts("1,2,3", None)


def test_points_and_boxes_are_objects_and_negative_points_count_for_all():
    first, second, box = split_objects(MIXED, one_object=False)
    np.testing.assert_array_equal(first.points, [[1, 2], [5, 6]])
    np.testing.assert_array_equal(second.points, [[3, 4], [5, 6]])
    np.testing.assert_array_equal(second.labels, [1, 0])
    np.testing.assert_array_equal(box.points, [[5, 6]])
    np.testing.assert_array_equal(box.labels, [0])
    assert (first.box, box.box) == (None, (0, 0, 9, 9))


def test_one_object_from_all_prompts():
    (whole,) = split_objects(MIXED, one_object=True)
    np.testing.assert_array_equal(whole.points, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(whole.labels, [1, 1, 0])
    assert whole.box == (0, 0, 9, 9)


@pytest.mark.parametrize(
    ("prompts", "one_object"),
    [
        (PromptSet(), False),
        (PromptSet(), True),
        (PromptSet(points=((1, 2, 0),)), False),
        (PromptSet(points=((1, 2, 0),)), True),
        (PromptSet(boxes=((0, 0, 1, 1), (2, 2, 3, 3))), True),
    ],
)
def test_prompts_that_name_no_object(prompts, one_object):
    with pytest.raises(PromptError):
        split_objects(prompts, one_object=one_object)


def test_file_for_all_images_or_by_name(tmp_path):
    path = tmp_path / "prompts.json"
    entry = {"points": [[1, 2], [3, 4, 1], [5, 6, 0]], "boxes": [[0, 0, 9, 9]]}
    path.write_text(json.dumps(entry))
    assert read_prompts(path) == MIXED
    path.write_text(json.dumps({"a.tif": entry, "b.tif": {"points": [[1, 2]]}}))
    assert read_prompts(path) == {"a.tif": MIXED, "b.tif": PromptSet(points=((1, 2),))}


@pytest.mark.parametrize(
    "content",
    ["", "[1, 2]", '{"points": [[1]]}', '{"point": [[1, 2]]}', '{"a.tif": {"box": []}}', "{}x"],
)
def test_file_of_another_form_is_named(tmp_path, content):
    (tmp_path / "prompts.json").write_text(content)
    with pytest.raises(typer.BadParameter, match=r"prompts\.json cannot be read: expected"):
        read_prompts(tmp_path / "prompts.json")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(typer.BadParameter, match=r"prompts\.json cannot be read"):
        read_prompts(tmp_path / "prompts.json")
