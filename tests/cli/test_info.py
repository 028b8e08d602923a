import json
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from napari_mobilesam.cli import info
from napari_mobilesam.zoo.card import Local
from napari_mobilesam.zoo.catalog import get_card


def test_what_a_bug_report_needs(run, fresh_cache):
    (fresh_cache / "embeddings").mkdir()
    (fresh_cache / "embeddings" / "x").write_bytes(bytes(2_000_000))
    code, text = run("info")
    assert code == 0
    for package in ("napari", "torch", "ultralytics", "openvino"):
        assert f"{package} {version(package)}" in text
    for part in (
        f"python {platform.python_version()}",
        platform.platform(),
        "cpu (",
        "torch, open",
    ):
        assert part in text
    assert "Qt PySide6" in text or "Qt PyQt6" in text
    assert text.count("verified") == len(get_card("micro").files)
    assert f"{fresh_cache} (1 files, 2.0 MB)" in text


def test_for_programs(run):
    code, text = run("info", "--json")
    facts = json.loads(text)
    assert code == 0
    assert facts["packages"]["torch"] == version("torch")
    assert facts["torch"]["auto"].startswith("cuda" if torch.cuda.is_available() else "cpu in ")
    assert set(facts["bundled weights"].values()) == {"verified"}


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x"), Path.unlink])
def test_damaged_weights_are_named(run, monkeypatch, tmp_path, damage):
    card = get_card("micro")
    file = card.files[0]
    copy = Path(shutil.copy(file.source.path, tmp_path))
    damage(copy)
    broken = replace(card, files=(replace(file, source=Local(copy)), *card.files[1:]))
    monkeypatch.setattr(info, "get_card", lambda _: broken)
    code, text = run("info")
    assert code == 1
    assert f"{file.name} damaged: {file.name} is not what" in text or "missing" in text


def test_the_users_name_is_left_out(run, monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("MOBILESAM_CACHE_DIR", str(tmp_path / "weights"))
    _, text = run("info")
    assert str(tmp_path) not in text
    assert f"cache {Path('~') / 'weights'} (0 files, 0.0 MB)" in text


def test_packages_that_are_missing_do_no_harm(run, monkeypatch):
    monkeypatch.setattr(info, "PACKAGES", ("napari", "no-such-package"))
    monkeypatch.setattr(info, "QT_BINDINGS", ("NoSuchQt",))
    code, text = run("info")
    assert code == 0
    assert "no-such-package not installed Qt none" in text


def test_help_needs_no_torch():
    code = (
        "import sys; from napari_mobilesam.cli.main import app\n"
        "try: app(['info', '--help'])\n"
        "except SystemExit as exit: assert exit.code == 0\n"
        "assert not {'torch', 'napari', 'qtpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
