#!/usr/bin/env python3
"""Makes docs/before-after.jpg: four photos of the quickstart, before and after.

    restore-batch --local examples/manifests/quickstart.csv
    scripts/before-after.py

Left the photo, enlarged pixel by pixel to the size of its result; right the result. Both
are cut to the same part, and nothing else is done to either. Needs Pillow.
"""

from pathlib import Path

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT / "examples/photos"
RESULTS = ROOT / "examples/manifests/quickstart.restored/images/photos"
TARGET = ROOT / "docs/before-after.jpg"

# File, and the middle of the part that is shown, as shares of width and height.
SHOWN = (
    ("portrait-noisy.jpg", 0.5, 0.35),
    ("cat-blurred-noisy.jpg", 0.45, 0.45),
    ("coins-grainy.jpg", 0.3, 0.3),
    ("rocket-compressed.jpg", 0.5, 0.65),
)
PART = 300
GAP = 6


def pair(name: str, across: float, down: float) -> Image.Image:
    after = Image.open((RESULTS / name).with_suffix(".png")).convert("RGB")
    before = ImageOps.exif_transpose(Image.open(PHOTOS / name)).convert("RGB")
    before = before.resize(after.size, Image.Resampling.NEAREST)
    edge = min(PART, *after.size)
    left = round(min(max(across * after.width - edge / 2, 0), after.width - edge))
    top = round(min(max(down * after.height - edge / 2, 0), after.height - edge))
    box = (left, top, left + edge, top + edge)
    both = Image.new("RGB", (2 * PART + GAP, PART), "white")
    for column, picture in enumerate((before, after)):
        part = picture.crop(box).resize((PART, PART), Image.Resampling.NEAREST)
        both.paste(part, (column * (PART + GAP), 0))
    return both


def main() -> None:
    pairs = [pair(*shown) for shown in SHOWN]
    width, height = pairs[0].size
    sheet = Image.new("RGB", (2 * width + 4 * GAP, 2 * height + GAP), "white")
    for number, picture in enumerate(pairs):
        place = (number % 2 * (width + 4 * GAP), number // 2 * (height + GAP))
        sheet.paste(picture, place)
    sheet.save(TARGET, quality=88)
    print(TARGET)


if __name__ == "__main__":
    main()
