"""The driver on an nft that only counts: what is written when, and whose changes are whose."""

from __future__ import annotations

from felix_py.kernel.nft_command import NftRefused
from felix_py.kernel.nft_model import NftNews, NftTable, NftTransaction, TableName
from felix_py.kernel.nft_table import NftTables, Written

OURS: TableName = ("inet", "felix-py")


class Ruleset:
    """Remembers scripts; its number rises with each, as the kernel's does."""

    def __init__(self) -> None:
        self.number = 10
        self.scripts: list[str] = []
        self.refuses = False
        self.present: frozenset[TableName] = frozenset()
        self.meanwhile = 0

    def apply(self, script: str) -> None:
        if self.refuses:
            raise NftRefused("nft: Error: no")
        self.scripts.append(script)
        self.number += 1 + self.meanwhile

    def tables(self) -> frozenset[TableName]:
        return self.present

    def generation(self) -> int:
        return self.number


def table(*elements: str, body: str = "set s { type ifname; }") -> NftTable:
    return NftTable(*OURS, body, {"s": frozenset(elements)})


def news(generation: int, *tables: TableName) -> NftNews:
    return NftNews((NftTransaction(generation, frozenset(tables), frozenset()),))


class Driver:
    def __init__(self) -> None:
        self.ruleset = Ruleset()
        self.tables = NftTables(self.ruleset, self.ruleset.generation)
        self.now = 0.0

    def stands(self) -> bool:
        return self.tables.stand

    def failure(self) -> str | None:
        return self.tables.failure

    def settle(self, wanted: NftTable) -> Written:
        self.now += 1
        self.tables.want([wanted])
        return self.tables.apply(self.now)


def test_a_fresh_process_writes_everything_once() -> None:
    driver = Driver()
    driver.ruleset.present = frozenset({OURS})
    assert driver.settle(table("a")) == Written(changed=True)
    assert "delete table inet felix-py" in driver.ruleset.scripts[0]
    assert driver.settle(table("a")) == Written()
    assert driver.stands()


def test_a_table_that_was_missing_at_start_counts_as_repaired() -> None:
    assert Driver().settle(table("a")) == Written(changed=True, repaired=True)


def test_elements_are_changed_one_by_one_and_rules_by_the_whole() -> None:
    driver = Driver()
    driver.settle(table("a", "b"))
    driver.settle(table("b", "c"))
    assert driver.ruleset.scripts[-1] == (
        "delete element inet felix-py s { a }\nadd element inet felix-py s { c }\n"
    )
    driver.settle(table("b", "c", body="set s { type ifname; }\nchain c { }"))
    assert "delete table" in driver.ruleset.scripts[-1]


def test_our_own_transactions_are_no_news_and_others_make_us_write_again() -> None:
    driver = Driver()
    driver.settle(table("a"))
    driver.tables.note(news(11, OURS))
    assert driver.stands()
    driver.tables.note(news(12, ("ip", "nat")))
    assert driver.stands()
    driver.tables.note(news(13, ("ip", "nat"), OURS))
    assert not driver.stands()
    assert driver.settle(table("a")) == Written(changed=True, repaired=True)


def test_a_transaction_that_came_between_makes_ours_count_as_anothers() -> None:
    driver = Driver()
    driver.ruleset.meanwhile = 1
    driver.settle(table("a"))
    driver.tables.note(news(11, OURS))
    assert not driver.stands()


def test_lost_events_and_numbers_nobody_told_of_make_us_write_again() -> None:
    driver = Driver()
    driver.settle(table("a"))
    driver.tables.note(NftNews(lost=True))
    assert not driver.stands()
    driver.settle(table("a"))
    driver.tables.note(news(12, OURS))
    driver.tables.sweep()
    assert driver.stands()
    driver.ruleset.number += 1
    driver.tables.sweep()
    assert driver.stands()
    driver.tables.sweep()
    assert not driver.stands()


def test_what_is_refused_is_said_and_tried_whole_again() -> None:
    driver = Driver()
    driver.settle(table("a"))
    driver.ruleset.refuses = True
    assert driver.settle(table("a", "b")) == Written()
    assert driver.failure() == "nft: Error: no"
    assert not driver.stands()
    driver.ruleset.refuses = False
    assert driver.settle(table("a", "b")).changed
    assert driver.failure() is None
    assert "delete table" in driver.ruleset.scripts[-1]


def test_somebody_who_changes_our_table_without_end_gets_no_storm() -> None:
    driver = Driver()
    driver.settle(table("a"))
    for generation in range(100, 200):
        driver.tables.note(news(generation, OURS))
        driver.tables.apply(driver.now + (generation - 100) / 1000)
    assert len(driver.ruleset.scripts) == 1
    assert driver.tables.apply(driver.now + 1).repaired
