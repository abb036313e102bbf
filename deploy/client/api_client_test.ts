import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { ApiClient, type JobEvent, messageOfBody } from "./api_client.ts";

/** Serves prepared answers in their order and remembers from which event on each request asked. */
async function withServer(
  answers: ((request: Request) => Response)[],
  test: (client: ApiClient, lastEventIds: (string | null)[]) => Promise<void>,
) {
  const lastEventIds: (string | null)[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    lastEventIds.push(request.headers.get("last-event-id"));
    return answers.shift()!(request);
  });
  try {
    await test(
      new ApiClient(`http://127.0.0.1:${server.addr.port}`, new AbortController().signal),
      lastEventIds,
    );
  } finally {
    await server.shutdown();
  }
}

const metricsData = {
  step: 1,
  total_steps: 2,
  train_loss: 0.5,
  grad_norm: 0.3,
  tokens_per_second: 10,
  workers: 2,
  eta_seconds: 3,
  gradient_bytes_sent: 100,
  digest: "more than we ask for",
};
const event = (id: number, type: string, data: unknown) =>
  `id: ftevent-${id}\ndata: ${JSON.stringify({ level: "info", type, message: `m${id}`, data })}\n\n`;

Deno.test("events resume after a broken connection", async () => {
  const answers = [
    () => new Response(event(1, "message", null) + event(2, "metrics", metricsData)),
    () => new Response(event(3, "message", null) + `event: done\ndata: {"status":"succeeded"}\n\n`),
  ];
  await withServer(answers, async (client, lastEventIds) => {
    const events: JobEvent[] = await Array.fromAsync(client.events("ftjob-1"));
    assertEquals(events.map((event) => event.kind), ["message", "metrics", "message"]);
    const { digest: _, ...metrics } = metricsData;
    assertEquals(events[1], { kind: "metrics", metrics });
    assertEquals(lastEventIds, [null, "ftevent-2"]);
  });
});

Deno.test("events go on after a connection that breaks within an event, and after a restart's refusals", async () => {
  const broken = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(event(1, "message", null)));
      setTimeout(() => controller.error(new Error("killed")), 50);
    },
  });
  const answers = [
    () => new Response(broken),
    () => new Response("restarting", { status: 503 }),
    () => new Response(event(2, "message", null) + `event: done\ndata: {}\n\n`),
  ];
  await withServer(answers, async (client, lastEventIds) => {
    assertEquals((await Array.fromAsync(client.events("ftjob-1"))).length, 2);
    assertEquals(lastEventIds, [null, "ftevent-1", "ftevent-1"]);
  });
});

Deno.test("events give up on a coordinator that stays away, with one sentence", async () => {
  let now = 0;
  const clock = {
    now: () => now,
    sleep: (milliseconds: number) => Promise.resolve(void (now += milliseconds)),
  };
  const client = new ApiClient("http://127.0.0.1:1", new AbortController().signal, null, clock);
  const error = await assertRejects(
    () => Array.fromAsync(client.events("ftjob-1")),
    LoraFleetError,
    "the coordinator at http://127.0.0.1:1 cannot be reached",
  );
  assertEquals([error.code, now], ["timeout", 120_000]);
});

Deno.test("a download that is not what is announced leaves an earlier file as it is, and nothing beside it", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/model.gguf`;
  // Of "abc".
  const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  try {
    await withServer([() => new Response("abc"), () => new Response("abd")], async (client) => {
      await client.downloadTo("/x", path, sha256);
      const error = await assertRejects(() => client.downloadTo("/x", path, sha256), LoraFleetError, sha256);
      assertEquals(error.code, "corrupt");
    });
    assertEquals(await Deno.readTextFile(path), "abc");
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["model.gguf"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a refused request throws the coordinator's message", async () => {
  const body = JSON.stringify({ error: { message: 'line 3 of "d.jsonl" is not JSON' } });
  await withServer([() => new Response(body, { status: 400 })], async (client) => {
    await assertRejects(() => client.createJob({}), LoraFleetError, 'line 3 of "d.jsonl" is not JSON');
  });
  assertEquals(messageOfBody("<html>"), "<html>");
});

Deno.test("a dataset is uploaded as a form with its name and purpose", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, "{}\n");
    let form: Promise<FormData> | null = null;
    const answer = (request: Request) => {
      form = request.clone().formData();
      return Response.json({ id: "file-1", filename: "d.jsonl", sha256: "00" });
    };
    await withServer([answer], async (client) => {
      assertEquals((await client.uploadDataset(path, "d.jsonl")).id, "file-1");
      const sent = await form!;
      assertEquals([sent.get("purpose"), (sent.get("file") as File).name], ["fine-tune", "d.jsonl"]);
    });
  } finally {
    await Deno.remove(path);
  }
});
