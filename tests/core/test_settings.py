import pytest
from pydantic import ValidationError

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.settings import EverythingSettings


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


def test_every_field_says_what_it_is():
    for name, field in EverythingSettings.model_fields.items():
        assert field.title, name
        assert field.description, name
