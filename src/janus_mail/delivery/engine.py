"""The worker's one long-lived loop: claims while something is due, else sleeps until the next due instant."""

import asyncio
import logging
import uuid
from collections import Counter

from janus_mail.availability.permits import Permits
from janus_mail.delivery.bell import Bell
from janus_mail.delivery.claim import Claimer, left_to
from janus_mail.delivery.crash_points import reached
from janus_mail.delivery.hold import Hold
from janus_mail.delivery.letters import EventContent, Letters
from janus_mail.delivery.queries import lease
from janus_mail.delivery.record import LetGo, Recorder
from janus_mail.delivery.send import Sender
from janus_mail.delivery.suppressed import look_up_groups
from janus_mail.models.states import State
from janus_mail.settings import Settings
from janus_mail.storage.database import CONNECTION_LOST, Database
from janus_mail.telemetry import metrics
from janus_mail.telemetry.boot_clock import boot_clock_s

_TOO_FEW_TO_CLAIM = 50  # claiming these costs hardly more than claiming one
_GATHER_S = 0.02  # in a backlog: how long a claim may wait for room that is worth its statement
_RING_OTHERS_EVERY_S = 1.0
_AWAY_S = 0.5

_log = logging.getLogger(__name__)


class Engine:
    """One per worker process. `wake()` makes it look at once; `run()` lasts until `stop()`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        claimer: Claimer,
        letters: Letters,
        sender: Sender,
        recorder: Recorder,
        permits: Permits,
        bell: Bell,
    ) -> None:
        self._settings = settings
        self._database = database
        self._claimer = claimer
        self._letters = letters
        self._sender = sender
        self._recorder = recorder
        self._bell = bell
        self._permits = permits
        self._most_holds = settings.worker_concurrency + settings.claim_batch  # in work, and a batch that waits
        self._holds: dict[asyncio.Task[None], Hold] = {}
        self._held: Counter[uuid.UUID] = Counter()  # by workspace
        self._awake = asyncio.Event()
        self._room = asyncio.Event()
        self._room_for = 1  # how many have to end until `_room` is set
        self._stopping = False
        self._rang_others_s = float("-inf")
        self._sleeps_until_s = float("-inf")
        self._expected_s = float("inf")

    def wake(self) -> None:
        self._awake.set()

    def expect(self, seconds: float) -> None:
        """Something is due then that cannot be seen in the database until now: it was in work."""
        at_s = boot_clock_s() + seconds
        self._expected_s = min(self._expected_s, at_s)
        if at_s < self._sleeps_until_s:
            self._awake.set()

    async def run(self) -> None:
        """Never raises because of the database: it waits and goes on."""
        renewing = asyncio.create_task(self._renew_leases())
        away = False
        try:
            while not self._stopping:
                try:
                    await self._turn()
                    if away:
                        _log.info("the database is back")
                    away = False
                except CONNECTION_LOST as error:
                    if not away:
                        metrics.DATABASE_AWAY.inc()
                        _log.warning("the database is away (%s: %s); waiting", type(error).__name__, error)
                    away = True
                    await self._sleep(_AWAY_S)
        finally:
            await self._let_finish()
            renewing.cancel()

    async def stop(self) -> None:
        """Claim no more; `run()` ends when what is sending is done or the grace is over."""
        self._stopping = True
        self._awake.set()
        self._room.set()
        self._permits.close()

    async def _turn(self) -> None:
        """Claim once and start what was claimed; with nothing due, sleep."""
        self._awake.clear()
        self._expected_s = float("inf")  # what was put off by now, the look at the database will find
        most = await self._wait_for_room()
        if self._stopping:
            return
        holds = await self._claimer.claim(most, self._held, self._most_holds)
        reached("after_claim")
        if holds:
            try:
                contents = await self._letters.of(holds)
                await look_up_groups(self._database, holds, contents)
            except CONNECTION_LOST:
                for hold in holds:
                    self._start(hold, None)
                raise
            for hold in holds:
                self._start(hold, contents.get(hold.event_id))
            if self._claimer.backlog:
                self._ring_others()
            return
        full = [key for key in self._held if left_to(key, self._held, self._most_holds) <= 0]
        seconds = await self._claimer.seconds_to_next(full)
        tick = self._settings.patrol_seconds
        await self._sleep(tick if seconds is None else min(max(seconds, 0.003), tick))

    async def _wait_for_room(self) -> int:
        """How many more to claim: so many in work, and one batch waiting for its turn. What does not move may fill that
        up; then there is still room for a few of workspaces that have none in work."""
        most = self._most_holds
        enough = min(_TOO_FEW_TO_CLAIM, self._settings.claim_batch, most // 4)
        if self._claimer.backlog:
            await self._until_ended(enough, within_s=_GATHER_S)
        while len(self._holds) > 2 * most - enough and not self._stopping:
            await self._until_ended(1)
        return min(self._settings.claim_batch, max(most - len(self._holds), enough))

    async def _until_ended(self, many: int, *, within_s: float | None = None) -> None:
        """Until so many holds have ended, or all."""
        if not self._holds or self._stopping:
            return
        self._room_for = many
        self._room.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._room.wait()
        except TimeoutError:
            pass  # then with what there is

    def _start(self, hold: Hold, event: EventContent | None) -> None:
        task = asyncio.create_task(self._deliver(hold, event))
        self._holds[task] = hold
        self._held[hold.workspace_id] += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        hold = self._holds.pop(task)
        self._held[hold.workspace_id] -= 1
        if not self._held[hold.workspace_id]:
            del self._held[hold.workspace_id]
        self._room_for -= 1
        if self._room_for <= 0 or not self._holds:
            self._room.set()
        if self._claimer.backlog:
            self._awake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease will end, and the patrol decides by how far it got.
            _log.error("message %s was dropped: %s", hold.id, type(error).__name__, exc_info=error)

    async def _deliver(self, hold: Hold, event: EventContent | None) -> None:
        if event is None or self._stopping or not await self._went_its_way(hold, event):
            await self._recorder.let_go(LetGo(hold, State.SCHEDULED))

    async def _went_its_way(self, hold: Hold, event: EventContent) -> bool:
        """False: the database was away before anything could leave."""
        try:
            await self._sender.deliver(hold, event)
        except CONNECTION_LOST:
            return False
        return True

    def _ring_others(self) -> None:
        """A full batch means a backlog: other workers should know."""
        if boot_clock_s() - self._rang_others_s > _RING_OTHERS_EVERY_S:
            self._rang_others_s = boot_clock_s()
            self._bell.call_everyone()

    async def _sleep(self, seconds: float) -> None:
        seconds = min(seconds, max(self._expected_s - boot_clock_s(), 0.001))
        self._sleeps_until_s = boot_clock_s() + seconds
        try:
            await asyncio.wait_for(self._awake.wait(), seconds)
        except TimeoutError:
            pass  # it is time
        self._sleeps_until_s = float("-inf")

    async def _renew_leases(self) -> None:
        lease_s = self._settings.lease_seconds
        while True:
            await asyncio.sleep(lease_s / 3)
            holds = {hold.id: hold for hold in self._holds.values()}
            if not holds:
                continue
            asked_at_s = boot_clock_s()
            try:
                rows = await self._database.pool.fetch(
                    lease.RENEW, self._recorder.worker_id, lease_s,
                    list(holds), [hold.fence for hold in holds.values()],
                )  # fmt: skip
            except Exception as error:  # the deadlines go on by themselves; the next turn may still be in time
                _log.warning("leases were not renewed: %s", type(error).__name__)
                continue
            kept = {row["id"] for row in rows}
            for hold in holds.values():
                if hold.id in kept:
                    hold.renewed(asked_at_s, lease_s)
                else:
                    hold.lose()

    async def _let_finish(self) -> None:
        """What is sending may finish within the grace; what was not begun is given back."""
        if self._holds:
            _, late = await asyncio.wait(self._holds, timeout=self._settings.shutdown_seconds)
            given_back = [self._holds[task] for task in late]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            # Not begun: scheduled again at once. Begun: this matches nothing, and the patrol sees to it.
            await asyncio.gather(*(self._recorder.let_go(LetGo(hold, State.SCHEDULED)) for hold in given_back))
        await self._recorder.drain()
