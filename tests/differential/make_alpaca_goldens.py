"""Makes shared/data/examples/alpaca_goldens.json: Alpaca rows through Stanford's two prompts, restated here, by str.format_map.

    python make_alpaca_goldens.py

Needs Python's own library alone.
"""

import json
from pathlib import Path

TARGET = Path(__file__).parents[2] / "shared/data/examples/alpaca_goldens.json"

# train.py of https://github.com/tatsu-lab/stanford_alpaca
PROMPT_DICT = {
    "prompt_input": (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
    ),
    "prompt_no_input": (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{instruction}\n\n### Response:"
    ),
}

ROWS = [
    {"instruction": "Name a colour.", "input": "", "output": "Red"},
    {"instruction": "Name a colour.", "output": "Red"},
    {"instruction": "Swap the ends.", "input": "mint", "output": "tinm"},
    {"instruction": "Keep {input} and {0}: 100%\n", "input": " {instruction}\n", "output": "\n{output} $& `"},
    {"instruction": "Größe 東京 👩‍👩‍👧", "input": "$1 \\n \"q\"", "output": " two\n\nlines "},
    {"instruction": "", "input": " ", "output": "x"},
]


def case(row):
    form = PROMPT_DICT["prompt_input" if row.get("input", "") != "" else "prompt_no_input"]
    return {"row": row, "prompt": form.format_map(row), "completion": row["output"]}


lines = ",\n".join(json.dumps(case(row), ensure_ascii=False) for row in ROWS)
TARGET.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
