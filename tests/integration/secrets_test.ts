/**
 * No process writes a secret, whatever goes wrong: real processes with secrets in every place that takes one, on each path that
 * ends in an error. The one exception is the line with which workers join, which the coordinator prints on purpose.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { withFolder } from "./coordinator_child.ts";

const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));
/** A program that has not come to its error by then is stopped all the same. */
const LIMIT_MS = 15_000;

const SECRETS = {
  join: "jOiNsEcReT0123456789",
  key: "aPiKeY-sEcReT-0001",
  hub: "hf_hUbSeCrEtToKeN0123",
  user: "nAtSuSeR01",
  password: "nAtSpAsSwOrD01",
} as const;

const ENVIRONMENT = { NO_COLOR: "1", HF_TOKEN: SECRETS.hub, LORAFLEET_LOG_LEVEL: "debug" };

/** All that a program writes until `words` come, and what it says when it is stopped then: many go on trying for ever. */
async function outputOf(
  program: "coordinator" | "worker",
  args: readonly string[],
  words: string,
  env: Record<string, string> = {},
): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", `-P=${program}`, join(root, program, "main.ts"), ...args],
    cwd: root,
    env: { ...ENVIRONMENT, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  let isStopped = false;
  const stop = () => {
    if (!isStopped) child.kill("SIGTERM");
    isStopped = true;
  };
  const timer = setTimeout(stop, LIMIT_MS);
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text.includes(words)) stop();
    }
  };
  const ended = child.status.then(() => isStopped = true);
  await Promise.all([read(child.stdout), read(child.stderr), ended]);
  clearTimeout(timer);
  assertStringIncludes(text, words);
  return text;
}

function assertNoSecret(text: string): void {
  const leaked = Object.entries(SECRETS).filter(([, secret]) => text.includes(secret)).map(([name]) => name);
  assertEquals(leaked, [], text);
}

/** A server that answers every request in one way, at an address for a join URL. */
async function withServer(answer: () => Response, body: (origin: string) => Promise<void>): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, answer);
  try {
    await body(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

const worker = (joinUrl: string, words: string) =>
  outputOf("worker", ["--join", joinUrl, "--allow-cpu", "--ignore-gpu"], words);

Deno.test("a worker that cannot join never writes its join URL", async () => {
  // A port that was free a moment ago; fetch refuses port 1 and its like by itself.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  for (
    const [origin, words] of [
      [`http://127.0.0.1:${port}`, "nothing listens there"],
      ["ftp://127.0.0.1", "a URL of the form"],
      ["http://127.0.0.1:1", "cannot join"],
    ] as const
  ) assertNoSecret(await worker(`${origin}/join/${SECRETS.join}`, words));
});

Deno.test("a worker whose answer is wrong never writes its join URL", async () => {
  const wrong: readonly (readonly [string, () => Response])[] = [
    [
      "refuses this worker",
      () => Response.json({ error: { message: `no ${SECRETS.join} here` } }, { status: 401 }),
    ],
    [
      "cannot join",
      () => new Response(null, { status: 302, headers: { location: `/join/${SECRETS.join}` } }),
    ],
    ["the answer does not come from a coordinator", () => new Response(`<a href="/join/${SECRETS.join}">`)],
    [
      "trying again",
      () =>
        Response.json({
          natsUrl: `nats://${SECRETS.user}:${SECRETS.password}@127.0.0.1:1`,
          natsUser: SECRETS.user,
          natsPassword: SECRETS.password,
          httpUrl: "http://127.0.0.1:1",
          token: "t",
          coordinatorId: "c",
        }),
    ],
  ];
  for (const [words, answer] of wrong) {
    await withServer(answer, async (origin) => {
      assertNoSecret(await worker(`${origin}/join/${SECRETS.join}`, words));
    });
  }
});

Deno.test("a coordinator that cannot start never writes its keys", () =>
  withFolder(async (folder) => {
    const data = ["--data-folder", join(folder, "data"), "--port", "0"];
    const broker = `nats://${SECRETS.user}:${SECRETS.password}@127.0.0.1:1`;
    const key = { LORAFLEET_API_KEY: SECRETS.key };
    for (
      const [args, words] of [
        [["--port", "x", "--api-key", SECRETS.key], "--port is"],
        [[...data, "--nats-url", broker.replace("nats:", "http:")], "--nats-url is"],
        [[...data, "--nats-url", broker], "127.0.0.1:1"],
        [[...data, "--api-key", SECRETS.key], "on the command line"],
      ] as const
    ) assertNoSecret(await outputOf("coordinator", args, words, key));
  }));
