# Anthropic's official Python client against a running server, in all its methods that the server has: anthropic_client.py
# BASE_URL [MODEL]. Any model with a chat template will do. Exits with an error at the first thing that is not as it should be.
import asyncio
import sys
import typing

import anthropic
import pydantic
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_create_params as beta_create_params

from fields import check_fields

MESSAGES = [{"role": "user", "content": "Tell me a story."}]
TOOL = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object", "properties": {}}}


def main(base_url, model="default"):
    client = anthropic.Anthropic(base_url=base_url, api_key="none", max_retries=0, timeout=120)
    for params in (message_create_params, beta_create_params):
        hints = typing.get_type_hints(params.MessageCreateParamsNonStreaming)
        check_fields("POST /v1/messages", hints.keys() - {"betas"})  # a header
    hints = typing.get_type_hints(message_count_tokens_params.MessageCountTokensParams)
    check_fields("POST /v1/messages/count_tokens", hints)
    check_models(client)
    check_messages(client, model)
    check_streams(client, model)
    check_counts(client, model)
    check_helpers(client, model)
    check_errors(client, model)
    asyncio.run(check_async(base_url, model))
    print("ok")


def check_models(client):
    models = list(client.models.list())
    assert models and all(model.type == "model" and model.display_name for model in models), models
    one = client.models.retrieve(models[0].id)
    assert one == models[0] and one.created_at.year >= 2020 and one.max_input_tokens > 0, one
    assert [model.id for model in client.models.list(limit=1)] == [model.id for model in models]


class Verdict(pydantic.BaseModel):
    """What an answer has to be."""

    right: bool


def check_helpers(client, model):
    """What the client makes of messages by itself, and the API's newest form."""
    parsed = client.messages.parse(**{**ask(model), "max_tokens": 4000}, output_format=Verdict)
    assert isinstance(parsed.parsed_output, Verdict), parsed
    raw = client.messages.with_raw_response.create(**ask(model))
    assert raw.headers["x-request-id"] and raw.parse().role == "assistant", raw
    beta = client.beta.messages.create(**ask(model), betas=["anything-2030-01-01"])
    assert beta.content[0].text == client.messages.create(**ask(model)).content[0].text, beta
    assert client.beta.messages.count_tokens(model=model, messages=MESSAGES).input_tokens > 0
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert client.messages.create(**ask(model, thinking=thinking)).usage.output_tokens > 0
    quiet = client.messages.create(**ask(model, thinking={"type": "disabled"}, tool_choice={"type": "none"}, tools=[TOOL]))
    assert quiet.stop_reason in ("end_turn", "max_tokens"), quiet
    with client.messages.stream(**ask(model)) as stream:
        kinds = [event.type for event in stream]
    assert {"text", "content_block_stop", "message_stop"} <= set(kinds), kinds


async def check_async(base_url, model):
    """The asynchronous client, several requests at once."""
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key="none", max_retries=0, timeout=120) as client:
        whole = await asyncio.gather(*(client.messages.create(**ask(model)) for _ in range(8)))
        async with client.messages.stream(**ask(model)) as stream:
            text = "".join([part async for part in stream.text_stream])
        assert {message.content[0].text for message in whole} == {text}, (whole, text)


def ask(model, **more):
    return dict(model=model, messages=MESSAGES, max_tokens=8, extra_body={"temperature": 0}, **more)


def check_messages(client, model):
    message = client.messages.create(**ask(model, system="Be brief.", tools=[TOOL], metadata={"user_id": "me"}))
    assert message.type == "message" and message.role == "assistant" and message.id.startswith("msg_"), message
    assert message.stop_reason in ("end_turn", "max_tokens") and message.stop_sequence is None, message
    assert message.usage.input_tokens > 0 and 0 < message.usage.output_tokens <= 8, message
    text = message.content[0].text
    stopped = client.messages.create(**ask(model, system="Be brief.", tools=[TOOL], stop_sequences=[text[1:]]))
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == text[1:], stopped
    assert "".join(block.text for block in stopped.content) == text[: text.index(text[1:])], stopped
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain."}]},
    ]
    assert client.messages.create(**{**ask(model, tools=[TOOL]), "messages": turns}).usage.output_tokens > 0


def check_streams(client, model):
    whole = client.messages.create(**ask(model))
    with client.messages.stream(**ask(model)) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert [block.text for block in message.content] == [block.text for block in whole.content] == [text], message
    assert message.stop_reason == whole.stop_reason and message.usage.output_tokens == whole.usage.output_tokens, message
    names = [event.type for event in client.messages.create(**ask(model), stream=True)]
    assert names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"], names


def check_counts(client, model):
    count = client.messages.count_tokens(model=model, messages=MESSAGES, system="Be brief.").input_tokens
    asked = client.messages.create(**ask(model, system="Be brief."))
    assert count == asked.usage.input_tokens + asked.usage.cache_read_input_tokens, (count, asked)


def check_errors(client, model):
    try:
        client.messages.create(**ask("no-such-model"))
        raise AssertionError("a model that does not exist answered")
    except anthropic.NotFoundError as error:
        assert error.body["error"]["type"] == "not_found_error", error
    try:
        client.messages.create(**ask(model, tools=[TOOL], tool_choice={"type": "any"}))
        raise AssertionError("a forced call was taken")
    except anthropic.BadRequestError as error:
        assert error.body["error"]["type"] == "invalid_request_error" and "tool_choice" in str(error), error


main(*sys.argv[1:])
