"""Makes tests/golden/data/responses.json: which tokens are trained when templates mark who speaks in plain text.

    pip install tokenizers==0.23.3
    python make_response_goldens.py

Three masks for each text:

- offsets: by the characters that each token stands for (the tokenizer's own offsets): a token is trained if it ends
  inside a response, which goes from the end of a response template to the next instruction template.
- trl: the rule of TRL's DataCollatorForCompletionOnlyLM.torch_call (trl/trainer/utils.py up to 0.19; TRL 1.16 has no
  such collator), which compares tokens; null if it finds no template and ignores the row.
- unsloth: the rule of train_on_responses_only (unsloth_zoo/dataset_utils.py) with force_match, restated; null as above.
"""

import json
from pathlib import Path

from tokenizers import Tokenizer

DATA = Path(__file__).parents[1] / "data"
KOREAN = "<usr> 안녕하세요? 오늘 날씨는 어때요?\n<bot> 맑고 따뜻합니다.\n<usr> 고마워요!\n<bot> 천만에요."
ALPACA = "Below is an instruction.\n\n### Instruction:\nAdd 1 and 2.\n\n### Response:\n3"
CASES = [
    # (text, response template, instruction template)
    (KOREAN, "<bot>", "<usr>"),
    (KOREAN, "<bot> ", "<usr> "),
    (KOREAN, "<bot>", None),
    ("<usr> 질문<bot> 답", "<bot>", "<usr>"),
    ("<bot> 먼저 말해요.\n<usr> 네.\n<bot> 그래요.", "<bot>", "<usr>"),
    ("<usr> a\n<bot> b\n<usr> c", "<bot>", "<usr>"),
    (ALPACA, "### Response:", None),
    (ALPACA, "### Response:\n", None),
    (ALPACA, "\n### Response:\n", None),
    (ALPACA, "### Response", "### Instruction"),
    ("### Human: hi### Assistant: ho### Human: more### Assistant: no", "### Assistant:", "### Human:"),
    ("Q:a\nA:b\nQ:c\nA:d\n", "A:", "Q:"),
    ("Q: The bot says <bot> often. A: yes", " A:", "Q:"),
    ("### Response:one ### Response:two", "### Response:", None),
    ("user\nWhat?\nassistant\n", "assistant\n", "user\n"),
    ("no template at all", "<bot>", "<usr>"),
    ("Größe? 東京 🗼", "? ", None),
    ("東京🗼東京", "京🗼", None),
]


def spans(text, response, instruction):
    if instruction is None:
        last = text.rfind(response)
        return [] if last == -1 else [(last + len(response), len(text))]
    found, at = [], text.find(response)
    while at != -1:
        start = at + len(response)
        end = text.find(instruction, start)
        end = len(text) if end == -1 else end
        found.append((start, end))
        at = text.find(response, end)
    return found


def by_offsets(text, offsets, response, instruction):
    found = spans(text, response, instruction)
    if not found:
        return None
    mask = [int(any(start < to <= end for start, end in found)) for _, to in offsets]
    # A character of several tokens, all of which have its offsets, is whole with the last of them.
    return mask, found[-1][1] == len(text)


def matches(ids, part):
    return [i for i in range(len(ids)) if ids[i:i + len(part)] == part]


def by_trl(ids, response, instruction):
    mask = [1] * len(ids)
    responses = [i + len(response) for i in matches(ids, response)]
    if not responses:
        return None
    if instruction is None:
        return [0] * responses[-1] + mask[responses[-1]:]
    humans = matches(ids, instruction)
    if not humans:
        return None
    if humans[0] > responses[0]:
        humans = [0] + humans
    for index, (start, end) in enumerate(zip(humans, responses)):
        start = start if index else 0
        mask[start:end] = [0] * (end - start)
    if len(responses) < len(humans):
        mask[humans[-1]:] = [0] * (len(ids) - humans[-1])
    return mask


def by_unsloth(ids, response, instruction):
    if instruction is None or not matches(ids, response):
        return None
    mask, at = [0] * len(ids), 0
    while at < len(ids):
        if ids[at:at + len(response)] != response:
            at += 1
            continue
        start = at = at + len(response)
        while at < len(ids) and ids[at:at + len(instruction)] != instruction:
            at += 1
        mask[start:at] = [1] * (at - start)
    return mask


def main():
    cases = []
    for name in ("byte_level", "byte_fallback"):
        tokenizer = Tokenizer.from_file(str(DATA / name / "tokenizer.json"))
        for text, response, instruction in CASES:
            encoding = tokenizer.encode(text, add_special_tokens=False)
            tokens_of = lambda part: None if part is None else tokenizer.encode(part, add_special_tokens=False).ids
            found = by_offsets(text, encoding.offsets, response, instruction)
            cases.append({
                "tokenizer": name,
                **{"text": text, "response": response, "instruction": instruction},
                "ids": encoding.ids,
                "offsets": None if found is None else found[0],
                "trains_end": found is not None and found[1],
                "trl": by_trl(encoding.ids, tokens_of(response), tokens_of(instruction)),
                "unsloth": by_unsloth(encoding.ids, tokens_of(response), tokens_of(instruction)),
            })
    (DATA / "responses.json").write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")
    for rule in ("trl", "unsloth"):
        print(rule, sum(case[rule] == case["offsets"] for case in cases), "of", len(cases), "as by offsets")


main()
