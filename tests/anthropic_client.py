# Anthropic's official Python client against a running server: anthropic_client.py BASE_URL [MODEL]. Any model with a chat
# template will do. Exits with an error at the first thing that is not as it should be.
import sys

import anthropic

MESSAGES = [{"role": "user", "content": "Tell me a story."}]
TOOL = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object", "properties": {}}}


def main(base_url, model="default"):
    client = anthropic.Anthropic(base_url=base_url, api_key="none", max_retries=0, timeout=120)
    check_messages(client, model)
    check_streams(client, model)
    check_counts(client, model)
    check_errors(client, model)
    print("ok")


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
