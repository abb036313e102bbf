import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { createHash } from "node:crypto";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { drive } from "../allreduce/all_reduce_fixture.ts";
import { downloadFile, type DownloadOptions } from "./download.ts";

const BYTES = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
const FILE = {
  name: "model.safetensors",
  size: BYTES.length,
  sha256: createHash("sha256").update(BYTES).digest("hex"),
};

/** The answer to one request: the bytes up to `until`, then the end or an error; or a status alone. */
type Answer = { until?: number; breaks?: boolean; bytes?: Uint8Array; ignoresRange?: boolean } | number;

async function inFolder(
  answers: readonly Answer[],
  work: (download: (change?: Partial<DownloadOptions>) => Promise<void>, world: {
    path: string;
    requests: { range: string | null; authorization: string | null }[];
    log: string[];
    stop: AbortController;
  }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-download-" });
  const clock = createFakeClock();
  const requests: { range: string | null; authorization: string | null }[] = [];
  const log: string[] = [];
  const stop = new AbortController();
  const path = join(folder, FILE.name);
  const fetch = (_url: string, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers);
    requests.push({ range: headers.get("range"), authorization: headers.get("authorization") });
    const answer = answers[Math.min(requests.length, answers.length) - 1]!;
    if (typeof answer === "number") return Promise.resolve(new Response("{}", { status: answer }));
    const start = Number(/^bytes=(\d+)-$/.exec(headers.get("range")!)![1]);
    const from = answer.ignoresRange ? 0 : start;
    const bytes = (answer.bytes ?? BYTES).subarray(from, answer.until);
    let isSent = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (!isSent && bytes.length > 0) controller.enqueue(bytes);
        else if (answer.breaks) controller.error(new TypeError("connection reset"));
        else controller.close();
        isSent = true;
      },
    });
    return Promise.resolve(
      answer.ignoresRange ? new Response(body) : new Response(body, {
        status: 206,
        headers: { "content-range": `bytes ${from}-${BYTES.length - 1}/${BYTES.length}` },
      }),
    );
  };
  const download = (change: Partial<DownloadOptions> = {}) => {
    const outcome = downloadFile({
      ...{ url: "http://c/file", token: "secret", file: FILE, path, fetch, clock, limits: LIMITS },
      ...{ signal: stop.signal, log: (_, message) => void log.push(message), ...change },
    });
    return drive(clock, outcome);
  };
  try {
    await work(download, { path, requests, log, stop });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a file is downloaded with the token", () =>
  inFolder([{}], async (download, { path, requests }) => {
    await download();
    assertEquals(await Deno.readFile(path), BYTES);
    assertEquals(requests, [{ range: "bytes=0-", authorization: "Bearer secret" }]);
    await assertRejects(() => Deno.stat(`${path}.part`), Deno.errors.NotFound);
  }));

Deno.test("an interrupted download resumes, also in a different process", () =>
  inFolder([{ until: 40_000, breaks: true }, { until: 70_000 }, {}], async (download, { path, requests }) => {
    await download();
    assertEquals(await Deno.readFile(path), BYTES);
    assertEquals(requests.map(({ range }) => range), ["bytes=0-", "bytes=40000-", "bytes=70000-"]);
    await Deno.remove(path);
    await Deno.writeFile(`${path}.part`, BYTES.subarray(0, 99_999));
    await download();
    assertEquals(requests.at(-1)!.range, "bytes=99999-");
    assertEquals(await Deno.readFile(path), BYTES);
  }));

Deno.test("a complete part needs no request; one that is too long starts over", () =>
  inFolder([{}], async (download, { path, requests }) => {
    await Deno.writeFile(`${path}.part`, BYTES);
    await download();
    assertEquals(requests.length, 0);
    await Deno.writeFile(`${path}.part`, new Uint8Array(BYTES.length + 1));
    await download();
    assertEquals(requests.length, 1);
    assertEquals(await Deno.readFile(path), BYTES);
  }));

Deno.test("bytes that differ from the manifest's are downloaded once more, then refused by name", async (t) => {
  const wrong = BYTES.slice();
  wrong[5]! ^= 1;
  await t.step("once", () =>
    inFolder([{ bytes: wrong }, {}], async (download, { path, log }) => {
      await download();
      assertEquals(await Deno.readFile(path), BYTES);
      assertStringIncludes(log[0]!, "downloading it again");
    }));
  await t.step("twice", () =>
    inFolder([{ bytes: wrong }], async (download, { path }) => {
      const error = await assertRejects(
        () => download(),
        LoraFleetError,
        `"model.safetensors" has the SHA-256`,
      );
      assertEquals([error.code, error.param], ["corrupt", "model.safetensors"]);
      await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
    }));
  await t.step(
    "too long",
    () =>
      inFolder([{ bytes: new Uint8Array(BYTES.length + 10) }], async (download) => {
        await assertRejects(() => download(), LoraFleetError, "is longer than the 100000 bytes");
      }),
  );
});

Deno.test("a refused request is not repeated", async () => {
  for (const [status, code] of [[401, "unauthorized"], [404, "not_found"]] as const) {
    await inFolder([status], async (download, { requests }) => {
      const error = await assertRejects(() => download(), LoraFleetError, `the answer is ${status}`);
      assertEquals([error.code, requests.length], [code, 1]);
    });
  }
});

Deno.test("a server error is retried, ten tries in all", () =>
  inFolder([503], async (download, { requests, log }) => {
    const error = await assertRejects(() => download(), LoraFleetError, "the answer is 503, but 206");
    assertEquals([error.code, requests.length, log.length], ["timeout", 10, 9]);
  }));

Deno.test("a server that ignores the range does not spoil the file", () =>
  inFolder([{ until: 10, breaks: true }, { ignoresRange: true }], async (download, { path }) => {
    const error = await assertRejects(() => download(), LoraFleetError, "from byte 10 failed");
    assertEquals(error.code, "timeout");
    await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
  }));

Deno.test("a full disk is reported as such, and nothing is left under the file's name", () =>
  inFolder([{}], async (download, { path }) => {
    const open = () => Deno.open("/dev/full", { read: false, write: true });
    const full = async (part: string) => {
      const real = await Deno.open(part, { read: true, write: true, create: true });
      const device = await open();
      return new Proxy(real, {
        get: (target, key) => {
          if (key === "write") return (bytes: Uint8Array) => device.write(bytes);
          if (key === Symbol.dispose) {
            return () => {
              device.close();
              target.close();
            };
          }
          const value = Reflect.get(target, key);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    };
    const error = await assertRejects(() => download({ open: full }), LoraFleetError, "cannot store");
    assertEquals([error.code, error.param], ["storage", "model.safetensors"]);
    await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
    await assertRejects(() => Deno.stat(`${path}.part`), Deno.errors.NotFound);
  }));

Deno.test("an abort ends the download", () =>
  inFolder([503], async (download, { stop }) => {
    stop.abort(new LoraFleetError("aborted", "a different job is announced"));
    await assertRejects(() => download(), LoraFleetError, "a different job is announced");
  }));
