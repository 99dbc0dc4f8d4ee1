"""`/providers`: the route, what each provider did today, and the dials of the sandbox."""

import uuid
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData
from starlette.responses import Response

from janus_mail.availability.provider_book import ConfiguredProvider
from janus_mail.delivery.route import Wish, route
from janus_mail.errors import Conflict, InvalidInput
from janus_mail.models.states import CircuitCause, CircuitState
from janus_mail.pages import queries
from janus_mail.pages.all_closed import read_closed
from janus_mail.pages.circuit_words import Rest, blocked, rest
from janus_mail.pages.flash import Flash
from janus_mail.pages.latest_incidents import read_latest
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.route import providers_of
from janus_mail.pages.spark import Spark, spark
from janus_mail.pages.times import Clock, milliseconds, number
from janus_mail.pages.visit import EditProvidersVisit, OurForm, ProvidersVisit, Visit, text_of
from janus_mail.pages.words import DIAL, ORDINALS, PASSED_ON, REFUSED, Look, saying, saying_when_asked
from janus_mail.providers.outcomes import Outcome
from janus_mail.providers.registry import KINDS
from janus_mail.routing.change import change_provider, put_in_order, switch_circuit
from janus_mail.routing.read import list_providers
from janus_mail.routing.sandboxes import add_sandboxes
from janus_mail.routing.schemas import CircuitSwitch, Provider, ProviderPatch

router = APIRouter()

_TROUBLE = frozenset({Outcome.THROTTLED, Outcome.PROVIDER_DOWN, Outcome.PROVIDER_BROKEN})
_SECURITY = {"starttls": "STARTTLS", "tls": "TLS", "none": "no encryption"}
_TELLING = ("domain", "region", "stream", "message_stream", "sandbox_id", "subaccount", "username")
_REGIONS = ("us", "eu")
_KEYS = ("api_key", "server_token", "access_key_id")  # masked
_PATCH: TypeAdapter[ProviderPatch] = TypeAdapter(ProviderPatch)


@dataclass(frozen=True, slots=True)
class ShownProvider:
    """One place in the route. `numbers` are today's, as (name, value)."""

    id: uuid.UUID
    name: str
    ordinal: str
    place: int
    looks: Sequence[Look]
    about: str
    enabled: bool
    numbers: Sequence[tuple[str, str]]
    spark: Spark
    rest: Rest | None
    blocked: Sequence[str]  # sender domains, as sentences
    limits: str
    used_percent: float | None  # of today's quota
    rate: str  # as typed
    quota: str
    dial: str | None  # the sandbox's mode
    dial_means: str
    failure_percent: int
    last_trouble_at: datetime | None


@router.get("/providers")
async def providers_page(visit: ProvidersVisit) -> Response:
    workspace_id = visit.caller.workspace_id
    providers = await _route(visit)
    pool = visit.context.database.pool
    hours = await pool.fetch(queries.HOURS, workspace_id, visit.clock.midnight, list(PASSED_ON), list(REFUSED))
    lately = await pool.fetch(queries.LATELY, workspace_id, visit.clock.midnight, [p.id for p in providers])
    known = await providers_of(visit)
    plain = [provider.id for provider in route(Wish(None, True, None), known).order]
    takes = {provider.id for provider in providers if _takes_mail(provider)}
    return await show(
        visit,
        "providers.html",
        nav="providers",
        dial=[(mode, word) for mode, (word, _, _) in DIAL.items()],
        live_parts=[f"{part}-{provider.id}" for provider in providers for part in "snhqc"],
        all_off=not any(provider.enabled for provider in providers),
        closed=await read_closed(visit, plain, any_provider=bool(providers)),
        # What it counts may be much: not with each update.
        incidents=[] if visit.is_update else await read_latest(visit),
        all_sandbox=all(provider.sandbox for provider in providers),
        providers=[
            _shown(
                place, provider, [row for row in hours if row["provider_id"] == provider.id], last, visit.clock,
                in_route=provider.id in plain, stand_in=_stand_in(provider.id, known, takes),
            )
            for place, (provider, last) in enumerate(zip(providers, lately, strict=True), 1)
        ],
    )  # fmt: skip


@router.post("/providers/sandboxes")
async def begin_with_sandboxes(visit: EditProvidersVisit, _form: OurForm) -> Response:
    """For who has no account at any service yet."""
    try:
        await add_sandboxes(visit.context, visit.caller)
    except Conflict:
        return go_to(visit, "/providers", Flash("nothing_changed"))
    return go_to(visit, "/providers", Flash("sandboxes_added"))


@router.post("/providers/{provider_id}/move")
async def move(visit: EditProvidersVisit, provider_id: uuid.UUID, form: OurForm) -> Response:
    """One place up or down."""
    order = [provider.id for provider in await _route(visit)]
    if provider_id in order:
        place = order.index(provider_id)
        other = place + (-1 if text_of(form, "move") == "up" else 1)
        if 0 <= other < len(order):
            order[place], order[other] = order[other], order[place]
            await put_in_order(visit.context, visit.caller, order)
    return _back(visit, provider_id, "moved")


@router.post("/providers/order")
async def order(visit: EditProvidersVisit, form: OurForm) -> Response:
    """As somebody dragged them: every provider's id, with commas between them."""
    try:
        ids = [uuid.UUID(text) for text in text_of(form, "order").split(",")]
        await put_in_order(visit.context, visit.caller, ids)
    except ValueError:
        raise InvalidInput("This is no order of providers.") from None
    except InvalidInput:  # one was added or removed since the page was made
        return go_to(visit, "/providers", Flash("nothing_changed"))
    return go_to(visit, "/providers", Flash("moved"))


@router.post("/providers/{provider_id}/switch")
async def switch(visit: EditProvidersVisit, provider_id: uuid.UUID, form: OurForm) -> Response:
    on = text_of(form, "enabled") == "on"
    await change_provider(visit.context, visit.caller, provider_id, {"enabled": on})
    return _back(visit, provider_id, "switched_on" if on else "switched_off")


@router.post("/providers/{provider_id}/dial")
async def turn_the_dial(visit: EditProvidersVisit, provider_id: uuid.UUID, form: OurForm) -> Response:
    await change_provider(visit.context, visit.caller, provider_id, _dial(form))
    return _back(visit, provider_id, "dial_turned")


@router.post("/providers/{provider_id}/circuit")
async def switch_the_circuit(visit: EditProvidersVisit, provider_id: uuid.UUID, form: OurForm) -> Response:
    """«Stop using it», «Use it again»."""
    opens = text_of(form, "state") == "open"
    try:
        switch = CircuitSwitch(
            state="open" if opens else "closed", reason=text_of(form, "reason").strip() or "no reason given"
        )
    except ValidationError:
        raise InvalidInput("The reason is one line of up to 300 characters.") from None
    await switch_circuit(visit.context, visit.caller, provider_id, switch)
    return _back(visit, provider_id, "stopped" if opens else "used_again")


@router.post("/providers/{provider_id}/limits")
async def limit(visit: EditProvidersVisit, provider_id: uuid.UUID, form: OurForm) -> Response:
    await change_provider(visit.context, visit.caller, provider_id, _typed_limits(form))
    return _back(visit, provider_id, "limited")


async def _route(visit: Visit) -> list[Provider]:
    return await list_providers(visit.context.database, visit.context.secrets, visit.caller.workspace_id)


def _typed_limits(form: FormData) -> ProviderPatch:
    """An empty field means no limit."""
    rate, quota = text_of(form, "rate_per_second").strip(), text_of(form, "daily_quota").strip()
    try:
        return _PATCH.validate_python(
            {"rate_per_second": float(rate) if rate else None, "daily_quota": int(quota) if quota else None}
        )
    except ValueError:
        raise InvalidInput(
            "Mails a second: a number above 0. Mails a day: a whole number from 1 on. Empty means no limit."
        ) from None


def _dial(form: FormData) -> ProviderPatch:
    percent = text_of(form, "sandbox_failure_percent").strip() or "0"
    if not percent.isdecimal() or int(percent) > 100:
        raise InvalidInput("Of 100 mails, between 0 and 100 can fail.")
    try:
        return _PATCH.validate_python(
            {"sandbox_mode": text_of(form, "sandbox_mode"), "sandbox_failure_rate": int(percent) / 100}
        )
    except ValidationError:
        raise InvalidInput("The dial has no such place.") from None


def _back(visit: Visit, provider_id: uuid.UUID, done: str) -> Response:
    return go_to(visit, f"/providers#p-{provider_id}", Flash(done))


def _shown(
    place: int,
    provider: Provider,
    hours: Sequence[asyncpg.Record],
    last: asyncpg.Record,
    clock: Clock,
    *,
    in_route: bool,
    stand_in: str | None,
) -> ShownProvider:
    """`stand_in`: the name of the provider that takes its mail when it does not."""
    verb = "Caught" if provider.sandbox else "Sent"
    totals = {name: sum(row[name] for row in hours) for name in ("sent", "refused", "passed_on", "uncertain")}
    numbers = [(f"{verb} today", number(totals["sent"])), ("Failed", number(totals["refused"]))]
    numbers.append(("Passed on", number(totals["passed_on"])))
    if totals["uncertain"]:
        numbers.append(("Uncertain", number(totals["uncertain"])))
    if last["median_ms"] is not None and not totals["uncertain"]:  # there is room for four
        numbers.append(("Median", milliseconds(last["median_ms"])))
    resting = rest(provider.circuit, clock, broken=last["cause"] == CircuitCause.BROKEN, stand_in=stand_in)
    used_up = _used_up(provider)
    troubled = last["outcome"] in _TROUBLE and not provider.sandbox and provider.enabled and resting is None
    return ShownProvider(
        id=provider.id,
        name=provider.name,
        ordinal=ORDINALS[place - 1] if place <= len(ORDINALS) else str(place),
        place=place,
        looks=_looks(provider, last, resting, in_route=in_route),
        about=_about(provider),
        enabled=provider.enabled,
        numbers=numbers,
        spark=spark(
            {row["hour"]: row["sent"] for row in hours},
            {row["hour"]: row["refused"] + row["passed_on"] + row["uncertain"] for row in hours},
            verb,
        ),
        rest=resting,
        blocked=[blocked(domain, clock) for domain in provider.blocked_sender_domains],
        limits=_limits(provider),
        used_percent=_used_percent(provider),
        rate=f"{provider.rate_per_second:g}" if provider.rate_per_second is not None else "",
        quota=str(provider.daily_quota or ""),
        dial=provider.sandbox_mode if provider.sandbox else None,
        dial_means=_dial_means(provider, stand_in),
        failure_percent=round(provider.sandbox_failure_rate * 100),
        last_trouble_at=last["finished_at"] if troubled and not used_up else None,
    )


def _looks(provider: Provider, last: asyncpg.Record, resting: Rest | None, *, in_route: bool) -> list[Look]:
    """How it stands; of a sandbox also that it is one, unless it is switched off."""
    if not provider.enabled:
        return [Look("Switched off", "open", "over")]
    looks = []
    if resting is not None:
        looks.append(resting.look)
    elif _used_up(provider):
        looks.append(Look("Today’s quota is used up", "clock", "warn"))
    if provider.sandbox:
        words = "Sandbox: nothing leaves" if in_route else "Sandbox: only for mail that names it"
        looks.append(Look(words, "mailbox"))
    elif not looks and last["outcome"] in _TROUBLE:
        said = saying(last["outcome"], last["code"], last["response"])
        looks.append(Look(f"Last try: {said.short}", said.icon, said.tone))
    answer = provider.verification
    if not looks and answer is not None and not answer.ok and _is_newer(answer.at, last["finished_at"]):
        said = saying_when_asked(answer.outcome, answer.code, answer.response)
        looks.append(Look(f"When asked: {said.short}", said.icon, said.tone))
    return looks or [Look("Taking mail", "closed", "good")]


def _is_newer(at: datetime, than: datetime | None) -> bool:
    return than is None or at > than


def _takes_mail(provider: Provider) -> bool:
    return provider.enabled and provider.circuit.state is CircuitState.CLOSED and not _used_up(provider)


def _used_up(provider: Provider) -> bool:
    return provider.quota is not None and provider.quota.used_today >= (provider.daily_quota or 0)


def _stand_in(provider_id: uuid.UUID, known: Sequence[ConfiguredProvider], takes: Container[uuid.UUID]) -> str | None:
    """Who takes the mail that would go through it first: the next of its route that takes mail."""
    order = route(Wish(provider_id, True, None), known).order
    return next((other.name for other in order if other.id != provider_id and other.id in takes), None)


def _dial_means(provider: Provider, stand_in: str | None) -> str:
    _, means, goes_on = DIAL[provider.sandbox_mode]
    if goes_on:
        means += f", so {stand_in} takes it" if stand_in else ", and waits: no other provider takes it"
    share = round(provider.sandbox_failure_rate * 100)
    return f"{means}.{f' Of 100 mails, {share} find it down.' if share else ''}"


def _limits(provider: Provider) -> str:
    """«Quota: 31,412 of 50,000 tries, day in UTC · 14 a second»."""
    said = []
    if provider.quota is not None and provider.daily_quota is not None:
        # Workers take it in blocks, so that more may seem to be used than there is.
        used = min(provider.quota.used_today, provider.daily_quota)
        said.append(f"Quota: {number(used)} of {number(provider.daily_quota)} tries, day in UTC")
    if provider.rate_per_second is not None:
        said.append(f"{number(provider.rate_per_second)} a second")
    return " · ".join(said)


def _used_percent(provider: Provider) -> float | None:
    if provider.quota is None or not provider.daily_quota:
        return None
    return round(min(100.0, provider.quota.used_today * 100 / provider.daily_quota), 1)


def _about(provider: Provider) -> str:
    """What tells this account from another of its kind; secrets come masked."""
    label = KINDS[provider.kind].label if provider.kind in KINDS else provider.kind
    config = provider.config
    parts = [f"as {label}" if provider.sandbox else label] if label != provider.name else []
    if config is None:
        parts.append("its settings open with none of JANUS_SECRET_KEYS")
    elif config.get("host"):
        parts.append(f"{config['host']}:{config.get('port', 587)}")
        parts.append(_SECURITY.get(str(config.get("security", "starttls")), ""))
    elif config.get("preset", "custom") != "custom":
        parts.append(f"{str(config['preset']).capitalize()} preset")
    if config is not None:
        told = [str(config[name]) for name in _TELLING if config.get(name)]
        parts += [word.upper() if word in _REGIONS else word for word in told]
        parts += [f"key {config[name]}" for name in _KEYS if config.get(name)]
    if provider.from_environment:
        parts.append("from MAIL_* settings")
    return " · ".join(filter(None, parts))
