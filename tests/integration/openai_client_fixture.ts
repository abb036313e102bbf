/** The API on a socket of this machine, with a fleet that needs no workers, for the real `openai` package. */
import OpenAI from "openai";
import { systemClock } from "../../shared/clock.ts";
import { serveHttp } from "../../coordinator/api/transport/http_server.ts";
import { withWorld } from "../../coordinator/testing/app_fixture.ts";
import type { World, WorldOptions } from "../../coordinator/testing/app_fixture.ts";

export const API_KEY = "key-of-a-user";

/** Fails where the server meets a defect of its own. */
export async function withClient(
  options: WorldOptions,
  body: (client: OpenAI, world: World) => Promise<void>,
): Promise<void> {
  await withWorld({ apiKeys: [API_KEY], ...options }, async (world) => {
    const server = await serveHttp({
      ...{ hostname: "127.0.0.1", port: 0, tls: null, clock: systemClock },
      handler: (request) => world.app.fetch(request),
      onDefect: world.services.onDefect,
    });
    const baseURL = `http://127.0.0.1:${server.port}/v1`;
    try {
      await body(new OpenAI({ apiKey: API_KEY, baseURL, maxRetries: 0 }), world);
    } finally {
      await server.shutdown();
    }
    if (world.defects.length > 0) throw new Error(`defects: ${world.defects.join("; ")}`);
  });
}
