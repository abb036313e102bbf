"""The probabilities of the next token after transformers' temperature, top-k and top-p: python golden_sampling.py"""

import json
from pathlib import Path

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

PATH = Path(__file__).parents[2] / "exports" / "sampling.json"
SETTINGS = [(1.0, 1.0, 0), (0.7, 0.9, 0), (1.3, 1.0, 5), (0.8, 0.5, 7), (2.0, 0.05, 0), (0.5, 0.99, 3)]


def main():
    torch.manual_seed(3)
    logits = (torch.randn(24) * 2).tolist()
    cases = []
    for temperature, top_p, top_k in SETTINGS:
        scores = torch.tensor([logits])
        scores = TemperatureLogitsWarper(temperature)(None, scores)
        if top_k > 0:
            scores = TopKLogitsWarper(top_k)(None, scores)
        if top_p < 1:
            scores = TopPLogitsWarper(top_p)(None, scores)
        probabilities = torch.softmax(scores, -1)[0].tolist()
        cases.append({"temperature": temperature, "top_p": top_p, "top_k": top_k, "probabilities": probabilities})
    PATH.write_text(json.dumps({"logits": logits, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
