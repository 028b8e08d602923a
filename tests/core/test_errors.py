import pickle

from napari_mobilesam.core.errors import ImageError, MobileSAMError


def test_message_names_what_was_expected_what_came_and_what_to_do():
    error = ImageError("no plane", expected="(H, W)", got="(3,)", remedy="Take a plane.")
    assert str(error) == "no plane: expected (H, W), got (3,). Take a plane."
    assert str(ImageError("no plane", got="(3,)")) == "no plane: got (3,)."
    assert str(ImageError("no plane")) == "no plane."
    assert error.args == ("no plane",)
    assert isinstance(error, MobileSAMError)
    assert isinstance(error, ValueError)


def test_errors_travel_between_processes():
    error = ImageError("no plane", expected="(H, W)", remedy="Take a plane.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
