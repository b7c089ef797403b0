"""A colour profile that changes what is seen."""

from __future__ import annotations

from PIL import ImageCms


def swapped_profile() -> bytes:
    """An ICC profile of an RGB space like sRGB whose red and green change places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = (4 + profile.index(tag, 128) for tag in (b"rXYZ", b"gXYZ"))  # where a tag's data begin
    bent = bytearray(profile)
    bent[red : red + 4], bent[green : green + 4] = profile[green : green + 4], profile[red : red + 4]
    return bytes(bent)
