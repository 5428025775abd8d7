#!/usr/bin/env python3
# Writes the held-out suite, eval/*.jsonl and eval/suite.json: `python make_suite.py`; with `--check` it says which files differ instead.
# The standard library is all it needs; the same seeds give the same files.
import json
import sys
from pathlib import Path

import corpus
from training.fingerprint import fingerprint

FOLDER = Path(__file__).parent / "eval"
# Task: cases, tokens that an answer may have, the least share that passes.
TASKS = {
    "greetings": (150, 64, 0.95), "facts": (150, 64, 0.95), "arithmetic": (300, 48, 0.90), "letters": (200, 64, 0.95), "words": (200, 64, 0.95), "lists": (200, 96, 0.95),
    "stories": (100, 400, 0.90), "json": (200, 128, 0.90), "tools": (200, 96, 0.90), "recall": (150, 48, 0.90), "long": (100, 48, 0.90), "unknown": (100, 48, 0.90),
}
SUITE = {
    "name": "whinchat-demo",
    "description": "Held-out cases of the demo model's tasks: other seeds, names, numbers, words and phrasings than in training.",
    "minimum": {task: least for task, (_, _, least) in TASKS.items()},
    "minimum_variety": {"stories": 0.8},
}


def main():
    files = {f"{task}.jsonl": jsonl(cases(task, count, max_tokens)) for task, (count, max_tokens, _) in TASKS.items()}
    files["suite.json"] = json.dumps(SUITE, indent=2) + "\n"
    if "--check" in sys.argv[1:]:
        differing = [name for name, text in files.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text]
        sys.exit(f"{', '.join(differing)}: not what the generator makes; run make_suite.py" if differing else 0)
    for name, text in files.items():
        (FOLDER / name).write_text(text)


def jsonl(lines):
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def cases(task, count, max_tokens):
    """`count` different cases; fewer where a task has no more."""
    seen = set()
    for seed in range(20 * count):
        messages, tools, expect = corpus.case(task, seed)
        if fingerprint(messages) in seen or len(seen) == count:
            continue
        seen.add(fingerprint(messages))
        case = {"id": f"{task}-{len(seen):03}", "task": task, "messages": [message_of(**message) for message in messages]}
        if tools:
            case["tools"] = tools
        if "grammar" in expect:
            case |= {"temperature": 0.6, "seed": seed}
        yield case | {"max_tokens": max_tokens, "expect": expect}


def message_of(role, content):
    """A message as clients send it: a call of a tool is no text of the assistant's, which would be text to the model too."""
    begin, end = "<tool_call>", "</tool_call>"
    if role != "assistant" or not content.startswith(begin):
        return {"role": role, "content": content}
    function = json.loads(content.removeprefix(begin).removesuffix(end))
    return {"role": role, "content": None, "tool_calls": [{"type": "function", "function": function}]}


if __name__ == "__main__":
    main()
