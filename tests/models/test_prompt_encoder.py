import pytest
import torch

from napari_mobilesam.models.prompt_encoder import PromptEncoder

INPUT_SIZE = 256
POINTS = torch.tensor([[[10.0, 20.0], [0.0, 255.0], [99.5, 3.0]], [[1.0, 2.0], [3.0, 4.0], [0, 0]]])
LABELS = torch.tensor([[1, 0, 1], [0, 1, -1]])
BOXES = torch.tensor([[4.0, 8.0, 100.0, 90.0], [0.0, 0.0, 255.0, 255.0]])
MASKS = torch.linspace(-8, 8, 2 * 64 * 64).view(2, 1, 64, 64)


@pytest.fixture(scope="module")
def reference(mobile_sam, randomize):
    grid = (INPUT_SIZE // 16, INPUT_SIZE // 16)
    return randomize(
        mobile_sam.modeling.PromptEncoder(256, grid, (INPUT_SIZE, INPUT_SIZE), mask_in_chans=16)
    )


@pytest.fixture(scope="module")
def encoder(reference):
    encoder = PromptEncoder().eval()
    encoder.load_state_dict(reference.state_dict())
    return encoder


@pytest.mark.parametrize("masks", [None, MASKS], ids=["no masks", "masks"])
@pytest.mark.parametrize("boxes", [None, BOXES], ids=["no boxes", "boxes"])
@pytest.mark.parametrize("points", [None, POINTS], ids=["no points", "points"])
@torch.inference_mode()
def test_agrees_with_sam(points, boxes, masks, reference, encoder):
    if points is None and boxes is None and masks is None:
        expected_sparse = torch.zeros(1, 0, 256)
        expected_dense = reference.no_mask_embed.weight.view(1, 256, 1, 1)
    else:
        labelled = None if points is None else (points, LABELS)
        expected_sparse, expected_dense = reference(labelled, boxes, masks)
    sparse, dense = encoder(
        points_xy=points,
        point_labels=None if points is None else LABELS,
        boxes_xyxy=boxes,
        mask_input=masks,
        input_size=INPUT_SIZE,
    )
    torch.testing.assert_close(sparse, expected_sparse, atol=1e-5, rtol=0)
    torch.testing.assert_close(dense.expand_as(expected_dense), expected_dense, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_grid_encoding_agrees_with_sam(reference, encoder):
    torch.testing.assert_close(
        encoder.grid_encoding(16, 16), reference.get_dense_pe(), atol=1e-5, rtol=0
    )


@torch.inference_mode()
def test_grid_encoding_of_a_map_that_is_not_square(reference, encoder):
    expected = reference.pe_layer((8, 24))[None]
    torch.testing.assert_close(encoder.grid_encoding(8, 24), expected, atol=1e-5, rtol=0)
