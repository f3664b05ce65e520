"""The store's tables and their columns: the one place where a canonical call is defined.

Names follow the OpenTelemetry GenAI conventions with dots as underscores and `gen_ai.` dropped.
Token counts are inclusive: `input_tokens` holds cache reads and writes, `output_tokens` holds reasoning.
Times are UTC without a zone. NULL always means "not known", never zero.
"""

from __future__ import annotations

# 2: tools by kind, cached audio and images, search_context_size; aliases of calls
# 3: how the model was chosen (propensity, assignment, rollout, arm), the unit of a score
SCHEMA_VERSION = 3
SCOPE = ("provider_name", "model", "region", "agent", "team")  # columns of a call that its price may depend on
HASH = "(hi::HUGEINT * 18446744073709551616 + lo::HUGEINT)"  # a hash of 128 bits, of its two halves

# column -> DuckDB type, in table order. `calls` is the hot table: no text, dense ids.
CALL_COLUMNS: dict[str, str] = {
    "call_no": "BIGINT",  # dense, 0.., in order of publishing: joins `ledger`, `scores`, `import_issues`
    "call_key": "HUGEINT",  # 128 bits of the sha256 of the call's identity; unique
    "source_id": "INTEGER",  # the row's file, in `sources`
    "source_row": "BIGINT",  # 1-based line or record number in it
    "start_time": "TIMESTAMP",  # UTC; NULL where the log has no time
    "end_time": "TIMESTAMP",
    "duration_ms": "DOUBLE",
    "time_to_first_chunk_ms": "DOUBLE",
    "time_precision": "VARCHAR",  # ns, us, ms, s, assumed_tz
    "trace_id": "VARCHAR",
    "span_id": "VARCHAR",
    "parent_span_id": "VARCHAR",
    "response_id": "VARCHAR",
    "request_id": "VARCHAR",  # the logical request: retries and fan-out share it where the log says so
    "conversation_id": "VARCHAR",  # session
    "attempt": "SMALLINT",
    "retry_of": "VARCHAR",
    "operation_name": "VARCHAR",
    "provider_name": "VARCHAR",
    "request_model": "VARCHAR",
    "response_model": "VARCHAR",
    "model": "VARCHAR",  # what was billed: the response's model, else the requested one
    "service_tier": "VARCHAR",  # NULL = standard; batch, flex, priority, ...
    "is_batch": "BOOLEAN",
    "region": "VARCHAR",
    "input_tokens": "BIGINT",
    "cache_read_input_tokens": "BIGINT",
    "cache_creation_input_tokens": "BIGINT",
    "cache_creation_1h_input_tokens": "BIGINT",  # the part of the line above written for an hour
    "output_tokens": "BIGINT",
    "reasoning_output_tokens": "BIGINT",
    "audio_input_tokens": "BIGINT",
    "audio_output_tokens": "BIGINT",
    "image_input_tokens": "BIGINT",
    "image_output_tokens": "BIGINT",
    "cache_read_audio_input_tokens": "BIGINT",  # the parts of cache_read_input_tokens that are audio and images
    "cache_read_image_input_tokens": "BIGINT",
    "server_tool_calls": "INTEGER",  # uses of the provider's tools that it bills by the piece, of every kind
    "web_search_calls": "INTEGER",  # the kinds among them; what is in none of them is of a kind without a column
    "web_search_results": "INTEGER",
    "file_search_calls": "INTEGER",
    "code_interpreter_calls": "INTEGER",  # containers opened
    "maps_calls": "INTEGER",
    "image_generation_calls": "INTEGER",
    "search_context_size": "VARCHAR",  # low, medium, high: what a request fee depends on (Perplexity)
    "tokens_source": "VARCHAR",  # reported, summed, sum_of_calls, estimated, ambiguous, partial and so on
    "logged_cost_usd": "DECIMAL(18,12)",
    "weight": "DECIMAL(18,6)",  # calls that this row stands for; 1 unless sampled or aggregated
    "status": "VARCHAR",  # ok, error, cancelled, gateway_cache_hit
    "error_type": "VARCHAR",
    "http_status": "SMALLINT",
    "finish_reason": "VARCHAR",
    "stream": "BOOLEAN",
    "temperature": "DOUBLE",
    "max_tokens": "BIGINT",
    "reasoning_effort": "VARCHAR",
    "response_format": "VARCHAR",  # text, json_object, json_schema
    "tool_count": "SMALLINT",
    "has_images": "BOOLEAN",
    "pending_tool_calls": "BOOLEAN",  # the answer asks for tools: a side effect follows, never cached
    "agent": "VARCHAR",
    "agent_source": "VARCHAR",  # which rule of the resolution order named it
    "task": "VARCHAR",
    "task_source": "VARCHAR",
    "workflow_name": "VARCHAR",
    "prompt_name": "VARCHAR",
    "prompt_version": "VARCHAR",
    "user_id": "VARCHAR",
    "team": "VARCHAR",
    "environment": "VARCHAR",
    "service_name": "VARCHAR",
    "process_id": "VARCHAR",  # the process that holds its own memory cache
    "tags": "VARCHAR[]",
    "score": "DOUBLE",  # the logged quality of this call's own answer, 0..1
    "score_scope": "VARCHAR",  # what the score was given to: call, conversation, trace, task
    "propensity": "DOUBLE",  # probability with which the policy in force chose the model that served; 0 < p <= 1
    "assignment": "VARCHAR",  # random: chance alone chose the model; policy
    "rollout": "VARCHAR",  # name of the policy in force
    "arm": "VARCHAR",  # treated, control
    "input_words": "INTEGER",  # whitespace-separated words of all message text; kept without text too
    "content_state": "VARCHAR",  # full, truncated, redacted, hashed, absent
    "message_ids": "INTEGER[]",  # `contents` ids of the input messages in order
    "tools_id": "INTEGER",  # `contents` id of the tool definitions
    "output_id": "INTEGER",  # `contents` id of the answer
    "key_canonical": "INTEGER",  # dense id of the request without its model, by key policy
    "key_masked": "INTEGER",
    "key_litellm": "INTEGER",
    "key_helicone": "INTEGER",
    "key_portkey": "INTEGER",
}

TABLES: dict[str, str] = {
    "meta": "key VARCHAR, value VARCHAR",
    "sources": """source_id INTEGER, path VARCHAR, format VARCHAR, fingerprint VARCHAR, size_bytes BIGINT,
                  rows BIGINT, calls BIGINT, duplicates BIGINT, quarantined BIGINT, skipped BIGINT,
                  byte_offset BIGINT, complete BOOLEAN, published BIGINT""",
    "calls": ", ".join(f"{name} {kind}" for name, kind in CALL_COLUMNS.items()),
    # a row that was not stored because another format's log has its call: the key that the row would have had
    "call_aliases": "call_key HUGEINT, call_no BIGINT, format VARCHAR",
    # one row per distinct message, tool list or answer; text is NULL in no-text mode
    "contents": """content_id INTEGER, hash HUGEINT, kind VARCHAR, role VARCHAR,
                   text VARCHAR USING COMPRESSION zstd, chars INTEGER, words INTEGER""",
    # counted lazily, once per distinct text: `blocks` are chained hashes of the text's 128-token blocks
    "content_tokens": "content_id INTEGER, encoding VARCHAR, tokens INTEGER, blocks BIGINT[]",
    "request_keys": "hash HUGEINT, key_id INTEGER",
    # scores of any model on a logged call: the call's own answer, shadow samples, reviews of both models
    "scores": "call_no BIGINT, model VARCHAR, score DOUBLE, source VARCHAR",
    "quarantine": """source_id INTEGER, source_row BIGINT, byte_offset BIGINT, reason VARCHAR, json_path VARCHAR,
                     line_sha256 VARCHAR, excerpt VARCHAR""",
    # rows with usage that became no call: those skipped by a rule as a sum, those that could not be used one by one
    "left_out": """source_id INTEGER, kind VARCHAR, reason VARCHAR, byte_offset BIGINT, rows BIGINT, tokens BIGINT,
                   cost_pico BIGINT""",
    "import_issues": "call_no BIGINT, code VARCHAR, detail VARCHAR",
    # what people did at a moment (UTC), such as a deployment: `hindcast mark`
    "annotations": "time TIMESTAMP, text VARCHAR, source VARCHAR",
    # what `hindcast watch` has seen: an alert of a series or a failed gate, and whether it was told
    "watch_alerts": """alert_id VARCHAR, dimension VARCHAR, value VARCHAR, kind VARCHAR, started TIMESTAMP,
                       detected TIMESTAMP, ended TIMESTAMP, usd_per_hour DOUBLE, expected_usd_per_hour DOUBLE,
                       state VARCHAR, part_of VARCHAR, seen TIMESTAMP, told TIMESTAMP""",
    # what it has to tell, for each channel: kept until it is sent
    "watch_notices": """notice_id VARCHAR, alert_id VARCHAR, channel VARCHAR, body VARCHAR, created TIMESTAMP,
                        attempts INTEGER, next_attempt TIMESTAMP, sent TIMESTAMP, given_up TIMESTAMP,
                        problem VARCHAR""",
    "usage_buckets": """source_id INTEGER, kind VARCHAR, start_time TIMESTAMP, end_time TIMESTAMP, provider VARCHAR,
                        model VARCHAR, line_item VARCHAR, token_kind VARCHAR, project VARCHAR, api_key VARCHAR,
                        service_tier VARCHAR, quantity DECIMAL(38,6), requests BIGINT, amount_usd DECIMAL(38,12),
                        currency VARCHAR""",
}
