"""Renders templates as transformers 5.23.0 with Jinja2 3.1.6 does, with a date that stands still."""

import datetime
import json

from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


chat_template_utils.datetime = FixedDatetime


def render_source(source: str, variables: str) -> dict:
    """`variables` is the text of a JSON object. Returns the text, or what was raised."""
    try:
        return {"text": _compile_jinja_template(source).render(**json.loads(variables))}
    except RecursionError as error:
        return {"error": f"RecursionError: {error}"}
    except Exception as error:  # noqa: BLE001 - whatever a template raises is a result
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def render_chat(source: str, messages, tools=None, documents=None, prompt=False, **kwargs) -> dict:
    """The text and what generation blocks wrote, in code points."""
    try:
        texts, ranges = render_jinja_template(
            conversations=[messages],
            tools=tools,
            documents=documents,
            chat_template=source,
            add_generation_prompt=prompt,
            return_assistant_tokens_mask="{% generation" in source or "{%- generation" in source,
            **kwargs,
        )
        return {"text": texts[0], "generated": [list(pair) for pair in ranges[0]] if ranges else []}
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {error}"[:300]}
