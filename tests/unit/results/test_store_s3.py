"""The store on a real S3-compatible server: the same bytes as in a folder, and errors that say what to do."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pandas as pd
import pyarrow.dataset as ds
import pytest
from support.made_run import description, places, tables

from tasks import storage
from tasks.errors import InputError, StorageError
from tasks.results import store, write

if TYPE_CHECKING:
    from support.s3 import Server

pytest_plugins = ["support.s3"]

RUN = "moz-0123456789ab"
SECRET = "a-secret-that-nobody-may-see"


def publish(root: str) -> store.Manifest:
    made = tables(places(["Gaza", "Tete"]), constants={"run": RUN})
    write.put_chunk(root, RUN, "one", made)
    parts = {name: [write.read_chunk(root, RUN, "one", name)] for name in made}
    return write.publish(root, RUN, parts, description())


def test_a_bucket_holds_the_same_bytes_as_a_folder(s3_root: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "results")
    assert publish(s3_root) == publish(folder)
    for root in (s3_root, folder):
        write.remove_work(root, RUN)
    in_bucket, in_folder = storage.Storage(s3_root), storage.Storage(folder)
    names = set(in_folder.files("runs") | in_folder.files("csmf"))
    assert set(in_bucket.files("")) == names
    for name in names:
        assert in_bucket.read(name) == in_folder.read(name)


def test_a_run_replaced_in_a_bucket_has_the_same_bytes_as_one_in_a_folder(
    s3_root: str, tmp_path: Path
) -> None:
    folder = str(tmp_path / "results")
    for root in (s3_root, folder):
        publish(root)
        write.remove_work(root, RUN)
        made = tables(places(["Sofala"]), constants={"run": RUN})
        parts = {name: [table] for name, table in made.items()}
        assert write.publish(root, RUN, parts, description(), replace=True) == store.find_run(root, RUN)
        assert set(store.open_results(root).csmf["province"]) == {"Sofala"}
    in_bucket, in_folder = storage.Storage(s3_root), storage.Storage(folder)
    names = set(in_folder.files(""))
    assert set(in_bucket.files("")) == names
    for name in names:
        assert in_bucket.read(name) == in_folder.read(name)


def test_results_on_s3_read_as_those_in_a_folder(s3_root: str, tmp_path: Path) -> None:
    publish(s3_root)
    publish(str(tmp_path / "results"))
    here, there = store.open_results(str(tmp_path / "results")), store.open_results(f"{s3_root}/runs/{RUN}")
    for name in ("csmf", "strata", "records", "matrices", "draws"):
        pd.testing.assert_frame_equal(getattr(here, name), getattr(there, name))
    filesystem = fsspec.filesystem("s3")
    dataset = ds.dataset(f"{s3_root.removeprefix('s3://')}/csmf", filesystem=filesystem, partitioning="hive")
    assert dataset.count_rows() == len(here.csmf)


def test_runs_on_s3_are_listed_removed_and_cleaned_up(s3_root: str) -> None:
    publish(s3_root)
    assert [manifest["run"] for manifest in store.list_runs(s3_root)] == [RUN]
    assert write.finished_chunks(s3_root, RUN) == {"one"}
    write.remove_run(s3_root, RUN)
    assert storage.Storage(s3_root).files("") == {}
    assert store.list_runs(s3_root) == []


def test_a_published_run_survives_a_crash_of_the_server(s3: Server, s3_root: str) -> None:
    manifest = publish(s3_root)
    s3.call("kill")
    assert s3.call("start").returncode == 0
    s3.forget_connections()
    results = store.open_results(s3_root)
    assert results.manifest == manifest
    assert len(results.draws) == next(f["rows"] for f in manifest["files"] if f["path"] == "draws.parquet")


def test_a_large_file_arrives_in_parts_and_whole(s3_root: str, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(b"0123456789abcdef" * (7 * 2**20))  # 112 MB: more than one part
    there = storage.Storage(s3_root)
    there.upload("large", source)
    with there.open("large") as file:
        file.seek(111 * 2**20)
        assert file.read(16) == b"0123456789abcdef"
    assert list(there.files("")) == ["large"]


# --- what goes wrong ---


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(storage.S3_CONFIG, "retries", {"mode": "standard", "total_max_attempts": 1})


def message_of(root: str) -> str:
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(StorageError) as caught:
        store.find_run(root, RUN)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_wrong_secret_is_an_access_denied_that_shows_no_secret(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    message = message_of(s3_root)
    assert "access denied" in message and s3_root in message
    assert SECRET not in message and "test:s3" not in message


@pytest.mark.usefixtures("s3", "impatient")
def test_a_missing_bucket_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"does not exist .*or its bucket does not"):
        storage.Storage("s3://no-such-bucket-here").write("a", b"1")


@pytest.mark.usefixtures("impatient")
def test_no_credentials_are_an_error_that_says_how_to_give_them(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "no AWS credentials found; set AWS_PROFILE" in message_of(s3_root)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_named_without_its_address(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address, error in (("127.0.0.1:9", "EndpointConnectionError"), (f"user:{SECRET}@127.0.0.1:9", "")):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        message = message_of(s3_root)
        assert f"could not be reached ({error}" in message
        assert "check AWS_ENDPOINT_URL" in message
        assert SECRET not in message


def test_a_busy_server_is_asked_a_few_times_and_no_more(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(503, b"<Error><Code>SlowDown</Code><Message>key AKIA1</Message></Error>") as (
        url,
        requests,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        message = message_of(s3_root)
    assert "the object store is too busy (SlowDown); try again later" in message
    assert len(requests) == storage.S3_CONFIG["retries"]["total_max_attempts"]


@pytest.mark.usefixtures("impatient")
def test_a_dropped_connection_is_a_storage_error(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(0, b"") as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert "could not be reached" in message_of(s3_root)


@pytest.mark.parametrize(
    "uri", [f"s3://key:{SECRET}@bucket/results", "gs://bucket/results", "http://host/results"]
)
def test_credentials_in_a_uri_and_unknown_stores_are_refused(uri: str) -> None:
    with pytest.raises(InputError) as caught:
        storage.filesystem(uri)
    assert SECRET not in str(caught.value)


def test_a_folder_that_may_not_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/a: Not a directory"):
        storage.Storage(str(tmp_path / "file")).write("a", b"1")


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request so (0: drops the connection); yields its URL and the requests."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            requests.append(f"{self.command} {self.path}")
            if status:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        do_HEAD = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
