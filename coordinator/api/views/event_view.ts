/** An event of a job as OpenAI's object. */
import { z } from "@hono/zod-openapi";
import { eventLevelSchema, eventTypeSchema, type JobEvent } from "../../jobs/stores/job_store.ts";
import { seconds, timestamp } from "./list_view.ts";

export const eventSchema = z.object({
  object: z.literal("fine_tuning.job.event"),
  id: z.string().openapi({ description: "Grows with every event; also the id of a server-sent event" }),
  created_at: timestamp,
  level: eventLevelSchema,
  type: eventTypeSchema,
  message: z.string(),
  data: z.record(z.string(), z.unknown()).nullable().openapi({
    description:
      "In a metrics event: step, total_steps, train_loss, train_mean_token_accuracy, learning_rate, grad_norm, " +
      "tokens_per_second, workers, eta_seconds, and more; with fleet.local_steps also inner_steps, data_step and " +
      "total_data_steps; after an evaluation: step, total_steps, train_loss, full_valid_loss, " +
      "full_valid_mean_token_accuracy, and the same as valid_loss and valid_mean_token_accuracy",
  }),
}).openapi("FineTuningJobEvent");

export function eventView(event: JobEvent): z.output<typeof eventSchema> {
  const { number, createdAt, level, type, message, data } = event;
  const id = `ftevent-${number}`;
  return { object: "fine_tuning.job.event", id, created_at: seconds(createdAt), level, type, message, data };
}

/** The number in an event's id; null for any other text. */
export function eventNumberOf(id: string): number | null {
  const match = /^ftevent-([0-9]{1,15})$/.exec(id);
  return match === null ? null : Number(match[1]);
}
