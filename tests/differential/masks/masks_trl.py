"""What transformers and TRL make of chats: token ids and which of them they train.

    pip install transformers==5.23.0 tokenizers==0.23.3 trl==1.16.0 datasets==5.2.0 jinja2==3.1.6
    python masks_trl.py goldens           # our templates (templates/) -> goldens.json, which the tests read
    python masks_trl.py trl /tmp/masks    # TRL's own templates -> a file for masks_trl.ts, which prints the table

TRL's templates are other people's work and stay out of the repository. The chats are ours (chats.json). Today is
26 July 2024 here, as in lorafleet, where templates cannot ask for the date.
"""

import datetime
import json
import re
import sys
from pathlib import Path

import transformers.utils.chat_template_utils as chat_template_utils
import trl
from tokenizers import AddedToken
from transformers import AutoTokenizer
from trl.chat_template_utils import get_training_chat_template, has_generation_markers
from trl.data_utils import _tokenize, common_prefix_length

HERE = Path(__file__).parent
BASE = HERE.parents[1] / "golden" / "data" / "byte_level"
CHATS = json.loads((HERE / "chats.json").read_text(encoding="utf-8"))
# Tags such as <think> are left out: models have them as ordinary tokens, since texts may hold them.
MARKER = re.compile(r"<[|｜][^|｜<>'\" ]*[|｜]>|<start_of_turn>|<end_of_turn>|\[/?[A-Z_]+\]")


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


class DatelessEnvironment(chat_template_utils.ImmutableSandboxedEnvironment):
    """Templates that ask whether there is a date get none, as in lorafleet."""

    def from_string(self, source, *args, **kwargs):
        if re.search(r"strftime_now\s+is\s+(not\s+)?defined", source):
            self.globals.pop("strftime_now", None)
        return super().from_string(source, *args, **kwargs)


def save_tokenizer(folder, markers):
    """The tests' small tokenizer; with `markers`, these are special tokens of it, as in a chat model."""
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.add_special_tokens({"additional_special_tokens": [
        AddedToken(marker, special=True, normalized=False) for marker in sorted(markers)]})
    tokenizer.save_pretrained(folder)
    # The number of threads and such are no part of a tokenizer.
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(
        json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    for extra in folder.iterdir():
        if extra.name not in ("tokenizer.json", "tokenizer_config.json"):
            extra.unlink()
    return AutoTokenizer.from_pretrained(folder)


def refusal(error):
    return {"refused": f"{type(error).__name__}: {str(error)[:120]}"}


def mask_text(mask):
    return "".join(str(bit) for bit in mask)


def assistant_case(tokenizer, template, chat):
    """A row with messages under assistant_only_loss."""
    try:
        out = _tokenize(tokenizer, chat["messages"], chat_template=template, tools=chat.get("tools"),
                        return_assistant_tokens_mask=True)
    except Exception as error:
        return refusal(error)
    if 1 not in out["assistant_masks"][1:]:
        return {"refused": "nothing to train"}
    return {"ids": out["input_ids"], "mask": mask_text(out["assistant_masks"])}


def completion_case(tokenizer, template, chat):
    """The same chat as prompt and completion (its last message) under completion_only_loss."""
    prompt, completion = chat["messages"][:-1], chat["messages"][-1:]
    options = {"chat_template": template, "tools": chat.get("tools")}
    try:
        ids = _tokenize(tokenizer, prompt + completion, **options)["input_ids"]
        prompt_ids = _tokenize(tokenizer, prompt, add_generation_prompt=True, **options)["input_ids"]
    except Exception as error:
        return refusal(error)
    start = common_prefix_length(prompt_ids, ids)
    if start == len(ids):
        return {"refused": "nothing to train"}
    return {"ids": ids, "mask": mask_text([0] * start + [1] * (len(ids) - start))}


def rendered(tokenizer, template, chat):
    try:
        return tokenizer.apply_chat_template(
            chat["messages"], chat_template=template, tools=chat.get("tools"), tokenize=False)
    except Exception:
        return None


def cases_of(tokenizer, name, template, training):
    cases = []
    for chat_name, chat in CHATS.items():
        texts = [rendered(tokenizer, one, chat) for one in (template, training)]
        cases.append({
            "template": name, "chat": chat_name,
            "assistant": assistant_case(tokenizer, training, chat) if training else {"refused": ""},
            # TRL may train another text than the template of the model writes.
            "has_training": training is not None,
            "same_text": training is not None and texts[0] == texts[1],
            "completion": completion_case(tokenizer, template, chat),
        })
    return cases


def training_template(tokenizer, template):
    if has_generation_markers(template):
        return template
    tokenizer.chat_template = template
    try:
        return get_training_chat_template(tokenizer)
    except ValueError:
        return None


def goldens():
    templates = {path.stem: path.read_text(encoding="utf-8") for path in sorted((HERE / "templates").glob("*.jinja"))}
    markers = {marker for source in templates.values() for marker in MARKER.findall(source)}
    folder = HERE / "tokenizer"
    folder.mkdir(exist_ok=True)
    tokenizers = {"mask_tokenizer": save_tokenizer(folder, markers), "data_byte_level": AutoTokenizer.from_pretrained(BASE)}
    cases = [{"tokenizer": key, **shorter(case)} for key, tokenizer in tokenizers.items()
             for name, source in templates.items() for case in cases_of(tokenizer, name, source, source)]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    (HERE / "goldens.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(len(cases), "cases")


def shorter(case):
    """With the ids once, and of the completion's mask where it begins; -1 where there is nothing to train."""
    assistant, completion = case["assistant"], case["completion"]
    ids = completion.get("ids") or assistant.get("ids") or []
    assert assistant.get("ids", ids) == ids and completion.get("ids", ids) == ids
    return {"template": case["template"], "chat": case["chat"], "ids": ids, "assistant": assistant.get("mask", ""),
            "completion": completion.get("mask", "").find("1")}


def of_trl(target):
    target.mkdir(parents=True, exist_ok=True)
    folder = Path(trl.__file__).parent / "chat_templates"
    templates = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}
    markers = {marker for source in templates.values() for marker in MARKER.findall(source)}
    result = {"chats": CHATS, "templates": templates, "tokenizers": {}, "cases": []}
    for key, special in {"special": markers, "plain": set()}.items():
        place = target / key
        place.mkdir(exist_ok=True)
        tokenizer = save_tokenizer(place, special)
        result["tokenizers"][key] = str(place)
        for name, source in templates.items():
            training = training_template(tokenizer, source)
            result["cases"] += [{"tokenizer": key, **case} for case in cases_of(tokenizer, name, source, training)]
    (target / "trl.json").write_text(json.dumps(result), encoding="utf-8")
    print(len(templates), "templates,", len(result["cases"]), "cases ->", target / "trl.json")


if __name__ == "__main__":
    chat_template_utils.datetime = FixedDate
    chat_template_utils.ImmutableSandboxedEnvironment = DatelessEnvironment
    if sys.argv[1:2] == ["goldens"]:
        goldens()
    elif sys.argv[1:2] == ["trl"] and len(sys.argv) == 3:
        of_trl(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
