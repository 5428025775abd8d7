# Following a JSON schema of the system message: what a text says, as an object with the schema's fields.
import json

from .pools import CITIES, COLOURS, FOODS, HOBBIES, ITEMS, JOBS, PETS
from .pool import Pool
from .world import assistant, system, user

SYSTEM = Pool(
    ["Answer in JSON with this schema: {schema}", "Answer with JSON that follows this schema: {schema}", "Reply with JSON only. Schema: {schema}", "Use this JSON schema for your answer: {schema}",
     "Write the facts of the text as JSON. Schema: {schema}", "Your answer is one JSON object of this schema: {schema}", "Output JSON. The schema is {schema}",
     "Extract the data as JSON, schema: {schema}", "You answer with a JSON object. Its schema: {schema}"],
    ["Reply with a JSON object that follows this schema: {schema}", "Answer only with JSON of this schema: {schema}", "Extract the facts. Answer in JSON, schema: {schema}"])

# Domains: fields by name (other names for them), type, and the sentences that tell them; a sentence's pool is training, held out.
PERSON = {
    "name": (["name", "first_name", "person"], "string", Pool(["This is {name}.", "Meet {name}.", "A person is named {name}.", "Here is {name}."], ["The person is {name}."], ["The name is {name}.", "I write about {name}.", "We speak of {name}."])),
    "age": (["age", "years"], "integer", Pool(["{name} is {age} years old.", "{name} is {age}.", "{age} years is the age of {name}."], ["The age of {name} is {age}."], ["{name} has the age of {age} years.", "{name} turned {age} this year."])),
    "city": (["city", "town", "home"], "string", Pool(["{name} lives in {city}.", "The home of {name} is {city}.", "{name} comes from {city}."], ["{name} has a home in {city}."], ["{name} has a flat in {city}.", "In {city} lives {name}.", "{name} is at home in {city}."])),
    "job": (["job", "profession", "work"], "string", Pool(["{name} works as a {job}.", "{name} is a {job}.", "The job of {name} is {job}."], ["{name} has a job as a {job}."], ["{name} earns money as a {job}.", "{name} has learned to be a {job}.", "{name} has the job of a {job}."])),
    "pet": (["pet", "animal"], "string", Pool(["{name} has a {pet}.", "{name} owns a {pet}.", "The pet of {name} is a {pet}."], ["{name} has a pet, a {pet}."], ["A {pet} lives with {name}.", "{name} has an animal at home: a {pet}.", "{name} bought a {pet} as a pet.", "The animal of {name}, a {pet}, is a good pet.", "{name} feeds a {pet}.", "{name} keeps one animal, a {pet}."])),
    "hobbies": (["hobbies", "likes"], "array", Pool(["{name} likes {hobbies}.", "The hobbies of {name} are {hobbies}.", "{name} loves {hobbies}."], ["{name} really likes {hobbies}."], ["{name} is fond of {hobbies}.", "{name} spends the evenings with {hobbies}."])),
    "married": (["married", "is_married"], "boolean", Pool(["{name} is {not}married."], [])),
}
PRODUCT = {
    "item": (["item", "product", "article"], "string", Pool(["This is the {item}.", "We sell the {item}.", "Look at the {item}.", "Here is the {item}."], ["Please look at the {item}."], ["The article is the {item}.", "I want to sell the {item}."])),
    "price": (["price", "cost"], "integer", Pool(["The {item} costs {price} euros.", "The price of the {item} is {price} euros.", "One pays {price} euros for the {item}."], ["For the {item} one pays {price} euros."], ["For {price} euros one gets the {item}.", "They ask {price} euros for the {item}."])),
    "colour": (["colour", "color"], "string", Pool(["The {item} is {colour}.", "The colour of the {item} is {colour}."], ["The {item} has the colour {colour}."], ["The {item} was painted {colour}.", "The colour is {colour}.", "We have the {item} in {colour}.", "It is a {colour} {item}.", "The {item} has {colour} as its colour.", "{colour} is the colour of the {item}.", "We have the {item} with the colour {colour}.", "The {item} is of the colour {colour}."])),
    "amount": (["amount", "count", "stock"], "integer", Pool(["There are {amount} of it.", "We have {amount} of it.", "The shop has {amount} of it."], ["We have {amount} of it in the shop."], ["In the shop there are {amount} of it.", "{amount} of it are left."])),
    "sizes": (["sizes", "available_sizes"], "array", Pool(["The sizes are {sizes}.", "It comes in {sizes}.", "One can buy it in {sizes}."], ["One can buy the sizes {sizes}."], ["There are the sizes {sizes}.", "We have it in the sizes {sizes}."])),
    "new": (["new", "is_new"], "boolean", Pool(["The {item} is {not}new."], [])),
}
MEETING = {
    "name": (["name", "guest", "with"], "string", Pool(["I meet {name}.", "There is a meeting with {name}.", "The guest is {name}.", "I will talk with {name}."], ["There is a talk with {name}."], ["The talk is with {name}.", "I wait for {name}."])),
    "day": (["day", "weekday"], "string", Pool(["I meet {name} on {day}.", "The meeting with {name} is on {day}.", "{name} comes on {day}."], ["On {day} I meet {name}."], ["On {day} there is a meeting with {name}.", "On {day} {name} comes.", "{day} is the day when I meet {name}.", "I have a meeting with {name} this {day}."])),
    "hour": (["hour", "time"], "integer", Pool(["We meet at {hour} o'clock.", "It starts at {hour} o'clock.", "It is at {hour} o'clock."], ["The meeting is at {hour} o'clock."], ["At {hour} o'clock we meet.", "The talk starts at {hour} o'clock."])),
    "place": (["place", "city", "location"], "string", Pool(["The place is {place}.", "We meet in {place}.", "It is in {place}."], ["The meeting is in {place}."], ["In {place} we meet.", "The talk is in {place}."])),
    "topics": (["topics", "agenda"], "array", Pool(["We talk about {topics}.", "The topics are {topics}."], ["We want to talk about {topics}."], ["We will speak about {topics}.", "I want to ask about {topics}.", "There is much to say about {topics}."])),
    "online": (["online", "is_online"], "boolean", Pool(["It is {not}online."], [])),
}
DOMAINS = [PERSON, PERSON, PRODUCT, MEETING]
SUBJECT = {"name", "item"}


def record(world):
    """A schema, a text, and the object; in training up to three texts for a schema. Some sets of fields are held out."""
    domain = world.pick(DOMAINS)
    subject = next(iter(domain))
    fields = [subject, *world.owned(lambda: tuple(world.some([f for f in domain if f != subject], world.number(1, 4))))]
    keys = {field: world.pick(domain[field][0]) for field in fields}
    order = world.some(fields, len(fields)) if world.chance(0.3) else fields
    schema = {"type": "object", "properties": {keys[f]: kind(domain[f][1]) for f in order}, "required": [keys[f] for f in order]}
    turns = [system(world.pick(SYSTEM).format(schema=json.dumps(schema)))]
    for _ in range(1 if world.held_out else world.number(1, 3)):
        values = {field: value(world, field, domain[field][1]) for field in fields}
        answer = {keys[f]: values[f] for f in order}
        turns += [user(text(world, domain, fields[1:], values)), assistant(json.dumps(answer, ensure_ascii=False))]
    return turns, {"json": answer}


def kind(name):
    return {"type": "array", "items": {"type": "string"}} if name == "array" else {"type": name}


def value(world, field, type_name):
    lists = {"hobbies": HOBBIES, "topics": FOODS}
    pools = {"city": CITIES, "place": CITIES, "job": JOBS, "pet": PETS, "colour": COLOURS, "item": ITEMS, "day": DAYS}
    if type_name == "boolean":
        return world.chance(0.5)
    if type_name == "integer":
        return world.number(8, 20) if field == "hour" else world.number(2, 99)
    if field == "sizes":
        return [str(n) for n in sorted(world.some(range(30, 60), world.number(2, 3)))]
    if field in lists:
        return [thing if world.held_out or world.chance(0.5) else world.invented() for thing in world.some(lists[field], world.number(2, 3))]
    return world.name() if field == "name" else world.value(pools[field])


DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def text(world, domain, fields, values):
    """Sentences that tell the fields, in random order."""
    shown = {f: " and ".join(v) if isinstance(v, list) else v for f, v in values.items()}
    sentences, subject = [], next(iter(domain))
    for field in [subject, *world.some(fields, len(fields))]:
        pool = domain[field][2]
        phrasing = world.pick(pool) if not world.held_out or pool.test else pool.train[0]
        sentences.append(phrasing.format(**shown, **{"not": "" if values[field] else "not "}))
    told = any(str(values[subject]) in sentence for sentence in sentences[1:])
    return " ".join(sentences[1:] if told and world.chance(0.6) else sentences)
