import { assertEquals } from "@std/assert";
import { withWorld } from "../testing/app_fixture.ts";
import { mayAct, type Role, roleNeeded } from "./roles.ts";

/** Every route for users that changes something, or that not everybody may read. */
const NEEDED: Readonly<Record<string, Role>> = {
  "POST /v1/files": "submit",
  "DELETE /v1/files/{id}": "submit",
  "POST /v1/uploads": "submit",
  "POST /v1/uploads/{id}/parts": "submit",
  "POST /v1/uploads/{id}/complete": "submit",
  "POST /v1/uploads/{id}/cancel": "submit",
  "POST /v1/fine_tuning/jobs": "submit",
  "POST /v1/fine_tuning/jobs/{id}/cancel": "submit",
  "POST /v1/fine_tuning/jobs/{id}/pause": "submit",
  "POST /v1/fine_tuning/jobs/{id}/resume": "submit",
  "POST /v1/fine_tuning/jobs/{id}/exports": "submit",
  "DELETE /v1/fine_tuning/jobs/{id}/exports/{export_id}": "submit",
  "PUT /v1/fine_tuning/jobs/{id}/exports/{export_id}/drift": "submit",
  "POST /v1/fine_tuning/jobs/{id}/exports/{export_id}/push": "submit",
  "DELETE /v1/models/{id}": "submit",
  "GET /v1/api-keys": "admin",
  "POST /v1/api-keys": "admin",
  "POST /v1/api-keys/{id}": "admin",
  "DELETE /v1/api-keys/{id}": "admin",
  "POST /v1/backups": "admin",
  "GET /v1/join-tokens": "admin",
  "POST /v1/join-tokens": "admin",
  "DELETE /v1/join-tokens/{id}": "admin",
  "DELETE /v1/workers/{id}": "admin",
  "POST /v1/workers/{id}/reinstate": "admin",
};

Deno.test("every route for users needs the role that the table says", () =>
  withWorld({}, async ({ app }) => {
    const { paths } = await (await app.request("http://localhost/openapi.json")).json();
    const found: Record<string, Role> = {};
    for (const [path, operations] of Object.entries<Record<string, { security?: object[] }>>(paths)) {
      for (const [method, { security }] of Object.entries(operations)) {
        if (!security?.some((scheme) => "apiKey" in scheme)) continue;
        const role = roleNeeded(method.toUpperCase(), path);
        if (role !== "read") found[`${method.toUpperCase()} ${path}`] = role;
      }
    }
    assertEquals(found, NEEDED);
  }));

Deno.test("a role may do what lower ones may; an unknown change is for admins", () => {
  assertEquals(["read", "submit", "admin"].map((role) => mayAct(role as Role, "submit")), [
    false,
    true,
    true,
  ]);
  assertEquals(roleNeeded("POST", "/v1/anything-new"), "admin");
  assertEquals(roleNeeded("DELETE", "/v1/filesystem"), "admin");
});
