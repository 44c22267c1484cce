#!/usr/bin/env python3
"""Makes the example pictures in examples/photos from freely usable photographs.

    pip install 'pillow==13.0.0' 'numpy==2.4.6'
    python3 scripts/make-examples.py PHOTOS [--check]

PHOTOS is a folder with astronaut.png, chelsea.png, coffee.png, camera.png, rocket.jpg
and coins.png of scikit-image 0.26.0 (`skimage/data`). Every run gives the same bytes
with the versions above; another libjpeg may compress a little differently. With
--check nothing is written: the script fails when a committed picture differs.
"""

import argparse
import io
import pathlib
import sys

import numpy
from PIL import Image, ImageFilter

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "examples" / "photos"


def load(photos, name, box=None, width=None):
    """The photograph, cropped to box (left, top, right, bottom), then shrunk to width."""
    picture = Image.open(photos / name)
    picture.load()
    picture.info.clear()  # comments and profiles of the original file
    if box:
        picture = picture.crop(box)
    if width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return picture


def noisy(picture, deviation, seed):
    """Gaussian noise of that standard deviation, independent for each sample."""
    samples = numpy.asarray(picture, dtype=numpy.float64)
    grain = numpy.random.default_rng(seed).normal(0.0, deviation, samples.shape)
    return Image.fromarray(numpy.clip(numpy.rint(samples + grain), 0, 255).astype(numpy.uint8))


def blurred(picture, radius):
    return picture.filter(ImageFilter.GaussianBlur(radius))


def faded(picture):
    """Low contrast and a yellow cast, as of an old print: each channel squeezed."""
    low = numpy.array([78.0, 66.0, 48.0])
    high = numpy.array([226.0, 208.0, 168.0])
    samples = numpy.asarray(picture, dtype=numpy.float64) / 255.0
    return Image.fromarray(numpy.rint(low + samples * (high - low)).astype(numpy.uint8))


def encode(picture, name, quality):
    buffer = io.BytesIO()
    if name.endswith(".png"):
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
    return buffer.getvalue()


def make(photos):
    """Yields the name and the bytes of each example."""
    portrait = load(photos, "astronaut.png", box=(80, 0, 360, 320))
    cat = load(photos, "chelsea.png", width=360)
    cup = load(photos, "coffee.png", width=360)
    photographer = load(photos, "camera.png", box=(60, 60, 380, 320), width=256)
    rocket = load(photos, "rocket.jpg", width=400)
    coins = load(photos, "coins.png", width=300)

    yield "portrait.jpg", encode(portrait, ".jpg", 92)
    yield "portrait-noisy.jpg", encode(noisy(portrait, 12.0, seed=1), ".jpg", 85)
    yield "cat.jpg", encode(cat, ".jpg", 90)
    yield "cat-blurred-noisy.jpg", encode(noisy(blurred(cat, 1.2), 14.0, seed=2), ".jpg", 80)
    yield "café faded.jpg", encode(faded(cup), ".jpg", 85)
    yield "photographer.png", encode(photographer, ".png", None)
    yield "rocket-compressed.jpg", encode(rocket, ".jpg", 12)
    yield "coins-grainy.jpg", encode(noisy(blurred(coins, 0.8), 10.0, seed=3), ".jpg", 75)


def main():
    parser = argparse.ArgumentParser(description="Makes the pictures in examples/photos.")
    parser.add_argument("photos", type=pathlib.Path, help="folder of the original photographs")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()

    different = []
    for name, content in make(arguments.photos):
        path = OUTPUT / name
        if not arguments.check:
            OUTPUT.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        elif not path.is_file() or path.read_bytes() != content:
            different.append(name)
    if different:
        sys.exit("different from what the script makes: " + ", ".join(different))


if __name__ == "__main__":
    main()
