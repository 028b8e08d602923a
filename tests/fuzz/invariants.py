"""What holds for every result, whatever was asked."""

import numpy as np


def check_masks(batch, plane_shape):
    """Masks of a batch lie in the plane, and their scores in [0, 1]."""
    assert np.isfinite(batch.low_res_logits).all()
    assert ((batch.scores >= 0) & (batch.scores <= 1)).all()
    for mask in batch.crops():
        check_in_plane(mask, plane_shape)
    assert batch.to_array().shape == (len(batch), *plane_shape)


def check_in_plane(mask, plane_shape):
    """A mask is cut to its box, which lies in the plane."""
    y0, x0, y1, x1 = mask.box
    assert 0 <= y0 <= y1 <= plane_shape[0]
    assert 0 <= x0 <= x1 <= plane_shape[1]
    if mask.area:
        assert mask.pixels.any(axis=0)[[0, -1]].all()
        assert mask.pixels.any(axis=1)[[0, -1]].all()


def check_instances(found, plane_shape, settings):
    """Labels are consecutive, the table is about them, and filters and overlaps are kept."""
    labels, table = found.labels, found.table
    assert labels.shape == plane_shape
    assert labels.dtype == np.int32
    count = len(found)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    assert table["label"].tolist() == list(range(1, count + 1))
    assert table["area"].tolist() == areas.tolist()
    assert (areas >= settings.min_area).all()
    for name in ("score", "stability", "confidence"):
        assert table[name].between(0, 1).all()
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= np.float32(settings.min_score)).all()
    for row, mask in zip(table.to_dict("records"), found.masks, strict=True):
        check_in_plane(mask, plane_shape)
        rows, cols = np.nonzero(labels == row["label"])
        assert (rows.min(), cols.min()) == (row["y0"], row["x0"])
        assert (rows.max() + 1, cols.max() + 1) == (row["y1"], row["x1"])
        assert settings.max_area is None or mask.area <= settings.max_area
        covered = 1 - row["area"] / mask.area
        assert covered <= settings.max_overlap + 1e-9
    check_precedence(found)


def check_precedence(found):
    """Every pixel belongs to the best of the instances whose masks hold it."""
    expected = np.zeros_like(found.labels)
    for label in range(len(found), 0, -1):
        mask = found.masks[label - 1]
        expected[mask.window][mask.pixels] = label
    np.testing.assert_array_equal(found.labels, expected)
