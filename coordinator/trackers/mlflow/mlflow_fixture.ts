/** An MLflow server for tests, which can be down and can ask for a token. */

export interface FakeMlflow extends AsyncDisposable {
  readonly url: string;
  /** Answers 503 while true. */
  isDown: boolean;
  /** Null: everybody may. */
  token: string | null;
  readonly runs: { id: string; name: string; jobId: string; status: string; params: Map<string, string> }[];
  /** `run key step` → value; equal ones are one. */
  readonly metrics: Map<string, unknown>;
  readonly requests: number;
}

interface Body {
  readonly run_id: string;
  readonly run_name: string;
  readonly status: string;
  readonly filter: string;
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly params?: readonly { readonly key: string; readonly value: string }[];
  readonly metrics?: readonly { readonly key: string; readonly value: unknown; readonly step: number }[];
}

export function startFakeMlflow(port = 0): FakeMlflow {
  let requests = 0;
  const runs: FakeMlflow["runs"] = [];
  const metrics: FakeMlflow["metrics"] = new Map();
  const handlers: Readonly<Record<string, (body: Body) => unknown>> = {
    "experiments/search": () => ({}),
    "experiments/get-by-name": () => ({ experiment: { experiment_id: "7" } }),
    "runs/search": ({ filter }) => ({
      runs: runs.filter(({ jobId }) => filter.includes(`'${jobId}'`)).map(({ id }) => ({
        info: { run_id: id },
      })),
    }),
    "runs/create"({ run_name, tags }) {
      const jobId = tags.find(({ key }) => key === "lorafleet.job_id")!.value;
      const run = { id: `run-${runs.length}`, name: run_name, jobId, status: "RUNNING", params: new Map() };
      runs.push(run);
      return { run: { info: { run_id: run.id } } };
    },
    "runs/log-batch"({ run_id, params = [], metrics: given = [] }) {
      const run = runs.find(({ id }) => id === run_id)!;
      for (const { key, value } of params) run.params.set(key, value);
      for (const { key, value, step } of given) metrics.set(`${run_id} ${key} ${step}`, value);
      return {};
    },
    "runs/set-tag": () => ({}),
    "runs/update"({ run_id, status }) {
      runs.find(({ id }) => id === run_id)!.status = status;
      return {};
    },
  };
  const server = Deno.serve({ port, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    requests++;
    const text = await request.text();
    if (fake.isDown) return new Response("<html>down</html>", { status: 503 });
    const isAllowed = fake.token === null || request.headers.get("authorization") === `Bearer ${fake.token}`;
    if (!isAllowed) return new Response("no", { status: 401 });
    const handler = handlers[new URL(request.url).pathname.replace("/api/2.0/mlflow/", "")];
    if (handler === undefined) return new Response("no such path", { status: 404 });
    return Response.json(handler(JSON.parse(text === "" ? "{}" : text)));
  });
  const fake: FakeMlflow = {
    url: `http://127.0.0.1:${server.addr.port}`,
    isDown: false,
    token: null,
    runs,
    metrics,
    get requests() {
      return requests;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return fake;
}
