"""Loads an adapter that lorafleet wrote with the real PEFT and compares the logits.

    python check_adapter.py --model <folder> --adapter <folder> --logits <file> [--single-quantization]

The file is what `writeLogits` of golden.ts writes: tokens, positions, segment_starts and logits of one micro-batch.
"""

import argparse
import sys

import torch

torch.set_num_threads(1)

import flat_dequantize

flat_dequantize.install()

from peft import PeftModel
from safetensors.torch import load_file

import golden_ladder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the base model's folder")
    parser.add_argument("--adapter", required=True, help="the folder with adapter_model.safetensors")
    parser.add_argument("--logits", required=True, help="a file of writeLogits")
    parser.add_argument("--single-quantization", action="store_true", help="NF4 without double quantisation")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative to the largest logit")
    options = parser.parse_args()

    file = load_file(options.logits)
    batch = {key: file[key].long() for key in ("tokens", "positions", "segment_starts")}
    base = golden_ladder.load_quantized(options.model, not options.single_quantization)
    model = PeftModel.from_pretrained(base, options.adapter)
    model.eval()
    with torch.no_grad():
        expected = golden_ladder.forward(model, batch).logits[0].float()
        with model.disable_adapter():
            without = golden_ladder.forward(model, batch).logits[0].float()
    scale = float(expected.abs().max())
    error = float((expected - file["logits"]).abs().max())
    effect = float((expected - without).abs().max())
    print(f"largest logit {scale:.6g}, largest difference {error:.3g}, effect of the adapter {effect:.3g}")
    if not error <= options.tolerance * scale:
        sys.exit(f"the logits differ by more than {options.tolerance} of the largest")
    if effect <= 10 * error:
        sys.exit("the adapter changes too little for this to be a check")


if __name__ == "__main__":
    main()
