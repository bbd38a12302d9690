"""The vocabulary is closed."""

import msgspec
import pytest

from sgdb_engine.control import Checkpoint, Command, Pause, Ping, Request, Resume, Step, Stop


@pytest.mark.parametrize(
    ("command", "written"),
    [
        (Ping(), b'{"type":"ping"}'),
        (Pause(), b'{"type":"pause"}'),
        (Resume(), b'{"type":"resume"}'),
        (Step(), b'{"type":"step","count":1}'),
        (Step(250), b'{"type":"step","count":250}'),
        (Stop(), b'{"type":"stop","checkpoint":true}'),
        (Stop(checkpoint=False), b'{"type":"stop","checkpoint":false}'),
        (Checkpoint(), b'{"type":"checkpoint"}'),
    ],
)
def test_each_command_is_one_frozen_json_object(command: Command, written: bytes) -> None:
    assert msgspec.json.encode(command) == written
    assert msgspec.json.decode(b'{"id":1,"command":' + written + b"}", type=Request) == Request(1, command)


@pytest.mark.parametrize(
    "written",
    [
        b'{"type":"eval"}',
        b'{"type":"checkpoint","path":"/etc/passwd"}',
        b'{"type":"step","count":0}',
        b'{"type":"step","count":-1}',
        b'{"type":"step","count":1e300}',
        b'{"type":"step","count":"1"}',
        b'{"type":["ping"]}',
        b'"ping"',
        b"{}",
    ],
)
def test_whatever_else_is_asked_is_refused(written: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"id":1,"command":' + written + b"}", type=Request)
