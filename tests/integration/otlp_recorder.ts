/** Receives what OpenTelemetry exports over HTTP as JSON, and shows a trace as a tree. */
import { z } from "zod";

const valueSchema = z.union([
  z.object({ stringValue: z.string() }).transform(({ stringValue }) => stringValue),
  z.object({ intValue: z.coerce.number() }).transform(({ intValue }) => intValue),
  z.object({ doubleValue: z.number() }).transform(({ doubleValue }) => doubleValue),
  z.object({ boolValue: z.boolean() }).transform(({ boolValue }) => String(boolValue)),
]);
const attributesSchema = z.array(z.object({ key: z.string(), value: valueSchema }))
  .transform((pairs) => new Map(pairs.map(({ key, value }) => [key, value])));
const spanSchema = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().default(""),
  name: z.string(),
  startTimeUnixNano: z.coerce.bigint(),
  endTimeUnixNano: z.coerce.bigint(),
  attributes: attributesSchema,
  events: z.array(z.object({ name: z.string() })).default([]),
});
const exportSchema = z.object({
  resourceSpans: z.array(z.object({
    resource: z.object({ attributes: attributesSchema }),
    scopeSpans: z.array(z.object({ scope: z.object({ name: z.string() }), spans: z.array(spanSchema) })),
  })),
});

export interface RecordedSpan extends z.output<typeof spanSchema> {
  /** `OTEL_SERVICE_NAME` of its process. */
  readonly service: string;
}

export interface OtlpRecorder extends AsyncDisposable {
  /** Environment of a process that exports here. */
  env(service: string): Readonly<Record<string, string>>;
  /** Of this project alone, oldest first. */
  readonly spans: readonly RecordedSpan[];
}

export function startOtlpRecorder(): OtlpRecorder {
  const spans: RecordedSpan[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const body = await request.json();
    if (new URL(request.url).pathname !== "/v1/traces") return new Response("{}");
    for (const { resource, scopeSpans } of exportSchema.parse(body).resourceSpans) {
      const service = String(resource.attributes.get("service.name"));
      // Deno itself records requests, too.
      const ours = scopeSpans.filter(({ scope }) => scope.name === "lorafleet");
      spans.push(...ours.flatMap((scoped) => scoped.spans).map((span) => ({ ...span, service })));
    }
    return new Response("{}");
  });
  return {
    env: (service) => ({
      OTEL_DENO: "true",
      OTEL_SERVICE_NAME: service,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${server.addr.port}`,
      OTEL_BSP_SCHEDULE_DELAY: "100",
    }),
    spans,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** One line a span: from and to in milliseconds, service, name, attributes; children below their parents. */
export function traceTree(spans: readonly RecordedSpan[]): readonly string[] {
  const sorted = spans.toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano));
  const start = sorted[0]?.startTimeUnixNano ?? 0n;
  const known = new Set(spans.map(({ spanId }) => spanId));
  const milliseconds = (time: bigint) => (Number(time - start) / 1e6).toFixed(1).padStart(8);
  const lines = (parent: (span: RecordedSpan) => boolean, depth: number): string[] =>
    sorted.filter(parent).flatMap((span) => {
      const times = `${milliseconds(span.startTimeUnixNano)} …${milliseconds(span.endTimeUnixNano)}`;
      const facts = [...span.attributes].map(([key, value]) => `${key}=${value}`).join(" ");
      const line = `${times} ms  ${"  ".repeat(depth)}${span.service}: ${span.name}  ${facts}`;
      return [line, ...lines(({ parentSpanId }) => parentSpanId === span.spanId, depth + 1)];
    });
  return lines(({ parentSpanId }) => !known.has(parentSpanId), 0);
}
