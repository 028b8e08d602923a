"""Objects by size, as COCO divides them."""

from types import MappingProxyType

SIZES = MappingProxyType({"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1 << 62)})
"""Half-open ranges of areas, in pixels of the plane (COCO, arXiv 1405.0312; cocodataset.org)."""
