/**
 * Spans of OpenTelemetry. The coordinator's span of a step travels with the announced state, so that the workers' spans belong to
 * it. Deno records and exports them if `OTEL_DENO=true` is set; without it nothing is recorded, nothing is announced.
 */
import { type Attributes, ROOT_CONTEXT, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { messageOf } from "../errors.ts";

const tracer = trace.getTracer("lorafleet");

/** W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header, version 00. */
export const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export type { Attributes, Span } from "@opentelemetry/api";

/** Null if nothing records. @param parent a traceparent; left out: the span begins a trace */
export function startSpan(name: string, attributes: Attributes, parent?: string): Span | null {
  const span = tracer.startSpan(name, { attributes }, contextOf(parent));
  return span.isRecording() ? span : null;
}

export function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/** Runs `work` within a span, which tells whether it failed. */
export async function inSpan<T>(
  name: string,
  attributes: Attributes,
  parent: string | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const span = startSpan(name, attributes, parent);
  if (span === null) return await work();
  try {
    return await work();
  } catch (thrown) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(thrown) });
    throw thrown;
  } finally {
    span.end();
  }
}

function contextOf(parent: string | undefined) {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(parent ?? "") ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...{ traceId, spanId, isRemote: true },
    traceFlags: Number.parseInt(flags, 16),
  });
}
