import shutil
import signal
import subprocess
import sys
import time

import pytest

import napari_mobilesam
from napari_mobilesam.core.errors import UnknownModelError


def test_help_needs_neither_torch_nor_napari():
    code = (
        "import sys; from napari_mobilesam.cli.main import app\n"
        "try: app(['segment', '--help'])\n"
        "except SystemExit as exit: assert exit.code == 0\n"
        "slow = {'torch', 'napari', 'qtpy', 'ultralytics', 'skimage', 'pandas'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_version(run):
    assert run("--version") == (0, f"napari-mobilesam {napari_mobilesam.__version__}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["segment"], "Missing"),
        (["models", "info"], "Missing"),
        (["models", "info", "micros"], "there is no such model"),
    ],
)
def test_wrong_usage(run, arguments, message):
    code, text = run(*arguments)
    assert code == 2
    assert message in text


def test_error_is_one_message_unless_the_traceback_is_wanted(run):
    _, text = run("models", "info", "micros")
    assert text.startswith("Error: there is no such model: expected")
    assert "Did you mean micro" in text
    assert "Traceback" not in text
    with pytest.raises(UnknownModelError):
        run("--debug", "models", "info", "micros")


def test_interrupt_ends_cleanly(cells, tmp_path):
    images = [shutil.copy(cells, tmp_path / f"{number:03}.png") for number in range(100)]
    output = tmp_path / "out"
    code = (  # a background job is started with SIGINT ignored, and so would be its children
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from napari_mobilesam.cli.main import app; app()"
    )
    arguments = ["segment", *images, "-o", output, "--points", "30,30"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(output.glob("*.csv")):
        time.sleep(0.05)
    process.send_signal(signal.CTRL_C_EVENT if sys.platform == "win32" else signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped" in errors
    assert "Traceback" not in errors
    assert not list(output.glob(".*"))
