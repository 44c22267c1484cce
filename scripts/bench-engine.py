#!/usr/bin/env python3
"""Runs a network in onnxruntime, for `cargo bench --bench engine`.

    bench-engine.py MODEL EDGE TILES THREADS AT_ONCE

First of all it prints the version of onnxruntime and the peak of memory before the model
is loaded. Then, for each line on standard input, it runs TILES tiles of EDGE pixels,
AT_ONCE at a time on THREADS threads each, and prints the seconds it took and the peak of
memory, in MiB. Needs the packages of bench-requirements.txt, and Linux.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import onnxruntime


def peak() -> float:
    """The most memory this process has had, in MiB."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def main() -> None:
    model, (edge, tiles, threads, at_once) = sys.argv[1], map(int, sys.argv[2:])
    print(onnxruntime.__version__, peak(), flush=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    levels = numpy.random.default_rng(1).random((1, 3, edge, edge), dtype=numpy.float32)
    inputs = {session.get_inputs()[0].name: levels}

    def run(_: int) -> None:
        session.run(None, inputs)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, range(at_once)))
        for _ in sys.stdin:
            start = time.perf_counter()
            list(pool.map(run, range(tiles)))
            print(time.perf_counter() - start, peak(), flush=True)


if __name__ == "__main__":
    main()
