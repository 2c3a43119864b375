"""The OpenAPI 3.1 document of a dialect, made from its table of routes and its table of replies.

Nothing is written twice: what the document says of a body is what the server decodes with, and what it says of errors
is the table that the server answers from.
"""

from typing import Any, get_args

import msgspec

from otcdesk import __version__
from otcdesk.api.dialect import COMMON_CODES, Dialect, Route
from otcdesk.errors import Code

_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
            },
        }
    },
}

_CSRF_PARAMETER = {
    "name": "X-CSRF-Token",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
}
_COUNT_SCHEMA = {"type": "integer", "minimum": 0}

_META_SCHEMA = {
    "type": "object",
    "required": ["pagination"],
    "properties": {
        "pagination": {
            "type": "object",
            "required": ["page", "limit", "total"],
            "properties": {"page": _COUNT_SCHEMA, "limit": _COUNT_SCHEMA, "total": _COUNT_SCHEMA},
        }
    },
}


def openapi_document(dialect: type[Dialect], prefix: str) -> dict[str, Any]:
    """Return the document of a dialect that is served under `prefix`."""
    routes = dialect.routes
    shapes = [shape for route in routes for shape in (*_alternatives(route.body), route.answer) if shape is not None]
    schemas, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(id, shapes), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(dialect, route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"otcdesk: {dialect.title}", "version": __version__},
        "servers": [{"url": prefix}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR_SCHEMA},
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _alternatives(body: Any) -> tuple[Any, ...]:
    if body is None:
        return ()
    return get_args(body) if not isinstance(body, type) else (body,)


def _operation(dialect: type[Dialect], route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "parameters": _parameters(dialect, route),
        "responses": _responses(dialect, route, schema_of),
        "security": [{"apiKey": []}, {"bearer": []}] if route.scope else [],
    }
    if route.scope:
        operation["x-required-scope"] = route.scope
    forms = [schema_of[id(shape)] for shape in _alternatives(route.body)]
    if forms:
        schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    return operation


def _parameters(dialect: type[Dialect], route: Route) -> list[dict[str, Any]]:
    named = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in named
    ]
    if route.query is not None:
        (component,) = msgspec.json.schema_components([route.query])[1].values()
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": field}
            for name, field in component["properties"].items()
        ]
    if Code.CSRF_TOKEN_INVALID in route.refuses:
        parameters.append(_CSRF_PARAMETER)
    if route.keyed:
        schema = {"type": "string", "pattern": f"^{dialect.key_pattern}$"}
        required = Code.KEY_REQUIRED in route.refuses
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": required, "schema": schema})
    return parameters


def _responses(dialect: type[Dialect], route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    data = schema_of[id(route.answer)] if route.answer is not None else {}
    wrapped: dict[str, Any] = {"type": "object", "required": ["data"], "properties": {"data": data}}
    if route.query is not None:
        wrapped["required"].append("meta")
        wrapped["properties"]["meta"] = _META_SCHEMA
    responses: dict[str, Any] = {
        str(route.status): {"description": "Done", "content": {"application/json": {"schema": wrapped}}}
    }
    words: dict[int, list[str]] = {}
    for code in sorted(COMMON_CODES.union(route.refuses), key=lambda code: code.name):
        reply = dialect.replies[code]
        words.setdefault(reply.status, [])
        if reply.word not in words[reply.status]:
            words[reply.status].append(reply.word)
    for status, named in sorted(words.items()):
        responses[str(status)] = {
            "description": ", ".join(named),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return responses
