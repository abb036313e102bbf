/**
 * Writes the databases of a data folder as this version of lorafleet leaves them: run it before a migration is added, and
 * commit the folder, so that the migration has something to start from.
 *
 *     deno run -A tests/layouts/make.ts tests/layouts/v2
 */
import { DatabaseSync } from "node:sqlite";
import { openAccessStore } from "../../coordinator/access/access_store.ts";
import { createApiKeys, NO_QUOTAS } from "../../coordinator/access/api_keys.ts";
import { createJoinTokens } from "../../coordinator/access/join_tokens.ts";
import { parseJobRequest } from "../../coordinator/job_request/parse.ts";
import { openSqliteJobStore } from "../../coordinator/jobs/stores/sqlite_job_store.ts";
import { withWorld } from "../../coordinator/testing/app_fixture.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { exitWithHelp } from "../documents/head_help.ts";

exitWithHelp(import.meta.url);
const [folder] = Deno.args;
if (folder === undefined) throw new Error("the folder is missing");

const OWNER = { id: "key-of-ann", name: "ann", maxJobs: null, maxUploadBytes: null };
const store = openSqliteJobStore(`${folder}/coordinator.sqlite`);
await withWorld({ store }, async (world) => {
  const { id: training_file } = await world.upload("abc");
  const request = parseJobRequest({ model: "org/tiny", training_file, metadata: { team: "red" } });
  const { id } = await world.jobs.create(request, null, OWNER);
  await world.finished(id);
  store.deleteFile((await world.upload("abcd")).id);
  const cancelled = await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file }));
  world.jobs.cancel(cancelled.id);
});
store.close();

const access = openAccessStore(`${folder}/access.sqlite`);
const clock = createFakeClock(1_700_000_000_000);
createJoinTokens(access, clock).create("of the first release", null, "x".repeat(32));
access.putWorker({
  publicKey: "UA",
  worker: "w1",
  tokenId: "join-1",
  joinedAt: 1,
  expiresAt: 2,
  revokedAt: 3,
});
createApiKeys(access, clock).create({ name: "ann", role: "submit", quotas: NO_QUOTAS, expiresAt: null });
access.close();

for (const name of ["coordinator", "access"]) {
  using db = new DatabaseSync(`${folder}/${name}.sqlite`);
  db.exec("PRAGMA page_size = 1024; PRAGMA journal_mode = DELETE; VACUUM;");
}
