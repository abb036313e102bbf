/** Authorization: what a key's role allows, and that a key with the role "submit" changes only what it has made. */
import type { Context, MiddlewareHandler } from "hono";
import { quote } from "../../../shared/errors.ts";
import type { Caller } from "../../access/api_keys.ts";
import { mayAct, roleNeeded, ROLES } from "../../access/roles.ts";
import type { UploadStore } from "../../jobs/files/upload_store.ts";
import type { Owner } from "../../jobs/record/owner.ts";
import { findTunedModel } from "../../jobs/results/tuned_models.ts";
import type { JobStore } from "../../jobs/stores/job_store.ts";
import { HttpError } from "./errors.ts";

interface Owned {
  readonly store: JobStore;
  readonly uploads: Pick<UploadStore, "ownerOf">;
}

/** Throws 403 for a role that may not do it, and for what belongs to somebody else. */
export function requireRole(owned: Owned): MiddlewareHandler {
  return async (c, next) => {
    const caller = c.get("caller");
    const { method, path } = c.req;
    const needed = roleNeeded(method, path);
    if (!mayAct(caller.role, needed)) {
      const roles = ROLES.slice(ROLES.indexOf(needed)).join(" or ");
      throw forbidden(
        `the API key ${
          quote(caller.name)
        } has the role ${caller.role}, and ${method} ${path} needs ${roles}: ask an ` +
          "admin for such a key",
      );
    }
    if (caller.role !== "admin" && needed !== "read") assertOwn(caller, path, ownerOf(path, owned));
    await next();
  };
}

/** The owner of what the caller makes; null: nobody, so that admins alone may change it. */
export function ownerFor(c: Context): Owner | null {
  const { keyId: id, name, quotas } = c.get("caller");
  return id === null ? null : { id, name, maxJobs: quotas.jobs, maxUploadBytes: quotas.uploadBytes };
}

/** The key that made what the path names; null: a configured key or none; undefined: nothing there has an owner. */
function ownerOf(path: string, { store, uploads }: Owned): string | null | undefined {
  const [, kind, rest = ""] = /^\/v1\/(files|uploads|fine_tuning\/jobs|models)\/(.+)$/.exec(path) ?? [];
  const id = decodeURIComponent(kind === "models" ? rest : rest.split("/")[0]!);
  const ownerIn = (record: { readonly owner?: string | undefined } | null | undefined) =>
    record === null || record === undefined ? undefined : record.owner ?? null;
  if (kind === "files") return ownerIn(store.file(id));
  if (kind === "uploads") return uploads.ownerOf(id);
  if (kind === "fine_tuning/jobs") return ownerIn(store.job(id));
  return kind === "models" ? ownerIn(findTunedModel(store, id)?.job) : undefined;
}

function assertOwn(caller: Caller, path: string, owner: string | null | undefined): void {
  if (owner === undefined || owner === caller.keyId) return;
  throw forbidden(
    `${path} was made with a different key: the API key ${
      quote(caller.name)
    } has the role ${caller.role}, which ` +
      "changes what it has made itself; ask an admin",
  );
}

function forbidden(message: string): HttpError {
  return new HttpError(403, "forbidden", message);
}
