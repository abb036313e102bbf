import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { type JoinedWorker, type JoinTokenRecord, openAccessStore } from "./access_store.ts";

const token = (id: string): JoinTokenRecord => ({
  ...{ id, name: "pods", hash: "0a", createdAt: 1, expiresAt: null, revokedAt: null },
});
const worker = (id: string, change: Partial<JoinedWorker> = {}): JoinedWorker => ({
  ...{ publicKey: `U${id}`, worker: id, tokenId: "join-1", joinedAt: 1, expiresAt: 100, revokedAt: null },
  ...change,
});

Deno.test("tokens and workers survive a restart as last stored", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const first = openAccessStore(`${folder}/data/access.sqlite`);
    for (const id of ["join-1", "join-2"]) first.putToken(token(id));
    first.putToken({ ...token("join-1"), revokedAt: 5 });
    first.putWorker(worker("w-1"));
    first.putWorker(worker("w-1", { revokedAt: 7 }));
    first.putWorker(worker("w-2", { tokenId: "join-2" }));
    first.close();
    const second = openAccessStore(`${folder}/data/access.sqlite`);
    assertEquals(second.tokens(), [token("join-2"), { ...token("join-1"), revokedAt: 5 }]);
    assertEquals(second.revokedWorkers(), [worker("w-1", { revokedAt: 7 })]);
    assertEquals(second.workersOf("join-2"), [worker("w-2", { tokenId: "join-2" })]);
    assertEquals([second.worker("Uw-2")?.worker, second.workerById("w-2")?.publicKey], ["w-2", "Uw-2"]);
    assertEquals([second.worker("U"), second.workerById("w")], [null, null]);
    second.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("only workers whose tokens have all expired are forgotten", () => {
  const store = openAccessStore(":memory:");
  store.putWorker(worker("w-1", { expiresAt: 99, revokedAt: 1 }));
  store.putWorker(worker("w-2"));
  for (const worker of ["w-1", "w-2", "w-3"]) {
    store.putQuarantine({ worker, reasons: ["wrong"], since: 5, jobId: "ftjob-a", until: "reinstated" });
  }
  store.forgetWorkers(100);
  assertEquals(store.quarantines().map(({ worker }) => worker), ["w-2", "w-3"]);
  assertEquals([store.worker("Uw-1"), store.worker("Uw-2")?.worker], [null, "w-2"]);
  store.close();
});

Deno.test("a file that is not a store is named", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "no database, but long enough to look like one".repeat(100));
  const error = assertThrows(() => openAccessStore(path), LoraFleetError, path);
  assertEquals([error.code, error.param], ["storage", "data-folder"]);
  await Deno.remove(path);
});

Deno.test("quarantines survive a restart until they are lifted", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/access.sqlite`;
    const quarantine = {
      ...{ worker: "w-1", reasons: ["wrong"], since: 5, jobId: "ftjob-a", until: "reinstated" as const },
    };
    const first = openAccessStore(path);
    first.putQuarantine({ ...quarantine, worker: "w-2" });
    first.putQuarantine(quarantine);
    first.putQuarantine({ ...quarantine, reasons: ["wrong", "again"] });
    first.deleteQuarantine("w-2");
    first.close();
    const second = openAccessStore(path);
    assertEquals(second.quarantines(), [{ ...quarantine, reasons: ["wrong", "again"] }]);
    second.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
