# Ollama's official Python client against a running server, in all its methods that the server has: ollama_client.py BASE_URL
# [MODEL]. Any model with a chat template will do. Exits with an error at the first thing that is not as it should be.
import asyncio
import json
import sys

import ollama
from ollama import _types

from fields import check_fields

MESSAGES = [{"role": "user", "content": "Tell me a story."}]
OPTIONS = {"temperature": 0, "num_predict": 8, "num_ctx": 4096, "repeat_last_n": 64}


def weather(city: str) -> str:
    """The weather.

    Args:
        city: Where.
    """
    return "rain in " + city


def main(base_url, model=None):
    client = ollama.Client(host=base_url, timeout=120)
    names = [entry.model for entry in client.list().models]
    assert names and all(":" in name for name in names), names
    model = model or names[0]
    assert model in [entry.model for entry in client.ps().models]
    shown = client.show(model)
    assert "completion" in shown.capabilities and shown.modelinfo["general.architecture"], shown
    for endpoint, params in FIELDS:
        check_fields(endpoint, params.model_fields)
    check_chats(client, model)
    check_completions(client, model)
    check_formats(client, model)
    check_embeddings(client, model)
    check_errors(client, model)
    asyncio.run(check_async(base_url, model))
    print("ok")


FIELDS = [
    ("POST /api/chat", _types.ChatRequest),
    ("POST /api/chat, in `messages`", ollama.Message),
    ("POST /api/generate", _types.GenerateRequest),
    ("POST /api/chat and POST /api/generate, in `options`", ollama.Options),
    ("POST /api/embed", _types.EmbedRequest),
    ("POST /api/embeddings", _types.EmbeddingsRequest),
    ("POST /api/show", _types.ShowRequest),
]


def check_formats(client, model):
    schema = {"type": "object", "properties": {"right": {"type": "boolean"}}, "required": ["right"]}
    schema["additionalProperties"] = False
    options = {**OPTIONS, "num_predict": -1}
    said = client.chat(model=model, messages=MESSAGES, format=schema, options=options, think=False)
    assert isinstance(json.loads(said.message.content)["right"], bool), said
    said = client.generate(model=model, prompt="Is it?", format=schema, options=options, think=False)
    assert isinstance(json.loads(said.response)["right"], bool), said
    assert client.generate(model=model, prompt="", keep_alive="5m").done_reason == "load"


async def check_async(base_url, model):
    """The asynchronous client, several requests at once."""
    client = ollama.AsyncClient(host=base_url, timeout=120)
    ask = dict(model=model, messages=MESSAGES, options=OPTIONS)
    whole = await asyncio.gather(*(client.chat(**ask) for _ in range(8)))
    parts = [part.message.content async for part in await client.chat(**ask, stream=True)]
    assert {answer.message.content for answer in whole} == {"".join(parts)}, (whole, parts)
    assert (await client.embed(model=model, input="One bird.", truncate=True)).embeddings


def check_chats(client, model):
    ask = dict(model=model, messages=MESSAGES, options=OPTIONS)
    whole = client.chat(**ask, tools=[weather], think=False)
    assert whole.message.role == "assistant" and whole.model == model and whole.done, whole
    assert whole.done_reason in ("stop", "length") and 0 < whole.eval_count <= 8 and whole.prompt_eval_count > 0, whole
    parts = whole.load_duration + whole.prompt_eval_duration + whole.eval_duration
    assert 0 < parts <= whole.total_duration, whole
    whole = client.chat(**ask)
    parts = list(client.chat(**ask, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content, parts
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True], parts
    assert parts[-1].eval_count == whole.eval_count and parts[-1].done_reason == whole.done_reason, parts[-1]
    turns = MESSAGES + [
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bonn"}}}]},
        {"role": "tool", "tool_name": "weather", "content": "rain"},
    ]
    assert client.chat(**{**ask, "messages": turns}).eval_count > 0
    assert client.chat(model=model).done_reason == "load"
    logprobs = client.chat(**ask, logprobs=True, top_logprobs=2).logprobs
    assert all(len(entry.top_logprobs) == 2 for entry in logprobs), logprobs


def check_completions(client, model):
    ask = dict(model=model, prompt="Once upon a time", options=OPTIONS)
    for more in [{}, {"system": "Be brief."}, {"raw": True}]:
        whole = client.generate(**ask, **more)
        parts = list(client.generate(**ask, **more, stream=True))
        assert "".join(part.response for part in parts) == whole.response, parts
    if len(whole.response) > 2:
        stop = whole.response[1:]
        stopped = client.generate(**{**ask, "options": {**OPTIONS, "stop": [stop]}}, raw=True)
        assert stopped.response == whole.response[: whole.response.index(stop)], stopped


def check_embeddings(client, model):
    answer = client.embed(model=model, input=["One bird.", "Another bird."])
    assert len(answer.embeddings) == 2 and answer.prompt_eval_count > 0, answer
    assert abs(sum(x * x for x in answer.embeddings[0]) - 1) < 1e-4, answer
    assert client.embeddings(model=model, prompt="One bird.").embedding


def check_errors(client, model):
    for status, call in [
        (404, lambda: client.chat(model="no-such-model", messages=MESSAGES)),
        (404, lambda: list(client.chat(model="no-such-model", messages=MESSAGES, stream=True))),
        (400, lambda: client.generate(model=model, prompt="x", suffix="y")),
        (400, lambda: client.embed(model=model, input=[])),
        (404, lambda: client.delete(model)),
    ]:
        try:
            call()
        except ollama.ResponseError as error:
            assert error.status_code == status and error.error, error
        else:
            raise AssertionError("what cannot be answered was")


main(*sys.argv[1:])
