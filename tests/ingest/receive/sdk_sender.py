"""A program that calls a model server with the OpenAI SDK under OpenLLMetry's instrumentation, and sends its spans.

python -m tests.ingest.receive.sdk_sender ENDPOINT MODEL_SERVER CALLS
"""

from __future__ import annotations

import sys


def main() -> None:
    endpoint, server, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    import openai
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource({"service.name": "articles", "process.command_args": ["--key", "s3cret"]})
    )
    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=7))
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()
    client = openai.OpenAI(base_url=server, api_key="sk-s3cret", max_retries=0)
    tracer = trace.get_tracer("articles")
    for number in range(calls):
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "writer" if number % 2 else "editor",
        }
        with tracer.start_as_current_span("invoke_agent", attributes=attributes):
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"Say {number}"}])
    provider.shutdown()


if __name__ == "__main__":
    main()
