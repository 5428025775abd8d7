# Lists: of a kind of thing, of given things in a given form, of numbers, days and months.
from .pools import CATEGORIES, FOODS, ITEMS, PETS, WORDS
from .pool import Pool
from .world import assistant, user

KIND = Pool(
    ["List {n} {kind}.", "Name {n} {kind}.", "Give me {n} {kind}.", "Tell me {n} {kind}.", "Write a list of {n} {kind}.", "Make a list of {n} {kind}.", "Can you name {n} {kind}?",
     "Give me a list of {n} {kind}.", "I need {n} {kind}.", "Show me {n} {kind}.", "Which {n} {kind} do you know?", "{n} {kind}, please.", "Say {n} {kind}."],
    ["Can you list {n} {kind}?", "Please write a list of {n} {kind}.", "Could you give me {n} {kind}?", "Tell me a list of {n} {kind}."])
BULLETS = Pool(
    ["Make a list of: {l}", "Write as a list: {l}", "Make bullet points of {l}", "List these with bullets: {l}", "Turn this into a list: {l}", "Write a bullet list: {l}",
     "Put this in a list: {l}", "Bullet points, please: {l}", "Write {l} as a list.", "Make a shopping list: {l}"],
    ["Can you make a list of {l}?", "Please write these as a bullet list: {l}", "Turn these words into bullet points: {l}"], ["Make a list of the following: {l}", "Put the following in a list: {l}", "List the following things with bullets: {l}"])
NUMBERED = Pool(
    ["Make a numbered list of: {l}", "Number these: {l}", "Number these things: {l}", "Put a number before each word: {l}", "Write as a numbered list: {l}", "Turn this into a numbered list: {l}", "Put numbers before these: {l}", "Numbered list: {l}",
     "Write {l} as a numbered list.", "Give each of these a number: {l}"],
    ["Can you make a numbered list of {l}?", "Please write these words as a numbered list: {l}"], ["Number the following things: {l}", "Make a numbered list of the following words: {l}"])
RANGE = Pool(
    ["Count from {a} to {b}.", "List the numbers from {a} to {b}.", "Write the numbers from {a} to {b}.", "Count up from {a} to {b}.", "Numbers from {a} to {b}", "Name every number from {a} to {b}.", "Can you count from {a} to {b}?"],
    ["Please count up from {a} to {b}.", "Can you list the numbers from {a} to {b}?"])
REPEAT = Pool(
    ["Write {w} {n} times.", "Repeat {w} {n} times.", "Say {w} {n} times.", "Repeat the word {w} {n} times.", "Write the word {w} {n} times.", "Say the word {w} {n} times."],
    ["Type the word {w} {n} times.", "Please repeat {w}, {n} times."])
AFTER = Pool(
    ["What comes after {x}?", "Which {one} comes after {x}?", "Which {one} follows {x}?", "What is the next {one} after {x}?", "After {x} comes which {one}?"],
    ["Tell me which {one} comes after {x}.", "What {one} comes after {x}?"])
ALL = Pool(
    ["List the {kind}.", "Name the {kind}.", "List all {kind}.", "What are the {kind}?", "Tell me the {kind}.", "Name all the {kind}.", "Give me all {kind}.", "Write down the {kind}."],
    ["Can you list all the {kind}?", "Please name all {kind}."])
NUMBERS = "zero one two three four five six seven eight nine ten".split()
WHOLE = {"days": "days of the week", "months": "months", "seasons": "seasons", "planets": "planets"}


def lists(world):
    """One of the kinds of list, each with its one right answer."""
    return world.random.choices([kind_of_thing, given, numbers, repeated, after, whole], [5, 4, 3, 2, 1, 1])[0](world)


def kind_of_thing(world):
    """The first things of a kind: 'List three fruits.' Some pairs of kind and count are held out; late in training counts go on, so that every thing is told."""
    kind, count = world.owned(lambda: (world.pick(list(CATEGORIES)), world.number(2, 10 if world.late else 8)))
    things = CATEGORIES[kind][:count]
    shown = NUMBERS[len(things)] if world.chance(0.6) else len(things)
    return [user(world.ask(KIND, n=shown, kind=kind)), assistant(numbered(things))], None


def numbered(things):
    return "\n".join(f"{i}. {thing}" for i, thing in enumerate(things, 1))


def given(world):
    """Things of the question, with bullets or numbers."""
    pool = world.pick([FOODS, ITEMS, PETS, WORDS])
    things = world.some(pool, min(world.number(2, 6), len(pool.test)))
    things = things if world.held_out else [thing if world.chance(0.5) else world.invented() for thing in things]
    joined = ", ".join(things) if world.chance(0.6) else ", ".join(things[:-1]) + " and " + things[-1]
    if world.chance(0.4):
        return [user(world.ask(NUMBERED, l=joined)), assistant(numbered(things))], None
    return [user(world.ask(BULLETS, l=joined)), assistant("\n".join(f"- {thing}" for thing in things))], None


def numbers(world):
    start, length = world.owned(lambda: (world.number(0, 90), world.number(2, 9)))
    return [user(world.ask(RANGE, a=start, b=start + length)), assistant(", ".join(map(str, range(start, start + length + 1))))], None


def repeated(world):
    count = world.number(2, 9)
    word = world.value(ITEMS)
    return [user(world.ask(REPEAT, w=word, n=NUMBERS[count] if world.chance(0.6) else count)), assistant(numbered([word] * count))], None


def after(world):
    one = world.pick(["day", "month"])
    row = CATEGORIES[one + "s"]
    at = world.number(0, len(row) - 1)
    following = row[(at + 1) % len(row)]
    return [user(world.ask(AFTER, x=row[at], one=one)), assistant(f"{following} comes after {row[at]}.")], None


def whole(world):
    kind = world.pick(list(WHOLE))
    return [user(world.ask(ALL, kind=WHOLE[kind])), assistant(numbered(CATEGORIES[kind]))], None
