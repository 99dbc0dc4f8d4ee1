"""What an event's tries met with, in a sentence or two. Pure: from rows to words."""

from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from janus_mail.pages.times import exact
from janus_mail.pages.words import listed, saying
from janus_mail.providers.outcomes import Outcome

_OF_THE_PROVIDER = frozenset({Outcome.THROTTLED, Outcome.PROVIDER_DOWN, Outcome.PROVIDER_BROKEN})
_ON_TIME_S = 1.0


def summary(tries: Sequence[asyncpg.Record], latest_s: float | None, *, all_sent: bool) -> str:
    """`tries`: by provider and outcome, the first met first; `latest_s`: the greatest lateness."""
    refused: dict[str, str] = {}
    for row in tries:
        if row["outcome"] in _OF_THE_PROVIDER and row["provider_name"] not in refused:
            refused[row["provider_name"]] = saying(row["outcome"], row["code"], row["response"]).happened.format(
                provider=row["provider_name"]
            )
    took = [row["provider_name"] for row in tries if row["outcome"] == Outcome.ACCEPTED]
    took_over = [name for name in took if name not in refused]
    sentences = []
    if refused:
        happened = listed(list(refused.values()))
        sentences.append(f"{happened}, so {listed(took_over)} took over." if took_over else f"{happened}.")
    if latest_s is not None:
        late = f"The latest mail left {exact(timedelta(seconds=latest_s))} after it was due."
        on_time = f"{'Every mail' if all_sent else 'What left,'} left within a second of its time."
        sentences.append(late if latest_s >= _ON_TIME_S else on_time)
    return " ".join(sentences)
