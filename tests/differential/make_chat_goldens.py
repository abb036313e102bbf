"""Makes shared/data/chat/template/chat_goldens.json: our own chat templates (templates/) × our chats (chats.json), as transformers renders them.

    pip install transformers==5.23.0 jinja2==3.1.6
    python make_chat_goldens.py
"""

import json
from pathlib import Path

from jinja_reference import render_chat

HERE = Path(__file__).parent
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def main() -> None:
    chats = (HERE / "chats.json").read_text()
    templates = {path.stem: path.read_text() for path in sorted((HERE / "templates").glob("*.jinja"))}
    cases = []
    for template, source in templates.items():
        for chat in json.loads(chats):
            result = render_chat(source, chat["messages"], tools=chat.get("tools"), documents=chat.get("documents"), prompt=chat.get("prompt", False), **TOKENS, **chat.get("kwargs", {}))
            cases.append({"template": template, "chat": chat["name"], **result})
    target = HERE.parents[1] / "shared/data/chat/template/chat_goldens.json"
    target.write_text(json.dumps({"templates": templates, "chats": chats, "cases": cases}, indent=0) + "\n")
    print(f"{len(cases)} cases, {sum('error' in case for case in cases)} refused")


if __name__ == "__main__":
    main()
