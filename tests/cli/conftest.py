import re

import numpy as np
import pytest
from PIL import Image
from skimage.draw import disk
from typer.testing import CliRunner

from napari_mobilesam.cli.main import app

CENTRES = ((30, 30), (30, 90), (90, 60))


@pytest.fixture
def run():
    """Run the command; returns (exit code, output in one line without frames)."""

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        text = re.sub(r"[│╭╮╰╯─]", " ", result.output)
        return result.exit_code, " ".join(text.split())

    return run


@pytest.fixture
def cells(tmp_path):
    """A small image with three bright discs, around ``CENTRES``."""
    image = np.random.default_rng(0).normal(40, 4, (120, 120))
    for centre in CENTRES:
        image[disk(centre, 14)] += 150
    path = tmp_path / "cells.png"
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    return path
