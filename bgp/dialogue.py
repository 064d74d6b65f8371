"""The conversation with ExaBGP: commands go out in order, a bounded window of them unanswered.

ExaBGP answers each command by one line `done` or `error` without saying which. Its answers keep
the order of the commands, except that the few it handles at once (`reload`, `version`) overtake
those it queues; such commands are therefore sent alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from felix_py.runtime.errors import TransientError

MAX_UNACKED_COMMANDS = 50
"""What ExaBGP takes in one turn of its loop; further commands wait here."""
MAX_WAITING_COMMANDS = 20_000
"""More waiting commands mean that nobody answers: the one asked is refused by TooManyCommands."""
MAX_REPLY_LINES = 200_000
"""Further lines of one answer are dropped and the answer counts as not ok."""


class TooManyCommands(TransientError):
    """ExaBGP does not answer as fast as we ask."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`ok`: ExaBGP said `done`. `lines`: what it printed before. `lost`: the connection went."""

    ok: bool
    lines: tuple[str, ...] = ()
    lost: bool = False


Answered = Callable[[Answer], None]


@dataclass(slots=True)
class _Command:
    line: str
    answered: Answered | None
    alone: bool
    sent_at: float = 0.0
    lines: list[str] = field(default_factory=list)
    overflown: bool = False


class Dialogue:
    """Commands to the ExaBGP that is attached now; `send` takes whole lines without newline."""

    def __init__(self, send: Callable[[Sequence[str]], object], now: Callable[[], float]) -> None:
        self._send = send
        self._now = now
        self._waiting: deque[_Command] = deque()
        self._unanswered: deque[_Command] = deque()
        self._attached = False
        self._heard_at = 0.0
        self.connection = 0
        """The one that was attached last."""

    @property
    def attached(self) -> bool:
        """A relay is connected."""
        return self._attached

    @property
    def room(self) -> int:
        """How many more commands would go out at once."""
        if not self._attached:
            return 0
        return max(0, MAX_UNACKED_COMMANDS - len(self._unanswered) - len(self._waiting))

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is unanswered."""
        return not self._waiting and not self._unanswered

    def silent_seconds(self) -> float:
        """For how long ExaBGP, owing an answer, has said nothing; 0 when it owes none."""
        if not self._unanswered:
            return 0.0
        return self._now() - max(self._heard_at, self._unanswered[0].sent_at)

    def unanswered(self) -> tuple[str, ...]:
        """The commands sent and not answered, oldest first."""
        return tuple(command.line for command in self._unanswered)

    def ask(self, line: str, answered: Answered | None = None, *, alone: bool = False) -> None:
        """Send this command in its turn; `answered` is called once. Raises TooManyCommands.

        alone: for commands that ExaBGP handles at once; nothing else is unanswered beside them.
        """
        if len(self._waiting) >= MAX_WAITING_COMMANDS:
            raise TooManyCommands(
                f"{len(self._waiting)} commands wait for ExaBGP; not sent: {line[:80]}"
            )
        self._waiting.append(_Command(line, answered, alone))
        self._pump()

    def acknowledged(self, ok: bool) -> None:  # noqa: FBT001  the event's own value
        """ExaBGP's `done` or `error` for the oldest command; one too many is dropped."""
        if not self._unanswered:
            return
        self._heard_at = self._now()
        command = self._unanswered.popleft()
        if command.answered is not None:
            command.answered(Answer(ok and not command.overflown, tuple(command.lines)))
        self._pump()

    def reply(self, text: str) -> None:
        """A line that belongs to the answer of the oldest command."""
        if not self._unanswered:
            return
        self._heard_at = self._now()
        command = self._unanswered[0]
        if len(command.lines) < MAX_REPLY_LINES:
            command.lines.append(text)
        else:
            command.overflown = True

    def attach(self, connection: int = 0) -> None:
        """A relay (re)connected: what was asked before is lost, and every asker is told so."""
        self._drop_all()
        self.connection = connection
        self._attached = True

    def detach(self) -> None:
        """The relay is gone; commands asked from now on are told so at the next attach."""
        self._attached = False
        self._drop_all()

    def _drop_all(self) -> None:
        lost = [*self._unanswered, *self._waiting]
        self._unanswered.clear()
        self._waiting.clear()
        for command in lost:
            if command.answered is not None:
                command.answered(Answer(ok=False, lost=True))

    def _pump(self) -> None:
        ready: list[str] = []
        while self._attached and self._waiting and self._may_send(self._waiting[0]):
            command = self._waiting.popleft()
            command.sent_at = self._now()
            self._unanswered.append(command)
            ready.append(command.line)
        if ready:
            self._send(ready)

    def _may_send(self, command: _Command) -> bool:
        if not self._unanswered:
            return True
        if command.alone or self._unanswered[0].alone:
            return False
        return len(self._unanswered) < MAX_UNACKED_COMMANDS
