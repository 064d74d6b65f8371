"""A tunnel is published when its senders are admitted, and stays published while its device stands."""

from __future__ import annotations

from ipaddress import ip_address

from felix_py.agent.calc.node_object import Published
from felix_py.agent.publication import Publication

STANDING = Published(ip_address("10.0.0.1"), {4: (ip_address("10.0.0.2"), "66:00:00:00:00:01")})


class World:
    standing = STANDING
    admitted = False


def test_nothing_is_published_before_the_senders_stand() -> None:
    world = World()
    say = Publication(lambda: world.standing, lambda: world.admitted)
    assert say() == Published()
    world.admitted = True
    assert say() == STANDING


def test_senders_that_fail_for_a_moment_end_no_publication_and_begin_none() -> None:
    world = World()
    world.standing, world.admitted = Published(STANDING.ipip), True
    say = Publication(lambda: world.standing, lambda: world.admitted)
    assert say() == Published(STANDING.ipip)
    world.standing, world.admitted = STANDING, False
    assert say() == Published(STANDING.ipip)
    world.admitted = True
    assert say() == STANDING


def test_a_device_that_falls_is_unpublished_at_once() -> None:
    world = World()
    world.admitted = True
    say = Publication(lambda: world.standing, lambda: world.admitted)
    say()
    world.standing, world.admitted = Published(), False
    assert say() == Published()
