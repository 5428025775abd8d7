# Words that there are not, which look like words: each letter is drawn by the two before it, as the corpus's own words have them.
import re
from collections import defaultdict
from pathlib import Path

from . import pools
from .pool import Pool

END = "$"


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
            word = "^^"
            while word[-1] != END and len(word) < 12:
                word += random.choice(self.following[word[-2:]])
            if word[-1] == END and 3 <= len(word) - 3 <= 9 and word[2:-1] not in pools.WORDS.test:
                return word[2:-1]


def known_words():
    """The words of training: pools and the grammar of the stories."""
    texts = [" ".join(pool.train) for pool in vars(pools).values() if isinstance(pool, Pool)]
    texts += [" ".join(words) for words in pools.CATEGORIES.values()]
    texts.append((Path(__file__).parents[1] / "eval" / "stories.gbnf").read_text())
    return sorted(set(re.findall(r"[a-z]{3,}", " ".join(texts).lower())) - set(pools.WORDS.test))


KNOWN = known_words()
LETTERS = Letters(KNOWN)
