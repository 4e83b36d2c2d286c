"""The form in which nodes send pictures to the cloud, where nothing runs at the edge."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from cloudedge_pl.errors import lookup, require_fields, require_range

INPUT_CODECS = ("raw", "jpeg")
"""The forms of a picture: 8 bits for every value, or JPEG."""

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
"""How much of the colour JPEG keeps: all of it, half of the columns, or half of the columns and of the rows."""


@dataclass(frozen=True)
class InputCodec:
    """The form in which pictures are sent to the cloud.

    How many bytes a JPEG takes depends on the picture, so they are measured:
    :meth:`~cloudedge_pl.data.ImageDataModule.picture_bytes`. The seconds and joules of coding a picture are not
    counted, at either end.

    Args:
        name: one of :data:`INPUT_CODECS`.
        quality: of JPEG, in [1, 100]; "raw" ignores it.
        subsampling: of JPEG, one of :data:`SUBSAMPLINGS`; "raw" ignores it.

    Raises:
        ValueError: if a name is unknown or the quality is outside its range.
    """

    name: str = "raw"
    _: KW_ONLY
    quality: int = 75
    subsampling: str = "4:2:0"

    def __post_init__(self) -> None:
        lookup(INPUT_CODECS, self.name, "input codec")
        require_fields("input codec", self)
        require_range("input codec", 1, 100, whole=True, quality=self.quality)
        lookup(SUBSAMPLINGS, self.subsampling, "subsampling of JPEG")

    @property
    def is_raw(self) -> bool:
        """Whether every value is sent in 8 bits."""
        return self.name == "raw"

    def __str__(self) -> str:
        return "raw" if self.is_raw else f"JPEG of quality {self.quality}"
