"""Drop the descriptions of tool parameters, keeping those of the tools. Lossy: some names need their words."""

from __future__ import annotations

from typing import Any

from replay.compressors import Compressor


def apply(tools: Any) -> Any:
    """Tool definitions without descriptions, examples and titles inside their parameter schemas."""
    return [_tool(tool) for tool in tools] if isinstance(tools, list) else tools


def _tool(tool: Any) -> Any:
    if not isinstance(tool, dict):
        return tool
    result = dict(tool)
    if isinstance(tool.get("function"), dict):
        result["function"] = _tool(tool["function"])
    for key in ("parameters", "input_schema"):
        if key in tool:
            result[key] = _bare(tool[key])
    return result


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key in ("description", "examples", "title") and not isinstance(value, dict):
            continue
        # inside `properties` the keys are names, also one that is called "description"
        result[key] = {name: _bare(each) for name, each in value.items()} if key == "properties" else _bare(value)
    return result


COMPRESSOR = Compressor(apply, "tools", lossless=False, prefix_stable=True)
