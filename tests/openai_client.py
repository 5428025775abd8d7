# OpenAI's official Python client against a running server, in all its methods that the server has: openai_client.py BASE_URL
# [MODEL]. Any model will do; one without a chat template skips the chats, a server without files skips the batches. Exits with
# an error at the first thing that is not as it should be.
import asyncio
import json
import sys
import typing

import openai
import pydantic
from openai.types import batch_create_params, completion_create_params, embedding_create_params, file_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import input_token_count_params, response_create_params

from fields import check_fields

MESSAGES = [{"role": "user", "content": "Tell me a story."}]


def main(base_url, model="default"):
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120)
    names = [entry.id for entry in client.models.list()]
    assert names and client.models.retrieve(names[0]).id == names[0], names
    for endpoint, params in FIELDS:
        check_fields(endpoint, typing.get_type_hints(params))
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
    check_helpers(client, model)
    check_responses(client, model, names)
    check_background(client, model)
    check_batches(client, model)
    asyncio.run(check_async(base_url, model))
    print("ok")


FIELDS = [
    ("POST /v1/chat/completions", chat_create_params.CompletionCreateParamsNonStreaming),
    ("POST /v1/completions", completion_create_params.CompletionCreateParamsNonStreaming),
    ("POST /v1/responses", response_create_params.ResponseCreateParamsNonStreaming),
    ("POST /v1/responses/input_tokens", input_token_count_params.InputTokenCountParams),
    ("POST /v1/embeddings", embedding_create_params.EmbeddingCreateParams),
    ("POST /v1/files, a form", file_create_params.FileCreateParams),
    ("POST /v1/batches", batch_create_params.BatchCreateParams),
]


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


class Verdict(pydantic.BaseModel):
    """What an answer has to be."""

    right: bool


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def check_helpers(client, model):
    """What the client makes of chats by itself: parsed answers, streams put together, raw answers."""
    ask = dict(model=model, messages=MESSAGES, temperature=0)
    parsed = client.chat.completions.parse(**ask, response_format=Verdict).choices[0].message.parsed
    assert isinstance(parsed, Verdict), parsed
    with client.chat.completions.stream(**ask, response_format=Verdict) as stream:
        kinds = {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.parsed == parsed
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    raw = client.chat.completions.with_raw_response.create(**ask, max_tokens=2)
    assert raw.headers["x-request-id"] and raw.parse().usage.completion_tokens == 2, raw
    with client.chat.completions.with_streaming_response.create(**ask, max_tokens=2, stream=True) as response:
        assert [line for line in response.iter_lines() if line][-1] == "data: [DONE]"
    turns = MESSAGES + [
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
    ]
    answer = client.chat.completions.create(**{**ask, "messages": turns}, max_tokens=2, tools=[TOOL], user="me", store=False)
    assert answer.usage.completion_tokens == 2, answer


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
    items = list(client.responses.input_items.list(whole.id, limit=1))
    assert [item.content[0].text for item in items] == [MESSAGES[0]["content"]], items
    count = client.responses.input_tokens.count(model=model, input=MESSAGES)
    assert count.input_tokens == whole.usage.input_tokens, (count, whole.usage)
    verdict = client.responses.parse(model=model, input=MESSAGES, text_format=Verdict, temperature=0)
    assert isinstance(verdict.output_parsed, Verdict), verdict
    client.responses.delete(whole.id)
    try:
        client.responses.retrieve(whole.id)
        raise AssertionError("a deleted response is there")
    except openai.NotFoundError as error:
        assert error.code == "response_not_found", error


def check_background(client, model):
    """Answers that are made while nobody listens, and found again."""
    ask = dict(model=model, input=MESSAGES, max_output_tokens=12, temperature=0, background=True)
    with client.responses.create(**ask, stream=True) as stream:
        first = next(iter(stream))  # and goes away
    events = list(client.responses.retrieve(first.response.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    assert events[0].type == "response.created" and events[-1].response.status in ("completed", "incomplete"), events
    later = list(client.responses.retrieve(first.response.id, stream=True, starting_after=2))
    assert later == events[3:], later
    assert client.responses.retrieve(first.response.id).output_text == events[-1].response.output_text
    long = client.responses.create(**{**ask, "max_output_tokens": 100_000}, extra_body={"ignore_eos": True})
    cancelled = client.responses.cancel(long.id)
    assert cancelled.status in ("cancelled", "completed", "incomplete"), cancelled


def check_batches(client, model):
    """Files and a batch, where the server keeps them."""
    try:
        client.files.list()
    except (openai.NotFoundError, openai.BadRequestError) as error:
        assert error.code in ("unknown_url", "unsupported_parameter"), error
        print("skipped: the server keeps no files")
        return
    bodies = [{"model": model, "messages": MESSAGES, "max_tokens": 3, "temperature": 0}] * 2 + [{"messages": []}]
    lines = [
        json.dumps({"custom_id": f"ask-{i}", "method": "POST", "url": "/v1/chat/completions", "body": body})
        for i, body in enumerate(bodies)
    ]
    content = "\n".join(lines).encode()
    stay = {"anchor": "created_at", "seconds": 7200}
    file = client.files.create(file=("asks.jsonl", content), purpose="batch", expires_after=stay)
    assert file.expires_at == file.created_at + 7200 and file.bytes == len(content), file
    assert client.files.wait_for_processing(file.id).id == client.files.retrieve(file.id).id == file.id
    assert client.files.content(file.id).read() == content
    other = client.files.create(file=b"text", purpose="user_data")
    assert other.expires_at is None, other
    assert [one.id for one in client.files.list(order="asc", limit=1)] == [file.id, other.id]
    assert [one.id for one in client.files.list(purpose="batch")] == [file.id]
    begin = dict(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    batch = client.batches.create(**begin, metadata={"of": "test"}, output_expires_after=stay)
    while batch.status in ("validating", "in_progress", "finalizing"):
        batch = client.batches.retrieve(batch.id)
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", 3, 2, 1), batch
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == ["ask-0", "ask-1"], answers
    assert answers[0]["response"]["body"]["usage"]["completion_tokens"] <= 3, answers
    output = client.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output" and output.expires_at == output.created_at + 7200, output
    assert [one.id for one in client.batches.list(limit=1)] == [batch.id]
    assert client.batches.cancel(batch.id).status == "completed", "what has ended is not cancelled"
    assert client.files.delete(file.id).deleted and client.files.delete(other.id).deleted
    try:
        client.files.create(file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 1})
        raise AssertionError("a file may stay for a second")
    except openai.BadRequestError as error:
        assert error.param == "expires_after.seconds", error


async def check_async(base_url, model):
    """The asynchronous client, several requests at once."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120) as client:
        ask = dict(model=model, messages=MESSAGES, max_tokens=4, temperature=0)
        whole = await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(8)))
        texts = {answer.choices[0].message.content for answer in whole}
        stream = await client.chat.completions.create(**ask, stream=True)
        streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert texts == {streamed}, (texts, streamed)


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
    tokens = client.embeddings.create(model=model, input=[[65, 66], [67]], user="me")
    assert [entry.index for entry in tokens.data] == [0, 1] and tokens.usage.total_tokens == 3, tokens


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
