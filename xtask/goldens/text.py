# Renders chat templates as transformers does and writes what must come out: crates/text/tests/text/fixtures/templates.json.
# Templates of real models stay where they are (shared assets); the small ones below are carried in the fixture.
import hashlib
import itertools
import json
import sys
from datetime import datetime, timezone
from functools import reduce
from pathlib import Path
from unittest import mock

from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment
from transformers.utils import chat_template_utils

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "assets" / "templates"
OUT = ROOT / "crates" / "text" / "tests" / "text" / "fixtures" / "templates.json"
NOW = 1795392000
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather <now> in a \"city\" — & more",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where"},
                "days": {"type": "integer"},
                "units": {"type": "array", "items": {"type": "string"}},
                "exact": {"type": "boolean"},
            },
            "required": ["city"],
        },
    },
}


def call(arguments):
    return {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def chat(messages, tools=None, prompt=True, extra=None, go_on=False):
    return {
        "messages": messages,
        "tools": tools,
        "add_generation_prompt": prompt,
        "continue_final_message": go_on,
        "extra": extra or {},
    }


SYSTEM = turn("system", "You are brief.")
HELLO = turn("user", "  Hello, wörld! \n")
AGAIN = turn("user", "And <b>you</b>?")
TURNS = [HELLO, turn("assistant", "Hi.\n"), AGAIN]
ASKED = turn("user", "Weather in Göteborg?")
ARGUMENTS = {"city": "Göteborg", "days": 1, "exact": True, "units": ["C", "°"], "where": {"lat": 57.7, "x": None}}
RESULT = turn("tool", "{\"sky\": \"grey\"}", tool_call_id="call00001", name="get_weather")
BARE = turn("tool", "grey", tool_call_id="call00001")
NO_PARAMETERS = {"type": "object", "properties": {}}
LEAST = {"type": "function", "function": {"name": "now"}}


def called(content, more=()):
    calls = [call(ARGUMENTS), *({**call(a), "id": f"call0000{i + 2}"} for i, a in enumerate(more))]
    return turn("assistant", content, tool_calls=calls)


TOOLS = [ASKED, called(""), RESULT]
TWO = [ASKED, called("", more=[{"city": "Oslo"}]), RESULT, {**RESULT, "tool_call_id": "call00002", "content": "blue"}]
THOUGHT = [HELLO, turn("assistant", "4", reasoning_content="2 + 2"), AGAIN]
IN_TEXT = [HELLO, turn("assistant", "<think>\n2 + 2\n</think>\n\n4"), AGAIN]
THOUGHT_CALL = [ASKED, {**called(""), "reasoning_content": "I need the weather."}, RESULT]
PARTS = [turn("user", [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}])]
ANSWERED = [*TOOLS, turn("assistant", "Grey."), HELLO]
VARIABLES = {
    "reasoning_effort": "high",
    "thinking": True,
    "date_string": "1 Jan",
    "model_identity": "You are X.",
    "builtin_tools": ["browser", "python"],
    "controls": {"length": "short"},
}
KEPT = {"keep_past_thinking": True, "thinking": True, "enable_thinking": True}

CONVERSATIONS = {
    "system": chat([SYSTEM, HELLO]),
    "no system": chat([HELLO]),
    "turns": chat([SYSTEM, *TURNS]),
    "turns, no prompt": chat(TURNS, prompt=False),
    "tools offered": chat([SYSTEM, HELLO], [WEATHER]),
    "least of tools": chat([HELLO], [LEAST]),
    "tool called": chat(TOOLS, [WEATHER]),
    "tool called, answered": chat(ANSWERED, [WEATHER]),
    "tools called": chat(TWO, [WEATHER]),
    "tool called, null": chat([ASKED, called(None), BARE]),
    "tool called, null, answered": chat([ASKED, called(None), BARE, turn("assistant", "Grey."), HELLO]),
    "tool called after text": chat([ASKED, called("Let me see."), RESULT], [WEATHER]),
    "thought": chat(THOUGHT),
    "thought, kept": chat(THOUGHT, extra=KEPT),
    "thought in the text": chat(IN_TEXT),
    "thought in the text, kept": chat(IN_TEXT, extra=KEPT),
    "thought before a call": chat(THOUGHT_CALL, [WEATHER]),
    "thinking": chat([HELLO], extra={"enable_thinking": True}),
    "no thinking": chat([HELLO], extra={"enable_thinking": False}),
    "variables": chat([HELLO], [WEATHER], extra=VARIABLES),
    "documents": chat([HELLO], extra={"documents": [{"doc_id": 1, "title": "A", "text": "b <c>"}]}),
    "parts": chat(PARTS),
    "continued": chat([HELLO, turn("assistant", "Once upon a time ")], prompt=False, go_on=True),
    "two users": chat([HELLO, AGAIN], prompt=False),
    "late system": chat([*TURNS, SYSTEM, AGAIN]),
    "assistant first": chat([turn("assistant", "Hi!"), HELLO]),
    "odd letters": chat([turn("user", "\x1c\u2028 \x00é\u00a0ß\u202e{{ x }}{% raw %}\r\n")]),
    "nothing": chat([]),
}


def changed(messages, change):
    return [change(dict(message)) for message in messages]


def empty_for_null(conversation):
    """Contents that are null are empty."""

    def change(message):
        return {**message, "content": "" if message["content"] is None else message["content"]}

    return {**conversation, "messages": changed(conversation["messages"], change)}


def text_arguments(conversation):
    """Arguments of calls are JSON in a string."""

    def change(message):
        for call in message.get("tool_calls", []):
            arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
            call = {**call, "function": {**call["function"], "arguments": arguments}}
            message["tool_calls"] = [call if c["id"] == call["id"] else c for c in message["tool_calls"]]
        return message

    return {**conversation, "messages": changed(conversation["messages"], change)}


def joined_parts(conversation):
    """Parts of a content are lines."""

    def change(message):
        content = message["content"]
        if isinstance(content, list):
            message["content"] = "\n".join(part["text"] for part in content)
        return message

    return {**conversation, "messages": changed(conversation["messages"], change)}


def merged_system(conversation):
    """What the system says first stands in the first of the user's messages."""
    messages = conversation["messages"]
    if not messages or messages[0]["role"] != "system":
        return conversation
    system, rest = messages[0], changed(messages[1:], lambda message: message)
    user = next(message for message in rest if message["role"] == "user")
    user["content"] = system["content"] + "\n\n" + user["content"]
    return {**conversation, "messages": rest}


def whole_tools(conversation):
    """Tools have a description and parameters; none are an empty list."""
    tools = [
        {**tool, "function": {"name": tool["function"]["name"], "description": "", "parameters": NO_PARAMETERS, **tool["function"]}}
        for tool in conversation["tools"] or []
    ]
    return {**conversation, "tools": tools}


def plain_turns(conversation):
    """Turns alternate from the user's on, and the system speaks first."""
    plain = []
    for message in changed(conversation["messages"], lambda message: message):
        after_system = all(m["role"] == "system" for m in plain)
        if message["role"] == "system" and plain:
            if plain[0]["role"] != "system":
                plain.insert(0, turn("system", message["content"]))
            else:
                plain[0]["content"] += "\n\n" + message["content"]
        elif plain and message["role"] in ("user", "assistant") and plain[-1]["role"] == message["role"] and not (
            "tool_calls" in message or "tool_calls" in plain[-1]
        ):
            plain[-1]["content"] += "\n\n" + message["content"]
        elif after_system and message["role"] == "assistant":
            plain += [turn("user", ""), message]
        else:
            plain.append(message)
    return {**conversation, "messages": plain}


def calls_in_text(conversation):
    """Calls are JSON in the text, and results are the user's."""

    def change(message):
        if message["role"] == "tool":
            message["role"] = "user"
        calls = message.pop("tool_calls", [])
        texts = [json.dumps({"name": c["function"]["name"], "arguments": c["function"]["arguments"]}, ensure_ascii=False) for c in calls]
        if calls:
            message["content"] = "\n".join(([message["content"]] if message["content"] else []) + texts)
        return message

    return plain_turns({**conversation, "messages": changed(conversation["messages"], change)})


# What may be done to a conversation that a template does not take as it is. The system's words are moved after turns are
# made plain.
CHANGES = [empty_for_null, text_arguments, joined_parts, whole_tools, plain_turns, calls_in_text, merged_system]


def variants(conversation):
    """The conversation with as few changes as may be first."""
    for count in range(len(CHANGES) + 1):
        for changes in itertools.combinations(CHANGES, count):
            yield [change.__name__ for change in changes], reduce(lambda c, change: change(c), changes, conversation)

BUILT_IN = {
    "values": "{{ true }} {{ none }} {{ 1.0 }} {{ [1, 'a', \"it's\", none, false] }} {{ {'a': 1, 'b': [true]} }} "
    "{{ 3 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 2 }} {{ 2 ** 3 }}",
    "undefined": "[{{ nothing }}] {{ nothing is defined }} {% if not nothing %}no{% endif %}"
    "{% for x in nothing %}{{ x }}{% endfor %} {{ nothing | default('d') }} {{ messages[0].nothing is none }}",
    "undefined attribute": "{{ nothing.more }}",
    "json": "{{ tools | tojson }}\n{{ tools | tojson(indent=2) }}\n{{ ['é', 1e-7, 1e20, 0.1] | tojson(ensure_ascii=True) }}"
    "{{ {'b': 1, 'a': {}} | tojson(sort_keys=True) }}{{ [1, [], {}] | tojson(indent=4) }}"
    "{{ [1, {'a': 2}] | tojson(separators=(',', ':')) }}",
    "blocks": "a\n  {% if true %}\n  b\n  {%- endif %}\nc {# gone #}\n{%- set ns = namespace(x=0) %}\n{% for m in messages %}\n"
    "{% if loop.index0 == 1 %}{% continue %}{% endif %}{% if loop.index0 == 2 %}{% break %}{% endif %}\n"
    "{% set ns.x = ns.x + 1 %}{{ loop.last }}{% endfor %}\n{{ ns.x }}\n\n",
    "methods": "{% set s = messages[0].content %}{{ s.strip() }}|{{ s.split('l') }}|{{ s.startswith('  H') }}|{{ s.upper() }}"
    "|{{ s.replace('l', 'L') }}|{{ s[::-1] }}|{{ s | trim | length }}|{{ s.rstrip('\\n') }}|{{ messages[0].get('x', 'y') }}"
    "|{% for k, v in messages[0].items() %}{{ k }}={{ v | trim }};{% endfor %}{{ messages[0].keys() | list }}"
    "|{{ 'a-b-c'.split('-', 1) }}|{{ 'x'.join(['a', 'b']) }}|{{ 'abc'[-1] }}|{{ 'a,b'.split(',')[-1] }}|{{ s.find('w') }}"
    "|{{ 'Hello' in s }}|{{ s | title | trim }}|{{ 'aBc'.lower() | capitalize }}|{{ '%s-%d' | format('a', 3) }}",
    "tests": "{% set m = messages[0] %}{{ m is mapping }} {{ m.content is string }} {{ [1] is iterable }} {{ 'x' is iterable }} "
    "{{ m is iterable }} {{ [1] is sequence }} {{ 1 is number }} {{ none is none }} {{ true is boolean }} {{ 2 is even }} "
    "{{ 'role' in m }} {{ m.content is not none }} {{ 1 is integer }} {{ 1.5 is float }} {{ m['role'] == 'user' }} "
    "{{ 'a' is in ['a'] }} {{ m is defined and m.tool_calls is defined }}",
    "filters": "{{ messages | map(attribute='role') | list }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
    "{{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='content') | join('+') }}"
    "{{ [3, 1, 2] | sort | join(', ') }} {{ [1, 1, 2] | unique | list }} {{ 'a' | string }} {{ '3' | int + 1 }} "
    "{{ [1, 2] | last }} {{ [1, 2] | first }} {{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1} | items | list }} "
    "{{ 'a\nb' | indent(2) }} {{ [1, 2, 3] | sum }} {{ [1, 2, 3] | max }} {{ -3 | abs }} {{ 2.5 | round }} "
    "{{ '<' | safe }}{{ [1, 2, 3] | batch(2) | list }} {{ 'abc' | replace('b', 'x') }} {{ [[1, 2], [3]] | map('length') | list }}",
    "macros": "{% macro hi(name, end='!') %}Hi {{ name }}{{ end }}{% endmacro %}{{ hi('a') }}{{ hi('b', end='?') }}"
    "{% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n - 1) }}{% endif %}{% endmacro %}{{ rec(3) }}"
    "{% set block %}x{{ 1 }}{% endset %}[{{ block }}]",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{- m.content -}}{% endif %}{% endfor %}",
    "special": "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ sep_token }}{{ add_generation_prompt }}{{ enable_thinking }}",
    "refusal": "{% if messages[0].role != 'system' %}{{ raise_exception('Only with a system: ' ~ messages[0].role) }}{% endif %}ok",
    "time": "{{ strftime_now('%d %b %Y, %A %H:%M') }}",
    "ternary": "{{ 'a' if messages else 'b' }}{{ 'c' if nothing }}{{ (messages | length > 1) and 'many' or 'one' }}",
    "slices": "{{ messages[1:] | length }} {{ messages[-1].role }} {% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %} "
    "{{ range(3) | list }} {{ range(1, 7, 2) | list }} {{ (1, 2) }} {{ 'a' 'b' }} {{ 1 < 2 < 3 }} {{ not 1 }} {{ [1] + [2] }}",
    "mutation": "{% set l = [] %}{% set _ = l.append(1) %}{{ l }}",
    "else": "{% for m in [] %}x{% else %}none{% endfor %}{% for m in messages if m.role == 'user' %}{{ loop.index }}"
    "{{ loop.length }}{{ loop.previtem.role if not loop.first }}{% endfor %}{% with a = 1 %}{{ a }}{% endwith %}",
    "crlf": "a\r\n{% if true %}\r\n  b\r\n{% endif %}\r{{ 'c\r\nd' }}\r\n",
    "space": "  {%- set a = 1 -%}  \n x {{- a -}} \n y\n  {%+ if a %}\n  z{% endif +%}\n\n {#- gone -#} \n w {{ '  ' }}{% if a -%}\n   q\n{%- endif %}\n   {% if a %}r{% endif %}  \n",
    "splits": "{% set s = ' a, b,  c ' %}{{ s.split() }}{{ s.split(',') }}{{ s.split(',', 1) }}{{ s.rsplit(',', 1) }}{{ s.rsplit() }}{{ s.split(None, 1) }}{{ s.rsplit(None, 1) }}{{ s.partition(',') }}{{ s.rpartition(',') }}{{ s.partition('x') }}{{ 'a\nb\r\nc\x0bd\n'.splitlines() }}{{ 'a\nb'.splitlines(true) }}{{ ''.split() }}{{ ''.split(',') }}{{ s.split(sep=',', maxsplit=0) }}",
    "percent": "{{ '%s' % 1 }} {{ '%s and %r' % ('a', 'b') }} {{ '%5.2f|%-5s|%05d|%+d|%x|%X|%o|%e|%g|%c|%%' % (3.14159, 'ab', 42, 7, 255, 255, 8, 12345.678, 0.0001, 'z') }} {{ '%(a)s-%(b)03d' % {'a': 'x', 'b': 7} }} {{ 7 % 3 }} {{ '%s' % none }} {{ '%s' % [1, 'a'] }} {{ 'a%sb' % 'c' ~ 'd' }} {{ '%.3s|%10.1f|%i' % ('abcdef', 2.25, 9.9) }}",
    "braces": "{{ '{} {1}'.replace('1', '').format('a', 'b') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x} {y:>5}|{z:<4}|{w:^5}|{n:,}|{f:.2f}|{p:.1%}|{h:#x}|{s!r}|{{}}'.format(x=1, y='r', z='l', w='c', n=1234567, f=2.5, p=0.256, h=255, s='q') }} {{ '{:05d}|{:+}|{:*^7}'.format(42, 3, 'ab') }}",
    "text methods": "{{ 'hello wORLD'.title() }}|{{ \"they're\".title() }}|{{ 'hELLO'.capitalize() }}|{{ 'aBc'.swapcase() }}|{{ 'ß'.upper() }}|{{ 'ab'.center(7, '*') }}|{{ 'ab'.ljust(4) }}|{{ 'ab'.rjust(4, '.') }}|{{ '-42'.zfill(6) }}|{{ 'banana'.count('an') }}|{{ 'banana'.find('an', 2) }}|{{ 'banana'.rfind('an') }}|{{ 'banana'.index('n') }}|{{ 'banana'.startswith(('x', 'ba')) }}|{{ 'banana'.endswith('na') }}|{{ 'banana'.startswith('an', 1) }}|{{ 'xxaxx'.strip('x') }}|{{ 'abc'.removeprefix('a').removesuffix('c') }}|{{ 'a1'.isalnum() }}{{ 'a'.isalpha() }}{{ '1'.isdigit() }}{{ ' '.isspace() }}{{ 'Ab'.istitle() }}{{ 'a'.islower() }}{{ 'A'.isupper() }}{{ ''.isalpha() }}|{{ ','.join('abc') }}|{{ 'aaa'.replace('a', 'b', 2) }}|{{ 'é'.find('x') }}|{{ 'Straße'.casefold() }}",
    "more filters": "{{ 'a b'|title }} {{ \"it's (a) test-case\"|title }} {{ 'x'|center(5) }}| {{ ' x '|trim }} {{ 'xxaxx'|trim('x') }} {{ 'a\nb\n\nc'|indent }}|{{ 'a\nb\n'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}|{{ 'a\nb'|indent('> ') }} {{ 'hello world foo'|truncate(10) }} {{ 'hello world foo'|truncate(10, true, '..') }} {{ 'hello'|truncate(3, leeway=0) }} {{ '<a&\"b\">'|e }} {{ 'a b/c?d'|urlencode }} {{ 'one two  three'|wordcount }} {{ '3.7'|float }} {{ 'x'|float(1.5) }} {{ '12'|int }} {{ '3.9'|int }} {{ 'x'|int(7) }} {{ 'ff'|int(base=16) }} {{ 3.75|round(1) }} {{ 2.5|round }} {{ 3.14159|round(2, 'floor') }} {{ 3.11|round(1, 'ceil') }} {{ 42|round }} {{ none|default('d') }} {{ ''|default('d', true) }} {{ nothing|d('e') }} {{ 'abc'|reverse }} {{ [1, 2, 3]|reverse|list }} {{ [1, 2]|first }}{{ 'xyz'|last }} {{ 'a'|string|length }} {{ {'a': 1}|length }} {{ 1234.5|string }}",
    "list filters": "{{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A', 'c']|sort(case_sensitive=true) }} {{ [1, 3, 2]|sort(reverse=true) }} {{ messages|sort(attribute='role')|map(attribute='role')|list }} {{ ['a', 'A', 'b']|unique|list }} {{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5]|slice(2)|list }} {{ [1, 2, 3]|slice(2, 'x')|list }} {{ [1, 2, 3]|sum }} {{ [[1], [2]]|sum(start=[]) }} {{ [{'a': 1}, {'a': 2}]|sum('a') }} {{ [1, 5, 2]|max }} {{ ['b', 'A']|min }} {{ [{'a': 2}, {'a': 1}]|min(attribute='a') }} {{ {'b': 1, 'A': 2}|dictsort }} {{ {'b': 1, 'A': 2}|dictsort(by='value') }} {{ [1, 2, 3]|select('odd')|list }} {{ [1, 2, 3]|reject('gt', 1)|list }} {{ ['a', '', 'b']|select|list }} {{ [{'a': 1}, {}]|selectattr('a')|list }} {{ [{'a': 1}, {'a': 2}]|rejectattr('a', 'eq', 1)|list }} {{ ['a', 'b']|map('upper')|join('-') }} {{ [{'x': {'y': 1}}, {}]|map(attribute='x.y', default='z')|list }} {{ [{'a': 1}]|map(attribute='a')|list }} {{ [{'t': 'a', 'v': 1}, {'t': 'b', 'v': 2}, {'t': 'a', 'v': 3}]|groupby('t')|list }} {{ ['x', 'y']|join(', ') }} {{ [{'a': 1}, {'a': 2}]|join('+', attribute='a') }} {{ 'abc'|list }} {{ {'a': 1}|list }} {{ {'a': 1, 'b': 2}|items|list }}",
    "numbers": "{{ 1 + 2 * 3 ** 2 }} {{ -2 ** 2 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 / 4 }} {{ 1e3 }} {{ 1_000 }} {{ 1.5e-7 }} {{ 10 ** 20 }} {{ 0.1 + 0.2 }} {{ true + 1 }} {{ -1|abs }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 < 2 < 3 > 2 }} {{ 1 in [1.0] }} {{ not 1 == 2 }} {{ 'b' not in 'abc' }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ (1,) + (2,) }} {{ 100000000000000000000 }} {{ 1e16 }} {{ 123456789.123 }}",
    "more slices": "{% set l = [0, 1, 2, 3, 4] %}{{ l[1:3] }}{{ l[:-1] }}{{ l[-2:] }}{{ l[::2] }}{{ l[::-1] }}{{ l[4:1:-2] }}{{ l[10:] }}{{ l[-10:2] }}{{ 'héllo'[1:3] }}{{ 'héllo'[-1] }}{{ 'héllo'[::-1] }}{{ 'abc'[5:] }}|{{ (1, 2, 3)[1:] }}{{ l[2] }}{{ l[-1] }}|{{ l[9] }}|{{ {'a': {'b': [1]}}.a.b[0] }}{{ {'a': 1}['b'] }}|{{ 'abc'[9] }}|",
    "more loops": "{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x // 2) }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}{% for a, b in {'x': 1, 'y': 2}.items() %}{{ a }}{{ b }}{% endfor %}{% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for x in [[1, [2, [3]]], [4]] recursive %}({% if x is iterable %}{{ loop.depth }}{{ loop(x) }}{% else %}{{ x }}{% endif %}){% endfor %}{% for x in [] %}{% else %}empty{% endfor %}{% for x in 'ab' %}{% for y in [1, 2] %}{{ x }}{{ y }}{{ loop.index }}{% if y == 1 %}{% continue %}{% endif %}!{% endfor %}{{ loop.index }}{% endfor %}{% for x in range(10) if x % 3 == 0 %}{{ x }}{{ loop.length }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}",
    "scopes": "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}{% set ns = namespace(n=0, l=[]) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.n }}{{ ns.l }}{% with y = 5, z = x %}{{ y }}{{ z }}{% set x = 7 %}{% endwith %}{{ x }}{{ y }}{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t %}in {{ x }}{% endset %}{{ t }}{% set u | upper %}abc{% endset %}{{ u }}{% macro m() %}{{ x }}{% set x = 3 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}{% set x = 4 %}{{ m() }}",
    "more macros": "{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f(1, 2, 3, 4, d=5) }}{{ f() }}{% macro list(items) %}<{{ caller(items) }}>{% endmacro %}{% call(x) list([1]) %}{{ x }}!{% endcall %}{% macro g(n) %}{% if n %}{{ n }}{{ g(n - 1) }}{% endif %}{% endmacro %}{{ g(3) }}{{ g(2)|length }}{{ f.name }}{% filter upper %}abc{{ 1 }}{% endfilter %}{% macro e() %}{% endmacro %}[{{ e() }}]{{ e() == '' }}",
    "reprs": "{{ ['a\\n\\t\\'\"', \"it's\", 'é\u00a0\u200b😀', '\\x01\\\\'] }} {{ {'a': none, 1: true, 2.5: (1,), 'n': {}} }} {{ () }} {{ [[], [1.0]] }} {{ [nothing] }} {{ (1, 'x') }} {{ 'quote\"' }} {{ {'k': 'v'}|string }} {{ ['a']|join }} {{ [true, none] ~ '' }}",
    "literals": "{{ 'a\\x41\\u00e9\\101\\q\\\\' }}{{ \"\\\"\" }}{{ 'one' ' two' }}{{ [1, 2,] }}{{ {'a': 1,} }}{{ (1, 2) }}{{ none }}{{ None }}{{ True }}{{ false }}{{ 'x' if false }}|{{ ('a' if false else 'b') if true else 'c' }}{{ not false and true or false }}{{ 1 if nothing is not defined else 2 }}{{ 'a' is string and 'b' is string }}{{ 4 is divisibleby 2 }}{{ 4 is divisibleby(3) }}{{ 3 is in [1, 3] }}{{ 1 is not none }}{{ 'a' is eq 'a' }}{{ [] is sameas [] }}{{ none is sameas none }}{{ range is callable }}{{ 'abc' is lower }}{{ 'ABC' is upper }}{{ 1.0 is integer }}{{ true is integer }}{{ true is number }}{{ {} is sequence }}{{ 'a' is sequence }}{{ {} is iterable }}{{ nothing is iterable }}{{ {'a': 1} is mapping }}{{ 'a' in {'a': 1} }}{{ nothing == nothing }}",
    "dicts": "{% set d = {'a': 1, 'b': {'c': 2}, 'items': 3} %}{{ d.a }}{{ d['b']['c'] }}{{ d.get('x') }}{{ d.get('x', 4) }}{{ d.keys()|list }}{{ d.values()|list }}{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}{{ d['items'] }}{{ d.missing is defined }}{{ d.missing }}{{ dict(a=1, b=2) }}{{ dict({'x': 1}, y=2) }}{{ d.copy() == d }}{{ {'a': 1, 'a': 2} }}{{ {1: 'a', 1.0: 'b'} }}{{ d|length }}{{ d.b.c is defined and d.b.z is not defined }}",
    "json more": "{{ {'a': [1, 2.0, none, true, 'é\\n\"\\\\/<>&\\x7f\\u2028'], 'b': {}}|tojson }}{{ []|tojson(indent=2) }}{{ {'b': 1, 'a': [{'c': 1}]}|tojson(indent=2, sort_keys=true) }}{{ 'é😀\\x7f'|tojson(ensure_ascii=true) }}{{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }}{{ [1, {'a': 2}]|tojson(separators=(',', ':')) }}{{ (1, 2)|tojson }}{{ 1e100|tojson }}{{ 12345678901234567890|tojson }}{{ 'a'|tojson|tojson }}",
    "undefined more": "[{{ nothing ~ 'a' }}{{ nothing|length }}{{ nothing|list }}{{ nothing|join(',') }}{{ nothing is none }}{{ 'x' in nothing }}{{ nothing or 'b' }}{{ messages[9] is defined }}{{ messages[0].nope|default('d') }}]",
    "undefined sum": "{{ nothing + 'a' }}",
    "undefined call": "{{ nothing() }}",
    "undefined item": "{{ nothing['a'] }}",
    "none sum": "{{ 'a' + none }}",
    "number sum": "{{ 'a' + 1 }}",
    "none loop": "{% for x in none %}{% endfor %}",
    "bad order": "{{ 1 < 'a' }}",
    "bad key": "{{ {[1]: 2} }}",
    "zero": "{{ 1 / 0 }}",
    "bad filter": "{{ 1|nope }}",
    "bad test": "{{ 1 is nope }}",
    "too long a range": "{{ range(1000000)|length }}",
    "no method": "{{ 'a'.nope() }}",
    "unpacking": "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "hidden names": "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "date": "{{ strftime_now('%Y-%m-%d %j %y %-d %B %b %A %a %H:%M:%S %p %I %%') }}",
    "raw": "{% raw %}{{ x }}{% endraw %}{{ '{{' }}{{ \"\\n\\t\\\\\" }}{{ 'é' | length }}",
}


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(NOW, timezone.utc)


def render(template, conversation):
    """What the template gives for the conversation, or for the first change of it that it takes."""
    first = None
    for changes, variant in variants(conversation):
        result = render_as_given(template, variant)
        first = first or result
        if "text" in result and not result.pop("odd", False):
            return {**result, "changes": changes} if changes else result
    first.pop("text", None)
    return {"error": "odd", **first}


def render_as_given(template, conversation):
    try:
        return render_in(ImmutableSandboxedEnvironment, template, conversation)
    except SecurityError:
        # Templates made for other programs change lists, which these let them do.
        try:
            return render_in(SandboxedEnvironment, template, conversation)
        except Exception as error:
            return refused(error)
    except Exception as error:  # whatever the template raises is what users see
        return refused(error)


def refused(error):
    return {"error": f"{type(error).__name__}: {error}"[:200]}


def render_in(environment, template, conversation):
    chat_template_utils._compile_jinja_template.cache_clear()
    with (
        mock.patch.object(chat_template_utils, "datetime", Clock),
        mock.patch.object(chat_template_utils, "ImmutableSandboxedEnvironment", environment),
    ):
        texts, _ = chat_template_utils.render_jinja_template(
            [conversation["messages"]],
            tools=conversation["tools"],
            chat_template=template,
            add_generation_prompt=conversation["add_generation_prompt"],
            continue_final_message=conversation["continue_final_message"],
            **SPECIAL,
            **conversation["extra"],
        )
    result = {"text": texts[0]}
    return {**result, "odd": True} if is_odd(conversation, texts[0]) else result


def is_odd(conversation, text):
    """Whether something is printed as Python prints it, or lost: nothing that anybody meant."""
    messages = conversation["messages"]
    contents = [message.get("content") for message in messages]
    lists = any(isinstance(c, list) for c in contents) and ("One" not in text or "'type'" in text or '"type"' in text)
    nulls = any(c is None for c in contents) and "None" in text
    arguments = any("tool_calls" in m for m in messages) and ("{'city'" in text or '\\"days' in text)
    return lists or nulls or arguments


def hashed(result):
    """Models' templates are their owners': of what they say only the hash is kept."""
    text = result.pop("text", None)
    return result if text is None else {**result, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def main():
    sources = {f"shared/{path.name}": path.read_text() for path in sorted(SHARED.glob("*.jinja"))}
    if not sources:
        sys.exit(f"no templates in {SHARED}")
    results = []
    for name, source in {**BUILT_IN, **sources}.items():
        names = ["tool called", "turns"] if name in BUILT_IN else CONVERSATIONS  # two are enough for the small ones
        keep, how = (dict, render_as_given) if name in BUILT_IN else (hashed, render)
        results += [{"template": name, "conversation": c, **keep(how(source, CONVERSATIONS[c]))} for c in names]
    golden = {"now": NOW, "special": SPECIAL, "built_in": BUILT_IN, "conversations": CONVERSATIONS}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    head = json.dumps({**golden, "results": []}, ensure_ascii=False, indent=1)
    OUT.write_text(head.replace('"results": []', f'"results": [\n{lines}\n]') + "\n")
    print(f"{OUT.relative_to(ROOT)}: {len(results)} renderings, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
