import pytest
from pydantic import ValidationError, model_validator

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.settings import (
    EverythingSettings,
    FollowSettings,
    LinkSettings,
    Settings,
)

RANGES = {
    EverythingSettings: {
        "confidence": (0.0, 1.0),
        "nms_iou": (0.0, 1.0),
        "image_size": (64, 4096),
        "max_objects": (1, 10_000),
        "points_per_side": (1, 256),
        "grid_min_score": (0.0, 1.0),
        "grid_min_stability": (0.0, 1.0),
        "grid_nms_iou": (0.0, 1.0),
        "min_score": (0.0, 1.0),
        "min_stability": (0.0, 1.0),
        "min_area": (1, None),
        "max_area": (1, None),
        "max_overlap": (0.0, 1.0),
    },
    LinkSettings: {
        "link_iou": (0.0, 1.0),
        "max_gap": (0, 20),
        "min_planes": (1, None),
        "max_shift": (0.0, None),
    },
    FollowSettings: {
        "follow_iou": (0.0, 1.0),
        "follow_score": (0.0, 1.0),
        "max_growth": (1.0, None),
        "max_planes": (1, None),
    },
}
"""Least and greatest value of every number."""


class Span(Settings):
    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def is_ordered(self):
        if self.low > self.high:
            raise ValueError("low lies above high")
        return self


def test_changes_make_a_new_value():
    before = EverythingSettings()
    after = before.changed(sampler="grid", confidence=0.2)
    assert (after.sampler, after.confidence) == ("grid", 0.2)
    assert (before.sampler, before.confidence) == ("objects", 0.4)
    with pytest.raises(ValidationError):
        before.confidence = 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidnce": 0.2}, "no setting 'confidnce'.*confidence"),
        ({"confidence": 2}, "confidence cannot be 2"),
        ({"sampler": "random"}, "sampler cannot be 'random': expected 'objects' or 'grid'"),
        ({"max_objects": 0}, "max_objects cannot be 0"),
    ],
)
def test_wrong_changes_name_what_is_wrong(change, message):
    with pytest.raises(SettingsError, match=message):
        EverythingSettings().changed(**change)


def test_fields_that_do_not_go_together_are_refused_in_the_words_of_the_check():
    with pytest.raises(SettingsError) as caught:
        Span().changed(low=10)
    assert str(caught.value) == "low lies above high."


@pytest.mark.parametrize(
    ("kind", "name", "least", "most"),
    [(kind, name, *limits) for kind, names in RANGES.items() for name, limits in names.items()],
)
def test_a_number_may_be_all_of_its_range_and_no_more(kind, name, least, most):
    beyond = 0.001 if isinstance(least, float) else 1
    assert getattr(kind().changed(**{name: least}), name) == least
    with pytest.raises(SettingsError, match=f"{name} cannot be"):
        kind().changed(**{name: least - beyond})
    if most is not None:
        assert getattr(kind().changed(**{name: most}), name) == most
        with pytest.raises(SettingsError, match=f"{name} cannot be"):
            kind().changed(**{name: most + beyond})


@pytest.mark.parametrize("kind", RANGES)
def test_every_field_says_what_it_is_and_starts_in_its_range(kind):
    for name, field in kind.model_fields.items():
        assert field.title, name
        assert field.description, name
    assert kind.model_validate(kind().model_dump()) == kind()
