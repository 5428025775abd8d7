# What makes two conversations the same question.
import json


def fingerprint(messages):
    """A conversation without its last answer and without what typing changes: the same question is the same, however it is typed."""
    last = max(i for i, m in enumerate(messages) if m["role"] != "assistant")
    return json.dumps([[m["role"], m["content"].lower().strip(" .?!")] for m in messages[: last + 1]])
