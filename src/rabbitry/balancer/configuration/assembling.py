"""From sections as they were read to a `Configuration`: what only the whole can tell.

Owns the checks between sections (`default_backend`, `track`, names), HAProxy's numbering of proxies
and servers, and its defaults that come from elsewhere: `maxconn` from `global`, `timeout queue`
from `timeout connect`, `fullconn` from the frontends (`check_config_validity` of cfgparse.c,
`proxy_adjust_all_maxconn` of proxy.c).

Numbers: proxies count from 1 in their order, and the runtime socket's own, if there is one, counts
where its first line stands; an `id` leaves its number out for the others, but takes its turn.
"""

from __future__ import annotations

from dataclasses import replace

from rabbitry.balancer.configuration.lexer import Mistake, hint
from rabbitry.balancer.configuration.log_words import GLOBAL
from rabbitry.balancer.configuration.model import (
    BackendSection,
    Configuration,
    FrontendSection,
    LogTarget,
    ServerLine,
    StatisticsPage,
)
from rabbitry.balancer.configuration.sections import Place, Reading, Section
from rabbitry.balancer.configuration.tcp_check_words import with_comments


def assemble(reading: Reading, process_maxconn: int) -> Configuration:
    """Make the whole of what has been read; what is wrong with it is told to `reading`."""
    return _Assembly(reading, process_maxconn).whole()


class _Assembly:
    """The sections of one reading, and what is looked up among them."""

    def __init__(self, reading: Reading, process_maxconn: int) -> None:
        self._reading = reading
        process = reading.process
        self._process = replace(
            process.settings,
            log_targets=process.log_targets,
            # Each process has open files of its own.
            maxconn_default=process_maxconn * process.settings.processes,
        )
        self._maxconn = self._process.maxconn or self._process.maxconn_default
        self._sections = reading.sections
        self._backs: dict[str, Section] = {}
        for section in self._sections:
            if section.is_back:
                self._backs.setdefault(section.name, section)

    def whole(self) -> Configuration:
        """Check and put together."""
        reading = self._reading
        if not self._sections and not reading.mistakes:
            reading.refuse(Mistake("listen", "is missing: add a section 'listen NAME'"))
        numbers = numbers_of(
            [section.number for section in self._sections], reading.process.counts_as_proxy_at
        )
        fronts: list[FrontendSection | None] = []
        backs: list[BackendSection | None] = []
        for section, number in zip(self._sections, numbers, strict=True):
            fronts.append(self._front(section, number) if section.is_front else None)
            backs.append(self._back(section, number) if section.is_back else None)
            self._check_section(section)
        self._check_tracks(backs)
        backs = _with_fullconn(fronts, backs)
        return Configuration(
            tuple(zip(fronts, backs, strict=True)),
            self._process,
            reading.warnings,
            tuple(reading.resolvers),
        )

    # --- one section --------------------------------------------------------------------------

    def _front(self, section: Section, number: int) -> FrontendSection:
        settings = section.settings
        default = self._default_backend(section)
        page = self._page(section)
        if page is None and settings.front.mode == "http" and default is not None:
            page = self._page(self._backs[default])
        return replace(
            settings.front,
            name=section.name,
            number=number,
            binds=tuple(section.binds),
            default_backend=default if settings.front.mode != "http" else None,
            disabled=settings.disabled,
            http_lines=settings.front.http_lines if settings.front.mode == "http" else "",
            maxconn=settings.maxconn or self._maxconn,
            keepalive=settings.client_probes if settings.client_keepalive else None,
            log_targets=self._targets(section),
            statistics=page,
            description=section.description,
        )

    def _back(self, section: Section, number: int) -> BackendSection:
        settings = section.settings
        back = settings.back
        return replace(
            back,
            name=section.name,
            number=number,
            servers=self._servers(section),
            disabled=settings.disabled,
            timeout_queue_us=back.timeout_queue_us or back.timeout_connect_us,
            keepalive=settings.server_probes if settings.server_keepalive else None,
            check_steps=with_comments(settings.steps) if back.check == "tcp-check" else (),
            log_targets=self._targets(section),
            statistics=self._page(section),
            description=section.description,
        )

    def _servers(self, section: Section) -> tuple[ServerLine, ...]:
        numbers = numbers_of([line.id for line, _, _ in section.servers], None)
        places: dict[str, Place] = {}
        ids: dict[int, str] = {}
        servers: list[ServerLine] = []
        by_tls = self._checks_by_tls(section)
        for (line, place, tls), number in zip(section.servers, numbers, strict=True):
            if line.name in places:
                where = self._reading.where(places[line.name])
                mistake = Mistake(line.name, f"is the name of the server of {where} too: rename it")
                self._reading.refuse(mistake, place)
            if line.id is not None and line.id in ids:
                mistake = Mistake(str(line.id), f"is the id of '{ids[line.id]}' too: take another")
                self._reading.refuse(mistake, place)
            places.setdefault(line.name, place)
            if line.id is not None:
                ids.setdefault(line.id, line.name)
            track = line.track
            if track is not None and "/" not in track:
                track = f"{section.name}/{track}"
            if by_tls and tls.verify == "required" and tls.ca_file is None:
                advice = "is checked by TLS, with nobody to trust: add 'ca-file FILE'"
                self._reading.refuse(Mistake(line.name, advice), place)
            script_tls = replace(tls, sni=None, alpn=()) if by_tls else None
            servers.append(replace(line, id=number, track=track, script_tls=script_tls))
        return tuple(servers)

    @staticmethod
    def _checks_by_tls(section: Section) -> bool:
        settings = section.settings
        return settings.back.check == "tcp-check" and any(step.tls for step in settings.steps)

    def _page(self, section: Section) -> StatisticsPage | None:
        page = section.settings.page
        if page is None or section.settings.front.mode != "http":
            return None
        if page.show_description == "":
            page = replace(page, show_description=self._process.description)
        if page.show_node == "" and self._process.node:
            page = replace(page, show_node=self._process.node)
        return page

    def _targets(self, section: Section) -> tuple[LogTarget, ...]:
        targets: list[LogTarget] = []
        for target in section.settings.logs:
            if isinstance(target, LogTarget):
                targets.append(target)
            elif target == GLOBAL:
                targets.extend(self._process.log_targets)
        return tuple(targets)

    def _default_backend(self, section: Section) -> str | None:
        """The backend of a frontend; in a `listen`, itself, unless it names another."""
        told = section.first_backend or section.settings.default_backend
        if told is None:
            return section.name if section.is_back else None
        name, place = told
        target = self._backs.get(name)
        mode = section.settings.front.mode
        if target is None:
            wrong = f"is not the name of a backend: {hint(name, self._backs)}"
        elif target is section:
            wrong = "is this section itself: remove the line"
        elif target.settings.front.mode != mode and "http" in (
            mode,
            target.settings.front.mode,
        ):
            wrong = f"has mode {target.settings.front.mode}, and this has {mode}: make them alike"
        else:
            if section.servers:
                text = "takes all clients: the servers of this section get none"
                self._reading.warn(name, text, place)
            return name
        self._reading.refuse(Mistake(name, wrong), place)
        return None

    # --- checks -------------------------------------------------------------------------------

    def _check_section(self, section: Section) -> None:
        reading, settings = self._reading, section.settings
        if settings.front.mode == "http":
            self._check_http(section)
            return
        if settings.page is not None and section.own_page:
            text = "needs 'mode http': not served here"
            reading.warn("stats", text, section.place)
        if settings.front.metrics is not None:
            reading.warn("http-request", "needs 'mode http': not served here", section.place)
        if settings.front.http_lines and section.is_front:
            text = "needs 'mode http': lines are those of 'option tcplog'"
            reading.warn("option httplog", text, section.place)
        if section.is_front and not section.told_where and not settings.disabled:
            where = "listens nowhere: add 'bind HOST:PORT'"
            reading.refuse(Mistake(section.name, where), section.place)
        if section.own_steps and settings.back.check != "tcp-check":
            text = "is ignored: there is no 'option tcp-check' in this section"
            reading.warn("tcp-check", text, section.place)
        elsewhere = section.is_front and (section.first_backend or settings.default_backend)
        if section.is_back and not section.servers and not elsewhere:
            text = "has no server: every client is closed"
            reading.warn(section.name, text, section.place)
        self._warn_missing_timeouts(section)

    def _check_http(self, section: Section) -> None:
        """Only pages of statistics are served over HTTP."""
        if section.settings.disabled:
            return
        place, name = section.place, section.name
        if section.servers:
            mistake = Mistake(name, "has mode http and servers: write 'mode tcp'")
        elif section.is_front and not section.told_where:
            mistake = Mistake(name, "listens nowhere: add 'bind HOST:PORT'")
        elif section.is_front and self._has_no_page(section):
            mistake = Mistake(name, "has mode http but no statistics: add 'stats enable'")
        else:
            return
        self._reading.refuse(mistake, place)

    def _has_no_page(self, section: Section) -> bool:
        if section.settings.page is not None or section.settings.front.metrics is not None:
            return False
        told = section.first_backend or section.settings.default_backend
        target = self._backs.get(told[0]) if told else None
        return target is None or target.settings.page is None

    def _warn_missing_timeouts(self, section: Section) -> None:
        settings = section.settings
        missing = []
        if section.servers and not settings.back.timeout_connect_us:
            missing.append("connect")
        if section.is_front and not settings.front.timeout_client_us:
            missing.append("client")
        if section.servers and not (
            settings.back.timeout_server_us or settings.back.timeout_tunnel_us
        ):
            missing.append("server")
        if missing and not settings.disabled:
            names = ", ".join(f"timeout {which}" for which in missing)
            text = f"has no {names}: it waits without limit there"
            self._reading.warn(section.name, text, section.place)

    def _check_tracks(self, backs: list[BackendSection | None]) -> None:
        """What is tracked must be there, be checked, and not track its tracker."""
        lines: dict[str, ServerLine] = {}
        for back in backs:
            if back is not None:
                lines.update((f"{back.name}/{line.name}", line) for line in back.servers)
        for section, back in zip(self._sections, backs, strict=True):
            if back is None:
                continue
            for line, (_, place, _) in zip(back.servers, section.servers, strict=True):
                wrong = _wrong_track(f"{back.name}/{line.name}", line, lines)
                if wrong:
                    self._reading.refuse(Mistake(f"track {line.track}", wrong), place)


def _wrong_track(name: str, line: ServerLine, lines: dict[str, ServerLine]) -> str:
    """What is wrong with whom a server tracks; "" if nothing."""
    seen = {name}
    while line.track is not None:
        if line.track not in lines:
            return "is no server: write BACKEND/SERVER"
        if line.track in seen:
            return "goes round in a circle: let one of them have 'check'"
        seen.add(line.track)
        line = lines[line.track]
    if len(seen) > 1 and not line.check and not line.agent_check:
        return "is of a server that is not checked: add 'check' to that one"
    return ""


def numbers_of(told: list[int | None], own_before: int | None) -> list[int]:
    """Number things as HAProxy does; `own_before` is before which of them its own one counts."""
    used = {number for number in told if number is not None}
    numbers: list[int] = []
    following = 1
    for index, number in enumerate(told):
        if index == own_before:
            following += 1
        if number is None:
            while following in used:
                following += 1
            number = following
            used.add(number)
        numbers.append(number)
        following += 1
    return numbers


def _with_fullconn(
    fronts: list[FrontendSection | None], backs: list[BackendSection | None]
) -> list[BackendSection | None]:
    """Fill in `fullconn`: a tenth of what the frontends of a backend may hold, at least 1."""
    totals: dict[str, int] = {}
    for front in fronts:
        if front is not None and not front.disabled:
            name = front.default_backend or front.name  # a page's, too
            totals[name] = totals.get(name, 0) + front.maxconn
    return [
        back
        and replace(back, fullconn=back.fullconn or max(1, (totals.get(back.name, 0) + 9) // 10))
        for back in backs
    ]
