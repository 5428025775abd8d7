# LangChain's OpenAI adapter against a running server: langchain_client.py BASE_URL [MODEL]. Any model with a chat template will do.
# Exits with an error at the first thing that is not as it should be.
import asyncio
import sys

import pydantic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

ASK = "Tell me a story."


class Verdict(pydantic.BaseModel):
    """What an answer has to be."""

    right: bool


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return "rain in " + city


def main(base_url, model="default"):
    common = dict(base_url=base_url, api_key="none", model=model, max_retries=0, timeout=120)
    chat = ChatOpenAI(**common, temperature=0, max_tokens=12)
    text = check_chats(chat)
    check_tools(chat)
    responses = ChatOpenAI(**common, temperature=0, max_tokens=12, use_responses_api=True)
    assert responses.invoke(ASK).text == text
    assert "".join(chunk.text for chunk in responses.stream(ASK)) == text
    verdict = ChatOpenAI(**common, temperature=0).with_structured_output(Verdict).invoke(ASK)
    assert isinstance(verdict, Verdict), verdict
    completion = OpenAI(**common, temperature=0, max_tokens=12)
    assert "".join(completion.stream("Once upon")) == completion.invoke("Once upon") != ""
    embeddings = OpenAIEmbeddings(base_url=base_url, api_key="none", model=model, check_embedding_ctx_length=False)
    first, second = embeddings.embed_documents(["One bird", "Another tree"])
    assert first == embeddings.embed_query("One bird") != second
    asyncio.run(check_async(chat, text))
    print("ok")


def check_chats(chat):
    whole = chat.invoke([SystemMessage("Be brief."), HumanMessage(ASK)])
    assert 0 < whole.usage_metadata["output_tokens"] <= 12 and whole.response_metadata["finish_reason"], whole
    text = chat.invoke(ASK).text
    chunks = list(chat.stream(ASK, stream_usage=True))
    assert "".join(chunk.text for chunk in chunks) == text, chunks
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) > 0, chunks
    assert [answer.text for answer in chat.batch([ASK] * 3)] == [text] * 3
    chain = ChatPromptTemplate.from_messages([("user", "{ask}")]) | chat | StrOutputParser()
    assert chain.invoke({"ask": ASK}) == text
    logprobs = chat.bind(logprobs=True, top_logprobs=2).invoke(ASK).response_metadata["logprobs"]["content"]
    assert all(len(entry["top_logprobs"]) == 2 for entry in logprobs), logprobs
    return text


def check_tools(chat):
    call = {"name": "weather", "args": {"city": "Bonn"}, "id": "a"}
    turns = [HumanMessage(ASK), AIMessage("", tool_calls=[call]), ToolMessage("rain", tool_call_id="a")]
    answer = chat.bind_tools([weather]).invoke(turns)
    assert answer.usage_metadata["output_tokens"] > 0, answer


async def check_async(chat, text):
    answers = await asyncio.gather(*(chat.ainvoke(ASK) for _ in range(4)))
    streamed = "".join([chunk.text async for chunk in chat.astream(ASK)])
    assert {answer.text for answer in answers} == {streamed} == {text}, answers


main(*sys.argv[1:])
