# What a task draws from: randomness from a seed, and pools whose held-out half training never sees.
import random

SYLLABLES = [c + v for c in "b br c d dr f fl g gr h j k l m n p pr r s sh st t th tr v w z".split() for v in "a e i o u ai ee ia o".split()]
ENDINGS = "n l r s k m t x nd lin ra ro na ta len mir dor vik sa ".split(" ")
STARTS = ["", "", "", "Please ", "please ", "Hey, ", "Hi. ", "OK. ", "So, ", "Now ", "Can you help? ", "Question: ", "One more: ", "Next: "]


class Pool:
    """Things to choose from: `train` for the corpus, `test` for the held-out suite."""

    def __init__(self, train, test):
        self.train, self.test = list(train), list(test)
        assert not set(self.train) & set(self.test), set(self.train) & set(self.test)

    @classmethod
    def split(cls, things, every=6):
        """Holds out every `every`-th thing."""
        things = list(dict.fromkeys(things))
        return cls([t for i, t in enumerate(things) if i % every], [t for i, t in enumerate(things) if i % every == 0])


class World:
    """One conversation's randomness. `held_out` chooses the side of every pool."""

    def __init__(self, seed, held_out=False):
        self.random = random.Random(seed)
        self.held_out = held_out

    def pick(self, pool):
        """One thing of a pool's side, or of a plain list."""
        if isinstance(pool, Pool):
            pool = pool.test if self.held_out else pool.train
        return self.random.choice(pool)

    def some(self, pool, count):
        """`count` different things of a pool's side, or of a plain list, in random order."""
        if isinstance(pool, Pool):
            pool = pool.test if self.held_out else pool.train
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

    def name(self):
        """A first name: invented from syllables in training, so that copying is learned and not a list; real or unseen when held out."""
        if self.held_out or self.chance(0.3):
            return self.pick(NAMES)
        return self.invented()

    def invented(self):
        count = self.random.choice([1, 1, 2, 2, 2])
        return ("".join(self.random.choice(SYLLABLES) for _ in range(count)) + self.random.choice(ENDINGS)).capitalize()

    def ask(self, phrasings, exact=False, **slots):
        """A question in one of the phrasings of this side, as people type: with a word before it, without capitals or stops (`exact`: as it is)."""
        text = self.pick(phrasings).format(**slots)
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


NAMES = Pool.split(
    """Anna Ben Clara David Emma Felix Grace Henry Iris Jonas Kira Leo Mira Noah Olga Paul Quinn Rosa Simon Tara Ugo Vera Walter Xenia Yusuf Zoe
    Adam Bella Carlos Dina Erik Fatima George Hana Ivan Julia Karl Lena Marco Nina Oscar Petra Rafael Sara Tom Ursula Viktor Wanda Yara Zane
    Alma Boris Celia Dario Elena Frida Gustav Helga Ines Jakob Katya Lukas Marta Nils Otto Pia Rita Stefan Tessa Uma Vito Willa Yuki Zora
    Amir Bianca Cyrus Delia Enzo Flora Gina Hugo Ida Joel Klara Luis Mona Nadia Omar Polly Rhea Sven Theo Vince Wilma Abel Brita Chen Dora""".split(), every=5)
