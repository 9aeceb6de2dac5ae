import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.streaming.api.functions.sink.legacy.RichSinkFunction;
import org.apache.flink.util.Collector;

/**
 * What a Java team writes: a HashSet in an AggregateFunction, event time, heap state, checkpoints. A peer for benchmarks, not for use.
 *
 * <p>usage: java -cp ... Clicks BOOTSTRAP_SERVERS TOPIC WINDOW_SECONDS PARALLELISM [ROWS.tsv]
 */
public class Clicks {
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static class Click {
    public String user_id;
    public String timestamp;
    public String url;
    public Double time_spent;
  }

  @JsonIgnoreProperties(ignoreUnknown = true)
  public static class Geo {
    public String country;
  }

  @JsonIgnoreProperties(ignoreUnknown = true)
  public static class Record {
    public Click click_data;
    public Geo geo_data;
  }

  /** A click as Flink's own POJO serializer takes it. */
  public static class Row {
    public String user;
    public String url;
    public String country;
    public long at;
    public double seconds;
    public boolean timed;
  }

  public static class Parse extends AbstractDeserializationSchema<Row> {
    private transient ObjectMapper mapper;

    @Override
    public void open(InitializationContext context) {
      mapper = new ObjectMapper();
    }

    @Override
    public Row deserialize(byte[] value) {
      try {
        Record record = mapper.readValue(value, Record.class);
        Row row = new Row();
        row.user = record.click_data.user_id;
        row.url = record.click_data.url;
        row.country = record.geo_data.country;
        row.at = Instant.parse(record.click_data.timestamp).toEpochMilli();
        row.timed = record.click_data.time_spent != null;
        row.seconds = row.timed ? record.click_data.time_spent : 0;
        return row;
      } catch (IOException | RuntimeException error) {
        return null;
      }
    }
  }

  public static class Sums {
    public long clicks;
    public HashSet<String> users = new HashSet<>();
    public long millis;
    public long timed;
  }

  public static class Count implements AggregateFunction<Row, Sums, Tuple4<Long, Integer, Long, Long>> {
    @Override
    public Sums createAccumulator() {
      return new Sums();
    }

    @Override
    public Sums add(Row row, Sums sums) {
      sums.clicks++;
      sums.users.add(row.user);
      sums.millis += Math.round(row.seconds * 1000);
      sums.timed += row.timed ? 1 : 0;
      return sums;
    }

    @Override
    public Tuple4<Long, Integer, Long, Long> getResult(Sums sums) {
      return Tuple4.of(sums.clicks, sums.users.size(), sums.millis, sums.timed);
    }

    @Override
    public Sums merge(Sums one, Sums other) {
      one.clicks += other.clicks;
      one.users.addAll(other.users);
      one.millis += other.millis;
      one.timed += other.timed;
      return one;
    }
  }

  public static class Named
      extends ProcessWindowFunction<Tuple4<Long, Integer, Long, Long>, String, Tuple2<String, String>, TimeWindow> {
    @Override
    public void process(
        Tuple2<String, String> key,
        Context context,
        Iterable<Tuple4<Long, Integer, Long, Long>> found,
        Collector<String> out) {
      Tuple4<Long, Integer, Long, Long> sums = found.iterator().next();
      String counts = sums.f0 + "\t" + sums.f1 + "\t" + sums.f2 + "\t" + sums.f3;
      out.collect(context.window().getStart() + "\t" + key.f0 + "\t" + key.f1 + "\t" + counts);
    }
  }

  public static class Write extends RichSinkFunction<String> {
    private final String place;
    private transient PrintWriter writer;

    public Write(String place) {
      this.place = place;
    }

    @Override
    public void open(OpenContext context) throws Exception {
      writer = new PrintWriter(place, "UTF-8");
    }

    @Override
    public void invoke(String row, Context context) {
      writer.println(row);
    }

    @Override
    public void close() {
      if (writer != null) {
        writer.close();
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new Configuration();
    configuration.setString("taskmanager.memory.network.max", "128mb");
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.createLocalEnvironment(Integer.parseInt(arguments[3]), configuration);
    environment.enableCheckpointing(10_000);
    environment.getConfig().enableObjectReuse();
    KafkaSource<Row> source =
        KafkaSource.<Row>builder()
            .setBootstrapServers(arguments[0])
            .setTopics(arguments[1])
            .setGroupId("peer")
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setBounded(OffsetsInitializer.latest())
            .setValueOnlyDeserializer(new Parse())
            .build();
    WatermarkStrategy<Row> watermarks =
        WatermarkStrategy.<Row>forBoundedOutOfOrderness(Duration.ofSeconds(10))
            .withTimestampAssigner((row, at) -> row.at);
    environment
        .fromSource(source, watermarks, "clicks")
        .keyBy(
            row -> Tuple2.of(row.url, row.country),
            org.apache.flink.api.common.typeinfo.Types.TUPLE(
                org.apache.flink.api.common.typeinfo.Types.STRING, org.apache.flink.api.common.typeinfo.Types.STRING))
        .window(TumblingEventTimeWindows.of(Duration.ofSeconds(Long.parseLong(arguments[2]))))
        .aggregate(new Count(), new Named())
        .addSink(new Write(arguments.length > 4 ? arguments[4] : "/dev/null"))
        .setParallelism(1);
    environment.execute();
  }
}
