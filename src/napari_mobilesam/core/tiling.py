"""Cut a plane into overlapping tiles, each responsible for a part that no other tile has."""

from dataclasses import dataclass

from napari_mobilesam.core.errors import SettingsError
from napari_mobilesam.core.geometry import Window


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a plane that is looked at by itself.

    Parameters
    ----------
    window : (y0, x0, y1, x1)
        The pixels that are looked at, half-open.
    core : (y0, x0, y1, x1)
        The pixels that this tile answers for; the cores of all tiles cover the plane once.
    plane_shape : tuple of int
        Height and width of the plane.
    """

    window: Window
    core: Window
    plane_shape: tuple[int, int]

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the window out of the plane."""
        y0, x0, y1, x1 = self.window
        return slice(y0, y1), slice(x0, x1)

    def answers_for(self, box: Window, tolerance: float = 0.0) -> bool:
        """Whether the centre of a box lies in the core, or no farther from it than tolerance."""
        y0, x0, y1, x1 = self.core
        row, column = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return y0 - tolerance <= row < y1 + tolerance and x0 - tolerance <= column < x1 + tolerance

    def cuts(self, box: Window) -> bool:
        """Whether a box reaches an edge of the window that is no edge of the plane."""
        height, width = self.plane_shape
        y0, x0, y1, x1 = self.window
        return (
            (0 < y0 >= box[0])
            or (0 < x0 >= box[1])
            or (height > y1 <= box[2])
            or (width > x1 <= box[3])
        )


def plan_tiles(plane_shape: tuple[int, int], side: int, margin: int) -> list[Tile]:
    """Cover a plane with tiles, row by row.

    Parameters
    ----------
    plane_shape : tuple of int
        Height and width of the plane.
    side : int
        Side of a window, in pixels. All windows are as large, unless the plane is smaller.
    margin : int
        How far a window reaches beyond its core, in pixels: what is cut by a neighbour's window
        is seen whole if it is no larger than this.

    Raises
    ------
    SettingsError
        If the margins leave no core.
    """
    if margin < 0 or side <= 2 * margin:
        raise SettingsError(
            "the tiles overlap too much",
            expected="a margin of less than half of the tile",
            got=f"tiles of {side} pixels with margins of {margin}",
        )
    rows, columns = (_spans(length, side, margin) for length in plane_shape)
    return [
        Tile((y0, x0, y1, x1), (from_y, from_x, to_y, to_x), plane_shape)
        for (y0, y1), (from_y, to_y) in rows
        for (x0, x1), (from_x, to_x) in columns
    ]


def _spans(length: int, side: int, margin: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Windows and cores along an axis, each as (first, one past the last)."""
    step = side - 2 * margin
    count = max(1, -(-(length - 2 * margin) // step))
    starts = [max(0, min(i * step, length - side)) for i in range(count)]
    windows = [(start, min(start + side, length)) for start in starts]
    seams = [margin + i * step for i in range(1, count)]
    return list(zip(windows, zip([0, *seams], [*seams, length], strict=True), strict=True))
