//! The practical limit: one loop, hash maps, exact users, no dead letters, no sketches. A peer for benchmarks, not for use.
//!
//! usage: clicks file PATH WINDOW_SECONDS [ROWS.tsv]
//!        clicks kafka BOOTSTRAP_SERVERS TOPIC WINDOW_SECONDS [ROWS.tsv]

use ahash::{AHashMap, AHashSet};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde::Deserialize;
use std::io::{BufWriter, Read, Write};
use std::time::Duration;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    click_data: Click<'a>,
    #[serde(borrow)]
    geo_data: Geo<'a>,
}

#[derive(Deserialize)]
struct Click<'a> {
    user_id: &'a str,
    timestamp: &'a str,
    #[serde(borrow)]
    url: &'a str,
    time_spent: Option<f64>,
}

#[derive(Deserialize)]
struct Geo<'a> {
    country: &'a str,
}

#[derive(Default)]
struct Sums {
    clicks: u64,
    users: AHashSet<u32>,
    millis: i64,
    timed: u64,
}

#[derive(Default)]
struct Names {
    numbers: AHashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }
}

struct Windows {
    millis: i64,
    pages: Names,
    countries: Names,
    users: Names,
    sums: AHashMap<(i64, u32, u32), Sums>,
}

impl Windows {
    fn add(&mut self, value: &[u8]) {
        let Ok(record) = sonic_rs::from_slice::<Record>(value) else { return };
        let Ok(at) = chrono::DateTime::parse_from_rfc3339(record.click_data.timestamp) else { return };
        let at = at.timestamp_millis();
        let key = (
            at - at.rem_euclid(self.millis),
            self.pages.number(record.click_data.url),
            self.countries.number(record.geo_data.country),
        );
        let user = self.users.number(record.click_data.user_id);
        let sums = self.sums.entry(key).or_default();
        sums.clicks += 1;
        sums.users.insert(user);
        if let Some(seconds) = record.click_data.time_spent {
            sums.millis += (seconds * 1000.0).round() as i64;
            sums.timed += 1;
        }
    }

    fn write(&self, place: &str) -> std::io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(place)?);
        for (&(start, page, country), sums) in &self.sums {
            let (url, name) = (&self.pages.names[page as usize], &self.countries.names[country as usize]);
            let (clicks, users, timed) = (sums.clicks, sums.users.len(), sums.timed);
            writeln!(out, "{start}\t{url}\t{name}\t{clicks}\t{users}\t{}\t{timed}", sums.millis)?;
        }
        out.flush()
    }
}

fn read_file(path: &str, windows: &mut Windows) {
    let mut file = std::fs::File::open(path).expect("a log");
    let mut text = vec![0u8; 4 << 20];
    let mut held = 0;
    loop {
        if held == text.len() {
            text.resize(2 * text.len(), 0);
        }
        let count = file.read(&mut text[held..]).expect("a log that can be read");
        let end = held + count;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &text[..end]) {
            windows.add(&text[start..newline]);
            start = newline + 1;
        }
        if count == 0 {
            windows.add(&text[start..end]);
            return;
        }
        text.copy_within(start..end, 0);
        held = end - start;
    }
}

fn read_topic(servers: &str, topic: &str, windows: &mut Windows) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "peer")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "1000000")
        .create()
        .expect("a consumer");
    let wait = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(Some(topic), wait).expect("a broker");
    let mut places = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        places.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a partition");
    }
    let mut open = places.count();
    consumer.assign(&places).expect("partitions");
    while open > 0 {
        match consumer.poll(wait) {
            Some(Ok(message)) => windows.add(message.payload().unwrap_or_default()),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{error}"),
            None => panic!("Kafka has not answered"),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = if arguments[0] == "file" { 2 } else { 3 };
    let seconds: i64 = arguments[at].parse().expect("seconds");
    let mut windows = Windows {
        millis: seconds * 1000,
        pages: Names::default(),
        countries: Names::default(),
        users: Names::default(),
        sums: AHashMap::new(),
    };
    if arguments[0] == "file" {
        read_file(&arguments[1], &mut windows);
    } else {
        read_topic(&arguments[1], &arguments[2], &mut windows);
    }
    if let Some(place) = arguments.get(at + 1) {
        windows.write(place).expect("a place for the rows");
    }
    println!("{} rows", windows.sums.len());
}
