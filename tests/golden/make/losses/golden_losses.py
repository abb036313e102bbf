"""Loss and LoRA gradients of the first micro-batch of gqa_tied under other losses than the plain sum."""

import torch
from safetensors.torch import save_file
from transformers.trainer_pt_utils import LabelSmoother

import golden_ladder
import golden_reference

CASE, FACTOR, WEIGHTS = "gqa_tied", 0.1, [0.5, 1.0, 2.75]
MESSAGE_WEIGHTS = [0.3, 1.0, 4.5, 0.01]


def smoothed(logits, batch):
    """transformers' LabelSmoother; the goldens' targets are shifted already, and a count of 1 leaves the sum."""
    loss = LabelSmoother(epsilon=FACTOR)({"logits": logits[None]}, batch["targets"][None], num_items_in_batch=1)
    return loss, {"factor": torch.tensor([FACTOR])}


def weighted(logits, batch):
    """A weight for each of the documents."""
    weights = torch.tensor(WEIGHTS)[torch.unique(batch["segment_starts"], return_inverse=True)[1]]
    losses = torch.nn.functional.cross_entropy(
        logits, batch["targets"], ignore_index=golden_ladder.IGNORED, reduction="none"
    )
    return (weights * losses).sum(), {"weights": weights}


def write_message_weights(path, root):
    """Weights that change within a document, every three tokens: the sum and its gradients in f64."""
    case = golden_ladder.CASES[CASE]
    model = golden_ladder.load_quantized(root / CASE / "model", case["double_quantization"])
    base = golden_ladder.dequantized_weights(model)
    model = golden_ladder.put_lora(case, model)
    batch = golden_ladder.make_batches(case)[0]
    config, lora = model.config, case["lora"]
    config.head_dim = config.hidden_size // config.num_attention_heads
    tables = model.base_model.model.model.rotary_emb(torch.zeros(1), batch["positions"][None])
    angles = [x[0, :, : x.shape[-1] // 2].double() for x in tables]
    leaves = {
        name: parameter.detach().double().requires_grad_()
        for name, parameter in golden_ladder.lora_parameters(model).items()
    }
    assert not lora["use_rslora"]
    logits = golden_reference.logits(
        config, base, leaves, lambda _: lora["lora_alpha"] / lora["r"], batch,
        [angles] * config.num_hidden_layers, "model",
    )
    places = torch.arange(len(batch["targets"])) // 3 % len(MESSAGE_WEIGHTS)
    weights = torch.tensor(MESSAGE_WEIGHTS)[places]
    losses = torch.nn.functional.cross_entropy(
        logits, batch["targets"], ignore_index=golden_ladder.IGNORED, reduction="none"
    )
    loss = (weights.double() * losses).sum()
    gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()))))
    tensors = {"loss": loss.detach().reshape(1), "weights": weights} | gradients
    save_file({name: tensor.float() for name, tensor in tensors.items()}, path)


def write(folder, root):
    folder.mkdir(exist_ok=True)
    write_message_weights(folder / "message_weights.safetensors", root)
    for name, loss_of in {"label_smoothing": smoothed, "row_weights": weighted}.items():
        case = golden_ladder.CASES[CASE]
        model = golden_ladder.load_quantized(root / CASE / "model", case["double_quantization"])
        model = golden_ladder.put_lora(case, model)
        batch = golden_ladder.make_batches(case)[0]
        loss, facts = loss_of(golden_ladder.forward(model, batch).logits[0], batch)
        loss.backward()
        gradients = {key: parameter.grad.clone() for key, parameter in golden_ladder.lora_parameters(model).items()}
        save_file({"loss": loss.detach().reshape(1)} | facts | gradients, folder / f"{name}.safetensors")
