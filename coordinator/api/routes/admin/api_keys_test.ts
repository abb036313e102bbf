import { assert, assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../../../shared/testing/fake_clock.ts";
import { errorOf, withWorld, type World } from "../../../testing/app_fixture.ts";

const ADMIN = "key-of-the-operator";
const JSON_TYPE = { "content-type": "application/json" };

/** Requests with one key. */
function client(app: World["app"], key: string | null) {
  const send = (method: string, path: string, body?: unknown) =>
    app.request(`http://localhost/v1/${path}`, {
      method,
      headers: { ...JSON_TYPE, ...key === null ? {} : { authorization: `Bearer ${key}` } },
      ...body === undefined ? {} : { body: JSON.stringify(body) },
    });
  return {
    send,
    status: async (...request: Parameters<typeof send>) => (await send(...request)).status,
    async upload(text: string) {
      const body = new FormData();
      body.set("purpose", "fine-tune");
      body.set("file", new File([text], "train.jsonl"));
      const headers = { authorization: `Bearer ${key}` };
      return await app.request("http://localhost/v1/files", { method: "POST", headers, body });
    },
  };
}

async function newKey(app: World["app"], fields: Record<string, unknown>) {
  const response = await client(app, ADMIN).send("POST", "api-keys", fields);
  assertEquals(response.headers.get("cache-control"), "no-store");
  const { key, ...view } = await response.json();
  return { view, key, ...client(app, key) };
}

const auditOf = async ({ folder }: World) =>
  (await Deno.readTextFile(`${folder}/audit.jsonl`)).trim().split("\n").map((line) => JSON.parse(line));

Deno.test("roles: a reader reads, a submitter changes its own things, an admin everything", () =>
  withWorld({ apiKeys: [ADMIN] }, async (world) => {
    const { app } = world;
    const [reader, ann, bob] = await Promise.all([
      newKey(app, { name: "dashboard", role: "read" }),
      newKey(app, { name: "ann", role: "submit" }),
      newKey(app, { name: "bob", role: "submit" }),
    ]);
    assertEquals(await reader!.status("GET", "fine_tuning/jobs"), 200);
    const refused = await reader!.send("POST", "fine_tuning/jobs", {});
    assertMatch(
      (await refused.clone().json()).error.message,
      /"dashboard" has the role read, and POST \/v1\/fine_tuning\/jobs needs submit or admin/,
    );
    assertEquals(await errorOf(refused), [403, "forbidden", null]);
    for (const path of ["api-keys", "join-tokens"]) assertEquals(await ann!.status("GET", path), 403, path);
    assertEquals(await ann!.status("POST", "api-keys", { name: "x", role: "admin" }), 403);

    const file = await (await ann!.upload(`{"text":"a"}`)).json();
    const created = await ann!.send("POST", "fine_tuning/jobs", {
      model: "org/tiny",
      training_file: file.id,
    });
    const job = await created.json();
    assertEquals([created.status, job.owner], [200, ann!.view.id]);
    const ofJob = `fine_tuning/jobs/${job.id}`;
    assertEquals(await bob!.status("GET", ofJob), 200);
    for (const path of [`${ofJob}/pause`, `${ofJob}/cancel`, `${ofJob}/exports`]) {
      assertEquals(await bob!.status("POST", path, {}), 403, path);
    }
    assertEquals(await bob!.status("DELETE", `files/${file.id}`), 403);
    const announced = { bytes: 3, filename: "a.jsonl", purpose: "fine-tune", mime_type: "text/plain" };
    const upload = await (await ann!.send("POST", "uploads", announced)).json();
    assertEquals(await bob!.status("POST", `uploads/${upload.id}/cancel`), 403);
    assertEquals(await ann!.status("POST", `uploads/${upload.id}/cancel`), 200);
    assertEquals(await ann!.status("POST", `${ofJob}/cancel`), 200);
    const finished =
      await (await bob!.send("POST", "fine_tuning/jobs", { model: "org/tiny", training_file: file.id }))
        .json();
    const { fineTunedModel } = await world.finished(finished.id);
    assertEquals(await ann!.status("DELETE", `models/${encodeURIComponent(fineTunedModel!)}`), 403);
    assertEquals(await bob!.status("DELETE", `models/${encodeURIComponent(fineTunedModel!)}`), 200);
    assertEquals(await client(app, ADMIN).status("DELETE", `files/${file.id}`), 200);
  }));

Deno.test("quotas: unfinished jobs and bytes of uploads, told with numbers; what is freed can be used again", () =>
  withWorld({ apiKeys: [ADMIN] }, async ({ app, fleet }) => {
    fleet.beforeStep = (_job, _step, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const ann = await newKey(app, { name: "ann", role: "submit", quotas: { jobs: 1, upload_bytes: 30 } });
    const text = '{"text":"abcd"}';
    const file = await (await ann.upload(text)).json();
    const again = await ann.upload(`{"text":"${"x".repeat(19)}"}`);
    assertMatch(
      (await again.clone().json()).error.message,
      /has 30 bytes; the API key "ann" has 15 stored and may have 30: delete files/,
    );
    assertEquals(again.headers.get("x-should-retry"), "false");
    assertEquals(await errorOf(again), [429, "quota_exceeded", "upload_bytes"]);
    const announced = { bytes: 10, filename: "a.jsonl", purpose: "fine-tune", mime_type: "text/plain" };
    const upload = await (await ann.send("POST", "uploads", announced)).json();
    assertEquals(await ann.status("POST", "uploads", announced), 429);
    assertEquals(await ann.status("POST", `uploads/${upload.id}/cancel`), 200);
    assertEquals((await ann.upload(text)).status, 200);
    assertEquals((await ann.upload(text)).status, 429);

    const request = { model: "org/tiny", training_file: file.id };
    // Both at once: one of them is one too many.
    const answers = await Promise.all([1, 2].map(() => ann.send("POST", "fine_tuning/jobs", request)));
    assertEquals(answers.map(({ status }) => status).sort(), [200, 429]);
    const [job] = await Promise.all(answers.filter(({ ok }) => ok).map((answer) => answer.json()));
    const more = await ann.send("POST", "fine_tuning/jobs", request);
    assertMatch(
      (await more.json()).error.message,
      /"ann" has 1 unfinished job and may have 1: wait for one to end/,
    );
    const { data } = await (await client(app, ADMIN).send("GET", "api-keys")).json();
    assertEquals(data[0].use, { jobs: 1, upload_bytes: 30 });
    await ann.send("POST", `fine_tuning/jobs/${job.id}/cancel`);
    assertEquals(await ann.status("POST", "fine_tuning/jobs", request), 200);
    const raised = await client(app, ADMIN).send("POST", `api-keys/${ann.view.id}`, { quotas: { jobs: 3 } });
    assertEquals((await raised.json()).quotas, { jobs: 3, upload_bytes: null });
    assertEquals(await ann.status("POST", "fine_tuning/jobs", request), 200);
  }));

Deno.test("a key ends with its time or its revocation, and the configured one stays an admin's", async () => {
  const clock = createFakeClock(1_700_000_000_000);
  await withWorld({ apiKeys: [ADMIN], clock }, async ({ app }) => {
    const key = await newKey(app, { name: "guest", role: "read", expires_in_seconds: 60 });
    assertEquals([key.view.status, key.view.expires_at], ["valid", 1_700_000_060]);
    await clock.advance(60_000);
    assertEquals(await errorOf(await key.send("GET", "files")), [401, "unauthorized", null]);
    const list = await (await client(app, ADMIN).send("GET", "api-keys")).json();
    assertEquals(list.data.map(({ status }: { status: string }) => status), ["expired"]);
    assert(!JSON.stringify(list).includes(key.key));
    const other = await newKey(app, { name: "other", role: "admin" });
    assertEquals(await other.status("GET", "api-keys"), 200);
    assertEquals((await (await other.send("DELETE", `api-keys/${other.view.id}`)).json()).status, "revoked");
    assertEquals(await other.status("GET", "files"), 401);
    for (
      const body of [{ name: "x", role: "root" }, { role: "read" }, {
        name: "x",
        role: "read",
        quotas: { job: 1 },
      }]
    ) {
      assertEquals(await client(app, ADMIN).status("POST", "api-keys", body), 400);
    }
  });
});

Deno.test("without a configured key this machine is an admin, unless it shows a key with less", () =>
  withWorld({}, async ({ app }) => {
    const response = await client(app, null).send("POST", "api-keys", { name: "dashboard", role: "read" });
    const { key } = await response.json();
    assertEquals(await client(app, key).status("DELETE", "files/file-1"), 403);
    assertEquals(await client(app, null).status("DELETE", "files/file-1"), 404);
    // As clients that need some key send one.
    assertEquals(await client(app, "anything").status("GET", "files"), 200);
  }));

Deno.test("the audit log says who changed what, and what was refused; it has no secrets", () =>
  withWorld({ apiKeys: [ADMIN] }, async (world) => {
    const { app } = world;
    const ann = await newKey(app, { name: "ann", role: "submit" });
    const file = await (await ann.upload('{"text":"a"}\n')).json();
    await ann.send("GET", "files");
    const { id } =
      await (await ann.send("POST", "fine_tuning/jobs", { model: "org/tiny", training_file: file.id }))
        .json();
    await world.finished(id);
    await ann.send("POST", `fine_tuning/jobs/${id}/cancel`);
    await ann.send("GET", "api-keys");
    await client(app, "wrong-key").send("GET", "files");
    await client(app, ADMIN).send("DELETE", `models/org/tiny`);
    const lines = await auditOf(world);
    const told = lines.map((
      { key, role, action, object, status, result },
    ) => [key, role, action, object, status, result]);
    assertEquals(told, [
      ["configured", "admin", "createApiKey", ann.view.id, 200, "ok"],
      ["ann", "submit", "createFile", file.id, 200, "ok"],
      ["ann", "submit", "createFineTuningJob", id, 200, "ok"],
      ["ann", "submit", "cancelFineTuningJob", id, 409, "conflict"],
      ["ann", "submit", "listApiKeys", null, 403, "forbidden"],
      [null, null, "listFiles", null, 401, "unauthorized"],
      ["configured", "admin", "deleteModel", "org/tiny", 403, "forbidden"],
    ]);
    assertEquals(lines[1].key_id, ann.view.id);
    assertMatch(lines[0].time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    const text = await Deno.readTextFile(`${world.folder}/audit.jsonl`);
    assert(!text.includes(ann.key) && !text.includes(ADMIN) && !text.includes("wrong-key"));
    assertEquals((await Deno.stat(`${world.folder}/audit.jsonl`)).mode! & 0o777, 0o600);
  }));
