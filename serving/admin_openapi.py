"""The admin API's part of the OpenAPI document, and what else has to do with tokens."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import StructMeta

from contracts.admin import ActRequest, FlagRequest, StartRequest, TokenRequest
from serving.problems import encode_problem

ARM: Final = {
    "parameters": [
        {
            "name": "X-Tandem-Arm",
            "in": "header",
            "required": False,
            "schema": {"enum": ["champion", "canary", "shadow"]},
            "description": "The arm that a tester wants: a 401 without a good bearer token, of any role. The answer "
            "is no evidence about the arm.",
        }
    ],
    "security": [{}, {"bearer": []}],
}
SECURITY: Final = {"bearer": {"type": "http", "scheme": "bearer", "description": "`tandem token create` makes one"}}
_REQUESTS: Final = (StartRequest, ActRequest, FlagRequest, TokenRequest)
_PROBLEMS: Final = {
    401: ("needs a token, Authorization: Bearer …; `tandem token create` makes one", ""),
    403: ("set kill_switch: olga is operator, must be admin", ""),
    404: ("rollout 'eta-9' not found", ""),
    409: ("rollout eta-3 is Canary: abort it first, or replace it", ""),
    415: ("content-type is 'text/plain', must be 'application/json'", ""),
    422: ("there is no model 'tip', there is eta", "name"),
    503: ("state database unavailable (failed): database is locked", ""),
}
_VERBS: Final = ("approve", "pause", "resume", "abort", "promote", "rollback")
_ROLLOUT: Final = {
    "id": "eta-3",
    "model": "eta",
    "phase": "Canary",
    "active": True,
    "step": "2 of 5",
    "champion": 1,
    "candidate": 2,
    "weight": 1.0,
    "shadow": 0.0,
    "reason": "322 samples of the 500 needed",
    "samples": 322,
    "entered_at": "2026-01-05T13:30:00.000+00:00",
    "since": "2026-01-05T13:30:00.000+00:00",
    "for_s": 188.0,
    "progress_at": "2026-01-05T13:33:00.000+00:00",
    "revision": 41,
    "guardrails": [
        {
            "guardrail": "error_rate",
            "verdict": "Pass",
            "failing_s": None,
            "reason": "error_rate of the candidate 0 of 322, limit 0.005",
        }
    ],
}
_FLAGS: Final = {"flags": {"kill_switch": False, "freeze": False, "enabled.eta": True}, "revision": 4}
_TOKEN: Final = {
    "name": "olga",
    "role": "operator",
    "created_at": "2026-01-05T13:30:00.000+00:00",
    "created_by": "ada@desk",
    "until": "2026-04-05T13:30:00.000+00:00",
    "valid": True,
}
_MADE: Final = {"name": "olga", "role": "operator", "days": 90, "token": "tdm.olga.…"}
_WHO: Final = "From the machine itself reading needs no token."


def admin_paths() -> tuple[dict[str, Any], dict[str, Any]]:
    """Paths, and the schemas that they refer to."""
    references, components = msgspec.json.schema_components(_REQUESTS, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(_REQUESTS, references, strict=True))

    def operation(
        summary: str, words: str, answer: Any, asked: tuple[StructMeta, Any] | None = None, status: int = 200
    ) -> dict[str, Any]:
        refusals = (401, 403, 404, 409, 415, 422, 503) if asked else (401, 403, 404, 503)
        body = _body(schemas[asked[0]], asked[1]) if asked else {}
        answers = {str(refusal): _problem(refusal) for refusal in refusals}
        of = {"description": "OK", "content": {"application/json": {"example": answer}}}
        whoever: list[dict[str, list[str]]] = [{"bearer": []}] if asked else [{}, {"bearer": []}]
        described = {"summary": summary, "description": words, "security": whoever, **body}
        return described | {"responses": {str(status): of, **answers}}

    start = (StartRequest, {"version": 2, "reason": "trained on the new month"})
    switch = (FlagRequest, {"name": "kill_switch", "on": True, "reason": "incident 7"})
    token = (TokenRequest, {"name": "olga", "role": "operator", "days": 90})
    acting = (
        "The newest one's success can be rolled back, too. Traffic has followed when this answers. Needs an operator, "
        "`approve` the role that the policy names."
    )
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    verb = {"name": "verb", "in": "path", "required": True, "schema": {"enum": list(_VERBS)}}
    paths = {
        "/v1/rollouts": {
            "get": operation("All rollouts, newest first", _WHO, {"rollouts": [_ROLLOUT]}),
            "post": operation(
                "Start a rollout",
                "Of a published version, by the model's own policy or by one in JSON. Refused with its name while "
                "another is under way, unless `replace` is set. Needs an operator.",
                _ROLLOUT,
                start,
                201,
            ),
        },
        "/v1/rollouts/{id}": {
            "parameters": [name],
            "get": operation("One rollout, with the end of its audit log", _WHO, _ROLLOUT | {"journal": []}),
        },
        "/v1/rollouts/{id}/{verb}": {
            "parameters": [name, verb],
            "post": operation("Act on a rollout", acting, _ROLLOUT, (ActRequest, {"reason": "complaints"})),
        },
        "/v1/flags": {
            "get": operation("Every flag", _WHO, _FLAGS),
            "put": operation("Set a flag", "Traffic has followed when this answers. Needs an admin.", _FLAGS, switch),
        },
        "/v1/tokens": {
            "get": operation("Every bearer token, without its secret", "Needs an admin.", {"tokens": [_TOKEN]}),
            "post": operation("Make a bearer token", "Shown this once. Needs an admin.", _MADE, token, 201),
        },
        "/v1/tokens/{name}": {
            "parameters": [name | {"name": "name"}],
            "delete": operation("End a bearer token at once", "Needs an admin.", {"name": "olga", "revoked": True}),
        },
    }
    return paths, components


def _problem(status: int) -> dict[str, Any]:
    example = msgspec.json.decode(encode_problem(status, *_PROBLEMS[status]))
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    return {"description": example["title"], "content": {"application/problem+json": content}}


def _body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": schema, "example": example}}}}
