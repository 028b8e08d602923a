import re
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mobilesam.core.errors import FileFormatError
from napari_mobilesam.io.images import read_image
from napari_mobilesam.io.planes import MAX_PIXELS


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 4096, (11, 17), dtype=np.uint16)


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 4096, (3, 2, 4, 11, 17), dtype=np.uint16)


def test_tiff_plane_is_read_as_stored(tmp_path, grey):
    tifffile.imwrite(tmp_path / "plane.tif", grey)
    np.testing.assert_array_equal(read_image(tmp_path / "plane.tif").pixels, grey)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits"])
def test_compressed_tiff(tmp_path, grey, compression):
    tifffile.imwrite(tmp_path / "small.tif", grey, compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "small.tif").pixels, grey)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_samples_come_last(tmp_path, planar):
    colour = np.random.default_rng(0).integers(0, 255, (11, 17, 3), dtype=np.uint8)
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 0)
    tifffile.imwrite(tmp_path / "rgb.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.tif").pixels, colour)


def test_channels_of_ome_tiff_come_last_with_pixel_size(tmp_path):
    channels = np.random.default_rng(0).integers(0, 255, (2, 11, 17), dtype=np.uint8)
    metadata = {
        "axes": "CYX",
        "PhysicalSizeY": 250.0,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "µm",
    }
    tifffile.imwrite(tmp_path / "cells.ome.tif", channels, metadata=metadata)
    image = read_image(tmp_path / "cells.ome.tif")
    np.testing.assert_array_equal(image.pixels, np.moveaxis(channels, 0, -1))
    assert image.pixel_size_um == pytest.approx((0.25, 0.5))


def test_imagej_pixel_size(tmp_path, grey):
    path = tmp_path / "fiji.tif"
    tifffile.imwrite(path, grey, imagej=True, resolution=(4, 2), metadata={"unit": "um"})
    assert read_image(path).pixel_size_um == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize(
    "kind", [{"imagej": True}, {"ome": True}, {"ome": True, "compression": "zlib"}]
)
def test_one_plane_of_a_hyperstack(tmp_path, stack, kind):
    path = tmp_path / "stack.tif"
    axes = "TZCYX"
    tifffile.imwrite(path, stack, metadata={"axes": axes}, **kind)
    expected = np.moveaxis(stack[2, 1], 0, -1)
    np.testing.assert_array_equal(read_image(path, plane=(2, 1)).pixels, expected)


def test_pages_without_axes_are_a_stack(tmp_path, stack):
    tifffile.imwrite(tmp_path / "pages.tif", stack[0, 0], photometric="minisblack")
    np.testing.assert_array_equal(
        read_image(tmp_path / "pages.tif", plane=(3,)).pixels, stack[0, 0, 3]
    )


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (None, r"is a stack of 3 x 2 planes.*\(t, z\).*--plane"),
        ((1,), r"has no such plane.*\(t, z\).*3 x 2.*got \(1,\)"),
        ((3, 0), r"has no such plane.*got \(3, 0\)"),
        ((-1, 0), r"has no such plane"),
    ],
)
def test_stack_needs_a_plane_that_exists(tmp_path, stack, plane, message):
    tifffile.imwrite(tmp_path / "stack.tif", stack, ome=True, metadata={"axes": "TZCYX"})
    with pytest.raises(FileFormatError, match=message):
        read_image(tmp_path / "stack.tif", plane=plane)


def test_plane_number_for_no_stack(tmp_path, grey):
    tifffile.imwrite(tmp_path / "plane.tif", grey)
    with pytest.raises(FileFormatError, match="is no stack"):
        read_image(tmp_path / "plane.tif", plane=(0,))


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [
        ("1", (11, 17), np.bool_),
        ("L", (11, 17), np.uint8),
        ("I;16", (11, 17), np.uint16),
        ("LA", (11, 17), np.uint8),
        ("P", (11, 17, 3), np.uint8),
        ("RGB", (11, 17, 3), np.uint8),
        ("RGBA", (11, 17, 4), np.uint8),
    ],
)
def test_png_of_every_mode(tmp_path, mode, shape, dtype):
    Image.new(mode, (17, 11)).save(tmp_path / "image.png")
    pixels = read_image(tmp_path / "image.png").pixels
    assert (pixels.shape, pixels.dtype) == (shape, dtype)


def test_jpeg_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (17, 11), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    pixels = read_image(tmp_path / "print.jpg").pixels
    assert pixels.shape == (11, 17, 3)
    assert pixels[0, 0, 0] > 200 > 50 > pixels[0, 0, 1]


def test_npy_planes_channels_and_stacks(tmp_path, stack):
    np.save(tmp_path / "plane.npy", stack[0, 0, 0])
    np.save(tmp_path / "stack.npy", stack[0, 0])
    np.save(tmp_path / "colour.npy", stack[0, 0, :, :, :3])
    np.testing.assert_array_equal(read_image(tmp_path / "plane.npy").pixels, stack[0, 0, 0])
    np.testing.assert_array_equal(read_image(tmp_path / "colour.npy").pixels, stack[0, 0, :, :, :3])
    chosen = read_image(tmp_path / "stack.npy", plane=(2,)).pixels
    np.testing.assert_array_equal(chosen, stack[0, 0, 2])


def _truncated_tiff(path):
    tifffile.imwrite(path, np.ones((200, 200), np.uint16))
    path.write_bytes(path.read_bytes()[:5000])


def _truncated_zlib_tiff(path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    tifffile.imwrite(path, noise, compression="zlib")
    path.write_bytes(path.read_bytes()[:5000])


def _truncated_png(path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def _tiff_without_its_last_page(path):
    tifffile.imwrite(path, np.ones((2, 23, 31), np.uint16), ome=True, metadata={"axes": "CYX"})
    path.write_bytes(path.read_bytes()[:1650])


def _pickle(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _npy_that_promises_too_much(path):
    np.save(path, np.zeros((4, 4)))
    path.write_bytes(path.read_bytes().replace(b"(4, 4)", b"(9, 9)"))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cut.tif", _truncated_tiff),
        ("cut_zlib.tif", _truncated_zlib_tiff),
        ("cut_pages.tif", _tiff_without_its_last_page),
        ("text.tif", lambda path: path.write_text("no TIFF")),
        ("cut.png", _truncated_png),
        ("text.jpg", lambda path: path.write_text("no JPEG")),
        ("gif.png", lambda path: Image.new("L", (3, 3)).save(path, format="GIF")),
        ("pickle.npy", _pickle),
        ("short.npy", _npy_that_promises_too_much),
        ("vector.npy", lambda path: np.save(path, np.ones(7))),
        ("scalar.npy", lambda path: np.save(path, 1.0)),
        ("no_pixels.npy", lambda path: np.save(path, np.ones((0, 7)))),
        ("empty.tif", lambda path: path.touch()),
        ("folder.tif", lambda path: path.mkdir()),
        ("unknown.xyz", lambda path: path.write_text("?")),
        ("no_suffix", lambda path: path.write_text("?")),
    ],
)
def test_unreadable_file_is_named(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(FileFormatError, match=re.escape(str(tmp_path / name))):
        read_image(tmp_path / name)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match=r"missing\.tif.*no such file"):
        read_image(tmp_path / "missing.tif")


def _huge_tiff(path, side):
    tifffile.imwrite(path, np.zeros((4, 4), np.uint8), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(side)
        tif.pages[0].tags["ImageLength"].overwrite(side)


def _huge_npy(path, side):
    np.lib.format.open_memmap(path, "w+", np.uint8, (side, side))


def _huge_png(path, side):
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR" + header) + _chunk(b"IDAT"))


def _chunk(content):
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


@pytest.mark.parametrize(
    ("name", "make"), [("a.tif", _huge_tiff), ("a.npy", _huge_npy), ("a.png", _huge_png)]
)
def test_huge_plane_is_refused_before_it_is_decoded(tmp_path, name, make):
    make(tmp_path / name, int(MAX_PIXELS**0.5) + 1)
    with pytest.raises(FileFormatError, match=rf"{name} .*({MAX_PIXELS}|{MAX_PIXELS:,}) pixels"):
        read_image(tmp_path / name)
