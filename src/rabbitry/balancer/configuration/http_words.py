"""`http-request use-service prometheus-exporter`: the metrics of a section with `mode http`.

Owns the one form of `http-request` that is carried out, with the conditions it is written with:
`if { path /metrics }`, `if { path_beg /metrics }`, `if TRUE`, or none (configuration.txt 4.2,
"http-request use-service"; 7.1 for anonymous conditions). Every other one is refused: it would
decide, protect or rewrite.
"""

from __future__ import annotations

from rabbitry.balancer.configuration.lexer import Mistake
from rabbitry.balancer.configuration.model import MetricsService
from rabbitry.balancer.configuration.sections import Reading

_SERVICE = ["http-request", "use-service", "prometheus-exporter"]
_REFUSED = "is about HTTP, which is not balanced here: remove it, or stay with HAProxy for it"
_CONDITION = "is no condition of metrics known here: write if { path /metrics }"


def http_request(reading: Reading, words: list[str]) -> None:
    """An `http-request` line."""
    if words[: len(_SERVICE)] != _SERVICE:
        raise Mistake("http-request", _REFUSED)
    service = _where(words[len(_SERVICE) :])
    before = reading.here.settings.front.metrics
    if before is not None:
        service = _both(before, service)
    reading.here.set_front(metrics=service)


def _where(condition: list[str]) -> MetricsService:
    if condition in ([], ["if", "TRUE"], ["unless", "FALSE"]):
        return MetricsService()
    match condition:
        case ["if", "{", ("path" | "path_beg") as fetch, *paths, "}"] if paths:
            for path in paths:
                if not path.startswith("/"):
                    raise Mistake(path, "is not a path: begin it with '/'")
            return MetricsService(tuple(paths), is_prefix=fetch == "path_beg")
    raise Mistake(" ".join(condition), _CONDITION)


def _both(first: MetricsService, second: MetricsService) -> MetricsService:
    """What two lines say together."""
    if not first.paths or not second.paths:
        return MetricsService()
    if first.is_prefix is not second.is_prefix:
        raise Mistake("use-service", "stands here by path and by path_beg: write one of them")
    return MetricsService((*first.paths, *second.paths), first.is_prefix)
