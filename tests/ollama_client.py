# Ollama's official Python client against a running server: ollama_client.py BASE_URL [MODEL]. Any model with a chat template
# will do. Exits with an error at the first thing that is not as it should be.
import sys

import ollama

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
    check_chats(client, model)
    check_completions(client, model)
    check_embeddings(client, model)
    check_errors(client, model)
    print("ok")


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
