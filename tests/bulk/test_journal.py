import json

from napari_mobilesam.bulk.journal import NAME, Journal


def test_an_output_of_a_name_that_no_file_can_have_is_not_there(tmp_path):
    image, output = tmp_path / "a.tif", tmp_path / "a.labels.tif"
    image.write_bytes(b"image")
    output.write_bytes(b"labels")
    Journal(tmp_path, {}).add(image, [output], 3)
    assert Journal(tmp_path, {}).finished(image).objects == 3
    entry = json.loads((tmp_path / NAME).read_text())
    entry["outputs"] = {"a" * 10_000: 6}
    (tmp_path / NAME).write_text(json.dumps(entry))
    assert Journal(tmp_path, {}).finished(image) is None
