# Renders chat templates as transformers does and writes what must come out: crates/text/tests/text/fixtures/templates.json.
# Templates of real models stay where they are (shared assets); the small ones below are carried in the fixture.
import hashlib
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from unittest import mock

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


SYSTEM = {"role": "system", "content": "You are brief."}
HELLO = {"role": "user", "content": "  Hello, wörld! \n"}
TURNS = [HELLO, {"role": "assistant", "content": "Hi.\n"}, {"role": "user", "content": "And <b>you</b>?"}]
TOOLS = [
    {"role": "user", "content": "Weather in Göteborg?"},
    {"role": "assistant", "content": "", "tool_calls": [call({"city": "Göteborg", "days": 1, "exact": True})]},
    {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": "{\"sky\": \"grey\"}"},
]
THOUGHT = [HELLO, {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}, {"role": "user", "content": "Sure?"}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]}]

CONVERSATIONS = {
    "system": ([SYSTEM, HELLO], None, True, {}),
    "no system": ([HELLO], None, True, {}),
    "turns": ([SYSTEM, *TURNS], None, True, {}),
    "tools offered": ([SYSTEM, HELLO], [WEATHER], True, {}),
    "tool called": (TOOLS, [WEATHER], True, {}),
    "tool called, answered": (TOOLS + [{"role": "assistant", "content": "Grey."}, HELLO], [WEATHER], True, {}),
    "thought": (THOUGHT, None, True, {}),
    "no thinking": ([HELLO], None, True, {"enable_thinking": False}),
    "parts": (PARTS, None, True, {}),
    "two users": ([HELLO, HELLO], None, False, {}),
    "nothing": ([], None, True, {}),
}

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
    "raw": "{% raw %}{{ x }}{% endraw %}{{ '{{' }}{{ \"\\n\\t\\\\\" }}{{ 'é' | length }}",
}


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(NOW, timezone.utc)


def render(template, conversation):
    messages, tools, prompt, extra = conversation
    try:
        with mock.patch.object(chat_template_utils, "datetime", Clock):
            texts, _ = chat_template_utils.render_jinja_template(
                [messages], tools=tools, chat_template=template, add_generation_prompt=prompt, **SPECIAL, **extra
            )
        return {"text": texts[0]}
    except Exception as error:  # whatever the template raises is what users see
        return {"error": f"{type(error).__name__}: {error}"[:200]}


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
        names = ["tool called", "turns"] if name in BUILT_IN else CONVERSATIONS
        keep = dict if name in BUILT_IN else hashed
        results += [{"template": name, "conversation": c, **keep(render(source, CONVERSATIONS[c]))} for c in names]
    conversations = {
        name: {"messages": m, "tools": t, "add_generation_prompt": p, "extra": e}
        for name, (m, t, p, e) in CONVERSATIONS.items()
    }
    golden = {"now": NOW, "special": SPECIAL, "built_in": BUILT_IN, "conversations": conversations}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    head = json.dumps({**golden, "results": []}, ensure_ascii=False, indent=1)
    OUT.write_text(head.replace('"results": []', f'"results": [\n{lines}\n]') + "\n")
    print(f"{OUT.relative_to(ROOT)}: {len(results)} renderings, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
