/**
 * RunPod for tests: requests are checked against its public OpenAPI document, answers have its shapes, and every pod is billed, so
 * that a test can ask what is still running and what everything has cost.
 */
import { Hono } from "hono";
import type { Clock } from "../../shared/clock.ts";
import { checkAnswer, checkRequest, findOperation, type Found } from "./document.ts";
import { readSpotRequest, type SpotInput } from "./spot_document.ts";
import { TestPods } from "./test_pods.ts";
import { GPUS, viewGpu, viewPod } from "./views.ts";

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const NO_CAPACITY = "there are no longer any instances available with the requested specifications";

export class TestRunPod {
  readonly apiKey = "rpa_TESTKEYTESTKEYTESTKEY";
  readonly pods: TestPods;
  /** Every one that was understood. */
  readonly requests: string[] = [];
  readonly volumes = new Map([["vol-1", { id: "vol-1", name: "cache", size: 100, dataCenter: "US-KS-2" }]]);
  readonly logs = new Map<string, string[]>();
  /** Every request is answered with 503. */
  isDown = false;
  /** So many creations happen, and are answered with 500. */
  lostAnswers = 0;
  /** So many requests are answered with 429 first. */
  limited = 0;
  balance = Infinity;
  readonly #clock: Pick<Clock, "now">;
  readonly #app = new Hono();

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
    this.pods = new TestPods(clock);
    this.#app.post("/graphql", async (c) => {
      return c.json(this.#graphql(c.req.header("authorization"), await c.req.json()));
    });
    this.#app.all("*", async (c) => {
      const url = new URL(c.req.url);
      const text = await c.req.text();
      const found = findOperation(c.req.method, url.pathname);
      if (found === null) return problem(405, "Method Not Allowed", `${c.req.method} ${url.pathname}`);
      const body = text === "" ? null : JSON.parse(text);
      return this.#answer(found, url.searchParams, body, c.req.header("authorization"));
    });
  }

  /** For a client in this process, under any clock. */
  readonly fetch = async (input: URL | RequestInfo, init?: RequestInit): Promise<Response> => {
    const request = input instanceof Request ? input : new Request(input, init);
    init?.signal?.throwIfAborted();
    if (this.isDown) return problem(503, "Service Unavailable", "try again later");
    if (this.limited-- > 0) return problem(429, "Too Many Requests", "slow down", { "retry-after": "7" });
    return await this.#app.fetch(request);
  };

  #answer(found: Found, query: URLSearchParams, body: unknown, key: string | undefined): Response {
    const caller = this.#callerOf(key);
    if (caller === null) return checked(found, refuse(401, "Unauthorized", "invalid key"));
    const errors = checkRequest(found, query, body);
    if (errors.length > 0) {
      const answer = refuse(422, "Unprocessable Entity", "Request validation failed.");
      return checked(found, { ...answer, body: { ...answer.body as object, errors } });
    }
    this.requests.push(`${found.method} ${found.template}`);
    return found.template === "/v2/pods/{id}/logs"
      ? this.#logs(found, query)
      : checked(found, this.#handle(found, query, body, caller));
  }

  /** `"owner"`, the id of the pod whose own key it is, or null. */
  #callerOf(key: string | undefined): string | null {
    if (key === `Bearer ${this.apiKey}`) return "owner";
    const id = /^Bearer pod-key-(.+)$/.exec(key ?? "")?.[1];
    return this.pods.all.find((pod) => pod.id === id)?.id ?? null;
  }

  #handle({ id, method, template }: Found, query: URLSearchParams, body: unknown, caller: string): Answer {
    const now = this.#clock.now();
    if (template === "/v2/catalog/gpus") {
      const asksForStock = query.get("include") === "AVAILABILITY";
      const gpus = GPUS.map((gpu) => viewGpu(gpu, asksForStock ? this.pods.isFree(gpu.id) : null));
      return { status: 200, body: { gpus } };
    }
    if (template === "/v2/network-volumes/{id}") {
      const volume = this.volumes.get(id!);
      if (volume === undefined) return refuse(404, "Not Found", "resource not found");
      return { status: 200, body: { ...volume, type: "STANDARD" } };
    }
    if (template === "/v2/pods" && method === "get") {
      return { status: 200, body: { pods: this.pods.listed.map((pod) => viewPod(pod, now)) } };
    }
    if (template === "/v2/pods") return this.#create(body as PodRequest);
    const pod = this.pods.left.find((candidate) => candidate.id === id);
    if (pod === undefined) return refuse(404, "Not Found", "pod not found");
    if (caller !== "owner" && caller !== pod.id) return refuse(403, "Forbidden", "access denied");
    if (method !== "delete") return { status: 200, body: viewPod(pod, now) };
    this.pods.remove(pod);
    return { status: 204, body: null };
  }

  #create(request: PodRequest): Answer {
    const gpu = GPUS.find(({ id }) => id === request.gpu?.id);
    if (gpu === undefined) return refuse(400, "Bad Request", "unknown GPU type");
    const volume = request.mounts?.network?.[0]?.volumeId;
    const center = volume === undefined ? undefined : this.volumes.get(volume)?.dataCenter;
    if (volume !== undefined && (center === undefined || !request.dataCenterIds?.includes(center))) {
      return refuse(400, "Bad Request", "the network volume is in a different data center");
    }
    const cloud = request.cloud ?? "SECURE";
    const listed = cloud === "SECURE" ? gpu.secure : gpu.community;
    if (this.balance < listed) return refuse(402, "Payment Required", "insufficient balance");
    const made = this.pods.rent({ ...request, gpuId: gpu.id, cloud, isSpot: false, dollarsPerHour: listed });
    if (made === null) return refuse(400, "Bad Request", NO_CAPACITY);
    if (this.lostAnswers === 0) return { status: 201, body: viewPod(made, this.#clock.now()) };
    this.lostAnswers--;
    return refuse(500, "Internal Server Error", "upstream timed out");
  }

  #logs(found: Found, query: URLSearchParams): Response {
    const pod = this.pods.left.find(({ id }) => id === found.id);
    if (pod === undefined) return checked(found, refuse(404, "Not Found", "pod not found"));
    const tail = Number(query.get("tail") ?? 100);
    const lines = tail === 0 ? [] : (this.logs.get(pod.id) ?? []).slice(-tail);
    const events = lines.map((line, index) => {
      const ts = new Date(index * 1000).toISOString();
      return `id: ${ts}\ndata: ${JSON.stringify({ ts, source: "container", line })}\n\n`;
    });
    return new Response(events.join(""), { headers: { "content-type": "text/event-stream" } });
  }

  #graphql(key: string | undefined, body: unknown): object {
    const fail = (message: string) => ({ errors: [{ message }], data: null });
    if (this.#callerOf(key) !== "owner") return fail("Unauthorized");
    try {
      const request = readSpotRequest(body);
      this.requests.push(`graphql ${request.kind}`);
      if (request.kind === "rent") return this.#rentSpot(request.input) ?? fail(NO_CAPACITY);
      const gpuTypes = GPUS.map(({ id, spot }) => ({
        id,
        lowestPrice: { minimumBidPrice: this.pods.isFree(id) ? spot : null },
      }));
      return { data: { gpuTypes } };
    } catch (thrown) {
      return fail((thrown as Error).message);
    }
  }

  #rentSpot(input: SpotInput): object | null {
    const gpu = GPUS.find(({ id }) => id === input.gpuTypeId);
    if (gpu === undefined || gpu.spot === null || input.bidPerGpu < gpu.spot) return null;
    const made = this.pods.rent({
      ...{ name: input.name, image: input.imageName, gpuId: gpu.id, isSpot: true },
      env: Object.fromEntries(input.env.map(({ key, value }) => [key, value])),
      cloud: input.cloudType === "COMMUNITY" ? "COMMUNITY" : "SECURE",
      disk: input.containerDiskInGb,
      dollarsPerHour: input.bidPerGpu,
    });
    return made && { data: { podRentInterruptable: { id: made.id, costPerHr: made.dollarsPerHour } } };
  }
}

interface PodRequest {
  readonly name: string;
  readonly image: string;
  readonly env?: Record<string, string>;
  readonly gpu?: { readonly id: string };
  readonly cloud?: "SECURE" | "COMMUNITY";
  readonly disk?: number;
  readonly dataCenterIds?: readonly string[];
  readonly mounts?: { readonly network?: readonly { readonly volumeId: string }[] };
}

function refuse(status: number, title: string, detail: string): Answer {
  return { status, body: { title, status, detail } };
}

/** Throws for an answer that the document does not have. */
function checked(found: Found, { status, body }: Answer): Response {
  checkAnswer(found, status, body);
  if (body === null) return new Response(null, { status });
  const type = status < 300 ? "application/json" : "application/problem+json";
  return new Response(JSON.stringify(body), { status, headers: { "content-type": type } });
}

function problem(
  status: number,
  title: string,
  detail: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json({ title, status, detail }, {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
