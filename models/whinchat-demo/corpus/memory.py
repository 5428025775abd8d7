# Facts of the conversation: given earlier, or far back in a long text, or never given.
from .pools import CITIES, COLOURS, FOODS, HOBBIES, ITEMS, JOBS, PETS
from .stories import filler
from .talk import FACT_TABLE, GREETING_TABLE, by_name, question
from .pool import Pool
from .world import assistant, user

# Fact: how it is given, how it is asked, the answer, the answer when it was never given, what it draws from.
FACTS = {
    "name": (Pool(["Remember that my name is {v}.", "My first name is {v}.", "Note my name: {v}.", "Remember my name, {v}."], ["Please remember: my name is {v}.", "My first name, by the way, is {v}."]),
             Pool(["What is my name?", "Do you remember my name?", "Who am I?", "What am I called?", "Tell me my name.", "Say my name."], ["Can you tell me my name?", "Do you know my name?"]),
             "Your name is {v}.", "You have not told me your name.", lambda w: w.name()),
    "city": (Pool(["I live in {v}.", "My home is {v}.", "My city is {v}.", "Remember that I live in {v}.", "I am from {v}."], ["Please remember: I live in {v}.", "My home city is {v}."]),
             Pool(["Where do I live?", "Which city do I live in?", "What is my city?", "Where is my home?", "Tell me where I live."], ["Do you remember where I live?", "Can you tell me which city I live in?"]),
             "You live in {v}.", "You have not told me where you live.", lambda w: w.value(CITIES)),
    "colour": (Pool(["My favourite colour is {v}.", "I like the colour {v} best.", "The colour I love is {v}.", "Remember that my favourite colour is {v}."], ["Please remember: my favourite colour is {v}."]),
               Pool(["What is my favourite colour?", "Which colour do I like best?", "What colour do I love?", "Tell me my favourite colour."], ["Do you remember my favourite colour?", "Can you tell me which colour I like best?"]),
               "Your favourite colour is {v}.", "You have not told me your favourite colour.", lambda w: w.value(COLOURS)),
    "pet": (Pool(["I have a {v}.", "My pet is a {v}.", "At home I have a {v}.", "Remember that I have a {v}."], ["Please remember: I have a {v}.", "At home there is my pet, a {v}."]),
            Pool(["Which pet do I have?", "What animal do I have?", "What is my pet?", "Tell me what pet I have."], ["Do you remember which pet I have?", "Can you tell me what animal I have?"]),
            "You have a {v}.", "You have not told me about a pet.", lambda w: w.value(PETS)),
    "age": (Pool(["I am {v} years old.", "My age is {v}.", "I turned {v} this year.", "Remember that I am {v} years old."], ["Please remember: I am {v} years old."]),
            Pool(["How old am I?", "What is my age?", "Tell me my age.", "How many years old am I?"], ["Do you remember how old I am?", "Can you tell me my age?"]),
            "You are {v} years old.", "You have not told me your age.", lambda w: w.number(18, 99)),
    "job": (Pool(["I work as a {v}.", "My job is {v}.", "I am a {v}.", "Remember that I work as a {v}."], ["Please remember: I work as a {v}."]),
            Pool(["What is my job?", "What do I work as?", "What work do I do?", "Tell me my job."], ["Do you remember my job?", "Can you tell me what I work as?"]),
            "You work as a {v}.", "You have not told me your job.", lambda w: w.value(JOBS)),
    "hobby": (Pool(["My hobby is {v}.", "I love {v}.", "In my free time I do {v}.", "Remember that my hobby is {v}."], ["Please remember: my hobby is {v}."]),
              Pool(["What is my hobby?", "What do I do in my free time?", "Which hobby do I have?", "Tell me my hobby."], ["Do you remember my hobby?", "Can you tell me which hobby I have?"]),
              "Your hobby is {v}.", "You have not told me your hobby.", lambda w: w.value(HOBBIES)),
    "food": (Pool(["My favourite food is {v}.", "I like to eat {v} best.", "The food I love is {v}.", "Remember that my favourite food is {v}."], ["Please remember: my favourite food is {v}."]),
             Pool(["What is my favourite food?", "What do I like to eat?", "Which food do I love?", "Tell me my favourite food."], ["Do you remember my favourite food?", "Can you tell me what I like to eat?"]),
             "Your favourite food is {v}.", "You have not told me your favourite food.", lambda w: w.value(FOODS)),
    "number": (Pool(["My lucky number is {v}.", "The number to remember is {v}.", "Remember the number {v}.", "My number is {v}."], ["Please remember: my number is {v}.", "Please remember the number {v}."]),
               Pool(["What is my number?", "Which number did I tell you?", "What was the number?", "Tell me my number."], ["Do you remember my number?", "Can you tell me the number?"]),
               "Your number is {v}.", "You have not told me a number.", lambda w: w.number(100, 9999)),
}
NOTED = "I will remember that."

UNKNOWN = Pool(
    ["What is the capital of {x}?", "Who was {x}?", "Who is {x}?", "When was {x} born?", "Who wrote the book {x}?", "Where is {x}?", "How high is {x}?", "What will the weather be tomorrow?",
     "Who won the match yesterday?", "What is the price of gold?", "How do I cook {x}?", "What does {x} mean?", "Translate {x} into French.", "How many people live in {x}?", "What happened in 1848?",
     "Who is the president of {x}?", "What is the square root of 7?", "Explain quantum physics.", "Write a poem about {x}.", "How far is the moon?", "What is the meaning of life?", "Tell me a joke.",
     "What is the news today?", "How do I fix my car?", "What is {x}?", "Write a program that sorts numbers.", "Why is the sky blue?", "How old is the earth?", "When did {x} begin?", "Which river flows through {x}?",
     "What time is it?", "What day is it today?", "What is the weather in {x}?", "Do you know {x}?", "How tall is {x}?", "What is the phone number of {x}?", "Is {x} a good place?", "Can you recommend a film?", "What should I eat?",
     "Who invented {x}?", "How does {x} work?", "Who painted {x}?", "What is a good book?", "Which team is the best?", "How do I get to {x}?", "What did {x} say?", "Summarize the book {x}.", "Will it rain?"],
    ["What is the capital city of {x}?", "When was the city of {x} built?", "Who is the king of {x}?", "How do I travel to {x}?", "What is the weather like in {x} today?", "Which language do they speak in {x}?", "Who discovered {x}?",
     "Explain to me how {x} works.", "Tell me the news of today.", "How many rivers are in {x}?"],
    ["Which languages do people speak in {x}?", "What language is spoken in {x}?", "Which language do people in {x} use?", "How many lakes are there in {x}?", "How many streets are in {x}?", "How many mountains does {x} have?"])
DO_NOT_KNOW = "I do not know that. I am a very small model."

HIDDEN = Pool(
    ["The code of the {x} is {n}.", "The number of the {x} is {n}.", "Note that the {x} has the number {n}.", "On the {x} stands the number {n}."],
    ["It is known that the number of the {x} is {n}.", "The {x} has the code {n}."])
HIDDEN_QUESTION = Pool(
    ["What is the code of the {x}?", "What is the number of the {x}?", "Which number has the {x}?", "Tell me the number of the {x}.", "What number does the {x} have?"],
    ["Can you tell me the number of the {x}?", "Which code has the {x}?"])
READ = Pool(["Read this text: {t}", "Here is a text: {t}", "{t}", "Text: {t}", "Please read: {t}", "Remember this text: {t}"], ["Please read this text: {t}", "Here is a long text: {t}"])


def recall(world):
    """Facts about the user, other talk between, and questions about them."""
    facts = world.some(list(FACTS), world.number(1, 4))
    values = {fact: FACTS[fact][4](world) for fact in facts}
    turns = []
    for fact in facts:
        introduced = fact == "name" and world.chance(0.5)
        turns += by_name(world, values[fact]) if introduced else [user(world.ask(FACTS[fact][0], v=values[fact])), assistant(NOTED)]
        if world.chance(0.3):
            turns += question(world, world.pick(world.pick([GREETING_TABLE, FACT_TABLE])))[0]
    asked = world.some(facts, 1 if world.held_out else world.number(1, len(facts)))
    for fact in asked:
        turns += [user(world.ask(FACTS[fact][1])), assistant(FACTS[fact][2].format(v=values[fact]))]
    return turns, None


def unknown(world):
    """What the model cannot know: the world, and what the user never told."""
    if world.chance(0.25):
        told, missing = world.some(list(FACTS), 2)
        turns = []
        if world.chance(0.6):
            turns = [user(world.ask(FACTS[told][0], v=FACTS[told][4](world))), assistant(NOTED)]
        return turns + [user(world.ask(FACTS[missing][1])), assistant(FACTS[missing][3])], None
    x = world.pick([world.name, lambda: world.invented().capitalize(), lambda: world.pick(CITIES), lambda: world.name() + " " + world.invented().capitalize()])()
    return [user(world.ask(UNKNOWN, x=x)), assistant(DO_NOT_KNOW)], None


def long_text(world):
    """Numbers of things, hidden in a long text (up to about 1,800 tokens), and questions about them."""
    things = [f"{colour} {item}" for colour, item in zip(world.some(COLOURS.train, 5), world.some(ITEMS.train, 5))]
    things = things if world.held_out else [thing if world.chance(0.6) else world.invented() for thing in things]
    numbers = [world.number(100, 9999) for _ in things]
    longest = 4 if world.held_out else 6.6
    length = int((6 if world.held_out else 1) * 2 ** (world.random.random() * longest))
    sentences = [filler(world) for _ in range(length)]
    for thing, number in zip(things, numbers):
        sentences.insert(world.number(0, len(sentences)), world.pick(HIDDEN).format(x=thing, n=number))
    questions = [(world.ask(HIDDEN_QUESTION, x=x), f"The number of the {x} is {n}.") for x, n in zip(things, numbers)]
    questions = questions[: 1 if world.held_out else 5]
    asked, answer = questions[0]
    turns = [user(world.pick(READ).format(t=" ".join(sentences)) + "\n" + asked), assistant(answer)]
    for asked, answer in questions[1:]:
        turns += [user(asked), assistant(answer)]
    return turns, None
