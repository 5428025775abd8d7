# Sums, differences, products and quotients of numbers up to two digits, plain and in small stories.
from .pools import GOODS
from .pool import Pool
from .world import assistant, user

PLAIN = Pool(
    ["What is {a} {op} {b}?", "{a} {op} {b}", "{a} {op} {b} =", "{a} {op} {b} = ?", "Calculate {a} {op} {b}.", "How much is {a} {op} {b}?", "What's {a} {op} {b}?",
     "Compute {a} {op} {b}.", "What is the result of {a} {op} {b}?", "Tell me what {a} {op} {b} is.", "Solve {a} {op} {b}.", "{a} {op} {b} is what?", "Work out {a} {op} {b}.",
     "What does {a} {op} {b} give?", "I need {a} {op} {b}.", "Do you know {a} {op} {b}?", "And {a} {op} {b}?", "What do I get for {a} {op} {b}?"],
    ["Can you calculate {a} {op} {b}?", "Tell me the result of {a} {op} {b}.", "What is {a} {op} {b}, please?", "I want to know how much {a} {op} {b} is."],
)
SIGNS = {"+": ["+", "+", "plus"], "-": ["-", "-", "minus"], "*": ["*", "x", "times", "*"], "/": ["/", "divided by", "/"]}
IN_WORDS = {
    "+": Pool(["Add {a} and {b}.", "What is the sum of {a} and {b}?", "Give me the sum of {a} and {b}.", "Add {b} to {a}.", "Sum of {a} and {b}"], ["Calculate the sum of {a} and {b}.", "Can you add {a} and {b}?"]),
    "-": Pool(["Subtract {b} from {a}.", "What is {a} less {b}?", "Take {b} away from {a}.", "What is the difference between {a} and {b}?"], ["Can you subtract {b} from {a}?", "Calculate the difference between {a} and {b}."]),
    "*": Pool(["Multiply {a} by {b}.", "What is the product of {a} and {b}?", "Multiply {a} and {b}.", "Product of {a} and {b}"], ["Can you multiply {a} by {b}?", "Calculate the product of {a} and {b}."]),
    "/": Pool(["Divide {a} by {b}.", "How often does {b} go into {a}?", "What is {a} split by {b}?"], ["Can you divide {a} by {b}?", "Calculate {a} divided by {b}."]),
}
STORIES = {
    "+": Pool(
        ["{n} finds {a} {things} and buys {b}. How many {things} does {n} have?", "{n} had {a} {things} and found {b} more. How many {things} does {n} have now?",
         "{n} has {a} {things} and buys {b} more. How many {things} does {n} have?", "{n} has {a} {things} and gets {b} more. How many {things} does {n} have now?",
         "{n} finds {a} {things} in the morning and {b} in the evening. How many {things} does {n} have?", "There are {a} {things} in a box. {n} adds {b} {things}. How many {things} does {n} have?"],
        ["{n} has {a} {things} and finds {b} more. How many {things} does {n} have now?", "{n} buys {a} {things} in the morning and {b} in the evening. How many {things} does {n} have?"]),
    "-": Pool(
        ["{n} has {a} {things} and sells {b} of them. How many {things} are left?", "{n} had {a} {things} and lost {b}. How many {things} does {n} have now?", "{n} sells {b} of {a} {things}. How many {things} does {n} have?",
         "{n} has {a} {things} and loses {b}. How many {things} does {n} have?", "{n} has {a} {things} and gives away {b}. How many {things} does {n} have now?",
         "{n} had {a} {things} and sold {b} of them. How many {things} does {n} have?", "{n} has {a} {things}. {b} are taken away. How many {things} does {n} have?"],
        ["{n} had {a} {things} and gave away {b} of them. How many {things} does {n} have now?", "{n} has {a} {things} and sells {b}. How many {things} does {n} have?"]),
    "*": Pool(
        ["{n} has {a} boxes with {b} {things} each. How many {things} does {n} have?", "{n} buys {a} bags with {b} {things} in each. How many {things} does {n} have?"],
        ["{n} has {a} bags with {b} {things} each. How many {things} does {n} have?"]),
}


def numbers(world, op):
    """A pair of this side of the split. Tables of multiplication are learned whole: their held-out part are the phrasings."""
    low = world.number(1, 12)
    if op == "*":
        return low, world.number(1, 12)
    if op == "/":
        return low * world.number(1, 12), low
    top = 99 if world.chance(0.85) else 20
    _, low, high = world.owned(lambda: (op, *sorted((world.number(0, top), world.number(0, top)))))
    larger_first = world.chance(0.5) if op == "+" else world.chance(0.85)
    return (high, low) if larger_first else (low, high)


def result(op, a, b):
    return {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[op]


def arithmetic(world):
    """A question about two numbers; the answer repeats it, so that the model reads each number once more before it answers."""
    op = world.pick("++++-----**/")
    a, b = numbers(world, op)
    answer = f"{a} {op} {b} = {result(op, a, b)}"
    if op in STORIES and a >= b > 1 and world.chance(0.25):
        name, things = world.name(), world.value(GOODS)
        question = world.pick(STORIES[op]).format(n=name, a=a, b=b, things=things)
        return [user(question), assistant(f"{answer}. {name} has {result(op, a, b)} {things}.")], None
    phrasings = IN_WORDS[op] if world.chance(0.25) else PLAIN
    return [user(world.ask(phrasings, a=a, b=b, op=world.pick(SIGNS[op])))] + [assistant(answer)], None
