"""The OpenAPI 3.1 document of a dialect, made from its table of routes and its table of replies.

Nothing is written twice: what the document says of a body is what the server decodes with, and what it says of errors
is the table that the server answers from. What it says of webhooks is the shapes that they are written from.
"""

from inspect import cleandoc
from typing import Any, get_args

import msgspec

from otcdesk import __version__
from otcdesk.api.dialect import COMMON_CODES, Dialect, Route
from otcdesk.errors import Code
from otcdesk.webhooks.envelope import Envelope, any_2xx

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
_CREDENTIALS = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Api-Signature",
        "description": "A JWT about this one request, where the key has a public key.",
    },
}
#: What only who sends a body meets.
_OF_BODIES = {Code.BODY_TOO_LARGE, Code.CONTENT_TYPE_UNSUPPORTED}

#: From here on statuses say that it did not go well.
_ERRORS = 400

_ID_SCHEMA = {"type": "string", "format": "uuid"}
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
    routes, callbacks = dialect.routes, dialect.callbacks
    shapes = [shape for route in routes for shape in (*_alternatives(route.body), route.answer) if shape is not None]
    shapes += [shape for route in routes for shape in (route.beside or {}).values()]
    shapes += [kind.shape for kind in callbacks.messages.values()] if callbacks else []
    schemas, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(id, shapes), schemas, strict=True))
    for component in components.values():
        if "description" in component:
            component["description"] = cleandoc(component["description"])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(dialect, route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"otcdesk: {dialect.title}", "version": __version__},
        "servers": [{"url": prefix}],
        "paths": paths,
        **({"webhooks": _webhooks(callbacks, schema_of)} if callbacks else {}),
        "components": {
            "schemas": {**components, "Error": dialect.error_schema or _ERROR_SCHEMA},
            "securitySchemes": {part: _CREDENTIALS[part] for name in dialect.credentials for part in name.split("+")},
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
        "security": [_together(name) for name in dialect.credentials] if route.scope else [],
    }
    if route.scope:
        operation["x-required-scope"] = route.scope
    forms = [schema_of[id(shape)] for shape in _alternatives(route.body)]
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {route.takes: {"schema": route.form or {"type": "string"}}},
        }
    elif forms:
        schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
        if route.body_required:
            given = {name: {"type": "string", "minLength": 1} for name in route.body_required}
            schema = {"allOf": [schema, {"type": "object", "required": [*given], "properties": given}]}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    return operation


def _together(name: str) -> dict[str, list[str]]:
    return {part: [] for part in name.split("+")}


def _parameters(dialect: type[Dialect], route: Route) -> list[dict[str, Any]]:
    named = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": dialect.path_schemas.get(name, {"type": "string"})}
        for name in named
    ]
    if route.query is not None:
        (component,) = msgspec.json.schema_components([route.query])[1].values()
        parameters += [
            {"name": name, "in": "query", "required": name in route.query_required, "schema": field}
            for name, field in component["properties"].items()
        ]
    parameters += [
        {"name": name, "in": "header", "required": required, "schema": _ID_SCHEMA}
        for name, required in route.headers.items()
    ]
    parameters += [
        {"name": name, "in": "header", "required": False, "schema": schema}
        for name, schema in route.credential_headers.items()
    ]
    if Code.CSRF_TOKEN_INVALID in route.refuses:
        parameters.append(_CSRF_PARAMETER)
    if route.keyed:
        schema = {"type": "string", "pattern": f"^{dialect.key_pattern}$"}
        required = Code.KEY_REQUIRED in route.refuses
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": required, "schema": schema})
    return parameters


def _responses(dialect: type[Dialect], route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _answered(route, schema_of)}}
    if route.gives is not None:
        content = {route.gives: {"schema": {"type": "string"}}}
    responses: dict[str, Any] = {str(route.status): {"description": "Done", "content": content}}
    if not route.wrapped and route.answer is None:
        responses = {str(route.status): {"description": "Done; no body"}}
    responses |= {str(status): {"description": meaning} for status, meaning in route.also.items() if status < _ERRORS}
    words: dict[int, list[str]] = {status: [words] for status, words in route.also.items() if status >= _ERRORS}
    common = COMMON_CODES if route.body is not None else COMMON_CODES - _OF_BODIES
    for code in sorted(common.union(route.refuses), key=lambda code: code.name):
        reply = dialect.reply_to(code, route.label)
        words.setdefault(reply.status, [])
        if reply.word not in words[reply.status]:
            words[reply.status].append(reply.word)
    for status, named in sorted(words.items()):
        responses[str(status)] = {
            "description": ", ".join(named),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return responses


def _answered(route: Route, schema_of: dict[int, Any]) -> dict[str, Any]:
    data = schema_of[id(route.answer)] if route.answer is not None else {}
    if not route.wrapped:
        schema: dict[str, Any] = data
        return schema
    beside = {name: schema_of[id(shape)] for name, shape in (route.beside or {}).items()}
    if route.query is not None and route.beside is None:
        beside["meta"] = _META_SCHEMA
    return {"type": "object", "required": ["data", *beside], "properties": {"data": data, **beside}}


def _webhooks(callbacks: Envelope, schema_of: dict[int, Any]) -> dict[str, Any]:
    """Return what is posted to subscribers, by event type, and which of their answers say that it was received."""
    parameters = [
        {
            "name": header.name,
            "in": "header",
            "required": header.always,
            "description": header.meaning,
            "schema": {"type": "string"},
        }
        for header in callbacks.sent_headers
    ]
    received = ["2XX"] if callbacks.received == any_2xx() else map(str, sorted(callbacks.received))
    responses = {
        **{status: {"description": "Received"} for status in received},
        "410": {"description": "The receiver is gone: the webhook is switched off"},
        "default": {"description": "Not received: it is sent again later"},
    }
    return {
        event_type: {
            "post": {
                "summary": kind.meaning,
                "parameters": parameters,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": schema_of[id(kind.shape)]}},
                },
                "responses": responses,
                "security": [],
            }
        }
        for event_type, kind in callbacks.messages.items()
    }
