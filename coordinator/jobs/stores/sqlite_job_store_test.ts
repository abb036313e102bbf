import { assert, assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { jobFixture } from "../record/job_fixture.ts";
import type {
  CheckpointRecord,
  FileRecord,
  JobStore,
  MetadataFilter,
  NewJobEvent,
  Page,
} from "./job_store.ts";
import { openSqliteJobStore } from "./sqlite_job_store.ts";

function event(jobId: string, message: string): NewJobEvent {
  return {
    jobId,
    createdAt: 1,
    level: "info",
    type: "metrics",
    message,
    data: { step: 1, nested: [1, null] },
  };
}

function checkpoint(id: string, jobId: string, step: number): CheckpointRecord {
  const files = [{ name: "adapter_config.json", size: 2, sha256: "ab" }];
  const none = { trainAccuracy: null, validLoss: null, validAccuracy: null };
  return { id, jobId, createdAt: 5, step, trainLoss: 1.5, ...none, files };
}

function file(id: string, purpose = "fine-tune"): FileRecord {
  return {
    id,
    createdAt: 7,
    filename: "ä.jsonl",
    purpose,
    size: 3,
    sha256: "ab",
    artifact: null,
    expiresAt: null,
  };
}

function ids(page: Page<{ readonly id: string }>): readonly string[] {
  return page.items.map((item) => item.id);
}

function test(title: string, body: (store: JobStore) => void): void {
  Deno.test(title, () => {
    const store = openSqliteJobStore(":memory:");
    try {
      body(store);
    } finally {
      store.close();
    }
  });
}

test("a job is replaced in place, together with its events", (store) => {
  store.putJob(jobFixture("a"), [event("a", "made")]);
  store.putJob(jobFixture("b"), []);
  const changed = jobFixture("a", { status: "failed", error: { code: "c", message: "m", param: null } });
  const added = store.putJob(changed, [event("a", "failed"), event("a", "again")]);
  assertEquals(store.job("a"), changed);
  assertEquals(store.job("c"), null);
  assertEquals(ids(store.jobs({ after: null, limit: 9 })), ["b", "a"]);
  assertEquals(store.unfinishedJobs(), [jobFixture("b")]);
  assertEquals(added.map(({ message }) => message), ["failed", "again"]);
});

test("jobs are listed in pages, newest or oldest first", (store) => {
  for (const id of ["a", "b", "c"]) store.putJob(jobFixture(id), []);
  const first = store.jobs({ after: null, limit: 2 });
  assertEquals([ids(first), first.hasMore], [["c", "b"], true]);
  const second = store.jobs({ after: "b", limit: 2 });
  assertEquals([ids(second), second.hasMore], [["a"], false]);
  assertEquals(ids(store.jobs({ after: "a", limit: 2, order: "asc" })), ["b", "c"]);
  const error = assertThrows(() => store.jobs({ after: "unknown", limit: 2 }), LoraFleetError, '"unknown"');
  assertEquals([error.code, error.param], ["not_found", "after"]);
});

test("jobs are found by pairs of their metadata, or by having none at all", (store) => {
  const odd = { "a.b\"'[0]": "x", owner: "anna", empty: "" };
  const all = {
    none: null,
    empty: {},
    anna: { owner: "anna", team: "a" },
    ben: { owner: "ben", team: "a" },
    odd,
  };
  for (const [id, metadata] of Object.entries(all)) store.putJob(jobFixture(id, { metadata }), []);
  const found = (metadata?: MetadataFilter) =>
    ids(store.jobs({ after: null, limit: 9, order: "asc", ...metadata === undefined ? {} : { metadata } }));
  assertEquals(found(), ["none", "empty", "anna", "ben", "odd"]);
  assertEquals(found({}), found());
  assertEquals(found({ owner: "anna" }), ["anna", "odd"]);
  assertEquals(found({ owner: "anna", team: "a" }), ["anna"]);
  assertEquals(found({ owner: "ann" }), []);
  assertEquals(found({ "a.b\"'[0]": "x" }), ["odd"]);
  assertEquals(found({ empty: "" }), ["odd"]);
  assertEquals(found({ toString: "" }), []);
  assertEquals(found(null), ["none"]);
  assertEquals(ids(store.jobs({ after: "anna", limit: 1, metadata: { team: "a" }, order: "asc" })), [
    "ben",
  ]);
});

test("deleted items keep their position: deleting page by page visits each item once", (store) => {
  for (const id of "abcdefg") store.putFile(file(id, id === "d" ? "fine-tune-results" : "fine-tune"));
  const met: string[] = [];
  for (let after: string | null = null;;) {
    const page = store.files({ after, limit: 2, purpose: null });
    met.push(...ids(page));
    for (const { id } of page.items) store.deleteFile(id);
    if (!page.hasMore) break;
    after = page.items.at(-1)!.id;
  }
  assertEquals(met.join(""), "gfedcba");
  store.putFile(file("h"));
  assertEquals(ids(store.files({ after: "d", limit: 9, purpose: "fine-tune", order: "asc" })), ["h"]);
  assertEquals(ids(store.files({ after: "d", limit: 9, purpose: null })), []);
  assertThrows(() => store.files({ after: "i", limit: 9, purpose: null }), LoraFleetError, '"i"');
  store.putCheckpoint(checkpoint("x", "a", 1));
  store.putCheckpoint(checkpoint("y", "a", 2));
  store.deleteCheckpoints("a");
  store.putCheckpoint(checkpoint("z", "a", 1));
  assertEquals(ids(store.checkpoints("a", { after: "y", limit: 9, order: "asc" })), ["z"]);
});

test("events have growing numbers, over all jobs", (store) => {
  store.appendEvents([event("a", "1"), event("b", "2")]);
  store.appendEvents([event("a", "3"), event("a", "4")]);
  const all = store.eventsSince("a", 0, 9);
  assertEquals(all.map(({ message }) => message), ["1", "3", "4"]);
  assert(all.every((found, index) => index === 0 || found.number > all[index - 1]!.number));
  assertEquals(all[0], { ...event("a", "1"), number: all[0]!.number });
  assertEquals(store.eventsSince("a", all[0]!.number, 1), [all[1]!]);
  assertEquals(store.events("a", { after: null, limit: 2 }), { items: [all[2]!, all[1]!], hasMore: true });
  assertEquals(store.events("a", { after: all[1]!.number, limit: 2 }), {
    items: [all[0]!],
    hasMore: false,
  });
  assertEquals(store.events("c", { after: null, limit: 2 }), { items: [], hasMore: false });
});

test("a checkpoint of the same step replaces the earlier one", (store) => {
  store.putCheckpoint(checkpoint("x", "a", 5));
  store.putCheckpoint(checkpoint("y", "a", 10));
  store.putCheckpoint(checkpoint("z", "a", 10));
  store.putCheckpoint(checkpoint("w", "b", 5));
  assertEquals(store.checkpoints("a", { after: null, limit: 9 }).items, [
    checkpoint("z", "a", 10),
    checkpoint("x", "a", 5),
  ]);
  assertEquals(ids(store.checkpoints("a", { after: "z", limit: 9 })), ["x"]);
  store.deleteCheckpoints("a");
  assertEquals(ids(store.checkpoints("a", { after: null, limit: 9 })), []);
  assertEquals(ids(store.checkpoints("b", { after: null, limit: 9 })), ["w"]);
});

test("files are listed by purpose and can be deleted", (store) => {
  store.putFile(file("a"));
  store.putFile(file("b", "fine-tune-results"));
  store.putFile(file("c"));
  assertEquals(store.file("a"), file("a"));
  assertEquals(ids(store.files({ after: null, limit: 9, purpose: null })), ["c", "b", "a"]);
  assertEquals(ids(store.files({ after: "c", limit: 9, purpose: "fine-tune" })), ["a"]);
  const oldest = store.files({ after: null, limit: 1, purpose: "fine-tune", order: "asc" });
  assertEquals([ids(oldest), oldest.hasMore], [["a"], true]);
  assertEquals([store.deleteFile("a"), store.deleteFile("a")], [true, false]);
  assertEquals(store.file("a"), null);
});

Deno.test("a keyed request is found with its job; stored again, it is the newer job's", () => {
  const store = openSqliteJobStore(":memory:");
  const request = { key: "key-1", bodySha256: "00" };
  store.putJob(jobFixture("a"), [], request);
  assertEquals(store.requestOf("key-1"), { ...request, jobId: "a" });
  assertEquals(store.requestOf("key-2"), null);
  store.putJob(jobFixture("b"), [], { ...request, bodySha256: "01" });
  assertEquals(store.requestOf("key-1"), { key: "key-1", bodySha256: "01", jobId: "b" });
  store.close();
});
