"""Writes the demo's dataset: English instructions for string operations that the base knows in code form only.

    python make_dataset.py assets

No word of the held-out prompts occurs in the train split, so an exact match there is not memory.
"""

import json
import sys
from pathlib import Path

from demo_language import OPERATIONS, WORDS, instruction, new_rng

HELD_OUT_WORDS = 50
TRAIN_ROWS = 1500
SEED = 1


def rows_of(rng, words):
    """Every operation on every word, but those whose answer is empty or the word itself; in random order."""
    rows = [instruction(rng, name, word) for word in words for name in OPERATIONS]
    rows = [{"prompt": row[0], "completion": row[1]} for row in rows if row is not None]
    rng.shuffle(rows)
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(path, len(rows), "rows")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng = new_rng("dataset", SEED)
    words = list(WORDS)
    rng.shuffle(words)
    held_out, train = words[:HELD_OUT_WORDS], words[HELD_OUT_WORDS:]
    write(folder / "held_out.jsonl", rows_of(rng, held_out))
    write(folder / "train.jsonl", rows_of(rng, train)[:TRAIN_ROWS])


if __name__ == "__main__":
    main()
