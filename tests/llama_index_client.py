# LlamaIndex's OpenAI adapters against a running server: llama_index_client.py BASE_URL [MODEL]. Any model with a chat template
# will do. Exits with an error at the first thing that is not as it should be.
import asyncio
import sys

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike

ASK = "Tell me a story."


def main(base_url, model="default"):
    common = dict(api_base=base_url, api_key="none", max_retries=0, timeout=120)
    llm = OpenAILike(**common, model=model, temperature=0, max_tokens=12, context_window=4096, is_chat_model=True)
    whole = llm.complete(ASK)
    parts = list(llm.stream_complete(ASK))
    assert whole.text and parts[-1].text == whole.text == "".join(part.delta or "" for part in parts), parts
    messages = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content=ASK)]
    said = llm.chat(messages).message
    assert said.role == "assistant" and said.content, said
    assert list(llm.stream_chat(messages))[-1].message.content == said.content
    text = OpenAILike(**common, model=model, temperature=0, max_tokens=12, context_window=4096, is_chat_model=False)
    assert list(text.stream_complete("Once upon"))[-1].text == text.complete("Once upon").text != ""
    embedder = OpenAIEmbedding(**common, model_name=model)
    check_index(llm, embedder)
    asyncio.run(check_async(llm, whole.text))
    print("ok")


def check_index(llm, embedder):
    """Texts are found by their vectors, and what is found is put to the model."""
    first, second = embedder.get_text_embedding_batch(["One bird", "Another tree"])
    assert first != second and len(first) == len(second)
    index = VectorStoreIndex.from_documents([Document(text="One bird"), Document(text="Another tree")], embed_model=embedder)
    answer = index.as_query_engine(llm=llm, similarity_top_k=1).query("One bird")
    assert len(answer.source_nodes) == 1 and str(answer), answer


async def check_async(llm, text):
    answers = await asyncio.gather(*(llm.acomplete(ASK) for _ in range(4)))
    assert {answer.text for answer in answers} == {text}, answers


main(*sys.argv[1:])
