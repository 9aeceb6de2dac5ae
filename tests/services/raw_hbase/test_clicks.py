"""The raw store in HBase: what is written comes back; buckets, users, tables."""

import threading
from datetime import datetime, timezone

import happybase
import pyarrow as pa
import pytest
from raw_hbase_clicks import BUCKETS, FULL, ODD_USERS, click, clicks, many, new_name, plain, read

from clickstream.io.errors import UserError
from clickstream.io.raw.clicks import BUCKET_MS
from clickstream.io.raw.hbase import client as raw_hbase_client
from clickstream.io.raw.hbase import rows as raw_hbase_rows
from clickstream.io.raw.hbase.store import HBaseRawStoreConnection
from clickstream.io.raw.store import RawStoreUnavailableError, Split


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
