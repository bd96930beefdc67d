"""Pillow's images."""

from __future__ import annotations

import pytest

pytest.importorskip("PIL", reason="optional: Pillow is not installed")

IMAGE = "import io\nfrom PIL import Image, ImageDraw\nim = Image.new('{mode}', (4, 3)); same = im; pen = ImageDraw.Draw(im)"


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "I", "F", "CMYK"])
def test_an_image_is_changed_in_place(pair, mode):
    """What draws on it here goes on drawing on it."""
    pair.cell(IMAGE.format(mode=mode))
    image = pair.here["im"]
    pair.run("im.paste(255, (1, 1, 2, 2)); im.info['note'] = im", "im")
    assert pair.here["im"] is pair.here["same"] is image is image.info["note"]
    assert image.getpixel((1, 1)) == pair.there["im"].getpixel((1, 1)) != image.getpixel((0, 0))
    pair.cell("pen.point((2, 2), 1)")
    assert image.getpixel((2, 2)) != image.getpixel((0, 0))
    pair.ship("im")
    assert pair.there["im"].tobytes() == image.tobytes()


def test_what_saving_and_reading_leave_in_an_image_goes_along(pair):
    """Plain attributes do, a file that is read lazily does not."""
    pair.cell(IMAGE.format(mode="P") + "\nbuffer = io.BytesIO(); im.save(buffer, 'PNG'); read = Image.open(buffer)")
    pair.run("im.save(__import__('io').BytesIO(), 'PNG', optimize=True); frames = read.n_frames; read.mine = 1", "im", "read")
    assert pair.here["im"].encoderconfig == pair.there["im"].encoderconfig and pair.here["frames"] == 1
    assert pair.there["read"].tobytes() == pair.here["read"].tobytes() and pair.here["read"].mine == 1
