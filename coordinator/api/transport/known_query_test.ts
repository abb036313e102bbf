import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { withWorld } from "../../testing/app_fixture.ts";

Deno.test("every documented route refuses a query parameter that it does not have, whatever its method", () =>
  withWorld({}, async (world) => {
    const { paths } = await (await world.app.request("/openapi.json")).json();
    let count = 0;
    for (const [path, methods] of Object.entries<Record<string, unknown>>(paths)) {
      // Workers show a token before anything else is looked at.
      if (path.startsWith("/internal/") || path.startsWith("/v1/base-models/")) continue;
      for (const method of Object.keys(methods)) {
        const url = `${path.replaceAll(/\{\w+\}/g, "x")}?owner=anna`;
        const response = await world.app.request(url, { method: method.toUpperCase() });
        const { error } = await response.json();
        assertEquals([response.status, error.param], [400, "owner"], `${method} ${path}`);
        assertStringIncludes(error.message, 'unknown query parameter "owner"');
        count++;
      }
    }
    assert(count > 30, `${count} routes`);
  }));

Deno.test("a misspelled dry_run creates no job: the nearest name is told", () =>
  withWorld({}, async (world) => {
    const { id: training_file } = await world.upload("a");
    for (const query of ["dryrun=true", "dry-run=true", "DRY_RUN=1"]) {
      const response = await world.app.request(`/v1/fine_tuning/jobs?${query}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "org/tiny", training_file }),
      });
      assertEquals(response.status, 400);
      assertStringIncludes((await response.json()).error.message, 'did you mean "dry_run"?');
    }
    assertEquals(world.store.jobs({ after: null, limit: 9 }).items, []);
  }));
