"""Loss and LoRA gradients of the first micro-batch of gqa_tied with a weight for each of its documents."""

import torch
from safetensors.torch import save_file

import golden_ladder

CASE, WEIGHTS = "gqa_tied", [0.5, 1.0, 2.75]


def write(path, root):
    case = golden_ladder.CASES[CASE]
    model = golden_ladder.load_quantized(root / CASE / "model", case["double_quantization"])
    model = golden_ladder.put_lora(case, model)
    batch = golden_ladder.make_batches(case)[0]
    starts = batch["segment_starts"]
    weights = torch.tensor(WEIGHTS)[torch.unique(starts, return_inverse=True)[1]]
    losses = torch.nn.functional.cross_entropy(
        golden_ladder.forward(model, batch).logits[0], batch["targets"], ignore_index=golden_ladder.IGNORED, reduction="none"
    )
    loss = (weights * losses).sum()
    loss.backward()
    tensors = {name: parameter.grad.clone() for name, parameter in golden_ladder.lora_parameters(model).items()}
    save_file({"loss": loss.detach().reshape(1), "weights": weights} | tensors, path)
