/** Whether a token may push, asked before the training: otherwise a wrong name shows after hours. */
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";
import { HubRefusal } from "./hub_error.ts";
import { askJson, type HubOptions } from "./requests.ts";

const whoSchema = z.object({
  name: z.string(),
  orgs: z.array(z.object({ name: z.string() })).default([]),
  auth: z.object({ accessToken: z.object({ role: z.string() }) }),
});

/**
 * A fine-grained token says nothing of what it may write, and a hub that does not answer now may do so when it counts: both pass.
 * @param repo `org/name`, or `name` in the account of the token
 * @throws LoraFleetError `unauthorized` for a token that is none or only reads, `invalid_request` for a foreign organisation
 */
export async function assertMayPush(repo: string, hub: HubOptions, signal?: AbortSignal): Promise<void> {
  const answer = await whoAmI({ ...hub, patience: { ...hub.patience, tries: 1, stallMs: 5000 } }, signal);
  if (answer === null) return;
  const tokens = `${hub.endpoint}/settings/tokens`;
  if (answer instanceof HubRefusal) {
    const message = `HF_TOKEN is no token of ${hub.endpoint}: ${answer.message} (${tokens})`;
    throw new LoraFleetError("unauthorized", message, { param: "HF_TOKEN", cause: answer });
  }
  const { name, orgs, auth: { accessToken: { role } } } = answer;
  if (role === "read") {
    const message = `HF_TOKEN of ${
      quote(name)
    } may only read; a push needs a token with write access (${tokens})`;
    throw new LoraFleetError("unauthorized", message, { param: "HF_TOKEN" });
  }
  const [owner, rest] = repo.split("/");
  const owners = [name, ...orgs.map((org) => org.name)];
  const isOwner = owners.some((own) => own.toLowerCase() === owner!.toLowerCase());
  if (role !== "write" || rest === undefined || isOwner) return;
  const message = `the account of HF_TOKEN may not write to ${quote(repo)}; it may to ${
    owners.map((own) => quote(`${own}/${rest}`)).join(", ")
  }`;
  throw new LoraFleetError("invalid_request", message, { param: "hub_model_id" });
}

/** Null if the hub does not answer, or not as expected. */
async function whoAmI(
  hub: HubOptions,
  signal?: AbortSignal,
): Promise<z.output<typeof whoSchema> | HubRefusal | null> {
  if (hub.offline) return null;
  try {
    const { body } = await askJson(hub, "api/whoami-v2", signal);
    return whoSchema.safeParse(body).data ?? null;
  } catch (thrown) {
    signal?.throwIfAborted();
    return thrown instanceof HubRefusal && thrown.status === 401 ? thrown : null;
  }
}
