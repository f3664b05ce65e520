"""Log the calls of a running program: `record(client)` watches an SDK's client and appends to a log that ingest reads.

    from openai import OpenAI
    from ingest.capture import record, context

    client = record(OpenAI(), "calls.jsonl")
    with context(agent="drafting_agent", task="draft", conversation_id="article-17"):
        client.chat.completions.create(model="gpt-4o", messages=[...])

Clients of `openai`, `anthropic` and `google-genai`, sync and async, with whatever they offer: streams, raw responses,
helpers, copies made by `with_options`. What is logged is what goes over HTTP, each attempt of its own. The line is made
and written by a thread, so that a call is held up by microseconds; each line is one `write`, so that a crash loses at
most the calls of the last moments and never leaves a torn line among whole ones. Nothing raises into a call.
"""

from ingest.capture.call_context import context
from ingest.capture.clients import record
from ingest.capture.log_file import Log

__all__ = ["Log", "context", "record"]
