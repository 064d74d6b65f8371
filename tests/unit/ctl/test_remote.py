"""Asking other nodes by a command template."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from felix_py.ctl.calc.facts import Asked, NodeFacts
from felix_py.ctl.remote import CouldNotAsk, Remote, Target, arguments_of

HERE, THERE = ip_address("10.244.0.1"), ip_address("10.244.1.1")


def test_the_template_names_the_node_and_its_address_and_what_is_run_goes_behind_it() -> None:
    remote = Remote("ssh -o BatchMode=yes root@{address} ip netns exec {node}")
    command = remote.command(Target("node-b1", "10.10.2.11"), ["felixctl", "facts"])
    assert command == [
        *("ssh", "-o", "BatchMode=yes", "root@10.10.2.11"),
        *("ip", "netns", "exec", "node-b1", "felixctl", "facts"),
    ]


def test_a_node_whose_name_is_an_option_is_not_put_into_a_command() -> None:
    with pytest.raises(CouldNotAsk, match="ProxyCommand"):
        Remote("ssh {node}").command(Target("-oProxyCommand=sh"), ["felixctl"])


def test_an_argument_that_a_shell_would_read_is_not_put_into_a_command() -> None:
    with pytest.raises(CouldNotAsk, match="shell"):
        Remote("ssh {node}").command(Target("a"), ["felixctl; reboot"])


def test_a_template_with_an_unknown_placeholder_is_refused_by_name() -> None:
    with pytest.raises(CouldNotAsk, match="nodename"):
        Remote("ssh {nodename}").command(Target("a"), ["felixctl"])


def test_without_a_template_nobody_is_asked() -> None:
    with pytest.raises(CouldNotAsk, match="--via"):
        Remote().run(Target("a"), ["felixctl"])


def test_a_node_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(CouldNotAsk, match=r"no answer in 0\.05 s"):
        Remote("sleep 5", seconds=0.05).run(Target("a"), [])


def test_a_command_that_only_complains_is_quoted() -> None:
    with pytest.raises(CouldNotAsk, match="no such host a"):
        Remote("sh -c 'echo no such host {node} >&2; exit 255'").run(Target("a"), [])


def test_the_facts_of_another_node_than_the_one_asked_are_not_believed() -> None:
    with pytest.raises(CouldNotAsk, match="'b'"):
        Remote("""sh -c 'echo "{{\\"node\\":\\"b\\"}}"'""").facts(Target("a"), Asked())


def test_what_cannot_be_read_as_facts_is_refused() -> None:
    with pytest.raises(CouldNotAsk, match="cannot be read"):
        Remote("echo hello").facts(Target("a"), Asked())


def test_several_nodes_are_asked_and_each_answers_for_itself() -> None:
    remote = Remote("""sh -c 'echo "{{\\"node\\":\\"{node}\\"}}"; exit 0'""")
    found = remote.all_facts([Target("a"), Target("b"), Target("-c")], Asked())
    assert (found["a"], found["b"]) == (NodeFacts("a"), NodeFacts("b"))
    assert isinstance(found["-c"], CouldNotAsk)


def test_questions_travel_as_arguments() -> None:
    asked = Asked(((HERE, THERE),), (ip_address("10.10.2.11"),))
    assert arguments_of(asked) == ["--flow=10.244.0.1,10.244.1.1", "--about=10.10.2.11"]
