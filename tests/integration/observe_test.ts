/** What an operator sees of a fleet of processes: one trace a step, metrics, logs that a collector can read. */
import { assert, assertEquals } from "@std/assert";
import { withFolder } from "./coordinator_child.ts";
import type { RecordedSpan } from "./otlp_recorder.ts";
import { traceJob } from "./traced_fleet.ts";

const STEPS = 3;

Deno.test("a step is one trace of coordinator and workers; metrics and logs tell of the same job", () =>
  withFolder(async (folder) => {
    const { jobId, spans, metrics, log } = await traceJob(folder, STEPS);

    const stepSpans = spans.filter(({ name, service }) => name === "step" && service === "coordinator");
    const steps = new Set(stepSpans.map(({ attributes }) => attributes.get("step")));
    assertEquals([...steps].toSorted(), [1, 2, 3]);
    const last = stepSpans.findLast(({ attributes }) => attributes.get("step") === STEPS)!;
    assertEquals(last.events.map(({ name }) => name), ["compute", "reduce", "commit"]);
    const children = spans.filter(({ parentSpanId }) => parentSpanId === last.spanId);
    const ofName = (name: string) => children.filter((span) => span.name === name);
    for (const name of ["all-reduce", "update"]) {
      assertEquals(ofName(name).map(({ service }) => service).toSorted(), ["worker-1", "worker-2"]);
    }
    const computed = ofName("compute").map(({ attributes }) => attributes.get("index"));
    assertEquals([...new Set(computed)].toSorted(), [0, 1, 2, 3]);
    for (const span of children) {
      assertEquals([span.traceId, span.attributes.get("job")], [last.traceId, jobId]);
      assert(isWithin(span, last), `${span.name} of ${span.service} is longer than its step`);
    }

    assert(metrics.includes(`\nlorafleet_steps_committed_total ${STEPS}\n`), metrics);
    for (const name of ["resident_memory_bytes", "disk_free_bytes", "build_info", "ready"]) {
      assert(new RegExp(`^lorafleet_${name}(\\{.*\\})? [1-9]`, "m").test(metrics), name);
    }
    const lines = log.map((line) => JSON.parse(line));
    assert(lines.some(({ job, message }) => job === jobId && message.includes("succeeded")), log.join("\n"));
    assertEquals(lines.filter(({ time, level }) => time === undefined || level === undefined), []);
  }));

/** A worker's clock is this machine's; its span may end a little after the announcement that ends the step. */
function isWithin(span: RecordedSpan, step: RecordedSpan): boolean {
  const slack = 250_000_000n;
  return span.startTimeUnixNano >= step.startTimeUnixNano &&
    span.endTimeUnixNano <= step.endTimeUnixNano + slack;
}
