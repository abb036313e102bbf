import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { runKeysCommand } from "./keys.ts";
import { parseKeysOptions } from "./options.ts";

const parse = (line: string) => parseKeysOptions(line.split(" "));

Deno.test("the command line becomes the API's fields", () => {
  assertEquals(parse("create --name ann --role submit --max-jobs 2 --max-upload-mib 10 --expires 7d"), {
    url: "http://127.0.0.1:8787",
    command: {
      kind: "create",
      body: {
        name: "ann",
        role: "submit",
        quotas: { jobs: 2, upload_bytes: 10 * 2 ** 20 },
        expires_in_seconds: 7 * 86_400,
      },
    },
  });
  assertEquals(parse("change key-1 --max-jobs none --expires never --url https://fleet.example/"), {
    url: "https://fleet.example",
    command: {
      kind: "change",
      id: "key-1",
      body: { quotas: { jobs: null, upload_bytes: null }, expires_in_seconds: null },
    },
  });
  assertEquals(parse("list --help"), null);
});

Deno.test("a wrong command line says what would be right", () => {
  const refused = {
    "make": /the command is "make"; list, create, change or revoke is needed/,
    "create --name ann": /keys create needs --role/,
    "create ann --name ann --role read": /"ann" is one argument too many/,
    "revoke": /keys revoke needs the key's id; deno task keys list shows it/,
    "revoke key-1 --role read": /keys revoke takes no settings of a key/,
    "change key-1": /keys change needs something to change/,
    "create --name a --role read --expires soon": /--expires is "soon"; 30m, 12h, 7d or never is needed/,
    "create --name a --role read --max-jobs -1": /max-jobs/,
    "list --url ftp://x": /--url is "ftp:\/\/x"; the URL of a coordinator is needed/,
  };
  for (const [line, message] of Object.entries(refused)) {
    const error = assertThrows(() => parse(line), LoraFleetError);
    assertEquals(error.code, "usage", line);
    assertMatch(error.message, message);
  }
});

Deno.test("keys are listed with what their quotas have left; a name cannot steer the terminal", async () => {
  const key = {
    ...{ id: "key-1", name: "ann\u001b[2J", role: "submit", status: "valid", expires_at: 1_700_000_000 },
    quotas: { jobs: 2, upload_bytes: 2 ** 21 },
    use: { jobs: 1, upload_bytes: 2 ** 20 },
  };
  const other = {
    ...key,
    id: "key-22",
    name: "bob",
    expires_at: null,
    quotas: { jobs: null, upload_bytes: null },
  };
  const asked: unknown[] = [];
  const api = {
    json: (path: string, init?: RequestInit) => {
      asked.push([init?.method ?? "GET", path]);
      return Promise.resolve(init === undefined ? { data: [key, other] } : key);
    },
    post: (path: string, body: unknown) => {
      asked.push(["POST", path, body]);
      return Promise.resolve({ ...key, key: "lfkey-secret" });
    },
  };
  assertEquals(
    await runKeysCommand(api, { kind: "list" }),
    [
      "id      name          role    status  expires           jobs    uploads in MiB",
      "key-1   ann\\u001b[2J  submit  valid   2023-11-14 22:13  1 of 2  1 of 2",
      "key-22  bob           submit  valid   never             1       1",
    ].join("\n"),
  );
  assertMatch(
    await runKeysCommand(api, { kind: "create", body: { name: "ann" } }),
    /^lfkey-secret\nThis is the only/,
  );
  assertMatch(await runKeysCommand(api, { kind: "revoke", id: "key-1" }), /key-1/);
  assertEquals(asked, [
    ["GET", "/v1/api-keys"],
    ["POST", "/v1/api-keys", { name: "ann" }],
    ["DELETE", "/v1/api-keys/key-1"],
  ]);
});
