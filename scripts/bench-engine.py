#!/usr/bin/env python3
"""Runs a network of waifu2x in onnxruntime, for `cargo bench --bench engine`.

    bench-engine.py MODEL TILE TILES THREADS

For each line on standard input, runs TILES tiles of TILE pixels (and the 7 around them that
the network looks at) and prints the seconds it took. First of all it prints the version
of onnxruntime. Needs the packages onnxruntime and numpy.
"""

import sys
import time

import numpy
import onnxruntime

MARGIN = 7


def main() -> None:
    model, (tile, tiles, threads) = sys.argv[1], map(int, sys.argv[2:])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    edge = tile + 2 * MARGIN
    levels = numpy.random.default_rng(1).random((1, 3, edge, edge), dtype=numpy.float32)
    inputs = {session.get_inputs()[0].name: levels}
    session.run(None, inputs)
    print(onnxruntime.__version__, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(tiles):
            session.run(None, inputs)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
