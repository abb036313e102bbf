import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { readTrackerSettings } from "../../config/tracker_settings.ts";
import { submit } from "../../jobs/job_service_fixture.ts";
import { withWorld } from "../../testing/app_fixture.ts";
import { createTrackers } from "../trackers.ts";

const KEY = "0123456789abcdef0123456789abcdef01234567";
const SERVERS_KEY = `Basic ${btoa(`api:${KEY}`)}`;

interface FakeWandb extends AsyncDisposable {
  readonly url: string;
  isDown: boolean;
  /** The message of a GraphQL error that answers every new run. */
  refusal: string | null;
  /** Variables of each UpsertBucket. */
  readonly runs: Record<string, unknown>[];
  readonly history: string[];
  readonly exitCodes: number[];
  /** Keys that came with uploads, which go to storage that must not see them. */
  readonly leaked: string[];
  requests: number;
}

function startFakeWandb(): FakeWandb {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request): Promise<Response> => {
      fake.requests++;
      const text = await request.text();
      const { pathname, origin } = new URL(request.url);
      const key = request.headers.get("authorization");
      if (fake.isDown) return new Response("upstream error", { status: 502 });
      if (pathname.startsWith("/upload/")) {
        if (key !== null) fake.leaked.push(key);
        return new Response();
      }
      if (key !== SERVERS_KEY) return Response.json({ message: `no user of ${key}` }, { status: 401 });
      const body = JSON.parse(text);
      if (pathname !== "/graphql") {
        const { offset, content } = body.files?.["wandb-history.jsonl"] ?? { offset: 0, content: [] };
        content.forEach((line: string, index: number) => fake.history[offset + index] = line);
        if (body.complete === true) fake.exitCodes.push(body.exitcode);
        return Response.json({});
      }
      return Response.json(answer(body, origin));
    },
  );
  const answer = (
    { operationName, variables }: { operationName: string; variables: Record<string, unknown> },
    origin: string,
  ) => {
    if (operationName === "Viewer") return { data: { viewer: { id: "u" } } };
    if (operationName === "CreateRunFiles") {
      const files = (variables["files"] as string[]).map((name) => ({
        name,
        uploadUrl: `${origin}/upload/${name}`,
      }));
      return { data: { createRunFiles: { runID: "r", uploadHeaders: ["x-storage: a:b"], files } } };
    }
    if (fake.refusal !== null) return { data: null, errors: [{ message: fake.refusal }] };
    fake.runs.push(variables);
    const project = { name: variables["project"], entity: { name: variables["entity"] ?? "me" } };
    return { data: { upsertBucket: { bucket: { project } } } };
  };
  const fake: FakeWandb = {
    url: `http://127.0.0.1:${server.addr.port}`,
    ...{ isDown: false, refusal: null, runs: [], history: [], exitCodes: [], leaked: [], requests: 0 },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return fake;
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000; turn++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not happen in 10 s");
}

const stepsOf = ({ history }: FakeWandb) => history.map((line) => JSON.parse(line)["train/global_step"]);

Deno.test("a job's run is at W&B as OpenAI's integration asks for it", async () => {
  await using wandb = startFakeWandb();
  const environment = {
    WANDB_BASE_URL: wandb.url,
    WANDB_API_KEY: KEY,
    WANDB_PROJECT: "default",
    WANDB_TAGS: "a, b",
  };
  await withWorld({ environment }, async (world) => {
    const integrations = [{
      type: "wandb",
      wandb: { project: "mine", name: "run 1", entity: "team", tags: ["b", "c"] },
    }];
    const { id } = await submit(world, "a\nb", { integrations });
    await world.finished(id);
    await until(() => wandb.exitCodes.length === 1);
    const [run] = wandb.runs;
    const { project, entity, displayName, tags, name } = run!;
    assertEquals([name, project, entity, displayName, tags], [id, "mine", "team", "run 1", ["a", "b", "c"]]);
    assertEquals(JSON.parse(String(run!["config"]))["training.learning_rate"], { value: 2e-4 });
    assertEquals([stepsOf(wandb), wandb.exitCodes, wandb.leaked], [[1, 2, 3, 4], [0], []]);
    assertMatch(
      world.messages(id).join("\n"),
      new RegExp(`W&B .* shows this run: ${wandb.url}/team/mine/runs/${id}\\.`),
    );
    const view = await (await world.app.request(`/v1/fine_tuning/jobs/${id}`)).json();
    assertEquals([view.integrations, view.report_to], [integrations, ["wandb"]]);
  });
});

Deno.test("a W&B server that is down neither stops nor slows a job, and gets its points when it is back", async () => {
  await using wandb = startFakeWandb();
  await withWorld({ environment: { WANDB_BASE_URL: wandb.url, WANDB_API_KEY: KEY } }, async (world) => {
    const { id } = await submit(world, "a\nb\nc", { training: { report_to: ["wandb"] } });
    wandb.isDown = true;
    assertEquals((await world.finished(id)).status, "succeeded");
    await until(() => world.messages(id).some((message) => message.includes("takes no points")));
    wandb.isDown = false;
    await until(() => wandb.exitCodes.length === 1);
    assertEquals([stepsOf(wandb), wandb.runs[0]!["project"]], [[1, 2, 3, 4, 5, 6], "huggingface"]);
    await until(() => world.messages(id).some((message) => message.includes("takes points again")));
  });
});

Deno.test("a wrong key is refused at submission, and no message shows a key", async () => {
  await using wandb = startFakeWandb();
  const wrong = "fedcba9876543210fedcba9876543210fedcba98";
  await withWorld({ environment: { WANDB_BASE_URL: wandb.url, WANDB_API_KEY: wrong } }, async (world) => {
    const error = await assertRejects(
      () => submit(world, "a", { training: { report_to: "wandb" } }),
      LoraFleetError,
      `${wandb.url} refuses the key (HTTP 401); correct WANDB_API_KEY of the coordinator`,
    );
    assertEquals([error.code, error.param], ["invalid_request", "training.report_to"]);
    assert(!error.message.includes(wrong) && !error.message.includes(btoa(`api:${wrong}`)));
  });
});

Deno.test("what W&B says against a run is in the job's events, and the job goes on", async () => {
  await using wandb = startFakeWandb();
  wandb.refusal = "permission denied: team/secret";
  await withWorld({ environment: { WANDB_BASE_URL: wandb.url, WANDB_API_KEY: KEY } }, async (world) => {
    const { id } = await submit(world, "a", { training: { report_to: "wandb" } });
    assertEquals((await world.finished(id)).status, "succeeded");
    await until(() =>
      world.messages(id).some((message) => message.includes("UpsertBucket with: permission denied"))
    );
  });
});

Deno.test("offline, points wait, and the next coordinator that is online sends them", async () => {
  await using wandb = startFakeWandb();
  await withWorld({ environment: { WANDB_BASE_URL: wandb.url, WANDB_MODE: "offline" } }, async (first) => {
    const { id } = await submit(first, "a", { training: { report_to: "wandb" } });
    await first.finished(id);
    await until(() => first.messages(id).some((message) => message.includes("WANDB_MODE is offline")));
    assertEquals(wandb.requests, 0);
    await first.jobs.stop();
    const environment = { WANDB_BASE_URL: wandb.url, WANDB_API_KEY: KEY };
    await withWorld({ environment, after: first }, async (second) => {
      second.jobs.start();
      await until(() => wandb.exitCodes.length === 1);
      assertEquals(stepsOf(wandb), [1, 2]);
    });
  });
});

Deno.test("a run's page is where W&B's client says", () => {
  const placeOf = (url: string) => {
    const { wandb } = createTrackers(
      readTrackerSettings((name) => ({ WANDB_BASE_URL: url, WANDB_API_KEY: KEY })[name] ?? null, "/tmp"),
    );
    if ("missing" in wandb) throw new Error(wandb.missing);
    const tracking = {
      ...{ reportTo: [], runName: null, loggingDir: null, loggingFirstStep: false, wandb: null },
      loggingStrategy: "steps" as const,
    };
    const run = wandb.settings.open({ jobId: "j", name: "n", startedAt: 0, config: {}, tracking });
    return run.placeOf({ place: { entity: "me", project: "a b", name: "j" }, rows: 0, summary: {} });
  };
  assertEquals(placeOf("https://api.wandb.ai"), "https://wandb.ai/me/a%20b/runs/j");
  assertEquals(placeOf("https://api.example.org"), "https://app.example.org/me/a%20b/runs/j");
  assertEquals(placeOf("https://wandb.example.org/"), "https://wandb.example.org/me/a%20b/runs/j");
});
