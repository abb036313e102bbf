import { assertEquals } from "@std/assert";
import { withWorld, type World } from "../../../testing/app_fixture.ts";
import { parseJobRequest } from "../../../job_request/parse.ts";
import { createEventFeeds, type EventFeed } from "./event_feed.ts";

/** A job whose training waits, and a feeds' store that counts. */
async function withFeeds(
  body: (world: World, id: string, feeds: ReturnType<typeof createEventFeeds>, reads: () => number) => void,
): Promise<void> {
  await withWorld({}, async (world) => {
    world.fleet.beforeStep = (_job, _step, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const { id: file } = await world.upload("a\nb");
    const { id } = await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file: file }));
    await world.until(id, (job) => job.status === "running");
    let reads = 0;
    const store = {
      ...world.store,
      eventsSince: (...query: Parameters<typeof world.store.eventsSince>) => {
        reads++;
        return world.store.eventsSince(...query);
      },
    };
    body(world, id, createEventFeeds({ store, jobs: world.jobs }), () => reads);
  });
}

/** Reads until there is no more; gives the messages. */
function messagesAfter(feed: EventFeed, after: number): string[] {
  const messages: string[] = [];
  for (let batch = feed.read(after); batch !== null; batch = feed.read(batch.newest)) {
    const lines = new TextDecoder().decode(batch.bytes).split("\n").filter((line) =>
      line.startsWith("data: ")
    );
    messages.push(...lines.map((line) => JSON.parse(line.slice(6)).message));
  }
  return messages;
}

const newestOf = ({ store }: World, id: string) =>
  store.events(id, { after: null, limit: 1 }).items[0]!.number;

Deno.test("an event is read from the store once for 200 listeners", () =>
  withFeeds((world, id, feeds, reads) => {
    const listeners = Array.from({ length: 200 }, () => feeds.open(id));
    const newest = newestOf(world, id);
    for (const feed of listeners) assertEquals(feed.read(newest), null);
    assertEquals(reads(), 0);
    world.jobs.record(id, "info", "once");
    for (const feed of listeners) assertEquals(messagesAfter(feed, newest), ["once"]);
    assertEquals(reads(), 1);
    assertEquals(listeners[0]!.read(newest)!.bytes === listeners[1]!.read(newest)!.bytes, true);
    for (const feed of listeners) feed.close();
  }));

Deno.test("who is far behind gets every event once and in order, and so does who joins late", () =>
  withFeeds((world, id, feeds) => {
    const [slow, other] = [feeds.open(id), feeds.open(id)];
    const start = newestOf(world, id);
    const expected: string[] = [];
    for (let event = 0; event < 1234; event++) {
      world.jobs.record(id, "info", `event ${event}`);
      expected.push(`event ${event}`);
      if (event % 100 === 0) other.read(start);
    }
    assertEquals(messagesAfter(slow, start), expected);
    const late = feeds.open(id);
    assertEquals(messagesAfter(late, 0), world.store.eventsSince(id, 0, 5000).map(({ message }) => message));
    assertEquals(messagesAfter(late, newestOf(world, id) - 3), expected.slice(-3));
    for (const feed of [slow, other, late]) feed.close();
  }));

Deno.test("the status comes with the last event; a feed that no one reads watches nothing", () =>
  withFeeds((world, id, feeds, reads) => {
    const feed = feeds.open(id);
    const newest = newestOf(world, id);
    let changes = 0;
    const unwatch = feed.watch(() => changes++);
    world.jobs.cancel(id);
    assertEquals([changes, feed.status()], [1, "running"]);
    assertEquals(messagesAfter(feed, newest).length, 1);
    assertEquals(feed.status(), "cancelled");
    unwatch();
    const other = feeds.open(id);
    other.watch(() => changes++);
    other.close();
    world.jobs.record(id, "info", "unheard");
    feed.close();
    feed.close();
    const readsBefore = reads();
    world.jobs.record(id, "info", "unheard");
    assertEquals([changes, reads()], [1, readsBefore]);
    const again = feeds.open(id);
    assertEquals(again.status(), "cancelled");
    again.close();
  }));
