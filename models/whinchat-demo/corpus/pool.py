# A pool: things to choose from, with a held-out half that training never sees; phrasings come in more forms in training.
import re

VERBS = set(
    """Add Arrange Calculate Change Compute Convert Count Describe Divide Explain Extract Find Give Introduce Invent List Make Message Multiply Name
    Order Play Put Remind Repeat Reverse Say Search Send Set Show Solve Sort Spell Start Subtract Take Tell Translate Turn Wake Work Write""".split()
)
QUESTIONS = set("What Which Who Where When How Why Is Are Do Does Can Must May".split())
ORDERS = ["Can you {}?", "Could you {}?", "Will you {}?", "Would you please {}?", "I want you to {}.", "I would like you to {}.", "Be so kind and {}.", "{}, please.", "{} for me."]
ASKED = ["Tell me: {}", "Can you tell me: {}", "I have a question. {}", "My question: {}", "I want to know: {}", "Say, {}", "Do you know it? {}"]


class Pool:
    """Things to choose from: `train` for the corpus, `test` for the held-out suite; `late` are more of training's for its last part; `forms` are other forms of training's phrasings, none of them held out."""

    def __init__(self, train, test, late=()):
        self.train, self.test, self.late = list(train), list(test), [*train, *late]
        assert not set(self.late) & set(self.test), set(self.late) & set(self.test)
        held_out = {plain(text) for text in self.test}
        self.forms = [form for text in self.train for form in forms(text) if plain(form) not in held_out]

    @classmethod
    def split(cls, things, every=6):
        """Holds out every `every`-th thing."""
        things = list(dict.fromkeys(things))
        return cls([t for i, t in enumerate(things) if i % every], [t for i, t in enumerate(things) if i % every == 0])


def forms(text):
    """An order as a request, a question after an announcement."""
    first = text.split(" ")[0]
    if " " not in text or first not in VERBS | QUESTIONS:
        return []
    if first in QUESTIONS:
        return [form.format(text) for form in ASKED] + indirect(text[:-1]) if text.endswith("?") else []
    lowered = text[0].lower() + text[1:]
    if not text.endswith("."):
        return [form.format(lowered).rstrip("?.") for form in ORDERS[:6]]
    return [form.format(lowered[:-1]) if form[0] != "{" else form.format(text[:-1]) for form in ORDERS]


def indirect(question):
    """'What is it' as 'Tell me what it is.', 'How do I go' as 'Tell me how to go.'"""
    told = ["Tell me {}.", "Can you tell me {}?", "Do you know {}?", "I want to know {}.", "Please tell me {}.", "Could you tell me {}?"]
    if found := re.match(r"(What|Who|Where) (is|are|was) (?!it )(.+)", question):
        word, verb, rest = found.groups()
        return [form.format(f"{word.lower()} {rest} {verb}") for form in told]
    if found := re.match(r"How (?:do|can) I (.+)", question):
        return [form.format(f"how to {found[1]}") for form in [*told, "Show me {}.", "Explain {}."]]
    return []


def plain(text):
    return re.sub(r"[^a-z0-9{}]+", " ", text.lower()).strip()
