"""The raw store in HBase, in front of a real server."""

import itertools
import socket
import threading
import time
from datetime import datetime, timezone
from uuid import uuid4

import happybase
import pyarrow as pa
import pytest
from Hbase_thrift import BatchMutation, Hbase, Mutation
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.thrift import TClient
from thriftpy2.transport import TMemoryBuffer

from clickstream.io.errors import UserError
from clickstream.io.raw.clicks import BUCKET_MS, SHARDS, keyed
from clickstream.io.raw.hbase import client as raw_hbase_client
from clickstream.io.raw.hbase import lease, wire
from clickstream.io.raw.hbase import rows as raw_hbase_rows
from clickstream.io.raw.hbase.errors import judge
from clickstream.io.raw.hbase.store import HBaseRawStoreConnection
from clickstream.io.raw.store import RawStoreUnavailableError, Split
from clickstream.transforms.schema import CLICK_SCHEMA

KEY = [(name, "ascending") for name in ("timestamp", "user_id", "url", "country", "row_key")]
BUCKETS = itertools.count(1_790_000_400_000 // BUCKET_MS * BUCKET_MS, BUCKET_MS)
FULL = {"city": "Köln", "browser": "Firefox", "os": "Linux", "device": "desktop", "time_spent": 12.5}
ODD_USERS = [
    "",
    "'",
    "''",
    "a'",
    "'a",
    " a",
    "a ",
    "\0",
    "a\0",
    "') OR (",
    "','",
    ":",
    "\\'",
    "\n",
    "😀",
    "x" * 3000,
    " AND ",
]


def click(user="u", at=0, **others):
    time_of = datetime.fromtimestamp(at / 1000, timezone.utc)
    texts = dict.fromkeys(("row_key", "url", "country"), "")
    return {"user_id": user, "timestamp": time_of, **texts, **others}


def clicks(*rows):
    return keyed(pa.Table.from_pylist(list(rows), CLICK_SCHEMA))


def plain(table):
    return table.select(CLICK_SCHEMA.names).sort_by(KEY)


def read(store, *buckets, start=0, end=1 << 45):
    parts = [part for split in store.splits(buckets) for part in store.read(split, start, end)]
    assert all(part.schema == CLICK_SCHEMA for part in parts)
    return plain(pa.concat_tables([CLICK_SCHEMA.empty_table(), *parts]))


def many(bucket, number=2_000):
    ends = [None, datetime(2026, 10, 1, 2, 3, 4, 567_000, timezone.utc)]
    return clicks(
        *(
            click(f"user-{i % 97}", bucket + i * 7 % BUCKET_MS, url=f"https://x/{i}", session_end=ends[i % 2], **FULL)
            for i in range(number)
        )
    )


def new_name() -> str:
    return f"raw_{uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def connection(hbase):
    where = HBaseRawStoreConnection(hbase.address, new_name())
    store = where.open()
    store.set_up()
    store.close()
    return where


@pytest.fixture
def store(connection):
    opened = connection.open()
    yield opened
    opened.close()


@pytest.fixture
def bucket():
    return next(BUCKETS)


def test_what_is_written_comes_back(store, bucket) -> None:
    texts = click("é😀\0", bucket + 5, url="https://x/?a='b", country="Côte d'Ivoire", city="", device=" ")
    numbers = click("b", bucket + 6, time_spent=-0.0, session_end=datetime.fromtimestamp(0, timezone.utc))
    written = pa.concat_tables([many(bucket), clicks(texts, numbers, click("nulls", bucket + BUCKET_MS - 1))])
    for _ in range(2):  # what is there already is replaced by its equal
        assert store.write(written) == {}
        assert read(store, bucket).equals(plain(written))
    assert read(store, bucket, bucket + BUCKET_MS).equals(plain(written))


def test_pages_tile_what_is_read(store, bucket, monkeypatch) -> None:
    monkeypatch.setattr(raw_hbase_client, "_FIRST_ROWS", 10)
    monkeypatch.setattr(raw_hbase_client, "_PAGE_BYTES", 10_000)
    written = many(bucket, 500)
    store.write(written)
    assert read(store, bucket).equals(plain(written))


def test_a_range_is_cut_to_the_millisecond(store, bucket) -> None:
    written = clicks(*(click(f"u{i}", bucket + i) for i in range(20)))
    store.write(written)
    times = read(store, bucket, start=bucket + 5, end=bucket + 15)["timestamp"].cast(pa.int64()).to_pylist()
    assert times == list(range(bucket + 5, bucket + 15))
    assert list(store.read(Split(bucket), 0, bucket)) == []


def test_of_equal_clicks_the_last_is_whole(store, bucket) -> None:
    store.write(clicks(click(at=bucket, **FULL)))
    last = clicks(click(at=bucket, city="", browser="b"))
    store.write(last)
    assert read(store, bucket).equals(plain(last))


def test_people_can_read_the_cells(store, connection, bucket) -> None:
    store.write(
        clicks(click("me", bucket + 7, country="NL", session_end=datetime.fromtimestamp(1, timezone.utc), **FULL))
    )
    found = (
        raw(connection)
        .table(connection.table)
        .scan(row_prefix=raw_hbase_rows.row_range(_shard("me"), bucket, 0)[0][:7])
    )
    cells = next(cells for key, cells in found if int.from_bytes(key[1:9], "big") == bucket + 7)
    texts = {
        name: cells[f"{name}".encode()].decode() for name in ("click_data:user_id", "geo_data:country", "geo_data:city")
    }
    assert texts == {"click_data:user_id": "me", "geo_data:country": "NL", "geo_data:city": "Köln"}
    written = datetime.fromtimestamp(bucket / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.007Z")
    assert cells[b"click_data:timestamp"].decode() == written
    assert cells[b"click_data:session_end"] == (1000).to_bytes(8, "big")
    assert cells[b"user_agent_data:os"] == b"Linux"


def _shard(user):
    return raw_hbase_rows.shard_of(user)


def raw(connection) -> happybase.Connection:
    return happybase.Connection(*raw_hbase_client.host_and_port(connection.address), timeout=60_000)


def test_buckets_and_their_marks(store) -> None:
    later, earlier = sorted((next(BUCKETS), next(BUCKETS)), reverse=True)
    store.mark([later, earlier])
    found = {bucket.start_ms: bucket for bucket in store.buckets()}
    assert list(found) == sorted(found)
    assert found[later].is_new
    assert found[earlier].is_new
    store.mark_reprocessed({earlier: found[earlier].changed})
    assert [bucket.is_new for bucket in store.buckets() if bucket.start_ms in (earlier, later)] == [False, True]
    store.mark([earlier])
    assert all(bucket.is_new for bucket in store.buckets() if bucket.start_ms == earlier)


def test_a_dropped_bucket_is_not_brought_back_by_reprocessing(store, bucket) -> None:
    store.mark_reprocessed({bucket: b"mark"})
    assert bucket not in [found.start_ms for found in store.buckets()]


def test_any_user_is_found_and_forgotten_alone(store, bucket) -> None:
    store.write(clicks(*(click(user, bucket + at) for at, user in enumerate(ODD_USERS))))
    assert [store.user_times(user, bucket) for user in ODD_USERS] == [[bucket + at] for at in range(len(ODD_USERS))]
    for user in ODD_USERS[::2]:
        store.delete_user(user, bucket)
    assert set(read(store, bucket)["user_id"].to_pylist()) == set(ODD_USERS[1::2])
    assert store.user_times(ODD_USERS[0], bucket) == []


def test_a_user_is_forgotten_in_one_bucket(store) -> None:
    first, second = next(BUCKETS), next(BUCKETS)
    store.write(clicks(click("me", first), click("me", first + BUCKET_MS - 1), click("me", second)))
    store.delete_user("me", first)
    assert (store.user_times("me", first), store.user_times("me", second)) == ([], [second])


def test_what_is_deleted_can_be_written_again_at_once(store, bucket) -> None:
    written = clicks(click("me", bucket, **FULL))
    for _ in range(15):
        store.write(written)
        store.delete_user("me", bucket)
        assert read(store, bucket).num_rows == 0
        store.write(written)
        assert read(store, bucket).equals(plain(written))


def test_a_dropped_bucket_is_gone_and_its_neighbours_stay(store) -> None:
    buckets = [next(BUCKETS) for _ in range(3)]
    written = [many(bucket, 300) for bucket in buckets]
    for part in written:
        store.write(part)
    store.mark(buckets)
    store.drop_bucket(buckets[1])
    assert [read(store, bucket).num_rows for bucket in buckets] == [300, 0, 300]
    assert [bucket.start_ms for bucket in store.buckets() if bucket.start_ms in buckets] == [buckets[0], buckets[2]]
    store.write(written[1])
    store.mark([buckets[1]])
    assert read(store, buckets[1]).equals(plain(written[1]))
    assert buckets[1] in [bucket.start_ms for bucket in store.buckets()]


def test_a_mark_set_while_a_bucket_is_dropped_stays(store, bucket, monkeypatch) -> None:
    store.mark([bucket])
    delete = raw_hbase_client.HBaseClient.delete
    late = lambda client, *rest: (store.mark([bucket]), delete(client, *rest))  # noqa: E731
    monkeypatch.setattr(raw_hbase_client.HBaseClient, "delete", late)
    store.drop_bucket(bucket)
    assert bucket in [found.start_ms for found in store.buckets()]


def test_a_click_too_large_is_refused_and_its_neighbours_are_stored(store, bucket) -> None:
    urls = ["a", "b" * (11 << 20), "c", "d"]
    written = clicks(*(click(at=bucket + at, url=url) for at, url in enumerate(urls)))
    refused = store.write(written)
    assert [written["url"][row].as_py()[0] for row in refused] == ["b"]
    assert all("keyvalue.maxsize" in why and "bbb" not in why for why in refused.values())
    assert [url[0] for url in read(store, bucket)["url"].to_pylist()] == ["a", "c", "d"]


def test_several_workers_set_up_at_once(hbase) -> None:
    where, errors = HBaseRawStoreConnection(hbase.address, new_name()), []

    def set_up() -> None:
        store = where.open()
        try:
            store.set_up()
            store.check()
            store.write(clicks(click(at=1)))
        except UserError as error:
            errors.append(str(error))
        finally:
            store.close()

    workers = [threading.Thread(target=set_up) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    families = raw(where).table(where.table).families()
    assert {name: family["max_versions"] for name, family in families.items()} == dict.fromkeys(
        raw_hbase_rows.FAMILIES, 1
    )


def test_another_schema_is_refused_and_left_as_it_is(hbase) -> None:
    where = HBaseRawStoreConnection(hbase.address, new_name())
    raw(where).create_table(where.table, {"click_data": {}, "mine": {}})
    store = where.open()
    store.set_up()
    with pytest.raises(UserError, match=r"found column families click_data, mine, needed .* Cure: alter 'raw_"):
        store.check()
    with pytest.raises(UserError, match="NoSuchColumnFamilyException: a column family is missing"):
        store.write(clicks(click(at=1, country="secret")))
    assert set(raw(where).table(where.table).families()) == {b"click_data", b"mine"}


@pytest.mark.parametrize("call", ["check", "buckets", "write"])
def test_without_tables(hbase, call) -> None:
    store = HBaseRawStoreConnection(hbase.address, "raw_nowhere").open()
    with pytest.raises(UserError, match="run setup-sinks") as caught:
        getattr(store, call)(*[clicks(click(at=1))] * (call == "write"))
    assert not isinstance(caught.value, RawStoreUnavailableError)


@pytest.mark.parametrize("table", ["", "a b", "a'b", "ü"])
def test_no_table_can_have_such_a_name(table) -> None:
    with pytest.raises(UserError, match="can't name a table"):
        HBaseRawStoreConnection("host:1", table).open()


@pytest.mark.parametrize("address", ["host", "host:", ":9090", "host:x", "host:70000"])
def test_no_address(address) -> None:
    with pytest.raises(UserError, match="write HOST:PORT"):
        HBaseRawStoreConnection(address).open().buckets()


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
    found = judge(Hbase.mutateRows_result.thrift_spec[1][2](message=text.encode()), "HBase at x:1, table t", 20)
    assert isinstance(found, RawStoreUnavailableError)
    assert "NotServingRegionException" in str(found)
    assert "secret" not in str(found)
    assert "\n" not in str(found)
    assert judge(ValueError(), "here", 20) is None


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
