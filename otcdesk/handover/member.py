"""The way of every command of this process: into its own engine, or to the process of this host that leads.

The rule, for a process that does not lead:

| what is known | what happens |
| --- | --- |
| a leader of this host answers | the command is handed over, with a deadline |
| nobody of this host leads, or it took nothing | this process carries the command out itself, unless it stands by |
| the leader was lost with the command | with a key it is carried out here, and acts once; without, UNAVAILABLE |

That is safe whoever leads or believes so, because the audit chain decides what is written (`engine/lane.py`); leading
makes it fast. The arrival that judges a command's deadline is the first one, wherever it is carried out in the end.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from otcdesk.clock import Clock
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Catalogue, Command
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.handover import wire
from otcdesk.handover.forwarding import LeaderLost, Link, NotTaken, Watch, nobody_watches
from otcdesk.handover.listening import Listener
from otcdesk.handover.places import listening_socket, socket_folder, socket_path
from otcdesk.storage.leadership import Leadership

log = structlog.get_logger()


class Handover:
    """This process among those of its host."""

    def __init__(
        self,
        *,
        engine: Engine,
        leadership: Leadership,
        catalogue: Catalogue,
        clock: Clock,
        timeout_ms: int,
        pending_max: int,
        watch: Watch = nobody_watches,
    ) -> None:
        self.engine = engine
        self.leadership = leadership
        self.clock = clock
        self.timeout_ms = timeout_ms
        self.pending_max = pending_max
        self.watch = watch
        self.link: Link | None = None
        self._codec = wire.Codec(catalogue)
        self._listener = Listener(engine, self._codec, lambda: leadership.leads)
        self._folder: Path | None = None
        self._server: asyncio.Server | None = None
        self._seeking: asyncio.Task[None] | None = None
        self._nudge: Callable[[], None] | None = None
        self._stopping = False

    @property
    def hands_over(self) -> bool:
        """Tell whether a leader of this host takes this process's commands."""
        return self.link is not None and self.link.open

    async def submit(
        self,
        lane: int,
        command: Command,
        *,
        caller: str,
        owner_id: UUID,
        request_id: str,
        key: str | None = None,
        in_person: InPerson | None = None,
        stands_by: bool = False,
    ) -> Any:
        """Carry a command out, here or where it is led; see `Engine.submit`.

        Refuses UNAVAILABLE also for a command without a key that was lost with the leader, and, for a process that
        `stands_by`, for one that nobody else takes.
        """
        arrived_at = self.clock.now()
        link = None if self.leadership.leads else self.link
        if link is not None:
            try:
                return await link.hand_over(
                    lane,
                    command,
                    caller=caller,
                    owner_id=owner_id,
                    request_id=request_id,
                    key=key,
                    arrived_at=arrived_at,
                    in_person=in_person,
                )
            except NotTaken:
                pass
            except LeaderLost:
                if key is None or self.engine.catalogue[type(command)].policy.scope is None or not command.may_repeat:
                    sentence = "It is not known whether this was carried out."
                    raise Refusal(Code.UNAVAILABLE, sentence) from None  # nobody is told to repeat it
        if stands_by and not self.leadership.leads:
            raise Refusal(Code.UNAVAILABLE, "This server stands by.", retry_after_seconds=1)
        return await self.engine.submit(
            lane,
            command,
            caller=caller,
            owner_id=owner_id,
            request_id=request_id,
            key=key,
            arrived_at=arrived_at,
            in_person=in_person,
        )

    # -- who leads -------------------------------------------------------------------------------------------------

    def join(self, nudge: Callable[[], None], *, may_lead: bool) -> None:
        """Take part in who leads, or only find out; `nudge` lets this process `follow` at once."""
        self._nudge = nudge
        self.leadership.may_lead = may_lead

    async def listen(self, home: Path) -> None:
        """Listen for those who will hand over to this process once it leads, and hand over to who leads until then."""
        self._folder = socket_folder(home)
        listener = listening_socket(self._folder, self.leadership.number)
        self._server = await asyncio.get_running_loop().create_unix_server(self._listener.conversation, sock=listener)

    async def follow(self) -> bool:
        """Claim to lead, or find who does; to be repeated. Returns False: there is no more to do."""
        led = self.leadership.leads
        await self.leadership.claim()
        if led and not self.leadership.leads:
            self._listener.farewell()
        self._seek()
        return False

    def _seek(self) -> None:
        """See that the link leads to who leads; never waits for it, since it may be stopped."""
        leader = None if self.leadership.leads else self.leadership.leader
        if self.link is not None and (self.link.leader != leader or not self.link.open):
            self.link.farewell()
            self.link = None
        if self.link is not None or self._seeking is not None or self._folder is None or self._stopping:
            return
        if leader is not None:
            path = socket_path(self._folder, leader)
            self._seeking = asyncio.create_task(self._connect(leader, path), name="handover")
            self._seeking.add_done_callback(self._sought)

    def _sought(self, _: object) -> None:
        self._seeking = None

    async def _connect(self, leader: int, path: Path) -> None:
        link = await Link.connected(
            path,
            self._codec,
            leader=leader,
            timeout_ms=self.timeout_ms,
            pending_max=self.pending_max,
            on_end=self._changed,
            watch=self.watch,
        )
        if link is None:
            return
        if self._stopping or self.leadership.leads or self.leadership.leader != leader:
            link.farewell()
            return
        self.link = link
        log.info("leader_found", leader=leader)

    def _changed(self) -> None:
        """See at once who leads now: the link has ended, or will."""
        if self._nudge is not None:
            self._nudge()

    async def close(self, within_seconds: int) -> None:
        """Let somebody else lead, answer what was handed over, and wait for what we handed over ourselves."""
        self._stopping = True
        await self.leadership.resign()
        self._listener.farewell()
        if self._server is not None:
            self._server.close()
        if self._folder is not None:
            socket_path(self._folder, self.leadership.number).unlink(missing_ok=True)
        link, self.link = self.link, None
        if link is not None:
            link.farewell()
            await asyncio.wait({link.ended}, timeout=within_seconds)
            link.transport.abort()
        if self._seeking is not None:
            self._seeking.cancel()
        await self._listener.finish(within_seconds)
