# A reader of grammars in llama.cpp's GBNF notation (the part without recursion and repetition) that makes random texts.
import re

TOKEN = re.compile(r'\s*(?:#[^\n]*\n)?\s*("(?:[^"\\]|\\.)*"|\[[^\]]*\][+*?]?(?:\{\d+,\d+\})?|::=|[()|?]|[a-z][a-z0-9-]*)')


class Grammar:
    def __init__(self, text):
        self.rules = {}
        for block in re.split(r"\n(?=[a-z][a-z0-9-]* ::=)", "\n" + re.sub(r"^#.*$", "", text, flags=re.M)):
            if block.strip():
                name, body = block.split("::=", 1)
                self.rules[name.strip()] = parse_choice(tokens(body))

    def expand(self, rule, random, bound):
        """A text of a rule. Rules in `bound` are that text; those bound to None are chosen once and kept."""
        if bound.get(rule) is not None:
            return bound[rule]
        text = self.text(self.rules[rule], random, bound)
        if rule in bound:
            bound[rule] = text
        return text

    def text(self, node, random, bound):
        kind, value = node
        if kind == "literal":
            return value
        if kind == "rule":
            return self.expand(value, random, bound)
        if kind == "choice":
            return self.text(random.choice(value), random, bound)
        if kind == "optional":
            return self.text(value, random, bound) if random.random() < 0.5 else ""
        if kind == "class":
            raise ValueError(f"{value}: a character class must be bound to a text")
        return "".join(self.text(part, random, bound) for part in value)

    def choices(self, rule):
        """The literals of a rule that is a list of them."""
        kind, value = self.rules[rule]
        return [literal for _, literal in (value if kind == "choice" else [(kind, value)])]


def tokens(body):
    return TOKEN.findall(body)[::-1]


def parse_choice(rest):
    options = [parse_sequence(rest)]
    while rest and rest[-1] == "|":
        rest.pop()
        options.append(parse_sequence(rest))
    return options[0] if len(options) == 1 else ("choice", options)


def parse_sequence(rest):
    parts = []
    while rest and rest[-1] not in "|)":
        parts.append(parse_item(rest))
    return parts[0] if len(parts) == 1 else ("sequence", parts)


def parse_item(rest):
    token = rest.pop()
    if token == "(":
        node = parse_choice(rest)
        assert rest.pop() == ")"
    elif token[0] == '"':
        node = ("literal", token[1:-1].replace('\\"', '"'))
    elif token[0] == "[":
        node = ("class", token)
    else:
        node = ("rule", token)
    if rest and rest[-1] == "?":
        rest.pop()
        node = ("optional", node)
    return node
