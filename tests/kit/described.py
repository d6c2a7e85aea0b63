"""api/openapi.yaml, and whether an answer of the server is one that it describes."""

import copy
import functools
import json
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import jsonschema
import yaml

from kit import Failure, root

__all__ = ["Operation", "check_answer", "document", "example_of", "find", "mistakes", "operations", "seen"]

METHODS = ("get", "post", "put", "patch", "delete")
# What has a reason of the operation's own must stand there; the rest is in `default`.
EXPLICIT = (404, 409, 412, 502)
# Operations that succeeded in this process.
seen = set()


class Operation(NamedTuple):
    id: str
    method: str
    path: str
    role: str
    parameters: List[Dict[str, Any]]
    body: Optional[Dict[str, Any]]  # its requestBody
    responses: Dict[str, Any]


@functools.lru_cache(None)
def document() -> Dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((root / "api" / "openapi.yaml").read_text(encoding="utf-8"), loader)


def resolved(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        place: Any = document()
        for name in node["$ref"][2:].split("/"):
            place = place[name]
        node = place
    return node


@functools.lru_cache(None)
def operations() -> Tuple[Operation, ...]:
    return tuple(
        Operation(operation["operationId"], method.upper(), path, operation["x-role"],
                  [resolved(each) for each in item.get("parameters", []) + operation.get("parameters", [])],
                  operation.get("requestBody"), {status: resolved(each) for status, each in operation["responses"].items()})
        for path, item in document()["paths"].items() for method, operation in item.items() if method in METHODS)


def find(name: str) -> Operation:
    return next(operation for operation in operations() if operation.id == name)


@functools.lru_cache(None)
def _pattern(path: str) -> "re.Pattern[str]":
    return re.compile("/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/")))


def operation_of(method: str, path: str) -> Optional[Operation]:
    method = "GET" if method == "HEAD" else method
    path = path.split("?")[0]
    fitting = [each for each in operations() if each.method == method and _pattern(each.path).fullmatch(path)]
    return min(fitting, key=lambda each: each.path.count("{"), default=None)


@functools.lru_cache(None)
def _validator(text: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**json.loads(text), "components": document()["components"]})


def mistakes(schema: Dict[str, Any], value: Any) -> Iterator[str]:
    for error in _validator(json.dumps(schema)).iter_errors(value):
        yield f"{error.json_path}: {error.message[:300]}"


def example_of(name: str, which: str = "") -> Any:
    """The example of a request body."""
    content = find(name).body["content"]["application/json"]
    return copy.deepcopy(content["examples"][which]["value"] if which else content["example"])


def check_answer(method: str, path: str, status: int, headers: Dict[str, str], body: bytes) -> None:
    operation = operation_of(method, path)
    if operation is None:
        return
    what = f"{operation.id} answered {status}, which api/openapi.yaml does not describe"
    described = operation.responses.get(str(status))
    if described is None:
        if status < 400 or status in EXPLICIT:
            raise Failure(f"{what}: no such status. {body[:300]!r}")
        described = operation.responses["default"]
    if status < 400:
        seen.add(operation.id)
    for name in described.get("headers", {}):
        if name.lower() not in headers:
            raise Failure(f"{what}: no header {name}")
    if method == "HEAD":
        return
    content = described.get("content")
    if not content:
        if body:
            raise Failure(f"{what}: there is a body")
        return
    kind = headers.get("content-type", "").split(";")[0]
    if kind not in content:
        raise Failure(f"{what}: Content-Type {kind}")
    if not kind.endswith("json"):
        return
    found = list(mistakes(content[kind]["schema"], json.loads(body)))
    if found:
        raise Failure(f"{what}: " + "; ".join(found[:5]) + f" in {body[:600]!r}")
