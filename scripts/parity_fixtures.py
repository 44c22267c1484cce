#!/usr/bin/env python3
"""Writes small inputs and what onnxruntime makes of them, for the tests of the engine.

    pip install --requirement scripts/bench-requirements.txt pillow==13.0.0
    scripts/parity_fixtures.py --models DIR

`--models` names a directory with the four files of `convert_models.py`. Written is
`tests/fixtures/engine/`: numbers as 32-bit floats, little-endian, and `index.json` with
their shapes. Inputs are seeded and come out the same every time; outputs do on the same
machine, and differ by some millionths on another.
"""

import argparse
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests" / "fixtures" / "engine"
SEED = 20240417


class Fixtures:
    """Writes the files and remembers their shapes."""

    def __init__(self, models: Path):
        self.models = models
        self.index = {}

    def write(self, name: str, array: np.ndarray) -> dict:
        array = np.ascontiguousarray(array, dtype="<f4")
        (OUTPUT / f"{name}.f32").write_bytes(array.tobytes())
        return {"file": f"{name}.f32", "shape": list(array.shape)}

    def run(self, name: str, picture: np.ndarray, shared: dict | None = None) -> dict:
        """Runs the model `name` on `picture` and records both; returns the outputs."""
        path = self.models / f"{name}.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options)
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, {"picture": picture}), strict=True))
        self.index[name] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "picture": shared or self.write(f"{name}.picture", picture),
            "outputs": {key: self.write(f"{name}.{key}", value) for key, value in outputs.items()},
        }
        return outputs


def pattern(seed: int, height: int, width: int) -> np.ndarray:
    """Slopes, an edge and noise, RGB in 0 to 1, as a batch of one."""
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, (1, 3, height, width))
    rows, columns = np.mgrid[0:height, 0:width]
    slope = rows / (2 * height) + columns / (4 * width)
    edge = np.where(columns + rows > (height + width) / 2, 0.2, 0.0)
    return (noise + slope + edge + 0.05).clip(0, 1).astype(np.float32)


def portrait() -> np.ndarray:
    """The face of `examples/photos/portrait.jpg` in 64x64 pixels, RGB in 0 to 255."""
    with Image.open(ROOT / "examples" / "photos" / "portrait.jpg") as photo:
        face = photo.convert("RGB").crop((10, 20, 260, 270)).resize((64, 64), Image.Resampling.BOX)
    return np.asarray(face, dtype=np.float32).transpose(2, 0, 1)[np.newaxis]


def overlapping() -> dict:
    """Outputs as CenterFace could give them, of 6x8 cells: 8 above the threshold.

    Some overlap more than is allowed, some less, some reach beyond the picture, one is just below the threshold.
    """
    random = np.random.default_rng(SEED)
    heatmap = random.uniform(0, 0.4, (1, 1, 6, 8))
    cells = {
        (1, 1): 0.9, (1, 2): 0.8, (2, 1): 0.7, (4, 6): 0.95,
        (5, 7): 0.6, (0, 7): 0.55, (5, 0): 0.51, (3, 4): 0.65,
    }
    for (row, column), score in cells.items():
        heatmap[0, 0, row, column] = score
    heatmap[0, 0, 2, 6] = 0.499
    return {
        "heatmap": heatmap.astype(np.float32),
        "scale": random.uniform(0.9, 1.5, (1, 2, 6, 8)).astype(np.float32),
        "offset": random.uniform(-0.5, 0.5, (1, 2, 6, 8)).astype(np.float32),
        "landmarks": random.uniform(0, 1, (1, 10, 6, 8)).astype(np.float32),
    }


def decode(outputs: dict, threshold: float = 0.5, most_overlap: float = 0.3) -> list[dict]:
    """The faces in CenterFace's outputs, best first.

    After the description of the model's outputs; written without the program's own
    decoder in view, so that one checks the other.
    """
    heatmap, scale = outputs["heatmap"][0, 0], outputs["scale"][0]
    offset, landmarks = outputs["offset"][0], outputs["landmarks"][0]
    height, width = (4.0 * side for side in heatmap.shape)
    faces = []
    for row, column in zip(*np.where(heatmap > threshold), strict=True):
        box_height = 4 * math.exp(scale[0, row, column])
        box_width = 4 * math.exp(scale[1, row, column])
        left = (column + offset[1, row, column] + 0.5) * 4 - box_width / 2
        top = (row + offset[0, row, column] + 0.5) * 4 - box_height / 2
        left, top = min(max(left, 0.0), width), min(max(top, 0.0), height)
        point = landmarks[:, row, column]
        faces.append(
            {
                "score": float(heatmap[row, column]),
                "left": float(left),
                "top": float(top),
                "right": float(min(left + box_width, width)),
                "bottom": float(min(top + box_height, height)),
                "landmarks": [
                    [float(left + point[2 * j + 1] * box_width), float(top + point[2 * j] * box_height)]
                    for j in range(5)
                ],
            }
        )
    kept = []
    for face in sorted(faces, key=lambda face: -face["score"]):
        if all(overlap(face, other) < most_overlap for other in kept):
            kept.append(face)
    return kept


def overlap(a: dict, b: dict) -> float:
    """The area both boxes share over the area either has."""
    width = max(0.0, min(a["right"], b["right"]) - max(a["left"], b["left"]))
    height = max(0.0, min(a["bottom"], b["bottom"]) - max(a["top"], b["top"]))

    def area(box: dict) -> float:
        return (box["right"] - box["left"]) * (box["bottom"] - box["top"])

    return width * height / (area(a) + area(b) - width * height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="where the models are")
    fixtures = Fixtures(parser.parse_args().models)
    OUTPUT.mkdir(parents=True, exist_ok=True)

    # 16x12 pixels and the 7 that are reflected at each edge in use.
    shared = pattern(SEED, 30, 26)
    fixtures.run("waifu2x-photo-n0", shared)
    same = fixtures.index["waifu2x-photo-n0"]["picture"]
    fixtures.run("waifu2x-photo-n3", shared, shared=same)
    fixtures.run("realesrgan-x4plus", pattern(SEED + 1, 12, 10))
    outputs = fixtures.run("centerface", portrait())
    fixtures.index["centerface"]["faces"] = decode(outputs)
    made_up = overlapping()
    fixtures.index["centerface-decode"] = {
        "outputs": {key: fixtures.write(f"decode.{key}", value) for key, value in made_up.items()},
        "faces": decode(made_up),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in fixtures.index.items()]
    (OUTPUT / "index.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
