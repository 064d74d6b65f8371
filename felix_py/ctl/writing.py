"""How verbs that write were asked to write: really, or only to say what they would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from felix_py.ctl.plan_apply import Agreement, Consent
from felix_py.ctl.writer import Writer
from felix_py.datastore.store import Store


@dataclass(frozen=True, slots=True)
class Mode:
    """dry_run: nothing is written; diff: the lines that differ are printed; consent: who is asked before
    something reaches further than itself, None: nobody."""

    dry_run: bool = False
    diff: bool = False
    consent: Consent | None = None

    def writer(self, store: Store) -> Writer:
        """A writer that does so."""
        agree = None if self.consent is None else Agreement(store, self.consent)
        return Writer(store, dry_run=self.dry_run, show=self.show, agree=agree)

    @property
    def show(self) -> Callable[[str], None] | None:
        """Where the lines that differ go."""
        return print if self.diff else None


AS_ASKED = Mode()
