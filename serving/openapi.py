"""Describes the msgspec answers to OpenAPI, so that bytes out keep a schema."""

from typing import Any

import msgspec
from fastapi import FastAPI


def of(answer: type[msgspec.Struct]) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for a route that answers with this type, definitions inlined."""
    (schema,), parts = msgspec.json.schema_components([answer], ref_template="{name}")
    return {200: {"content": {"application/json": {"schema": _inline(schema, parts)}}}}


def name_bearer(app: FastAPI) -> None:
    """Say that keys and tokens go into Authorization; the doors look, not FastAPI."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        schema = describe()
        bearer = {"type": "http", "scheme": "bearer"}
        schema.setdefault("components", {})["securitySchemes"] = {"bearer": bearer}
        schema["security"] = [{"bearer": []}, {}]
        return schema

    app.openapi = described  # type: ignore[method-assign]


def _inline(schema: Any, parts: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inline(parts[schema["$ref"]], parts)
        return {key: _inline(value, parts) for key, value in schema.items()}
    return [_inline(part, parts) for part in schema] if isinstance(schema, list) else schema
