import { assertEquals } from "@std/assert";
import type { Clock } from "../../../../shared/clock.ts";
import { parseJobRequest } from "../../../job_request/parse.ts";
import { errorOf, withWorld } from "../../../testing/app_fixture.ts";
import type { World } from "../../../testing/app_fixture.ts";
import { createEventFeeds } from "./event_feed.ts";
import { openEventStream } from "./event_stream.ts";

async function submit(world: World, text = "a\nb"): Promise<string> {
  const { id } = await world.upload(text);
  return (await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file: id }))).id;
}

interface SentEvent {
  readonly id: string | null;
  readonly name: string | null;
  readonly data: string | null;
  readonly comment: string | null;
}

/** Reads server-sent events as they come. */
async function* readEvents(response: Response): AsyncGenerator<SentEvent> {
  let rest = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? null;
      yield { id: field("id"), name: field("event"), data: field("data"), comment: field("") };
    }
  }
}

const asStream = { headers: { accept: "text/event-stream" } };

Deno.test("events come in pages, newest first", () =>
  withWorld({}, async (world) => {
    const id = await submit(world);
    await world.finished(id);
    const seen: string[] = [];
    let after = "";
    for (let hasMore = true; hasMore;) {
      const page = await (await world.app.request(`/v1/fine_tuning/jobs/${id}/events?limit=4${after}`))
        .json();
      seen.push(...page.data.map((event: { message: string }) => event.message));
      hasMore = page.has_more;
      after = `&after=${page.last_id}`;
    }
    assertEquals(seen.toReversed(), [...world.messages(id)]);
    const newest = await (await world.app.request(`/v1/fine_tuning/jobs/${id}/events?limit=3`)).json();
    const metrics = newest.data[2];
    assertEquals([metrics.object, metrics.type, metrics.level], ["fine_tuning.job.event", "metrics", "info"]);
    assertEquals(
      [
        "step",
        "total_steps",
        "train_loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "workers",
        "eta_seconds",
      ]
        .map((name) => metrics.data[name]),
      [4, 4, 0.5, 1e-4, 0.5, 200, 2, 0],
    );
  }));

Deno.test("events are followed live, to the end", () =>
  withWorld({}, async (world) => {
    const hold = Promise.withResolvers<void>();
    world.fleet.beforeStep = (_job, step) => step === 2 ? hold.promise : Promise.resolve();
    const id = await submit(world);
    const response = await world.app.request(`/v1/fine_tuning/jobs/${id}/events`, asStream);
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    const received: string[] = [];
    let last: SentEvent | null = null;
    for await (const event of readEvents(response)) {
      if (event.name === null) {
        const view = JSON.parse(event.data!);
        assertEquals(view.id, event.id);
        received.push(view.message);
        if (view.data?.step === 1) hold.resolve();
      }
      last = event;
    }
    assertEquals(received, [...world.messages(id)]);
    assertEquals([last?.name, last?.data], ["done", '{"status":"succeeded"}']);
  }));

Deno.test("a client that reconnects gets the events that it missed, or 204 if there are none", () =>
  withWorld({}, async (world) => {
    const id = await submit(world);
    await world.finished(id);
    const url = `/v1/fine_tuning/jobs/${id}/events`;
    const all = await Array.fromAsync(readEvents(await world.app.request(`${url}?stream=true`)));
    assertEquals(all.length, world.messages(id).length + 1);
    const [third, newest] = [all[2]!.id!, all.at(-2)!.id!];
    const rest = await world.app.request(url, { headers: { ...asStream.headers, "last-event-id": third } });
    assertEquals(await Array.fromAsync(readEvents(rest)), all.slice(3));
    const nothing = await world.app.request(url, {
      headers: { ...asStream.headers, "last-event-id": newest },
    });
    assertEquals([nothing.status, await nothing.text()], [204, ""]);
  }));

Deno.test("a silent stream is kept alive, and ends when the client leaves or the coordinator stops", async () => {
  /** Waits of the stream that have begun and not ended. */
  let waiting = 0;
  let began = Promise.withResolvers<void>();
  const clock: Clock = {
    now: () => 0,
    sleep(_milliseconds, signal) {
      waiting++;
      began.resolve();
      return new Promise((_, reject) =>
        signal!.addEventListener("abort", () => {
          waiting--;
          reject(signal!.reason);
        })
      );
    },
  };
  const stopping = new AbortController();
  await withWorld({}, async (world) => {
    world.fleet.beforeStep = (_job, _step, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const id = await submit(world);
    await world.until(id, (job) => job.status === "running");
    const feeds = createEventFeeds(world.services);
    const open = (streamClock: Clock) =>
      openEventStream(id, 1000, { feeds, clock: streamClock, stopping: stopping.signal })
        .getReader();

    const silent = open({ ...clock, sleep: () => Promise.resolve() });
    assertEquals(new TextDecoder().decode((await silent.read()).value), ": still here\n\n");
    await silent.cancel();

    const left = open(clock);
    const pending = left.read();
    await began.promise;
    assertEquals(waiting, 1);
    await left.cancel();
    assertEquals([(await pending).done, waiting], [true, 0]);

    began = Promise.withResolvers();
    const stopped = open(clock).read();
    await began.promise;
    stopping.abort();
    assertEquals([(await stopped).done, waiting], [true, 0]);
  });
});

Deno.test("malformed event ids are refused", () =>
  withWorld({}, async (world) => {
    const id = await submit(world);
    const url = `/v1/fine_tuning/jobs/${id}/events`;
    assertEquals(await errorOf(await world.app.request(`${url}?after=x`)), [400, "invalid_request", "after"]);
    assertEquals(await errorOf(await world.app.request(`${url}?limit=0`)), [400, "invalid_request", "limit"]);
    assertEquals(await errorOf(await world.app.request(`${url}?stream=yes`)), [
      400,
      "invalid_request",
      "stream",
    ]);
    const header = { headers: { ...asStream.headers, "last-event-id": "7" } };
    assertEquals(await errorOf(await world.app.request(url, header)), [400, "invalid_request", "after"]);
    await world.finished(id);
  }));
