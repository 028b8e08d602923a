import re
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from napari_mobilesam.api import INPUT_SIZES
from napari_mobilesam.core.errors import UnknownModelError
from napari_mobilesam.models.detector import DetectorArchitecture
from napari_mobilesam.models.sam import Architecture
from napari_mobilesam.zoo.card import Download, Local
from napari_mobilesam.zoo.catalog import get_card, list_cards

cards = pytest.mark.parametrize("card", list_cards(), ids=lambda card: card.name)


def test_micro_comes_first_and_needs_no_download():
    micro = list_cards()[0]
    assert micro.name == "micro"
    assert micro.is_bundled
    assert not get_card("mobile_sam").is_bundled


def test_the_issue_is_served():
    assert {card.name for card in list_cards()} >= {
        "micro", "mobile_sam", "sam_vit_b", "sam_vit_l", "sam_vit_h", "vit_t_lm",
        "vit_t_em_organelles", "mobile_sam_v2", "efficientvit_sam_l0", "efficientvit_sam_l1",
        "lite_medsam",
    }  # fmt: skip


def test_names_are_unique():
    names = [card.name for card in list_cards()]
    assert len(set(names)) == len(names)


def test_a_cached_name_stands_for_one_source():
    sources = {}
    for file in (file for card in list_cards() for file in card.files):
        assert sources.setdefault(file.name, file.source) == file.source


@cards
def test_card_is_complete(card):
    assert card.architecture in get_args(Architecture)
    assert card.detector in get_args(DetectorArchitecture)
    assert card.purpose.endswith(".")
    assert card.title
    assert card.citation
    assert re.fullmatch(r"[A-Za-z]+-[\d.A-Z-]*\d", card.licence)
    assert set(np.ravel(card.input_size)) <= set(INPUT_SIZES)
    assert card.sides.split(" to ")[-1] == str(np.max(card.input_size))
    roles = sorted(file.role for file in card.files)
    assert roles in (["detector", "sam"], ["decoder", "detector", "encoder"])


@cards
def test_files_are_checkable(card):
    for file in card.files:
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.xxh128 is None or re.fullmatch("[0-9a-f]{32}", file.xxh128)
        if isinstance(file.source, Download):
            assert all(re.fullmatch(r"https://[\w.-]+/\S+", url) for url in file.source.urls)
        else:
            assert file.sha256


def test_bundled_weights_are_small():
    files = [file.source for file in get_card("micro").files]
    assert all(isinstance(source, Local) for source in files)
    assert sum(source.path.stat().st_size for source in files) < 40e6


def test_unknown_name_suggests_what_is_near():
    with pytest.raises(UnknownModelError) as caught:
        get_card("mobilesam")
    message = str(caught.value)
    assert "'mobilesam'" in message
    assert "Did you mean mobile_sam or " in message
    assert all(card.name in message for card in list_cards())


def test_unknown_name_far_from_all():
    with pytest.raises(UnknownModelError) as caught:
        get_card("no/such/file.pt")
    assert "Did you mean" not in str(caught.value)


def test_listing_models_imports_no_torch():
    code = (
        "import sys; from napari_mobilesam.zoo.catalog import get_card; get_card('micro');"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
