"""The chat templates that TRL ships × our chats (chats.json), rendered by transformers.

    pip install transformers==5.23.0 jinja2==3.1.6 trl==1.16.0
    python templates_trl.py > /tmp/trl.json
    deno run -A templates_trl.ts /tmp/trl.json

The templates are other people's: they stay where the package has them.
"""

import json
import sys
from pathlib import Path

import trl
from jinja_reference import render_chat

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def main() -> None:
    chats = json.loads((Path(__file__).parent / "chats.json").read_text())
    results = []
    for path in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja")):
        source = path.read_text()
        for chat in chats:
            result = render_chat(
                source,
                chat["messages"],
                tools=chat.get("tools"),
                documents=chat.get("documents"),
                prompt=chat.get("prompt", False),
                **TOKENS,
                **chat.get("kwargs", {}),
            )
            results.append({"template": path.stem, "source": source, "chat": chat["name"], **result})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
