/**
 * A W&B server that answers as much as a client needs and records what it is sent:
 * `wandb_recorder.ts RECORD.json -- COMMAND …` runs the command with WANDB_BASE_URL and writes the record.
 */

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Null if it is no JSON. */
  readonly body: unknown;
  readonly text: string;
}

export interface Recorder extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly RecordedRequest[];
}

export function startRecorder(): Recorder {
  const requests: RecordedRequest[] = [];
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request): Promise<Response> => {
      const text = await request.text();
      const { pathname, search } = new URL(request.url);
      const body = parse(text);
      const headers = Object.fromEntries(request.headers);
      const url = new URL(request.url).origin;
      requests.push({ method: request.method, path: pathname + search, headers, body, text });
      return Response.json(pathname === "/graphql" ? answer(body as GraphQl, url) : {});
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  return { url, requests, [Symbol.asyncDispose]: () => server.shutdown() };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

interface GraphQl {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
}

function answer({ query, variables = {} }: GraphQl, url: string): unknown {
  if (query.includes("upsertBucket(")) {
    const project = {
      id: "p",
      name: variables["project"],
      entity: { id: "e", name: variables["entity"] ?? "me" },
    };
    const bucket = {
      ...{ id: "bucket", name: variables["name"], displayName: variables["displayName"] ?? "run", project },
      ...{ description: "", config: "{}", sweepName: null, historyLineCount: 0 },
    };
    return { data: { upsertBucket: { bucket, inserted: true } } };
  }
  if (query.includes("createRunFiles(")) {
    const files = (variables["files"] as string[]).map((name) => ({
      name,
      uploadUrl: `${url}/upload/${name}`,
    }));
    return { data: { createRunFiles: { runID: "bucket", uploadHeaders: [], files } } };
  }
  if (query.includes("viewer")) {
    const viewer = { id: "u", entity: "me", username: "me", email: "", flags: "{}", teams: { edges: [] } };
    return { data: { viewer } };
  }
  return { data: {} };
}

if (import.meta.main) {
  const [record = "", _dashes, command = "", ...args] = Deno.args;
  await using recorder = startRecorder();
  const { success } = await new Deno.Command(command, { args, env: { WANDB_BASE_URL: recorder.url } })
    .output();
  if (!success) throw new Error(`${command} has failed`);
  await Deno.writeTextFile(record, JSON.stringify(recorder.requests, null, 1));
}
