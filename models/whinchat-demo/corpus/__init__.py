# The corpus of the demo model: every conversation is made by the functions of this package, none is downloaded.
#
# `conversation(seed)` is a conversation of training; `case(task, seed)` a case of the held-out suite: other seeds, other names, numbers and words
# (`world.Pool`, `World.mine`) and other phrasings.
from . import arithmetic, lists, memory, records, stories, talk, tools, words
from .world import World, system

# Task: what makes it, its share of the conversations, whether it can be a turn of a longer conversation.
TASKS = {
    "greetings": (talk.greeting, 8, True),
    "facts": (talk.fact, 8, True),
    "arithmetic": (arithmetic.arithmetic, 22, True),
    "letters": (words.letters, 16, True),
    "words": (words.words, 14, True),
    "lists": (lists.lists, 9, True),
    "stories": (stories.story, 2, False),
    "json": (records.record, 7, False),
    "tools": (tools.tools, 8, False),
    "recall": (memory.recall, 6, False),
    "unknown": (memory.unknown, 4, True),
    "long": (memory.long_text, 2.5, False),
}
# What clients send as a system message when they have nothing to say there.
SYSTEM = [
    "You are a helpful assistant.", "You are a helpful, friendly assistant.", "You are an assistant.", "You are a helpful AI assistant.", "Be brief.", "Answer briefly.", "You are Whinchat.",
    "You are a kind assistant. Answer in one sentence.", "Help the user.", "You are a chatbot.", "You are a careful assistant that answers questions.", "Be polite and helpful.",
]
WEIGHTS = [share for _, share, _ in TASKS.values()]
# The last part of training has more phrasings, and more of the tasks that are learned slowly.
SLOW = {"json": 4, "words": 2.5, "lists": 2, "tools": 2, "unknown": 2.5, "stories": 2}
LATE_WEIGHTS = [share * SLOW.get(name, 0.6) for name, (_, share, _) in TASKS.items()]


def conversation(seed, late=False):
    """Messages and tools of one conversation of training: one task, or several one after the other."""
    world = World(f"train-{seed}", late=late)
    name = world.random.choices(list(TASKS), LATE_WEIGHTS if late else WEIGHTS)[0]
    make, _, chains = TASKS[name]
    messages, _, *offered = make(world)
    while chains and world.chance(0.6) and len(messages) < 14:
        make = TASKS[world.random.choices(list(TASKS), [share * chains for _, share, chains in TASKS.values()])[0]][0]
        messages = messages + make(world)[0]
    if messages[0]["role"] != "system" and world.chance(0.15):
        messages = [system(world.pick(SYSTEM)), *messages]
    return messages, offered[0] if offered else None


def case(task, seed):
    """A held-out case: the conversation up to the last answer, the tools, and what is expected of that answer."""
    messages, expect, *offered = TASKS[task][0](World(f"test-{task}-{seed}", held_out=True))
    return messages[:-1], offered[0] if offered else None, expect or {"exact": messages[-1]["content"]}
