import { assertEquals, assertStringIncludes } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { parseJobRequest } from "../../job_request/parse.ts";
import { errorOf, withWorld } from "../../testing/app_fixture.ts";
import type { World } from "../../testing/app_fixture.ts";

function form(fields: Record<string, string | File>): RequestInit {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return { method: "POST", body };
}

async function onDisk(world: World): Promise<number> {
  return (await Array.fromAsync(Deno.readDir(`${world.folder}/files`)).catch(() => [])).length;
}

Deno.test("an upload is listed, described, downloaded in parts, and deleted", () =>
  withWorld({}, async (world) => {
    const { app } = world;
    const file = new File(['{"text":"a"}\n'], "train.jsonl");
    const created = await (await app.request("/v1/files", form({ file, purpose: "fine-tune" }))).json();
    assertEquals({ ...created, id: "", created_at: 0 }, {
      object: "file",
      id: "",
      bytes: 13,
      created_at: 0,
      filename: "train.jsonl",
      purpose: "fine-tune",
      status: "processed",
      status_details: null,
      expires_at: null,
      sha256: "314d3a971f6f7c623e7dceb546ddde0687e41e9df02b0edc52ddb4a7a77f57e3",
    });
    const path = `/v1/files/${created.id}`;
    assertEquals(await (await app.request(path)).json(), created);
    const list = await (await app.request("/v1/files?purpose=fine-tune&limit=1&order=asc")).json();
    assertEquals(list, {
      object: "list",
      data: [created],
      has_more: false,
      first_id: created.id,
      last_id: created.id,
    });
    const content = await app.request(`${path}/content`, { headers: { range: "bytes=2-5" } });
    assertEquals([content.status, await content.text()], [206, "text"]);
    const head = await app.request(`${path}/content`, { method: "HEAD" });
    assertEquals([head.status, head.headers.get("content-length"), await head.text()], [200, "13", ""]);
    assertEquals(await (await app.request(path, { method: "DELETE" })).json(), {
      object: "file",
      id: created.id,
      deleted: true,
    });
    for (const gone of [path, `${path}/content`]) {
      assertEquals(await errorOf(await app.request(gone)), [404, "not_found", "file"]);
    }
    assertEquals(await errorOf(await app.request(path, { method: "DELETE" })), [404, "not_found", "file"]);
    assertEquals(await onDisk(world), 0);
  }));

Deno.test("files come in pages, newest first", () =>
  withWorld({}, async ({ app, upload }) => {
    const ids = [(await upload("a")).id, (await upload("b")).id, (await upload("c")).id];
    const first = await (await app.request("/v1/files?limit=2")).json();
    assertEquals([first.data.map((file: { id: string }) => file.id), first.has_more], [
      [ids[2], ids[1]],
      true,
    ]);
    const second = await (await app.request(`/v1/files?limit=2&after=${first.last_id}`)).json();
    assertEquals([second.data.map((file: { id: string }) => file.id), second.has_more], [[ids[0]], false]);
    for (const query of ["limit=0", "limit=x", "limit=10001", "order=up"]) {
      const [status, code, param] = await errorOf(await app.request(`/v1/files?${query}`));
      assertEquals([status, code, param], [400, "invalid_request", query.split("=")[0]!]);
    }
  }));

Deno.test("an invalid form is refused and leaves nothing on the disk", () =>
  withWorld({ maxUploadBytes: 100 }, async (world) => {
    const { app } = world;
    const file = new File(["abc"], "a.jsonl");
    const cases: [RequestInit, [number, string, string | null]][] = [
      [form({ file }), [400, "invalid_request", "purpose"]],
      [form({ purpose: "fine-tune" }), [400, "invalid_request", "file"]],
      [form({ file, purpose: "assistants" }), [400, "invalid_request", "purpose"]],
      [form({ file, purpose: "x".repeat(300) }), [413, "body_too_large", null]],
      [form({ file: "a text", purpose: "fine-tune" }), [400, "invalid_request", "file"]],
      [form({ file: new File([], "a.jsonl"), purpose: "fine-tune" }), [400, "invalid_request", "file"]],
      [form({ file, purpose: "fine-tune", expires_after: "1" }), [400, "invalid_request", "expires_after"]],
      [form({ file: new File(["x".repeat(101)], "a"), purpose: "fine-tune" }), [
        413,
        "file_too_large",
        "file",
      ]],
      [{ method: "POST", body: "{}", headers: { "content-type": "application/json" } }, [
        415,
        "unsupported_media_type",
        null,
      ]],
      [{ method: "POST" }, [415, "unsupported_media_type", null]],
      [{ method: "POST", body: "--b", headers: { "content-type": "multipart/form-data; boundary=b" } }, [
        400,
        "invalid_request",
        null,
      ]],
      [{ ...form({ file, purpose: "fine-tune" }), headers: { "content-length": "999999" } }, [
        413,
        "file_too_large",
        "file",
      ]],
    ];
    for (const [init, expected] of cases) {
      assertEquals(await errorOf(await app.request("/v1/files", init)), expected);
      assertEquals(await onDisk(world), 0);
    }
    assertEquals(world.defects, []);
  }));

Deno.test("files of an unfinished job cannot be deleted; results never can", () =>
  withWorld({}, async (world) => {
    const hold = Promise.withResolvers<void>();
    world.fleet.beforeStep = () => hold.promise;
    const file = await world.upload("a");
    const validation = await world.upload("b");
    const { id } = await world.jobs.create(
      parseJobRequest({ model: "org/tiny", training_file: file.id, validation_file: validation.id }),
    );
    const remove = (fileId: string) => world.app.request(`/v1/files/${fileId}`, { method: "DELETE" });
    const refused = await remove(file.id);
    assertEquals(refused.headers.get("x-should-retry"), "false");
    assertEquals(await errorOf(refused), [409, "conflict", "file"]);
    assertEquals(await errorOf(await remove(validation.id)), [409, "conflict", "file"]);
    hold.resolve();
    const { resultFiles } = await world.finished(id);
    assertEquals([(await remove(file.id)).status, (await remove(validation.id)).status], [200, 200]);
    for (const result of resultFiles) {
      assertEquals(await errorOf(await remove(result)), [409, "conflict", "file"]);
    }
    const content = await world.app.request(`/v1/files/${resultFiles[1]}/content`);
    assertEquals(await content.text(), '{"step":2}');
  }));

const REFUSED: readonly [string, string | Uint8Array<ArrayBuffer>, string][] = [
  ["rows.jsonl", '{"text": "a"}\n{"text": "b', "its last line, which begins at byte 14, is not JSON"],
  ["rows.jsonl", '\n{"text": \n', "line 2 is not JSON"],
  [
    "rows.json",
    '[{"text": "a"}, {"te',
    'ends with "[{\\"text\\": \\"a\\"}, {\\"te" at byte 20, not with "]"',
  ],
  ["rows.csv", 'text\n"a\nb', 'line 2 opens a quote (") that is never closed'],
  ["rows.csv", "text\na,b\n", "line 2 has 2 cells, but the header names 1 columns"],
  ["rows.csv", "prompt;completion\na;b\n", 'line 1 is the header "prompt;completion", one column'],
  ["rows.parquet", "text\na\n", "is no Parquet file"],
  ["rows.parquet", "PAR1 and nothing more", 'does not end with "PAR1"'],
  ["rows.jsonl.gz", Uint8Array.of(0x1f, 0x8b, 8, 0), "compressed with gzip"],
  ["rows.bin", Uint8Array.of(1, 2, 0, 3), "byte 2 is 0"],
  [
    "rows.dat",
    "hello",
    "has no ending that names its format (.jsonl, .ndjson, .json, .csv, .tsv, .tab, .parquet, .txt)",
  ],
  ["rows.txt", Uint8Array.of(0x61, 0xff, 0x0a), "is not valid UTF-8"],
];
for (const [name, content, words] of REFUSED) {
  Deno.test(`an upload is refused, and nothing is kept: ${name}, ${words}`, () =>
    withWorld({}, async (world) => {
      const file = new File([content], name);
      const response = await world.app.request("/v1/files", form({ file, purpose: "fine-tune" }));
      const { error } = await response.json();
      assertEquals([response.status, error.code, error.param], [400, "invalid_dataset", "file"]);
      assertStringIncludes(error.message, words);
      assertStringIncludes(error.message, `file "${name}"`);
      assertEquals(await onDisk(world), 0);
    }));
}

Deno.test("CSV, JSON, Parquet and plain text are accepted", () =>
  withWorld({}, async ({ app }) => {
    const parquet = await Deno.readFile(goldenPath("data/formats/parquet/no_form.parquet"));
    for (
      const file of [
        new File(['text,label\n"a, b",c\n'], "rows.CSV"),
        new File(["text\tlabel\na\tb\n"], "rows.tsv"),
        new File(['[\n  {"text": "a"}\n]\n'], "rows.json"),
        new File(['{"text": "a"}\n{"text": "b"}'], "rows.json"),
        new File(['{"text": "a"}\n'], "rows"),
        new File([parquet], "rows.parquet"),
        new File(["안녕\n"], "rows.txt"),
      ]
    ) {
      assertEquals(
        (await app.request("/v1/files", form({ file, purpose: "fine-tune" }))).status,
        200,
        file.name,
      );
    }
  }));
