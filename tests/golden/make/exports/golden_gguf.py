"""A small GGUF file as Python's own writer makes it, Q8_0 as gguf quantises, and rows as llama.cpp's script permutes them.

    python golden_gguf.py

Needs the package gguf (0.19.0); it has an environment of its own, since it is no part of the other goldens.
"""

import base64
import json
import tempfile
from pathlib import Path

import gguf
import numpy

PATH = Path(__file__).parents[2] / "exports" / "gguf.json"


def text(array):
    return base64.b64encode(array.tobytes()).decode()


def permute(weights, heads):
    """LlamaModel.permute of convert_hf_to_gguf.py."""
    return (
        weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)
    )


def small_file(matrix, vector):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_type("model")
        writer.add_block_count(2)
        writer.add_rope_freq_base(10000.5)
        writer.add_add_bos_token(True)
        writer.add_token_list(["a", "▁b", ""])
        writer.add_token_types([1, 3, 6])
        writer.add_token_scores([0.0, -1.5, -2.0])
        writer.add_tensor("matrix", matrix.astype(numpy.float16))
        writer.add_tensor("vector", vector)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def main():
    random = numpy.random.default_rng(1)
    values = (random.standard_normal((6, 64)) * random.choice([0.01, 1, 300], (6, 1))).astype(numpy.float32)
    values[2, :32] = 0
    matrix = numpy.arange(15, dtype=numpy.float32).reshape(3, 5) / 4
    vector = numpy.array([1, 2.5, -3], dtype=numpy.float32)
    rows = numpy.arange(8 * 3, dtype=numpy.float32).reshape(8, 3)
    golden = {
        "values": text(values),
        "q8_0": text(gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)),
        "small": base64.b64encode(small_file(matrix, vector)).decode(),
        "permuted": permute(rows, 2).tolist(),
    }
    PATH.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
