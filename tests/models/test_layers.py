import pytest
import torch

from napari_mobilesam.models.layers import LayerNorm2d, from_windows, to_windows


@pytest.mark.parametrize(("height", "width"), [(14, 14), (7, 21), (16, 9), (3, 5)])
def test_windows_go_back_to_where_they_came_from(height, width):
    maps = torch.arange(2.0 * height * width * 3).view(2, height, width, 3)
    windows = to_windows(maps, 7)
    assert windows.shape == (2 * -(-height // 7) * -(-width // 7), 7, 7, 3)
    assert torch.equal(from_windows(windows, height, width), maps)


def test_padding_of_windows_is_zero():
    windows = to_windows(torch.ones(1, 8, 8, 1), 7)
    assert windows.sum() == 64
    assert windows[1, :, 0].sum() == 7
    assert windows[1, :, 1:].sum() == 0


def test_layer_norm_is_over_channels():
    x = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    normed = LayerNorm2d(5)(x)
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(normed.var(1, correction=0), torch.ones(2, 3, 4))
