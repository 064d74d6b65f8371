"""The launcher's settings and files; its processes are tested in tests/functional/bgp."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bgp.launcher import checked_port, main, parse, read_listen
from bgp.launcher_child import Listen, end_orphan, environment, start_time, write_pid
from bgp.privileges import User, find_user


def nothing_said(*_: object, **__: object) -> None:
    raise AssertionError("nothing was to be said")


def test_a_user_is_a_number_a_pair_or_a_name_and_never_root() -> None:
    assert find_user("64179") == User(64179, 64179)
    assert find_user("64179:7") == User(64179, 7)
    assert find_user("nobody").uid == 65534
    for text in ("0", "root", "64179:0", "no-such-user-here", ""):
        with pytest.raises(ValueError, match="user"):
            find_user(text)


def test_the_listen_file_is_read_and_a_broken_one_counts_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "listen"
    assert read_listen(path) is None
    path.write_text(json.dumps({"addresses": ["10.0.0.1", "fd00::1"], "port": 1790}))
    assert read_listen(path) == Listen(("10.0.0.1", "fd00::1"), 1790)
    for text in (
        "",
        "[]",
        "{}",
        '{"addresses": ["x"], "port": 1}',
        '{"addresses": [], "port": 0}',
        "\xff",
    ):
        path.write_text(text)
        assert read_listen(path) is None


def test_options_come_from_the_command_line_and_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FELIX_PY_LAUNCHER_PORT", "1790")
    options = parse(["--run-dir", "/run/x", "--bind", "10.0.0.1,fd00::1", "--user", "64179"])
    assert options.directory == Path("/run/x/bgp")
    assert options.config == Path("/run/x/bgp/exabgp.conf")
    assert options.listen == Listen(("10.0.0.1", "fd00::1"), 1790)
    for wrong in (["--port", "0"], ["--bind", "somewhere"], ["--user", "0"]):
        if wrong[0] == "--user" and os.geteuid() != 0:
            continue
        with pytest.raises(SystemExit):
            parse(wrong)


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for option in (
        "--run-dir",
        "--user",
        "--config",
        "--bind",
        "--port",
        "--python",
        "FELIX_PY_LAUNCHER",
    ):
        assert option in text


def test_ports_are_checked() -> None:
    assert checked_port("179") == 179
    for wrong in ("0", "65536", "x"):
        with pytest.raises(ValueError):
            checked_port(wrong)


def test_exabgp_gets_no_more_of_our_environment_than_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    settings = environment(Listen(("10.0.0.1", "fd00::1"), 179))
    assert "SECRET_TOKEN" not in settings
    assert settings["exabgp_tcp_bind"] == "10.0.0.1 fd00::1"
    assert settings["exabgp_api_terminate"] == "true"
    assert environment(Listen())["exabgp_tcp_bind"] == ""


def test_a_pid_file_that_names_another_process_ends_nobody(tmp_path: Path) -> None:
    path = tmp_path / "exabgp.pid"
    user = User(64179, 64179)
    end_orphan(path, user, nothing_said)
    for text in ("", "x y", f"{os.getpid()} 1", "1 1", "-1 0"):
        path.write_text(text)
        end_orphan(path, user, nothing_said)
    write_pid(path, os.getpid())
    assert path.read_text().split() == [str(os.getpid()), str(start_time(os.getpid()))]
    end_orphan(path, user, nothing_said)
    assert not path.exists(), "this process is another user's: it is left alone, the file is not"


def test_a_link_in_place_of_the_pid_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / "exabgp.pid").symlink_to(precious)
    write_pid(tmp_path / "exabgp.pid", os.getpid())
    assert precious.read_text() == "kept"
