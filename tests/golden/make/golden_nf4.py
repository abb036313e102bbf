"""NF4 codes, absmax and double quantisation from bitsandbytes' own functions on the CPU."""

import numpy
import torch
from bitsandbytes import functional
from safetensors.torch import save_file


def near_ties(generator):
    """Blocks whose scaled weights lie on the midpoints between codes, and one step of f32 beside them."""
    code = functional.get_4bit_type("nf4", device="cpu")
    midpoints = ((code[:-1] + code[1:]) / 2).numpy()
    up = numpy.nextafter(midpoints, numpy.float32(2))
    down = numpy.nextafter(midpoints, numpy.float32(-2))
    values = numpy.concatenate([midpoints, up, down, [1.0] * 19]).astype(numpy.float32)
    scales = torch.tensor([1.0, 0.75, 3.0, 0.1, 7.0e-3, 1.0 / 3.0, 1.9999999, 1.1])
    rows = torch.from_numpy(values)[None, :] * scales[:, None]
    return rows[:, torch.randperm(64, generator=generator)]


def cases():
    """Name -> weight [rows, columns] in f32 (or in bf16, which bitsandbytes widens first)."""
    generator = torch.Generator().manual_seed(20240)

    def normal(rows, columns, scale=0.02):
        return torch.randn(rows, columns, generator=generator) * scale

    zeros_between = normal(6, 64)
    zeros_between[2] = 0
    zeros_between[4, 1:] = 0
    spread = normal(40, 64) * 10 ** (torch.rand(40, 1, generator=generator) * 4 - 2)
    yield "matrix", normal(24, 40)
    yield "tail_of_odd_count", normal(7, 41)
    yield "one_element", normal(1, 1)
    yield "one_short_of_a_block", normal(1, 63)
    yield "one_block", normal(1, 64)
    yield "one_more_than_a_block", normal(1, 65)
    yield "zero_blocks", zeros_between
    yield "all_zero", torch.zeros(3, 64)
    yield "zero_tail", torch.cat([normal(1, 64), torch.zeros(1, 64)], 1)[:, :100].contiguous()
    yield "near_ties", near_ties(generator)
    yield "tiny", normal(2, 80, 1e-40)
    yield "huge", normal(2, 80, 5e37)
    yield "wide_spread", spread
    yield "equal_blocks", torch.full((5, 64), 0.5)
    # More than 256 blocks, a last group of 17, and a tail of 32 weights.
    yield "many_blocks", normal(1, 64 * 273 - 32).to(torch.bfloat16)


def means():
    """Inputs that any language can make: ((i·2654435761 mod 2^32) >> 8) / 2^24, exact in f32."""
    counts = [1, 7, 8, 9, 31, 32, 33, 255, 511, 512, 513, 2047, 2048, 4099, 16384, 16391, 65537, 600011]
    for count in counts:
        index = torch.arange(count, dtype=torch.int64)
        values = ((index * 2654435761 % 2**32) >> 8).to(torch.float32) / 2**24
        yield count, values.mean()


def write(path):
    tensors = {"dynamic_map": functional.create_dynamic_map()}
    for name, weight in cases():
        plain, plain_state = functional.quantize_4bit(weight, quant_type="nf4")
        nested, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
        assert torch.equal(plain, nested)
        assert torch.equal(state.state2.code, tensors["dynamic_map"])
        plain_state.dtype = state.dtype = torch.float32
        tensors |= {
            f"{name}.weight": weight,
            f"{name}.codes": plain.reshape(-1),
            f"{name}.absmax": plain_state.absmax,
            f"{name}.values": functional.dequantize_4bit(plain, plain_state),
            f"{name}.absmax_codes": state.absmax,
            f"{name}.nested_absmax": state.state2.absmax,
            f"{name}.nested_offset": state.offset.reshape(1),
            f"{name}.nested_values": functional.dequantize_4bit(nested, state),
        }
    tensors |= {f"mean.{count}": mean.reshape(1) for count, mean in means()}
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
