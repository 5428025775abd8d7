# Words that there are not: some look like words (each letter drawn by the two before it, as the corpus's own words have them), some are
# pieces of words put together, so that every piece is copied and spelled after every other.
import re
from collections import defaultdict
from pathlib import Path

from . import pools
from .pool import Pool

END = "$"
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class Letters:
    """A chain over letters (order two, ends included), counted in a list of words."""

    def __init__(self, words):
        self.following = defaultdict(list)
        for word in words:
            padded = "^^" + word + END
            for i in range(2, len(padded)):
                self.following[padded[i - 2 : i]].append(padded[i])

    def word(self, random):
        while True:
            word = self.chained(random) if random.random() < 0.4 else pieced(random)
            if 3 <= len(word) <= 10 and word not in pools.WORDS.test:
                return word

    def chained(self, random):
        while True:
            word = "^^"
            while word[-1] != END and len(word) < 12:
                word += random.choice(self.following[word[-2:]])
            if word[-1] == END:
                return word[2:-1]


def pieced(random):
    """Pieces of one to five letters, cut from known words; now and then letters alone."""
    if random.random() < 0.15:
        return "".join(random.choice(ALPHABET) for _ in range(random.randint(3, 7)))
    return "".join(piece(random.choice(KNOWN), random) for _ in range(random.choice([1, 2, 2, 2, 3])))


def piece(word, random):
    start = random.choice([0, 0, random.randrange(len(word))])
    return word[start : start + random.choice([1, 2, 2, 3, 3, 4, 5])]


def known_words():
    """The words of training: pools and the grammar of the stories."""
    texts = [" ".join(pool.train) for pool in vars(pools).values() if isinstance(pool, Pool)]
    texts += [" ".join(words) for words in pools.CATEGORIES.values()]
    texts.append((Path(__file__).parents[1] / "eval" / "stories.gbnf").read_text())
    return sorted(set(re.findall(r"[a-z]{3,}", " ".join(texts).lower())) - set(pools.WORDS.test))


KNOWN = known_words()
LETTERS = Letters(KNOWN)
