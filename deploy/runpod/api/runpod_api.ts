/** RunPod's REST API v2: catalog, pods, volumes, logs. */
import { LoraFleetError } from "../../../shared/errors.ts";
import { readServerEvents } from "../../client/sse.ts";
import { type Connection, detailOf, type Refusal, request } from "./connection.ts";
import {
  type Cloud,
  type CreatePod,
  gpusSchema,
  type GpuType,
  type LogLine,
  logLineSchema,
  type Pod,
  podSchema,
  podsSchema,
  type Volume,
  volumeSchema,
} from "./schemas.ts";

export class RunPodApi {
  readonly #connection: Connection;
  readonly #signal: AbortSignal;

  /** @param signal ends every request */
  constructor(connection: Connection, signal: AbortSignal) {
    this.#connection = connection;
    this.#signal = signal;
  }

  /** With availability for pods of one GPU. */
  async gpus(cloud: Cloud): Promise<readonly GpuType[]> {
    const path = `/v2/catalog/gpus?include=AVAILABILITY&product=POD&count=1&cloud=${cloud}`;
    return gpusSchema.parse(await this.#get(path)).gpus;
  }

  /** All of the account's pods, but those of clusters. */
  async pods(): Promise<readonly Pod[]> {
    const { pods } = podsSchema.parse(await this.#get("/v2/pods"));
    return pods.filter(({ status }) => status !== "TERMINATED");
  }

  /** Throws `not_found`. */
  async volume(id: string): Promise<Volume> {
    return volumeSchema.parse(await this.#get(`/v2/network-volumes/${encodeURIComponent(id)}`));
  }

  /**
   * Throws `timeout` if nobody knows whether the pod was created: it is in the list then, or it is not. Throws `conflict` if the
   * account has not enough money, `invalid_request` for a request that no GPU would satisfy.
   */
  async create(body: CreatePod): Promise<{ readonly kind: "created"; readonly pod: Pod } | Refusal> {
    const response = await request(
      this.#connection,
      { method: "POST", path: "/v2/pods", body, isRepeatable: false },
      this.#signal,
    );
    if (response.ok) return { kind: "created", pod: podSchema.parse(await response.json()) };
    const detail = await detailOf(response);
    if (response.status === 400 || response.status === 403) return { kind: "refused", detail };
    const isBroke = response.status === 402;
    const message = isBroke
      ? `RunPod creates no pod: ${detail}; add credits at https://console.runpod.io/user/billing`
      : `RunPod refuses the pod (${response.status}): ${detail}`;
    throw new LoraFleetError(isBroke ? "conflict" : "invalid_request", message);
  }

  /** Resolves when RunPod has confirmed that the pod is gone, also if it was gone before. */
  async remove(id: string): Promise<void> {
    const path = `/v2/pods/${encodeURIComponent(id)}`;
    const response = await request(
      this.#connection,
      { method: "DELETE", path, isRepeatable: true },
      this.#signal,
    );
    if (response.ok || response.status === 404) return void await response.body?.cancel();
    throw await refused(response, `DELETE ${path}`);
  }

  async exists(id: string): Promise<boolean> {
    const path = `/v2/pods/${encodeURIComponent(id)}`;
    const response = await request(
      this.#connection,
      { method: "GET", path, isRepeatable: true },
      this.#signal,
    );
    if (response.status === 404) return false;
    if (!response.ok) throw await refused(response, `GET ${path}`);
    return podSchema.parse(await response.json()).status !== "TERMINATED";
  }

  /** The container's lines: the newest `tail`, then those that follow, until the signal aborts or RunPod ends the stream. */
  async *logs(id: string, tail: number, signal: AbortSignal): AsyncGenerator<LogLine> {
    const path = `/v2/pods/${encodeURIComponent(id)}/logs?source=container&tail=${tail}`;
    const both = AbortSignal.any([signal, this.#signal]);
    const response = await request(this.#connection, { method: "GET", path, isRepeatable: true }, both);
    if (!response.ok) throw await refused(response, `GET ${path}`);
    if (response.body === null) return;
    for await (const { data } of readServerEvents(response.body)) yield logLineSchema.parse(JSON.parse(data));
  }

  async #get(path: string): Promise<unknown> {
    const response = await request(
      this.#connection,
      { method: "GET", path, isRepeatable: true },
      this.#signal,
    );
    if (!response.ok) throw await refused(response, `GET ${path}`);
    return await response.json();
  }
}

async function refused(response: Response, what: string): Promise<LoraFleetError> {
  const code = response.status === 404
    ? "not_found"
    : response.status === 403
    ? "unauthorized"
    : "invalid_request";
  const advice = response.status === 403 ? "; the key in RUNPOD_API_KEY needs access to pods" : "";
  const message = `RunPod refuses ${what} (${response.status}): ${await detailOf(response)}${advice}`;
  return new LoraFleetError(code, message);
}
