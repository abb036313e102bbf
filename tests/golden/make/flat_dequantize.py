"""Makes bitsandbytes dequantise 4-bit weights on the CPU as it does on CUDA, whatever the CPU is.

Blocks of 64 run over the flattened weight, across the ends of rows. The AVX-512 code of bitsandbytes 0.50.2 counts blocks
from the start of each row instead: where the row length is a multiple of 16 but not of 64, it takes the wrong absmax for
part of the weight. bitsandbytes' own implementation in PyTorch ("default") counts as CUDA does, so that one is used.
"""

import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.backends.utils import _get_4bit_code

_library = torch.library.Library("bitsandbytes", "IMPL")


def _dequantize(A, absmax, blocksize, quant_type, shape, dtype):
    code = _get_4bit_code(quant_type, A.device)
    return _dequantize_4bit_compute(A.reshape(-1), absmax, code, blocksize, shape, dtype)


def install():
    _library.impl("dequantize_4bit", _dequantize, "CPU", allow_override=True)
