import pytest

from napari_mobilesam.zoo.catalog import get_card, list_cards


def test_list_names_every_model(run):
    code, text = run("models", "list")
    assert code == 0
    assert all(card.name in text for card in list_cards())


def test_info_tells_file_hash_and_licence(run):
    code, text = run("models", "info", "vit_t_lm")
    assert code == 0
    assert get_card("vit_t_lm").licence in text
    assert "72ec5074774761a6e5c05a08942f981e" in text
    assert "not there yet" in text


def test_bundled_model_needs_no_download(run):
    assert run("models", "download", "micro") == (0, "micro is ready.")


def test_offline_the_error_says_what_to_fetch_and_where_to_put_it(run, fresh_cache):
    code, text = run("models", "download", "mobile_sam")
    assert code == 1
    assert text.startswith("Error: mobile_sam.pt could not be downloaded")
    assert str(fresh_cache / "mobile_sam.pt") in text


def test_file_with_another_hash_is_refused(run, fresh_cache, cells, tmp_path):
    (fresh_cache / "mobile_sam.pt").write_text("not the weights")
    for arguments in (
        ("models", "download", "mobile_sam"),
        ("segment", cells, "-o", tmp_path, "-m", "mobile_sam"),
    ):
        code, text = run(*arguments)
        assert code == 1
        assert "mobile_sam.pt is not what its card promises" in text
    code, text = run("models", "verify", "mobile_sam")
    assert code == 1
    assert "bad mobile_sam sam: mobile_sam.pt is not what its card promises" in text


def test_verify(run):
    code, text = run("models", "verify", "micro")
    assert code == 0
    assert text.count("good micro") == 3
    code, text = run("models", "verify", "vit_t_lm")
    assert code == 1
    assert "absent vit_t_lm" in text


@pytest.mark.parametrize("file_format", ["mobile_sam", "safetensors"])
def test_export(run, tmp_path, file_format):
    path = tmp_path / "micro_mobile_sam.pt"
    arguments = ("models", "export", "micro", "-o", path, "--format", file_format)
    code, text = run(*arguments)
    assert code == 0
    assert str(path) in text
    assert path.stat().st_size > 20_000_000
    code, text = run(*arguments)
    assert code == 2
    assert "--overwrite" in text
