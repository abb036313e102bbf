import { encodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import { receivedSchema, type StepState } from "../../../../shared/protocol/messages_coordinator.ts";
import { checkpointReportSchema } from "../../../../shared/protocol/messages_worker.ts";
import { checkpointSubject } from "../../../../shared/protocol/subjects.ts";
import { wordsOfDigest } from "../world/contribution.ts";
import { uploadMs } from "../world/link_model.ts";
import { askUntilAnswered } from "../world/model_ask.ts";
import type { SessionContext } from "./session_context.ts";

/** Uploads adapter and training state of the committed step in the time of their bytes, and reports them. */
export function checkpoint(context: SessionContext, state: StepState): void {
  const { world, self, link, job: { jobId } } = context.options;
  const { step } = state.committed!;
  const writing = context.begin((newer) =>
    newer.phase === "checkpoint" && newer.committed?.step === step && newer.checkpointWriter === self.worker
  );
  link.after(uploadMs(4 * world.gradientBytes, link.speed), () => {
    if (!context.isDoing(writing)) return;
    const words = wordsOfDigest(context.own.committed.digest);
    const files = world.artifacts.store(jobId, step, self.worker, new Uint8Array(words.buffer), words);
    const outcome = { type: "written" as const, files };
    askUntilAnswered({
      ...{ link, answer: receivedSchema, timeoutMs: world.limits.requestTimeoutMs },
      data: encodeMessage(checkpointReportSchema, { ...self, step, outcome }),
      subject: checkpointSubject(jobId, self.worker),
      isWanted: () => context.isDoing(writing),
      take: () => {
        const { term, generation } = state;
        context.own = { ...context.own, checkpoint: { term, generation, step } };
        context.note(`has stored the adapter of step ${step}`);
        context.end(writing);
      },
    });
  });
}
