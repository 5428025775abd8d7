# Calling a given tool with the right arguments, using its result, and saying so when none fits.
import json

from .pools import CITIES, FOODS, HOBBIES, ITEMS
from .stories import filler
from .talk import FACT_TABLE, GREETING_TABLE, question
from .pool import Pool
from .world import assistant, tool, user


class Kind:
    """A kind of tool: its names, parameters (name -> type and other names), questions, how a result looks and is told."""

    def __init__(self, names, about, parameters, questions, draw, result, answer):
        self.names, self.about, self.parameters, self.questions = names, about, parameters, questions
        self.draw, self.result, self.answer = draw, result, answer


SKIES = "sunny cloudy rainy windy snowy foggy".split()

KINDS = [
    Kind(["get_weather", "weather", "weather_lookup", "current_weather", "fetch_weather"], "Get the weather in a city", {"city": ("string", ["city", "location", "place", "town"])},
         Pool(["What is the weather in {city}?", "How is the weather in {city}?", "Weather in {city}?", "Tell me the weather in {city}.", "Is it warm in {city}?", "What is the weather like in {city}?", "Do I need a coat in {city}?", "How warm is it in {city}?"],
              ["Can you tell me the weather in {city}?", "How is the weather in {city} now?", "Is it cold in {city}?"]),
         lambda w: {"city": w.value(CITIES)}, lambda w, a: {"temperature": w.number(1, 35), "sky": w.pick(SKIES)},
         "It is {temperature} degrees and {sky} in {city}."),
    Kind(["calculate", "calculator", "multiply", "multiply_numbers"], "Multiply two numbers", {"a": ("integer", ["a", "x", "first"]), "b": ("integer", ["b", "y", "second"])},
         Pool(["What is {a} * {b}?", "Multiply {a} by {b}.", "{a} times {b}", "Calculate {a} * {b}.", "How much is {a} x {b}?", "What is the product of {a} and {b}?"],
              ["Can you multiply {a} by {b}?", "What is {a} times {b}, please?"]),
         lambda w: {"a": w.number(100, 999), "b": w.number(100, 999)}, lambda w, a: {"result": a["a"] * a["b"]}, "{a} * {b} = {result}"),
    Kind(["get_time", "current_time", "clock", "time_in_city"], "Get the time in a city", {"city": ("string", ["city", "location", "place"])},
         Pool(["What time is it in {city}?", "How late is it in {city}?", "Time in {city}?", "Tell me the time in {city}.", "What is the time in {city}?", "Which time do they have in {city}?"],
              ["Can you tell me the time in {city}?", "What time is it now in {city}?"]),
         lambda w: {"city": w.value(CITIES)}, lambda w, a: {"time": f"{w.number(10, 23)}:{w.number(10, 59)}"}, "It is {time} in {city}."),
    Kind(["send_message", "send_mail", "message", "write_message"], "Send a message to a person", {"to": ("string", ["to", "recipient", "person"]), "text": ("string", ["text", "message", "body"])},
         Pool(["Send {to} the message: {text}", "Write to {to}: {text}", "Tell {to}: {text}", "Message {to}: {text}", "Send a message to {to}: {text}", "Please write {to} this: {text}"],
              ["Can you send {to} this message: {text}", "Please tell {to}: {text}"]),
         lambda w: {"to": w.name(), "text": w.pick(MESSAGES) if w.held_out or w.chance(0.4) else filler(w)}, lambda w, a: {"status": "sent"}, "I sent your message to {to}."),
    Kind(["play_music", "play_song", "music", "start_music"], "Play a kind of music", {"kind": ("string", ["kind", "genre", "style"])},
         Pool(["Play some {kind}.", "I want to hear {kind}.", "Put on {kind}.", "Play {kind} music.", "Can you play {kind}?", "Some {kind}, please."], ["I would like to hear some {kind}.", "Please play {kind}."]),
         lambda w: {"kind": w.value(MUSIC)}, lambda w, a: {"playing": True}, "I am playing {kind} now."),
    Kind(["set_timer", "timer", "start_timer", "alarm"], "Set a timer for some minutes", {"minutes": ("integer", ["minutes", "duration", "time"])},
         Pool(["Set a timer for {minutes} minutes.", "Timer for {minutes} minutes", "Wake me in {minutes} minutes.", "Start a timer of {minutes} minutes.", "Remind me in {minutes} minutes.", "{minutes} minutes timer, please."],
              ["Can you set a timer for {minutes} minutes?", "Please wake me in {minutes} minutes."]),
         lambda w: {"minutes": w.number(2, 99)}, lambda w, a: {"ok": True}, "The timer is set for {minutes} minutes."),
    Kind(["find_recipe", "recipe", "search_recipe", "get_recipe"], "Find a recipe with an ingredient", {"ingredient": ("string", ["ingredient", "food", "with"])},
         Pool(["Find a recipe with {ingredient}.", "What can I cook with {ingredient}?", "I want to cook {ingredient}.", "Do you have a recipe for {ingredient}?", "Recipe with {ingredient}", "Search a recipe with {ingredient}."],
              ["Can you find a recipe with {ingredient}?", "Please search a recipe for {ingredient}."]),
         lambda w: {"ingredient": w.value(FOODS)}, lambda w, a: {"recipe": f"{w.pick(SORTS)} {a['ingredient']}", "minutes": w.number(10, 90)},
         "I found {recipe}. It takes {minutes} minutes."),
    Kind(["order_item", "buy", "shop", "place_order"], "Order items from the shop", {"item": ("string", ["item", "product", "article"]), "count": ("integer", ["count", "amount", "quantity"])},
         Pool(["Order {count} of the item {item}.", "Buy {count} times the {item}.", "I need the {item}, {count} of them.", "Please order the {item}, {count} pieces.", "Get me the {item}, {count} times."],
              ["Can you order the {item}, {count} of them?", "Please buy the {item}, {count} pieces."]),
         lambda w: {"item": w.value(ITEMS), "count": w.number(2, 60)}, lambda w, a: {"order": w.number(1000, 9999)}, "I placed the order. Its number is {order}."),
    Kind(["find_club", "search_club", "club"], "Find a club for a hobby in a city", {"hobby": ("string", ["hobby", "sport", "activity"]), "city": ("string", ["city", "place", "location"])},
         Pool(["Find a club for {hobby} in {city}.", "Where can I do {hobby} in {city}?", "Is there a {hobby} club in {city}?", "Club for {hobby} in {city}", "I look for {hobby} in {city}."],
              ["Can you find a {hobby} club in {city}?", "Please search a club for {hobby} in {city}."]),
         lambda w: {"hobby": w.value(HOBBIES), "city": w.value(CITIES)}, lambda w, a: {"club": w.name(), "members": w.number(10, 99)},
         "There is the club {club} in {city}. It has {members} members."),
    Kind(["convert_money", "exchange", "convert_currency"], "Convert an amount of money", {"amount": ("integer", ["amount", "value", "sum"]), "to": ("string", ["to", "currency", "target"])},
         Pool(["Convert {amount} euros to {to}.", "How much are {amount} euros in {to}?", "{amount} euros in {to}?", "Change {amount} euros to {to}.", "What are {amount} euros in {to}?"],
              ["Can you convert {amount} euros to {to}?", "Please change {amount} euros to {to}."]),
         lambda w: {"amount": w.number(2, 99), "to": w.value(MONEY)}, lambda w, a: {"value": w.number(2, 999)}, "{amount} euros are {value} {to}."),
]
MESSAGES = Pool(
    ["I am late.", "See you at eight.", "Dinner is ready.", "The train is late.", "I will call you.", "Happy birthday!", "We meet at the bridge.", "Bring some bread.", "The door is open.", "I found the key.",
     "Come home.", "The cat is back.", "I am on my way.", "Thank you for the book.", "The meeting is on Friday."],
    ["I am on the train.", "Dinner is at eight.", "Bring the book.", "See you on Friday."])
MUSIC = Pool("jazz rock pop blues folk opera soul techno reggae swing".split(), "country samba".split())
MONEY = Pool("dollars pounds francs kroner yen crowns".split(), "rupees pesos".split())
SORTS = "baked fried fresh sweet grilled warm".split()
NONE_FITS = "I do not have a tool for that."


def tools(world):
    """Up to three tools, and a call, its result in words, several of them in turn, or a question that needs none or fits none."""
    kinds = world.some(KINDS, world.number(1, 3))
    offered = [(kind, *offer(world, kind)) for kind in kinds]
    listed = [definition for _, _, definition in offered]
    if world.chance(0.1):
        return question(world, world.pick(world.pick([GREETING_TABLE, FACT_TABLE])))[0], None, listed
    if world.chance(0.1):
        other = world.pick([kind for kind in KINDS if kind not in kinds and kind.about != "Multiply two numbers"])
        return [user(world.ask(other.questions, **other.draw(world))), assistant(NONE_FITS)], None, listed
    turns = []
    while world.chance(0.5) and len(turns) < 12:
        turns += exchange(world, *world.pick(offered)[:2])[0]
    told, call = exchange(world, *world.pick(offered)[:2])
    if world.held_out and world.chance(0.6):
        return turns + told[:2], {"tool_calls": [call]}, listed
    return turns + told, None, listed


def exchange(world, kind, names):
    """A question, the call, its result, and the result in words; and the call as an object."""
    arguments = kind.draw(world)
    asked = world.ask(kind.questions, exact="text" in arguments, **arguments)
    call = {"name": names[""], "arguments": {names[key]: value for key, value in arguments.items()}}
    result = kind.result(world, arguments)
    content = f"<tool_call>{json.dumps(call, ensure_ascii=False)}</tool_call>"
    return [user(asked), assistant(content), tool(json.dumps(result)), assistant(kind.answer.format(**arguments, **result))], call


def offer(world, kind):
    """The kind with one of its names for everything, and its definition in OpenAI's form."""
    names = {key: world.pick(others) for key, (_, others) in kind.parameters.items()} | {"": world.pick(kind.names)}
    properties = {names[key]: {"type": type_name} for key, (type_name, _) in kind.parameters.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return names, {"type": "function", "function": {"name": names[""], "description": kind.about, "parameters": parameters}}
