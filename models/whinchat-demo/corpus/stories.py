# Short stories from the grammar of eval/stories.gbnf.
from pathlib import Path

from .grammar import Grammar
from .pool import Pool
from .world import assistant, user

GRAMMAR = Grammar((Path(__file__).parents[1] / "eval" / "stories.gbnf").read_text())
PARTS = "opening trait wish journey trouble speech help turn ending".split()
NEEDED = {"opening", "wish", "help", "ending"}
CREATURES = GRAMMAR.choices("creature")
PLACES = GRAMMAR.choices("place")

ABOUT = Pool(
    ["Tell me a story about a {hero}.", "Tell me a short story about a {hero}.", "Write a story about a {hero}.",
     "Write a short story about a {hero}.", "Can you tell me a story about a {hero}?", "I want to hear a story about a {hero}.",
     "Make up a story about a {hero}.", "Please tell a story with a {hero} in it.", "Give me a story about a {hero}.",
     "A story about a {hero}, please.", "Do you know a story about a {hero}?", "Story about a {hero}",
     "Could you write a little story about a {hero}?", "I would like a story about a {hero}.", "Invent a story about a {hero}."],
    ["Would you tell me a little story about a {hero}?", "I would love to hear a story about a {hero}.",
     "Write me a story about a {hero}, please.", "Can you make up a short story about a {hero}?"],
)
PLAIN = Pool(
    ["Tell me a story.", "Tell me a short story.", "Write a story.", "Can you tell me a story?", "I want a story.", "A story, please.",
     "Make up a story.", "Do you know a story?", "Write a short story for me.", "Tell me a bedtime story.", "Another story, please."],
    ["Would you tell me a short story?", "Please write me a story."],
)


def story(world):
    """A request for a story and the story: what the request names is what the story has."""
    bound = {"hero": world.name(), "friend": world.name(), "animal": world.pick(CREATURES), "place": None, "thing": None, "other": None, "tool": None, "food": None}
    question = request(world, bound)
    return [user(question), assistant(text(world, bound))], {"grammar": "stories.gbnf"}


def request(world, bound):
    if world.chance(0.15):
        return world.ask(PLAIN)
    hero = bound["animal"]
    if world.chance(0.5):
        hero += f" named {bound['hero']}"
    if world.chance(0.2):
        bound["place"] = world.pick(PLACES)
        hero += f" who lives {bound['place']}"
    return world.ask(ABOUT, hero=hero)


def text(world, bound):
    parts = [part for part in PARTS if part in NEEDED or world.chance(0.6)]
    return " ".join(GRAMMAR.expand(part, world.random, bound) for part in parts)


def filler(world):
    """One sentence from anywhere in a story, with names of its own."""
    bound = {"hero": world.name(), "friend": world.name()}
    return GRAMMAR.expand(world.pick(PARTS), world.random, bound)
