"""Downloads against a server that stalls, drops, lies, ignores ranges or gives a web page."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from benchmarks import fetch
from benchmarks.errors import MissingData
from benchmarks.fetch import download, drive_url
from benchmarks.pins import Pin

DATA = bytes(range(256)) * 12_000  # 3 MB: several chunks
SHA256, MD5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Gives `data`, in the manner that a test sets; `asked` holds the Range header of every request."""

    daemon_threads = True
    data = DATA
    ranges = True
    tag: str | None = '"one"'
    kind = "application/octet-stream"
    drops: list[int]  # bytes after which each of the next connections ends
    states: list[int]  # HTTP states that the next requests get
    stall = 0.0
    length: bool | str = True  # whether it is told; a text is told in its stead
    wait: str | None = None  # Retry-After of the states
    to: str | None = None  # where every request is sent on

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.drops, self.states = [], [], []

    def handle_error(self, *args):
        """A client that gives up is what these tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        s = self.server
        wanted = self.headers.get("Range")
        s.asked.append(wanted)
        if s.to is not None:
            self.send_response(302)
            self.send_header("Location", s.to)
            self.end_headers()
            return
        if s.states and (state := s.states.pop(0)) != 200:
            self.send_response(state)
            if s.wait is not None:
                self.send_header("Retry-After", s.wait)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and s.ranges else 0
        if self.headers.get("If-Range") not in (None, s.tag):
            start = 0
        if start >= len(s.data) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(s.data)}")
            self.end_headers()
            return
        body = s.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", s.kind)
        if s.length:
            self.send_header("Content-Length", s.length if isinstance(s.length, str) else str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(s.data) - 1}/{len(s.data)}")
        if s.tag:
            self.send_header("ETag", s.tag)
        self.end_headers()
        cut = s.drops.pop(0) if s.drops else len(body)
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if cut < len(body) and s.stall:
            time.sleep(s.stall)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "WAIT", 0.001)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def leftovers(folder) -> set[str]:
    return {f.name for f in folder.iterdir()}


@pytest.mark.parametrize(
    "pin", [Pin(len(DATA), SHA256), Pin(None, SHA256.upper()), Pin(None, None, MD5), Pin(len(DATA), SHA256, MD5)]
)
def test_a_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path, pin):
    target = tmp_path / "new" / "data.zip"
    assert download(server.url, target, pin) == target
    assert target.read_bytes() == DATA and leftovers(target.parent) == {"data.zip"}
    download(server.url, target, pin)
    assert server.asked == [None]


def test_dropped_connections_are_taken_up_where_they_ended(server, tmp_path):
    server.drops = [1_500_000, 700_000]
    download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert (tmp_path / "data.zip").read_bytes() == DATA
    assert server.asked == [None, "bytes=1500000-", "bytes=2200000-"]


def test_a_stalled_connection_is_given_up_and_taken_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    server.drops, server.stall = [100_000], 2.0
    download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert (tmp_path / "data.zip").read_bytes() == DATA
    assert server.asked == [None, "bytes=100000-"]


def test_a_later_call_goes_on_from_what_an_earlier_one_left(server, tmp_path):
    server.drops = [1_000, *[0] * fetch.TRIES]
    with pytest.raises(MissingData, match="1,000 bytes are kept and the same command goes on from there"):
        download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    server.drops, server.asked = [], []
    download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert server.asked == ["bytes=1000-"]
    assert (tmp_path / "data.zip").read_bytes() == DATA and leftovers(tmp_path) == {"data.zip"}


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, tmp_path):
    server.ranges, server.drops = False, [1_500_000]
    download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_one_that_ignores_ranges_and_always_drops_is_given_up(server, tmp_path):
    server.ranges, server.drops = False, [1_500_000] * 20
    with pytest.raises(MissingData, match="the connection ended after 1,500,000 of 3,072,000 bytes"):
        download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert len(server.asked) == fetch.TRIES


def test_a_file_that_changed_in_between_is_begun_again(server, tmp_path):
    """The bytes of two versions are never joined, also where no checksum would tell."""
    server.drops = [1_500_000, *[0] * fetch.TRIES]
    with pytest.raises(MissingData):
        download(server.url, tmp_path / "data.zip")
    server.data, server.tag, server.drops = DATA[::-1], '"two"', []
    download(server.url, tmp_path / "data.zip")
    assert (tmp_path / "data.zip").read_bytes() == DATA[::-1]


def test_without_a_tag_and_a_checksum_nothing_is_joined(server, tmp_path):
    server.tag, server.drops = None, [1_500_000]
    download(server.url, tmp_path / "data.zip")
    assert server.asked == [None, None] and (tmp_path / "data.zip").read_bytes() == DATA


def test_a_part_that_is_whole_needs_no_server(tmp_path):
    (tmp_path / "data.zip.part").write_bytes(DATA)
    download("http://127.0.0.1:9/data.zip", tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_a_whole_part_of_unknown_size_is_told_by_the_server(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(DATA)
    download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert server.asked == [f"bytes={len(DATA)}-"] and (tmp_path / "data.zip").read_bytes() == DATA


@pytest.mark.parametrize("size", [len(DATA), None])
def test_a_part_that_is_too_long_is_begun_again(server, tmp_path, size):
    (tmp_path / "data.zip.part").write_bytes(DATA + b"more")
    download(server.url, tmp_path / "data.zip", Pin(size, SHA256))
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_wrong_bytes_are_refused_and_deleted(server, tmp_path):
    server.data = DATA[:-1] + b"?"
    with pytest.raises(
        MissingData, match=r"gave other bytes: sha256 .* They were deleted; run it again, or download .*then run: do this FILE"
    ):
        download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256), "do this FILE")
    assert leftovers(tmp_path) == set()


def test_another_size_is_refused_before_it_is_fetched(server, tmp_path):
    with pytest.raises(MissingData, match="offers 3,072,000 bytes, expected 3,072,001"):
        download(server.url, tmp_path / "data.zip", Pin(len(DATA) + 1, SHA256))
    server.length = False
    with pytest.raises(MissingData, match="gives more than the 1,000 bytes expected"):
        download(server.url, tmp_path / "data.zip", Pin(1_000, SHA256))


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_page_in_place_of_the_file_is_refused(server, tmp_path, kind):
    server.data, server.kind = b"\n<!DOCTYPE html><html><title>Quota exceeded</title></html>", kind
    with pytest.raises(MissingData, match="gave a web page instead of the file.*then run: do this FILE"):
        download(server.url, tmp_path / "data.zip", by_hand="do this FILE")
    assert leftovers(tmp_path) == set()


def test_a_page_does_not_cost_what_was_kept(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(DATA[:500_000])
    server.data, server.kind, server.ranges = b"<html>Quota exceeded</html>", "text/html", False
    with pytest.raises(MissingData, match="web page"):
        download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert (tmp_path / "data.zip.part").read_bytes() == DATA[:500_000]


def test_states_that_pass_are_waited_for_and_others_are_not(server, tmp_path):
    server.states = [503, 429, 200]
    download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert len(server.asked) == 3
    server.states = [404]
    with pytest.raises(MissingData, match="HTTP 404 Not Found; download http"):
        download(server.url, tmp_path / "other.zip")
    assert len(server.asked) == 4 and leftovers(tmp_path) == {"data.zip"}


def test_no_connection_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "WAIT", 0.001)
    with pytest.raises(MissingData, match="refused.*0 bytes are kept") as caught:
        download("http://127.0.0.1:9/data.zip", tmp_path / "data.zip")
    assert "\n" not in str(caught.value) and leftovers(tmp_path) == set()


def test_the_first_download_without_a_checksum_is_trusted_and_remembered(server, tmp_path, caplog):
    target = tmp_path / "data.zip"
    with caplog.at_level(logging.WARNING, logger="benchmarks"):
        download(server.url, target)
    assert "no checksum is known" in caplog.text and SHA256 in caplog.text
    assert (tmp_path / "data.zip.sha256").read_text() == f"{SHA256}  data.zip\n"
    target.write_bytes(DATA[:-1])
    with pytest.raises(MissingData, match="delete it, then run the same command again"):
        download(server.url, target)
    target.unlink()
    server.data = DATA[::-1]
    with pytest.raises(MissingData, match="an earlier download had .*delete .*data.zip.sha256 to take the new one"):
        download(server.url, target)
    assert leftovers(tmp_path) == {"data.zip.sha256"}


def test_a_size_that_nobody_confirmed_warns_and_refuses_nothing(server, tmp_path, caplog):
    target, pin = tmp_path / "data.zip", Pin(likely=len(DATA) + 1)
    for _ in range(2):  # fetched, and found
        caplog.clear()
        assert download(server.url, target, pin).read_bytes() == DATA
        assert "data.zip has 3,072,000 bytes; a source that is not confirmed says 3,072,001" in caplog.text
    caplog.clear()
    download(server.url, target, Pin(likely=len(DATA)))
    assert "not confirmed" not in caplog.text


def test_an_existing_file_that_is_wrong_is_never_overwritten(server, tmp_path):
    (tmp_path / "data.zip").write_bytes(b"mine")
    with pytest.raises(MissingData, match="it has 4 bytes, expected 3,072,000; delete it"):
        download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert (tmp_path / "data.zip").read_bytes() == b"mine" and server.asked == []


def test_a_full_disk_is_told_before_it_is_full(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000))
    with pytest.raises(MissingData, match="make room, or set CHANSWAP_HOME"):
        download(server.url, tmp_path / "data.zip", Pin(None, SHA256))


def test_two_processes_do_not_write_one_part(server, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with open(tmp_path / "data.zip.part", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(MissingData, match="being downloaded by another process"):
            download(server.url, tmp_path / "data.zip", Pin(None, SHA256))


def test_only_http_is_fetched(tmp_path):
    (tmp_path / "secret").write_text("x")
    with pytest.raises(MissingData, match="is no http address"):
        download(f"file://{tmp_path}/secret", tmp_path / "data.zip")


def test_drive_ids_go_past_the_page_about_viruses():
    assert drive_url("abc") == "https://drive.usercontent.google.com/download?id=abc&confirm=t&export=download"


def test_a_failed_download_names_its_host_and_tells_no_success(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fetch, "WAIT", 0.0)
    caplog.set_level("INFO", "benchmarks")
    with pytest.raises(MissingData, match="nowhere.invalid"):
        download("http://nowhere.invalid/a.zip", tmp_path / "a.zip")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == fetch.TRIES - 1 and all(line.startswith("a.zip from nowhere.invalid: ") for line in lines)


# Servers that say strange things


def test_a_server_is_waited_for_as_long_as_it_asks(server, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(fetch.time, "sleep", slept.append)
    server.states, server.wait = [503, 429, 200], "7"
    download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert slept == [7.0, 7.0]


@pytest.mark.parametrize("wait", ["86400", "Wed, 21 Oct 2065 07:28:00 GMT"])
def test_one_that_asks_for_a_day_is_named_at_once(server, tmp_path, wait):
    server.states, server.wait = [429] * 9, wait
    with pytest.raises(MissingData, match="HTTP 429 .* asks to wait [0-9,]+ seconds; run the same command then"):
        download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "wait", ["", "soon", "-5", "1e9", "\u00b2", "9" * 400, "Wed, 99 Oct 2065", "Wed, 21 Oct 1999 07:28:00 GMT"]
)
def test_a_wait_that_is_none_is_not_waited(server, tmp_path, wait):
    server.states, server.wait = [503, 200], wait
    download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert len(server.asked) == 2


@pytest.mark.parametrize("state", [503, 429, 408, 500])
def test_a_server_that_never_recovers_is_given_up(server, tmp_path, state):
    server.states = [state] * 99
    with pytest.raises(MissingData, match=f"HTTP {state} .*; 0 bytes are kept .*, or download ") as caught:
        download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert len(server.asked) == fetch.TRIES and "\n" not in str(caught.value) and leftovers(tmp_path) == set()


@pytest.mark.parametrize("pin", [Pin(len(DATA), SHA256), Pin(None, SHA256)])
def test_a_length_longer_than_the_file_is_given_up_and_the_bytes_kept(server, tmp_path, pin):
    server.length, server.ranges = str(len(DATA) + 5), False
    with pytest.raises(MissingData, match="offers 3,072,005 bytes|ended after 3,072,000 of 3,072,005 bytes"):
        download(server.url, tmp_path / "data.zip", pin)
    assert not (tmp_path / "data.zip").exists()


def test_a_length_shorter_than_the_file_gives_no_file(server, tmp_path):
    server.length = str(len(DATA) - 5)
    with pytest.raises(MissingData, match="gave other bytes: sha256"):
        download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("length", ["-5", "x", "", "1e6", "\u00b2", "9" * 5000])
def test_a_length_that_is_none_is_passed_over(server, tmp_path, length):
    server.length = length
    try:
        download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
        assert (tmp_path / "data.zip").read_bytes() == DATA
    except MissingData as error:  # http.client may take it for nothing to read
        assert "\n" not in str(error) and not (tmp_path / "data.zip").exists()


def test_a_loop_of_redirects_is_one_line(server, tmp_path):
    server.to = server.url
    with pytest.raises(MissingData, match="HTTP 302 .*infinite loop") as caught:
        download(server.url, tmp_path / "data.zip", by_hand="do this FILE")
    assert "\n" not in str(caught.value) and str(caught.value).endswith("then run: do this FILE")


@pytest.mark.parametrize(
    "to",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://", "http://[", "http://127.0.0.1:x/", f"http://{'a' * 70}.x/"],
)
def test_a_redirect_to_nowhere_is_one_line_and_no_file(server, tmp_path, to):
    server.to = to
    with pytest.raises(MissingData) as caught:
        download(server.url, tmp_path / "data.zip")
    assert str(caught.value).isprintable() and leftovers(tmp_path) == set()


def test_a_range_that_never_fits_is_given_up(server, tmp_path, monkeypatch):
    """416 for whatever is kept: begun again each time, and no endless loop."""
    (tmp_path / "data.zip.part").write_bytes(DATA[:1000])
    server.states = [416] * 99
    with pytest.raises(MissingData, match="the part kept did not fit|HTTP 416"):
        download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert len(server.asked) <= fetch.TRIES


@pytest.mark.parametrize("tag", [b"\xff\xfe", b'"a\r\nX-Evil: 1"', "\u202e".encode(), b"\0"])
def test_a_damaged_tag_is_not_sent(server, tmp_path, tag):
    (tmp_path / "data.zip.part").write_bytes(DATA[:1000])
    (tmp_path / "data.zip.part.tag").write_bytes(tag)
    download(server.url, tmp_path / "data.zip", Pin(None, SHA256))
    assert (tmp_path / "data.zip").read_bytes() == DATA


@pytest.mark.parametrize("note", [b"", b"\xff" * 80, b"0" * 63, b"../../x"])
def test_a_damaged_note_of_the_first_checksum_vouches_for_nothing(server, tmp_path, note):
    (tmp_path / "data.zip").write_bytes(DATA)
    (tmp_path / "data.zip.sha256").write_bytes(note)
    with pytest.raises(MissingData, match="data.zip.sha256 is damaged and vouches for nothing; delete it"):
        download(server.url, tmp_path / "data.zip")


def test_a_damaged_part_is_found_by_the_checksum(server, tmp_path):
    part = bytearray(DATA[:1_000_000])
    part[5] ^= 1
    (tmp_path / "data.zip.part").write_bytes(part)
    with pytest.raises(MissingData, match="gave other bytes"):
        download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    download(server.url, tmp_path / "data.zip", Pin(len(DATA), SHA256))
    assert (tmp_path / "data.zip").read_bytes() == DATA
