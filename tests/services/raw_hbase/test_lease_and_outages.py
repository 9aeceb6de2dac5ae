"""The raw store in HBase: who holds its lease, and what servers that are away or of another kind come to."""

import itertools
import socket
import threading
import time

import pyarrow as pa
import pytest
from Hbase_thrift import BatchMutation, Hbase, Mutation
from raw_hbase_clicks import click, clicks, many, plain, read
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.thrift import TClient
from thriftpy2.transport import TMemoryBuffer

from clickstream.io.errors import UserError
from clickstream.io.raw.clicks import SHARDS
from clickstream.io.raw.hbase import client as raw_hbase_client
from clickstream.io.raw.hbase import lease, wire
from clickstream.io.raw.hbase import rows as raw_hbase_rows
from clickstream.io.raw.hbase.errors import classify
from clickstream.io.raw.hbase.store import HBaseRawStoreConnection
from clickstream.io.raw.store import RawStoreUnavailableError


def test_one_job_holds_the_lease(store, connection) -> None:
    other = connection.open()
    for _ in range(2):
        with store.lease(), pytest.raises(UserError, match="another job reprocesses it"), other.lease():
            pass


def test_a_holder_renews_its_lease(store, connection, monkeypatch) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.2)
    monkeypatch.setattr(lease, "_HELD_MS", 2_000)
    with store.lease():
        time.sleep(3)
        with pytest.raises(UserError, match="another job reprocesses it"), connection.open().lease():
            pass


def test_a_dead_holder_loses_its_lease(store, connection, monkeypatch) -> None:
    monkeypatch.setattr(lease, "_HELD_MS", 500)
    held = store.lease()
    held.__enter__()
    time.sleep(1)
    with connection.open().lease(), pytest.raises(UserError, match="another job reprocesses it"), store.lease():
        pass
    monkeypatch.setattr(lease, "_HELD_MS", 120_000)
    held.__exit__(None, None, None)  # it never noticed, and leaves the other's alone
    with store.lease():
        pass


def test_who_lost_the_lease_is_told(store, connection, monkeypatch) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 2)
    monkeypatch.setattr(lease, "_HELD_MS", 200)
    held = store.lease()
    held.__enter__()
    time.sleep(0.5)
    with connection.open().lease():
        time.sleep(2.5)
    with pytest.raises(UserError, match="another job reprocesses it since"):
        held.__exit__(None, None, None)


def test_an_idle_connection_is_opened_anew(store, monkeypatch) -> None:
    monkeypatch.setattr(raw_hbase_client, "_IDLE_SECONDS", 0.0)
    store.buckets()
    first = store._client._connection
    time.sleep(0.01)
    store.buckets()
    assert store._client._connection is not first


def works_again(store, written) -> bool:
    try:
        return store.write(written) == {}
    except RawStoreUnavailableError:
        return False


def written_at_last(store, written) -> None:
    end = time.monotonic() + 120
    while not works_again(store, written):
        assert time.monotonic() < end
        time.sleep(0.5)


def test_an_outage_ends_promptly_and_by_itself(hbase, store, connection, bucket) -> None:
    before, after = many(bucket, 50), clicks(click("after", bucket + 1))
    store.write(before)
    hbase.kill()
    try:
        late = connection.open()
        for each in (store, late):
            began = time.monotonic()
            with pytest.raises(RawStoreUnavailableError, match=r"^HBase at \S+, table raw_\w+: .*\.$"):
                each.write(after)
            assert time.monotonic() - began < 25
    finally:
        hbase.start()
    for each in (store, late):
        written_at_last(each, after)
    assert read(store, bucket).equals(plain(pa.concat_tables([before, after])))


def test_a_server_that_never_answers(monkeypatch) -> None:
    monkeypatch.setattr(raw_hbase_client, "_TIMEOUT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = HBaseRawStoreConnection(f"127.0.0.1:{silent.getsockname()[1]}").open()
        with pytest.raises(RawStoreUnavailableError, match="no answer within"):
            store.buckets()


def test_a_server_of_another_kind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connected, _ = other.accept()
            connected.recv(100)
            connected.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connected.close()

        threading.Thread(target=answer, daemon=True).start()
        store = HBaseRawStoreConnection(f"127.0.0.1:{other.getsockname()[1]}").open()
        with pytest.raises(UserError, match="not HBase's Thrift 1 server"):
            store.buckets()


def test_a_server_says_nothing_of_its_rows() -> None:
    text = "org.apache.hadoop.hbase.NotServingRegionException: row 'secret'\n\tat org.apache.Thing.java:1\nCaused by: java.io.IOException"
    found = classify(Hbase.mutateRows_result.thrift_spec[1][2](message=text.encode()), "HBase at x:1, table t", 20)
    assert isinstance(found, RawStoreUnavailableError)
    assert "NotServingRegionException" in str(found)
    assert "secret" not in str(found)
    assert "\n" not in str(found)
    assert classify(ValueError(), "here", 20) is None


def test_the_message_is_that_of_the_client() -> None:
    table = clicks(*(click(f"u{i}", i, city=[None, "", "x"][i % 3], time_spent=[None, 1.5][i % 2]) for i in range(30)))
    keys, cells = raw_hbase_rows.row_keys(table), raw_hbase_rows.cells(table)
    columns = [(name, values.to_pylist()) for name, values in cells.items()]
    batches = [
        BatchMutation(
            key, [Mutation(column=name, value=cells[row]) for name, cells in columns if cells[row] is not None]
        )
        for row, key in enumerate(keys.to_pylist())
    ]
    sent = TMemoryBuffer()
    TClient(Hbase, TBinaryProtocol(sent, decode_response=False))._send(
        "mutateRows", tableName=b"t", rowBatches=batches, attributes={}
    )
    assert wire.message(b"t", wire.row_mutations(keys, cells)) == sent.getvalue()


def test_a_call_is_of_bounded_size(monkeypatch) -> None:
    monkeypatch.setattr(wire, "_CALL_BYTES", 10_000)
    table = many(0, 300)
    rows = wire.row_mutations(raw_hbase_rows.row_keys(table), raw_hbase_rows.cells(table))
    parts = list(wire.calls(rows))
    assert [start for start, _ in parts] == list(itertools.accumulate((len(part) for _, part in parts[:-1]), initial=0))
    assert pa.concat_arrays([part for _, part in parts]).equals(rows)
    assert max(len(wire.message(b"t", part)) for _, part in parts) < 11_000
    assert list(wire.calls(rows[:0])) == []


def test_each_user_is_in_one_shard() -> None:
    table = many(0, 200)
    shards = dict(zip(table["user_id"].to_pylist(), table["shard"].to_pylist(), strict=True))
    assert {user: raw_hbase_rows.shard_of(user) for user in shards} == shards
    assert set(shards.values()) <= set(range(SHARDS))
