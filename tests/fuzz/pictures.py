"""Pictures for `cloudedge ask`: damaged ones, strange ones that are good, and names that a shell lets through."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

BAD: dict[str, str] = {
    "absent.png": "absent.png",
    "folder.png": "folder.png",
    "text.png": "text.png cannot be read as an image",
    "empty.png": "empty.png cannot be read as an image",
    "cut.png": "cut.png cannot be read as an image",
    "cut.jpg": "cut.jpg cannot be read as an image",
    "head.png": "head.png cannot be read as an image",
    "bomb.png": "bomb.png cannot be read as an image",
    "moving.gif": "moving.gif cannot be read as an image .*animation",
    "pages.tif": "pages.tif cannot be read as an image .*pages",
    "float.tif": "float.tif cannot be read as an image",
    "drawing.svg": "drawing.svg cannot be read as an image",
}
"""Name, and what the answer names."""

NAMES = (
    "with blank.png",
    "a=b.png",
    "url=x.png",
    "a,b.png",
    "it's.png",
    'say "a".png',
    "both'\".png",
    "é.png",
    "[bold]x.png",
    "{x}.png",
    "${x}.png",
    "back\\slash.png",
    "end.png\\",
    "quote\\'.png",
    "new\nline.png",
    "#hash (1).png",
    "+plus.png",
    "~tilde.png",
    "null",
    "1.5",
    ".inf",
    os.fsdecode(b"\xff.png"),
)
"""Names of pictures that are good."""

GOOD = (
    "one.png",
    "grey16.png",
    "cmyk.jpg",
    "palette.png",
    "bit.png",
    "alpha.png",
    "still.gif",
    "wide.png",
    "photo.PNG",
)
"""Pictures that are good, though not RGB of 8 bits."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bomb(side: int) -> bytes:
    """A PNG that says it has side x side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + _chunk(b"IEND", b"")
    )


def write_pictures(folder: Path) -> None:
    """Writes the pictures that the table names."""
    folder.mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8))
    for name in NAMES:
        with (folder / name).open("wb") as file:
            picture.save(file, "PNG")
    (folder / "folder.png").mkdir()
    (folder / "text.png").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "bomb.png").write_bytes(_bomb(60_000))
    for name in ("cut.png", "cut.jpg"):
        picture.resize((90, 60)).save(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    (folder / "head.png").write_bytes(_bomb(4)[:20])
    frames = [picture, picture.rotate(90)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    Image.fromarray(np.ones((4, 4), np.float32)).save(folder / "float.tif")
    _write_strange(folder, picture)


def _write_strange(folder: Path, picture: Image.Image) -> None:
    picture.resize((1, 1)).save(folder / "one.png")
    picture.resize((3000, 1)).save(folder / "wide.png")
    Image.fromarray(np.full((5, 5), 40_000, np.uint16)).save(folder / "grey16.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("1").save(folder / "bit.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    picture.save(folder / "still.gif")
    picture.save(folder / "photo.PNG")
