# OpenAI's official Python client against a running server: openai_client.py BASE_URL [MODEL]. Any model will do; one
# without a chat template skips the chats. Exits with an error at the first thing that is not as it should be.
import sys

import openai

MESSAGES = [{"role": "user", "content": "Tell me a story."}]


def main(base_url, model="default"):
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120)
    names = [entry.id for entry in client.models.list()]
    assert names and client.models.retrieve(names[0]).id == names[0], names
    check_completions(client, model, names)
    check_embeddings(client, model, names)
    check_errors(client, model)
    try:
        client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=1)
    except openai.BadRequestError as error:
        assert "/v1/completions" in error.message, error
        print("skipped: the model has no chat template")
        return
    check_chats(client, model, names)
    check_responses(client, model, names)
    print("ok")


def check_completions(client, model, names):
    ask = dict(model=model, prompt="Once upon a time", max_tokens=12, temperature=0)
    whole = client.completions.create(**ask)
    assert whole.object == "text_completion" and whole.model in names and whole.id.startswith("cmpl-"), whole
    assert whole.usage.completion_tokens <= 12 and whole.choices[0].finish_reason in ("stop", "length"), whole
    chunks = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text, chunks
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices, chunks
    logprobs = client.completions.create(**ask, logprobs=3).choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset), logprobs
    assert all(3 <= len(top) <= 4 for top in logprobs.top_logprobs), logprobs
    several = client.completions.create(**{**ask, "prompt": ["One", "Two"]}, n=2)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3], several


def check_chats(client, model, names):
    ask = dict(model=model, messages=MESSAGES, max_tokens=12, temperature=0)
    whole = client.chat.completions.create(**ask, n=2)
    assert whole.object == "chat.completion" and whole.model in names and len(whole.choices) == 2, whole
    text = whole.choices[0].message.content
    assert whole.choices[0].message.role == "assistant" and text == whole.choices[1].message.content, whole
    chunks = list(client.chat.completions.create(**ask, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text, chunks
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason, chunks[-1]
    logprobs = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert all(len(entry.top_logprobs) == 2 and entry.bytes is not None for entry in logprobs), logprobs
    if len(text) > 2:
        stopped = client.chat.completions.create(**ask, stop=text[1:])
        assert stopped.choices[0].message.content == text[: text.index(text[1:])], stopped
    with client.chat.completions.create(**{**ask, "max_tokens": 500}, stream=True) as stream:
        next(iter(stream))  # and goes away


def check_responses(client, model, names):
    ask = dict(model=model, input=MESSAGES, max_output_tokens=12, temperature=0)
    whole = client.responses.create(**ask)
    assert whole.object == "response" and whole.model in names and whole.status in ("completed", "incomplete"), whole
    events = list(client.responses.create(**ask, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text, (text, whole)
    if whole.status == "completed":  # else the client knows no final response
        with client.responses.stream(**ask) as stream:
            assert stream.get_final_response().output_text == text
    kept = client.responses.retrieve(whole.id)
    assert kept.output_text == text, kept
    second = client.responses.create(**{**ask, "input": "Go on."}, previous_response_id=whole.id)
    assert second.usage.input_tokens > whole.usage.input_tokens, second
    later = client.responses.create(**ask, background=True)
    while later.status in ("queued", "in_progress"):
        later = client.responses.retrieve(later.id)
    assert later.output_text == text, later
    client.responses.delete(whole.id)
    try:
        client.responses.retrieve(whole.id)
        raise AssertionError("a deleted response is there")
    except openai.NotFoundError as error:
        assert error.code == "response_not_found", error


def check_embeddings(client, model, names):
    texts = ["One bird", "Another tree", "One bird"]
    # The client asks for base64, unless it is told not to.
    answer = client.embeddings.create(model=model, input=texts)
    first, second, again = (entry.embedding for entry in answer.data)
    assert first == again != second and len(first) == len(second), answer
    assert abs(sum(x * x for x in first) - 1) < 1e-4 and answer.usage.prompt_tokens > 0, answer
    plain = client.embeddings.create(model=model, input=texts[0], encoding_format="float").data[0].embedding
    assert all(abs(a - b) < 1e-6 for a, b in zip(plain, first)), plain
    most = len(first) * 3 // 4
    short = client.embeddings.create(model=model, input=texts[0], dimensions=most).data[0].embedding
    assert len(short) == most and abs(sum(x * x for x in short) - 1) < 1e-4, short


def check_errors(client, model):
    try:
        client.completions.create(model="no-such-model", prompt="x")
        raise AssertionError("a model that does not exist answered")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and error.param == "model", error
    try:
        client.completions.create(model=model, prompt="x", temperature=-1)
        raise AssertionError("a temperature below zero was taken")
    except openai.BadRequestError as error:
        assert error.param == "temperature" and error.type == "invalid_request_error", error


main(*sys.argv[1:])
