import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_mobilesam.core.errors import CheckpointError
from napari_mobilesam.models.detector import import_ultralytics
from napari_mobilesam.zoo.formats import read_tensors
from napari_mobilesam.zoo.unpickle import read_pickled_module

ULTRALYTICS = Path(__file__).parent / "data" / "ultralytics_8_0_120.pt"


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def archive(path, content, compression=zipfile.ZIP_STORED):
    """A file laid out as torch.save does, around a pickle of ours."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/version", "3\n")
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/data/0", bytes(16))
    return path


def test_ultralytics_checkpoint_equals_what_ultralytics_reads():
    import_ultralytics()
    from ultralytics.nn.tasks import torch_safe_load

    expected = torch_safe_load(ULTRALYTICS)[0]["model"].state_dict()
    found = read_tensors(ULTRALYTICS)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert {tensor.dtype for tensor in found.values()} == {torch.float16, torch.int64}


@pytest.mark.parametrize(
    "function", ["os.system", "builtins.eval", "builtins.exec", "builtins.getattr", "torch.load"]
)
def test_no_function_of_the_pickle_runs(function, tmp_path):
    marker = tmp_path / "it_ran"
    arguments = {
        "os.system": f"touch {marker}",
        "builtins.eval": f"open({str(marker)!r}, 'w')",
        "builtins.exec": f"open({str(marker)!r}, 'w')",
    }.get(function, "x")
    module, name = function.split(".")
    content = f"c{module}\n{name}\n(V{arguments}\ntR.".encode()
    with pytest.raises(
        CheckpointError, match=rf"hostile\.pt is unsafe: .* a call of {module}\.{name}"
    ):
        read_tensors(archive(tmp_path / "hostile.pt", content))
    assert not marker.exists()


def test_the_hostile_pickle_would_have_run(tmp_path):
    marker = tmp_path / "it_ran"
    with zipfile.ZipFile(archive(tmp_path / "x.pt", f"cos\nsystem\n(Vtouch {marker}\ntR.")) as file:
        pickle.loads(file.read("archive/data.pkl"))
    assert marker.exists()


def test_function_hidden_in_a_module_does_not_run(tmp_path):
    marker = tmp_path / "it_ran"
    module = torch.nn.Linear(2, 2)
    module.hidden = Call(eval, f"open({str(marker)!r}, 'w')")
    torch.save({"model": module}, tmp_path / "hostile.pt")
    with pytest.raises(CheckpointError, match=r"a call of __builtin__\.eval"):
        read_tensors(tmp_path / "hostile.pt")
    assert not marker.exists()


def test_bare_pickle_is_refused(tmp_path):
    marker = tmp_path / "it_ran"
    path = tmp_path / "hostile.pt"
    path.write_bytes(pickle.dumps(Call(eval, f"open({str(marker)!r}, 'w')"), protocol=2))
    with pytest.raises(CheckpointError, match=r"hostile\.pt cannot be read"):
        read_tensors(path)
    assert not marker.exists()


def test_placeholder_runs_nothing_of_its_class(tmp_path):
    content = b"cultralytics.os\nsystem\n(Vtouch it_ran\ntR."
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_pickled_module(archive(tmp_path / "x.pt", content))


def test_transient_buffers_and_empty_parameters_are_left_out(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3, bias=False), torch.nn.BatchNorm2d(3))
    module.register_buffer("transient", torch.ones(1), persistent=False)
    torch.save(module, tmp_path / "module.pt")
    found = read_pickled_module(tmp_path / "module.pt")
    assert found.keys() == module.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in module.state_dict().items())


def test_bystanders_of_the_module_do_not_matter(tmp_path):
    checkpoint = {
        "model": torch.nn.Linear(1, 1),
        "best_fitness": np.float64(0.5),
        "curve": np.arange(3.0),
        "train_args": {"data": Path("data.yaml")},
    }
    torch.save(checkpoint, tmp_path / "x.pt")
    assert read_pickled_module(tmp_path / "x.pt").keys() == {"weight", "bias"}


def test_views_keep_their_strides_and_offsets(tmp_path):
    module = torch.nn.Module()
    base = torch.arange(12.0).reshape(3, 4)
    module.register_buffer("transposed", base.T)
    module.register_buffer("column", base[:, 2])
    torch.save({"ema": module, "model": None}, tmp_path / "module.pt")
    found = read_pickled_module(tmp_path / "module.pt")
    assert torch.equal(found["transposed"], base.T)
    assert torch.equal(found["column"], base[:, 2])


def rebuilt(offset, size):
    """A pickle of a module with one tensor: a view into a storage of 16 bytes."""

    storage = Call(str)

    class Storing(pickle.Pickler):
        def persistent_id(self, value):
            if value is storage:
                return ("storage", torch.FloatStorage, "0", "cpu", size)
            return None

    tensor = Call(torch._utils._rebuild_tensor_v2, storage, offset, (2,), (1,), False, None)
    module = Call(torch.nn.Module)
    module.reduced += ({"_parameters": {}, "_buffers": OrderedDict(x=tensor), "_modules": {}},)
    stream = io.BytesIO()
    Storing(stream, protocol=2).dump(module)
    return stream.getvalue()


def test_storage_is_never_left(tmp_path):
    good = read_pickled_module(archive(tmp_path / "good.pt", rebuilt(offset=2, size=4)))
    assert good["x"].tolist() == [0, 0]
    for name, content in (("view", rebuilt(offset=3, size=4)), ("size", rebuilt(0, size=5))):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_pickled_module(archive(tmp_path / f"{name}.pt", content))


def test_module_that_holds_itself_is_refused(tmp_path):
    module = torch.nn.Sequential()
    module._modules["0"] = module
    torch.save(module, tmp_path / "endless.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_pickled_module(tmp_path / "endless.pt")


def test_compressed_archive_is_refused(tmp_path):
    path = archive(tmp_path / "x.pt", b"N.", zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        read_pickled_module(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"N.", b"]."])
def test_damaged_pickle(content, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_pickled_module(archive(tmp_path / "x.pt", content))
