/** Requests to the coordinator, as any client of OpenAI's API makes them. */
import { z } from "zod";
import { type Clock, systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { writeChecked } from "./checked_file.ts";
import { Reconnection } from "./reconnection.ts";
import { readServerEvents } from "./sse.ts";

const metricsSchema = z.object({
  step: z.number(),
  total_steps: z.number(),
  /** Only with local steps, each of which spans many data steps. */
  data_step: z.number().optional(),
  train_loss: z.number(),
  grad_norm: z.number(),
  tokens_per_second: z.number(),
  tokens: z.number().optional(),
  attempt: z.number().optional(),
  step_seconds: z.number().optional(),
  workers: z.number(),
  eta_seconds: z.number(),
  gradient_bytes_sent: z.number(),
});
/** A metrics event's data. `gradient_bytes_sent` counts from the job's start. */
export type StepMetrics = z.output<typeof metricsSchema>;

const eventSchema = z.object({
  level: z.enum(["info", "warn", "error"]),
  type: z.string(),
  message: z.string(),
  data: z.unknown(),
});
const jobSchema = z.object({
  id: z.string(),
  status: z.string(),
  step: z.number(),
  trained_tokens: z.number().nullable(),
  result_files: z.array(z.string()),
  error: z.object({ message: z.string() }).nullable(),
  lora: z.object({
    r: z.number(),
    rank_pattern: z.record(z.string(), z.number()).optional(),
    init_lora_weights: z.string().optional(),
  }),
  quantization: z.object({ bnb_4bit_use_double_quant: z.boolean() }),
});
export type Job = z.output<typeof jobSchema>;

const fileSchema = z.object({ id: z.string(), filename: z.string(), sha256: z.string() });
export type StoredFile = z.output<typeof fileSchema>;
const idSchema = z.object({ id: z.string() });
const listSchema = z.object({ data: z.array(idSchema) });
const uploadSchema = z.object({ file: fileSchema });
/** Larger files are uploaded in parts; OpenAI allows up to 64 MB each. */
const [MAX_FORM_BYTES, PART_BYTES] = [2 ** 26, 2 ** 25];
const workersSchema = z.object({ data: z.array(z.object({ state: z.string(), gpu: z.string() })) });
const errorSchema = z.object({ error: z.object({ message: z.string() }) });

export type JobEvent =
  | { readonly kind: "metrics"; readonly metrics: StepMetrics }
  | { readonly kind: "message"; readonly level: "info" | "warn" | "error"; readonly message: string };

export class ApiClient {
  readonly #baseUrl: string;
  readonly #signal: AbortSignal;
  readonly #apiKey: string | null;
  readonly #clock: Clock;

  /** @param signal ends every request */
  constructor(baseUrl: string, signal: AbortSignal, apiKey: string | null = null, clock = systemClock) {
    this.#baseUrl = baseUrl;
    this.#signal = signal;
    this.#apiKey = apiKey;
    this.#clock = clock;
  }

  async uploadDataset(path: string, name: string): Promise<StoredFile> {
    if ((await Deno.stat(path)).size > MAX_FORM_BYTES) return await this.#uploadParts(path, name);
    const form = new FormData();
    form.set("purpose", "fine-tune");
    form.set("file", new File([await Deno.readFile(path)], name));
    return fileSchema.parse(await this.json("/v1/files", { method: "POST", body: form }));
  }

  /** A large file piece by piece, so that it never lies in memory as a whole. */
  async #uploadParts(path: string, filename: string): Promise<StoredFile> {
    const { size: bytes } = await Deno.stat(path);
    const asked = { bytes, filename, purpose: "fine-tune", mime_type: "application/octet-stream" };
    const { id } = idSchema.parse(await this.post("/v1/uploads", asked));
    const part_ids: string[] = [];
    using file = await Deno.open(path);
    for (let at = 0; at < bytes; at += PART_BYTES) {
      const piece = new Uint8Array(Math.min(PART_BYTES, bytes - at));
      for (let filled = 0; filled < piece.length;) {
        const count = await file.read(piece.subarray(filled));
        if (count === null) throw new LoraFleetError("storage", `${path} was cut while it was uploaded`);
        filled += count;
      }
      const form = new FormData();
      form.set("data", new Blob([piece]));
      part_ids.push(
        idSchema.parse(await this.json(`/v1/uploads/${id}/parts`, { method: "POST", body: form })).id,
      );
    }
    return uploadSchema.parse(await this.post(`/v1/uploads/${id}/complete`, { part_ids })).file;
  }

  /** @param key the same one with the same request gets the job that it has made; null: each request makes one */
  async createJob(request: Record<string, unknown>, key: string | null = null): Promise<Job> {
    const headers: Record<string, string> = key === null ? {} : { "idempotency-key": key };
    return jobSchema.parse(await this.post("/v1/fine_tuning/jobs", request, headers));
  }

  async job(id: string): Promise<Job> {
    return jobSchema.parse(await this.json(`/v1/fine_tuning/jobs/${id}`));
  }

  /** Workers that have joined and are not lost. */
  async workers(): Promise<readonly { readonly state: string; readonly gpu: string }[]> {
    const { data } = workersSchema.parse(await this.json("/v1/workers"));
    return data.filter((worker) => worker.state !== "lost");
  }

  /** The newest event of a job, from which `events` continues; "" if there is none. */
  async newestEvent(id: string): Promise<string> {
    const { data } = listSchema.parse(await this.json(`/v1/fine_tuning/jobs/${id}/events?limit=1`));
    return data[0]?.id ?? "";
  }

  /**
   * The job's events to the last; resumes after a broken connection.
   * @param after an event's id; "" for all
   */
  async *events(id: string, after = ""): AsyncGenerator<JobEvent> {
    let lastEventId = after;
    const reconnection = new Reconnection(this.#clock, this.#signal);
    for (;;) {
      let broken: unknown = null;
      try {
        const response = await this.#request(`/v1/fine_tuning/jobs/${id}/events?stream=true`, {
          headers: lastEventId === "" ? {} : { "last-event-id": lastEventId },
        });
        if (response.status === 204 || response.body === null) return;
        for await (const event of readServerEvents(response.body)) {
          if (event.name === "done") return;
          reconnection.arrived();
          lastEventId = event.id;
          yield jobEventOf(event.data);
        }
      } catch (thrown) {
        broken = thrown;
      }
      await reconnection.wait(broken);
    }
  }

  async describeFile(id: string): Promise<StoredFile> {
    return fileSchema.parse(await this.json(`/v1/files/${id}`));
  }

  async downloadFile(id: string): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await (await this.#request(`/v1/files/${id}/content`)).arrayBuffer());
  }

  /** Writes the answer's bytes to `path`, whatever their number, once all are there. Throws `corrupt`, `storage`. */
  async downloadTo(url: string, path: string, sha256: string): Promise<void> {
    await writeChecked((await this.#request(url)).body, path, sha256);
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<unknown> {
    const all = { "content-type": "application/json", ...headers };
    return await this.json(path, { method: "POST", headers: all, body: JSON.stringify(body) });
  }

  /** Throws `invalid_request` with the API's message, `timeout` without an answer, `aborted` for a failure of the coordinator */
  async json(path: string, init: RequestInit = {}): Promise<unknown> {
    return await (await this.#request(path, init)).json();
  }

  async #request(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#apiKey !== null) headers.set("authorization", `Bearer ${this.#apiKey}`);
    const response = await fetch(`${this.#baseUrl}${path}`, { ...init, headers, signal: this.#signal })
      .catch((thrown) => {
        this.#signal.throwIfAborted();
        const message = `the coordinator at ${this.#baseUrl} cannot be reached: ${messageOf(thrown)}`;
        throw new LoraFleetError("timeout", message, { cause: thrown });
      });
    if (response.ok) return response;
    const text = await response.text();
    // What stands before a coordinator says that it is being restarted.
    const isAway = [502, 503, 504].includes(response.status);
    const code = isAway ? "timeout" : response.status >= 500 ? "aborted" : "invalid_request";
    throw new LoraFleetError(code, `${init.method ?? "GET"} ${path}: ${messageOfBody(text)}`);
  }
}

function jobEventOf(text: string): JobEvent {
  const { level, type, message, data } = eventSchema.parse(JSON.parse(text));
  const metrics = type === "metrics" ? metricsSchema.safeParse(data) : null;
  return metrics?.success ? { kind: "metrics", metrics: metrics.data } : { kind: "message", level, message };
}

/** The message in an error's body, or the body itself. */
export function messageOfBody(text: string): string {
  try {
    return errorSchema.parse(JSON.parse(text)).error.message;
  } catch {
    return text.slice(0, 200);
  }
}
