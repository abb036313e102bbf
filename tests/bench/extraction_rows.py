"""Chats that ask for a line of four fields: a small extraction task whose answers can be counted exactly.

    python3 extraction_rows.py FOLDER      # writes train.jsonl (400 rows) and eval.jsonl (40), the same ones each time
"""
import json
import random
import sys

NAMES = ["Anna", "Ben", "Chloe", "Dario", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaja", "Liam"]
GOODS = ["apples", "bolts", "candles", "dishes", "erasers", "forks", "gloves", "hats"]
CITIES = ["Oslo", "Porto", "Quito", "Riga", "Seoul", "Tunis", "Utrecht", "Vaduz"]
FORMS = [
    "{n} wants {c} {g} sent to {t}.",
    "Please ship {c} {g} to {t} for {n}.",
    "{c} {g} for {n}, delivery in {t}.",
    "To {t}: {n} ordered {c} {g}.",
]
choices = random.Random(7)


def row() -> str:
    n, g, t = choices.choice(NAMES), choices.choice(GOODS), choices.choice(CITIES)
    c = choices.randint(2, 99)
    return json.dumps({
        "messages": [
            {"role": "system", "content": "Answer with name|count|good|city."},
            {"role": "user", "content": choices.choice(FORMS).format(n=n, g=g, t=t, c=c)},
            {"role": "assistant", "content": f"{n}|{c}|{g}|{t}"},
        ]
    })


def main(folder: str) -> None:
    rows = {}
    while len(rows) < 440:
        rows[row()] = None
    lines = [f"{line}\n" for line in rows]
    for name, part in (("train", lines[:400]), ("eval", lines[400:])):
        with open(f"{folder}/{name}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(part)


main(sys.argv[1])
