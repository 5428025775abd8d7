# What a task draws from: randomness from a seed, pools with a held-out half, and invented words.
import random

from .invented import LETTERS
from .pool import Pool
from .pools import NAMES

STARTS = ["", "", "", "Please ", "please ", "Hey, ", "Hi. ", "OK. ", "So, ", "Now ", "Can you help? ", "Question: ", "One more: ", "Next: "]


class World:
    """One conversation's randomness. `held_out` chooses the side of every pool, `late` all that the training side has."""

    def __init__(self, seed, held_out=False, late=False):
        self.random = random.Random(seed)
        self.held_out, self.late = held_out, late

    def side(self, pool):
        return pool.test if self.held_out else pool.late if self.late else pool.train

    def pick(self, pool):
        """One thing of a pool's side, or of a plain list."""
        if isinstance(pool, Pool):
            pool = self.side(pool)
        return self.random.choice(pool)

    def some(self, pool, count):
        """`count` different things of a pool's side, or of a plain list, in random order."""
        if isinstance(pool, Pool):
            pool = self.side(pool)
        return self.random.sample(pool, count)

    def number(self, low, high):
        return self.random.randint(low, high)

    def chance(self, probability):
        return self.random.random() < probability

    def mine(self, *key):
        """Whether this side owns a combination: one in eight is held out, by a hash that does not change."""
        value = 2166136261
        for byte in repr(key).encode():
            value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
        return (value >> 7) % 8 == 0 if self.held_out else (value >> 7) % 8 != 0

    def owned(self, draw):
        """Draws until the combination is this side's."""
        while True:
            key = draw()
            if self.mine(key):
                return key

    def value(self, pool):
        """Something to be repeated: of the pool, or in training as often invented, so that what is learned is to copy and not the pool."""
        known = self.pick(pool)
        if self.held_out or self.chance(0.45):
            return known
        return self.invented().capitalize() if known[0].isupper() else self.invented()

    def name(self):
        """A first name."""
        return self.value(NAMES)

    def invented(self):
        """A word that there is not, of three to nine letters."""
        return LETTERS.word(self.random)

    def phrasing(self, pool):
        """A phrasing of this side; in training also in another form."""
        return self.pick(pool.forms) if pool.forms and not self.held_out and self.chance(0.3) else self.pick(pool)

    def ask(self, phrasings, exact=False, **slots):
        """A question in one of the phrasings of this side, as people type: with a word before it, without capitals or stops (`exact`: as it is)."""
        text = self.phrasing(phrasings).format(**slots)
        if exact:
            return text
        start = self.random.choice(STARTS if "lease" not in text else STARTS[:3])
        if start and start[-2] not in ".:?" and text[:2] not in ("I ", "I'"):
            text = text[0].lower() + text[1:]
        text = start + text
        if self.chance(0.12):
            text = text[0].lower() + text[1:]
        if self.chance(0.15) and text[-1] in ".?!":
            text = text[:-1]
        return text


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def system(content):
    return {"role": "system", "content": content}


def tool(content):
    return {"role": "tool", "content": content}
