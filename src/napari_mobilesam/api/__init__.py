"""The public functions: a model from the zoo, put to work by the inference room."""

from napari_mobilesam.api.loading import INPUT_SIZES, load_model
from napari_mobilesam.api.model import MobileSAM

__all__ = ["INPUT_SIZES", "MobileSAM", "load_model"]
