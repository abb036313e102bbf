/** Where a worker finds the fleet, and its credentials there. */
import { z } from "@hono/zod-openapi";

export const addressesSchema = z.object({
  natsUrl: z.string(),
  httpUrl: z.string(),
  coordinatorId: z.string(),
})
  .openapi("FleetAddresses");

export const joinReplySchema = addressesSchema.extend({
  /** Empty, like the password, if the broker authenticates the worker by its token and key, or not at all. */
  natsUser: z.string(),
  natsPassword: z.string(),
  natsTakesToken: z.boolean().openapi({
    description: "Whether the broker identifies the worker by its token",
  }),
  natsTlsCa: z.string().optional().openapi({
    description: "PEM, if the certificate authority is a private one",
  }),
  natsDomain: z.string().optional().openapi({
    description: "The JetStream domain with the streams, if the broker is a leaf node",
  }),
  token: z.string().openapi({ description: "Signed for the public key" }),
  tokenLifetimeMs: z.int().openapi({ description: "Request the next token before this one ends" }),
}).openapi("JoinReply");
export type JoinReply = z.output<typeof joinReplySchema>;
