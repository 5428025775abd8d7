# Words and letters: spell, reverse, count, sort, first, last.
from .invented import KNOWN
from .pool import Pool
from .pools import WORDS
from .world import assistant, user

SPELL = Pool(
    ["Spell {w}.", "Spell the word {w}.", "How do you spell {w}?", "Can you spell {w}?", "How is {w} spelled?", "Write {w} letter by letter.", "What are the letters of {w}?",
     "Please spell {w} for me.", "Give me the letters of {w}.", "Spell out {w}.", "Tell me the letters of {w}.", "How do I spell {w}?"],
    ["Can you spell the word {w}?", "How is the word {w} spelled?", "Tell me how to spell {w}.", "Please spell the word {w}."])
REVERSE = Pool(
    ["Reverse {w}.", "Reverse the word {w}.", "Spell {w} backwards.", "What is {w} backwards?", "Write {w} backwards.", "Can you reverse {w}?", "Reverse the letters of {w}.",
     "How do you spell {w} backwards?", "Turn {w} around.", "What is {w} in reverse?", "Say {w} backwards.", "Give me {w} in reverse."],
    ["Can you spell {w} backwards?", "Write the word {w} in reverse.", "What is the word {w} backwards?", "Please reverse the word {w}."])
LETTERS = Pool(
    ["How many letters does {w} have?", "How many letters are in {w}?", "Count the letters of {w}.", "How long is the word {w}?", "Count the letters in {w}.",
     "How many letters has {w}?", "What is the length of {w}?", "Number of letters in {w}?", "How many letters are there in {w}?"],
    ["Can you count the letters of {w}?", "How many letters does the word {w} have?", "Tell me how many letters are in {w}."])
FIRST_LETTER = Pool(
    ["What is the first letter of {w}?", "First letter of {w}?", "Which letter does {w} start with?", "With which letter does {w} begin?", "Tell me the first letter of {w}.", "{w} starts with which letter?"],
    ["What is the first letter of the word {w}?", "Which letter does {w} begin with?"])
LAST_LETTER = Pool(
    ["What is the last letter of {w}?", "Last letter of {w}?", "Which letter does {w} end with?", "With which letter does {w} end?", "Tell me the last letter of {w}.", "{w} ends with which letter?"],
    ["What is the last letter of the word {w}?", "Which letter is the last of {w}?"])
SORT = Pool(
    ["Sort these words: {l}", "Sort: {l}", "Sort the words {l}", "Put these words in order: {l}", "Put in alphabetical order: {l}", "Sort alphabetically: {l}", "Order these words: {l}",
     "Can you sort these words? {l}", "Please sort {l}", "Arrange in alphabetical order: {l}", "Sort this list: {l}", "Alphabetical order, please: {l}"],
    ["Can you put these words in alphabetical order? {l}", "Please sort these words alphabetically: {l}", "Sort the following words: {l}"], ["Sort the next words: {l}", "Sort all of these words: {l}", "Sort the words below: {l}", "Order the given words: {l}", "Put the words that come now in order: {l}", "Sort the words of this list: {l}", "Can you sort the list? {l}"])
FLIP = Pool(
    ["Reverse the order of these words: {l}", "Reverse this list: {l}", "Write these words in reverse order: {l}", "Put these words in reverse order: {l}", "Turn this list around: {l}",
     "List in reverse order: {l}", "Reverse the list {l}", "Say these words from last to first: {l}"],
    ["Can you reverse the order of these words? {l}", "Please write this list in reverse order: {l}"], ["Reverse the following list: {l}", "Turn the following words around: {l}", "Write the words of this list from last to first: {l}"])
COUNT = Pool(
    ["How many words are in this list: {l}", "Count the words: {l}", "How many words are these? {l}", "How many words are there: {l}", "Count these words: {l}", "Number of words: {l}",
     "How many words do you see? {l}", "Count the words in this list: {l}", "How many items are in this list? {l}"],
    ["Can you count these words? {l}", "Tell me how many words are in this list: {l}", "How many words are in the list {l}"], ["Count the following words: {l}", "How many are the following words? {l}", "How many words does this list have? {l}"])
FIRST = Pool(
    ["What is the first word of this list: {l}", "What is the first word? {l}", "First word: {l}", "Which word comes first: {l}", "Tell me the first word: {l}", "Give me the first word of {l}", "Which is the first of these words? {l}"],
    ["Can you tell me the first word of this list? {l}", "Which word is first in this list: {l}"], ["What is the first of the following words? {l}", "Tell me the first word of the list: {l}", "Can you say which word of this list comes first? {l}", "With which word does this list begin? {l}"])
LAST = Pool(
    ["What is the last word of this list: {l}", "What is the last word? {l}", "Last word: {l}", "Which word comes last: {l}", "Tell me the last word: {l}", "Give me the last word of {l}", "Which is the last of these words? {l}"],
    ["Can you tell me the last word of this list? {l}", "Which word is last in this list: {l}"], ["What is the last of the following words? {l}", "Tell me the last word of the list: {l}", "Can you say which word of this list comes last? {l}", "With which word does this list end? {l}"])


def word(world):
    """A word; in training often an invented one, so that every token's letters are learned."""
    if world.held_out:
        return world.pick(WORDS)
    return world.pick(KNOWN)[:10] if world.chance(0.4) else world.invented()


def spelled(letters):
    return "-".join(letters)


def letters(world):
    """Tasks about the letters of one word. The answer spells the word first: a reversed or counted word is read off its letters."""
    w = word(world)
    kinds = {
        SPELL: spelled(w),
        REVERSE: f"{spelled(w)} backwards is {spelled(w[::-1])}",
        LETTERS: f"{spelled(w)}: {len(w)} letters",
        FIRST_LETTER: f"{spelled(w)} starts with {w[0]}",
        LAST_LETTER: f"{spelled(w)} ends with {w[-1]}",
    }
    phrasings = world.random.choices(list(kinds), [4, 4, 2, 1, 1])[0]
    shown = f'"{w}"' if world.chance(0.3) else w
    return [user(world.ask(phrasings, w=shown)), assistant(kinds[phrasings])], None


def words(world):
    """Tasks about a list of words."""
    chosen = some(world, world.number(2, 6))
    kinds = {
        SORT: ", ".join(sorted(chosen)),
        FLIP: ", ".join(chosen[::-1]),
        COUNT: f"There are {len(chosen)} words.",
        FIRST: f"The first word is {chosen[0]}.",
        LAST: f"The last word is {chosen[-1]}.",
    }
    phrasings = world.random.choices(list(kinds), [5, 2, 2, 1, 1])[0]
    question = world.ask(phrasings, l=(", " if world.chance(0.7) else " ").join(chosen))
    return [user(question), assistant(kinds[phrasings])], None


def some(world, count):
    """Words that start with different letters mostly, as a sorter of a first lesson would get them; held-out combinations."""
    while True:
        chosen = [world.invented() if not world.held_out and world.chance(0.4) else word for word in world.some(WORDS.train, count)]
        if len({w[0] for w in chosen}) == count and world.mine("words", *sorted(chosen)):
            return chosen
