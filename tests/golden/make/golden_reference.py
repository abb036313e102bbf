"""The same model in f64, written down independently of transformers: says how far f32 itself is from the truth.

The distance of the goldens from this reference is stored beside them, so that a test's tolerance can be a multiple of the
error that the libraries themselves have. It is also a check of the goldens: a wrong mask would be no small distance.
"""

import math

import torch
import torch.nn.functional as functional

IGNORED = -100


def rope(x, cos, sin):
    half = cos.shape[-1]
    low, high, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([low * cos - high * sin, high * cos + low * sin, rest], -1)


def rms_norm(x, weight, epsilon):
    return weight * x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon)


def window_of(config, layer):
    """The keys that a query of the layer sees at most, its own included."""
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    return math.inf if window is None or (types is not None and types[layer] != "sliding_attention") else window


def soft_cap(x, cap):
    return x if cap is None else cap * torch.tanh(x / cap)


def gelu_tanh(x):
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def logits(config, weights, adapter, scale, batch, ropes, text_module):
    """weights: base tensors by name; adapter: PEFT tensors by name; all f64. ropes: each layer's cos, sin [tokens, rotated/2]."""
    is_gemma = config.model_type.startswith("gemma")
    act = gelu_tanh if is_gemma else functional.silu
    score_cap = config.attn_logit_softcapping if config.model_type == "gemma2" else None
    score_divisor = math.sqrt(config.query_pre_attn_scalar if is_gemma else config.head_dim)
    # Gemma stores a norm's weight less 1 and has a norm before the MLP, so that post_attention_layernorm is what its name says.
    offset = 1 if is_gemma else 0
    before_mlp = "pre_feedforward_layernorm" if is_gemma else "post_attention_layernorm"
    heads, groups, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    count = len(batch["tokens"])

    def linear(x, name):
        y = x @ weights[f"{name}.weight"].T
        if f"{name}.bias" in weights:
            y = y + weights[f"{name}.bias"]
        a = adapter.get(f"base_model.model.{name}.lora_A.weight")
        if a is not None:
            y = y + scale(name) * ((x @ a.T) @ adapter[f"base_model.model.{name}.lora_B.weight"].T)
        return y

    def parts(x, module, fused, widths):
        """The results of several layers, which Phi-3 has side by side in one."""
        if f"{module}.{fused}.weight" in weights:
            return linear(x, f"{module}.{fused}").split(list(widths.values()), -1)
        return [linear(x, f"{module}.{name}") for name in widths]

    def normed(x, name):
        """Some families have no such norm."""
        weight = weights.get(f"{name}.weight")
        return x if weight is None else rms_norm(x, weight + offset, config.rms_norm_eps)

    def post_normed(x, name):
        return normed(x, name) if is_gemma else x

    index = torch.arange(count)
    before = (index[None, :] <= index[:, None]) & (index[None, :] >= batch["segment_starts"][:, None])
    x = weights[f"{text_module}.embed_tokens.weight"][batch["tokens"]]
    if is_gemma:
        # The factor is f32's.
        x = x * float(torch.tensor(math.sqrt(config.hidden_size), dtype=torch.float32))
    for layer in range(config.num_hidden_layers):
        prefix = f"{text_module}.layers.{layer}"
        visible = before & (index[:, None] - index[None, :] < window_of(config, layer))
        h = normed(x, f"{prefix}.input_layernorm")
        widths = {"q_proj": heads * size, "k_proj": groups * size, "v_proj": groups * size}
        q, k, v = parts(h, f"{prefix}.self_attn", "qkv_proj", widths)
        q = normed(q.reshape(count, heads, size), f"{prefix}.self_attn.q_norm")
        k = normed(k.reshape(count, groups, size), f"{prefix}.self_attn.k_norm")
        q, k = q.transpose(0, 1), k.transpose(0, 1)
        v = v.reshape(count, groups, size).transpose(0, 1)
        if getattr(config, "no_rope_layers", None) is None or config.no_rope_layers[layer]:
            q, k = rope(q, *ropes[layer]), rope(k, *ropes[layer])
        k = k.repeat_interleave(heads // groups, 0)
        v = v.repeat_interleave(heads // groups, 0)
        scores = soft_cap(q @ k.transpose(1, 2) / score_divisor, score_cap).masked_fill(~visible, -math.inf)
        attended = (scores.softmax(-1) @ v).transpose(0, 1).reshape(count, heads * size)
        x = x + post_normed(linear(attended, f"{prefix}.self_attn.o_proj"), f"{prefix}.post_attention_layernorm")
        h = normed(x, f"{prefix}.{before_mlp}")
        inner = config.intermediate_size
        gate, up = parts(h, f"{prefix}.mlp", "gate_up_proj", {"gate_proj": inner, "up_proj": inner})
        x = x + post_normed(linear(act(gate) * up, f"{prefix}.mlp.down_proj"), f"{prefix}.post_feedforward_layernorm")
    x = normed(x, f"{text_module}.norm")
    head = weights[f"{text_module}.embed_tokens.weight"] if config.tie_word_embeddings else weights["lm_head.weight"]
    return soft_cap(x @ head.T, getattr(config, "final_logit_softcapping", None))


def loss_sum(all_logits, targets):
    return functional.cross_entropy(all_logits, targets, ignore_index=IGNORED, reduction="sum")


def train(compute_loss, adapter, batches, rates, options):
    """AdamW in f64, decay after the step, on the clipped mean gradient; returns the mean losses and the norms."""
    names = list(adapter)
    first = {name: torch.zeros_like(adapter[name]) for name in names}
    second = {name: torch.zeros_like(adapter[name]) for name in names}
    target_count = sum(int((batch["targets"] != IGNORED).sum()) for batch in batches)
    losses, norms = [], []
    for step, rate in enumerate(rates, start=1):
        leaves = {name: adapter[name].detach().requires_grad_() for name in names}
        loss = sum(compute_loss(leaves, batch) for batch in batches) / target_count
        gradients = dict(zip(names, torch.autograd.grad(loss, list(leaves.values()))))
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        clip = min(1.0, options["max_grad_norm"] / (float(norm) + 1e-6))
        losses.append(float(loss.detach()))
        norms.append(float(norm))
        for name in names:
            gradient = gradients[name] * clip
            first[name] = options["beta1"] * first[name] + (1 - options["beta1"]) * gradient
            second[name] = options["beta2"] * second[name] + (1 - options["beta2"]) * gradient**2
            correction = math.sqrt(1 - options["beta2"] ** step)
            size = rate * correction / (1 - options["beta1"] ** step)
            moved = adapter[name] - size * first[name] / (second[name].sqrt() + options["epsilon"] * correction)
            adapter[name] = moved * (1 - rate * options["weight_decay"])
    return losses, norms, adapter
