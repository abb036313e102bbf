"""Loss and LoRA gradients of the first micro-batch of gqa_tied under transformers' LabelSmoother."""

import torch
from safetensors.torch import save_file
from transformers.trainer_pt_utils import LabelSmoother

import golden_ladder

CASE, FACTOR = "gqa_tied", 0.1


def write(path, root):
    case = golden_ladder.CASES[CASE]
    model = golden_ladder.load_quantized(root / CASE / "model", case["double_quantization"])
    model = golden_ladder.put_lora(case, model)
    batch = golden_ladder.make_batches(case)[0]
    logits = golden_ladder.forward(model, batch).logits
    # The goldens' targets are shifted already; a count of 1 leaves the sum.
    loss = LabelSmoother(epsilon=FACTOR)({"logits": logits}, batch["targets"][None], num_items_in_batch=1)
    loss.backward()
    tensors = {name: parameter.grad.clone() for name, parameter in golden_ladder.lora_parameters(model).items()}
    save_file({"loss": loss.detach().reshape(1), "factor": torch.tensor([FACTOR])} | tensors, path)
