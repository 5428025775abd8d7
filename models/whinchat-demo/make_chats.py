#!/usr/bin/env python3
# Prints conversations of the demo model's tasks, one JSON object a line with `messages`, for calibration and evaluation of its variants:
# `python make_chats.py FIRST COUNT`. The same seeds give the same conversations; those of other seeds are others.
import json
import sys

import corpus


def main():
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for seed in range(first, first + count):
        messages, tools = corpus.conversation(seed, late=True)
        # A list of messages has no place for tools.
        if not tools and not any("<tool_call>" in message["content"] for message in messages):
            print(json.dumps({"messages": messages}, ensure_ascii=False))


if __name__ == "__main__":
    main()
