import pytest
import torch
from safetensors.torch import save_file

from napari_mobilesam.core.errors import CheckpointError
from napari_mobilesam.zoo.formats import read_tensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def same(found, expected=STATE):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def test_safetensors(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors")
    assert same(read_tensors(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_state_dictionary(tmp_path, is_zip):
    torch.save(STATE, tmp_path / "x.pt", _use_new_zipfile_serialization=is_zip)
    assert same(read_tensors(tmp_path / "x.pt"))


@pytest.mark.parametrize("name", ["model", "state_dict", "model_state"])
def test_training_checkpoint(tmp_path, name):
    torch.save({name: STATE, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "x.pt")
    assert same(read_tensors(tmp_path / "x.pt"))


def test_nested_state_dictionaries(tmp_path):
    torch.save({"Left": STATE, "Right": {"c": STATE["b"]}}, tmp_path / "x.pt")
    expected = {"Left.a.weight": STATE["a.weight"], "Left.b": STATE["b"], "Right.c": STATE["b"]}
    assert same(read_tensors(tmp_path / "x.pt"), expected)


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_truncated_file(tmp_path, name):
    whole = tmp_path / f"whole_{name}"
    save_file(STATE, whole) if "safetensors" in name else torch.save(STATE, whole)
    (tmp_path / name).write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=f"{name} cannot be read: expected a .*, got "):
        read_tensors(tmp_path / name)


def test_an_archive_of_several_disks(tmp_path):
    torch.save(STATE, tmp_path / "x.pt")
    content = bytearray((tmp_path / "x.pt").read_bytes())
    disks = content.rindex(b"PK\x06\x07") + 16
    content[disks : disks + 4] = (2).to_bytes(4, "little")
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pt cannot be read"):
        read_tensors(tmp_path / "x.pt")


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_no_checkpoint_at_all(tmp_path, name):
    (tmp_path / name).write_text("<html>Not found</html>")
    with pytest.raises(CheckpointError, match="delete it and fetch it again"):
        read_tensors(tmp_path / name)


def test_file_without_tensors(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="holds no tensors"):
        read_tensors(tmp_path / "x.pt")
