# A pool: things to choose from, with a held-out half that training never sees.


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
