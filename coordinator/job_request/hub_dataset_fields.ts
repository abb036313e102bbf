/** A dataset on the hub in place of a training file. */
import { isRepoId, isRevision } from "../../shared/hub/repo_name.ts";
import { type Draft, put } from "./draft.ts";
import { invalidField, show } from "./errors.ts";

/** A job shows this as its `training_file`, which OpenAI's clients expect to be there. */
const hubUri = (path: string) => `hf://datasets/${path}`;

/**
 * With `dataset.path` the training file is that dataset. Throws `invalid_request` if there are two sources of rows, if a field of
 * the hub's has nothing to refer to, or for a name that no hub has.
 */
export function nameHubDataset(draft: Draft): void {
  const valueOf = (field: string) => draft.fields.get(field)?.value;
  const path = valueOf("dataset.path");
  if (path === undefined) {
    for (const field of ["dataset.name", "dataset.revision"]) {
      const value = valueOf(field);
      if (value === undefined) continue;
      throw invalidField(
        field,
        `${field} is ${show(value)}, but there is no dataset.path that it could belong to`,
      );
    }
    return;
  }
  if (typeof path !== "string" || !isRepoId(path)) {
    const message =
      `dataset.path is ${show(path)}; the id of a dataset on the hub, "org/name", is needed (for a ` +
      "file of your own: POST /v1/files, and its id as training_file)";
    throw invalidField("dataset.path", message);
  }
  const file = valueOf("training_file");
  if (file !== undefined && file !== hubUri(path)) {
    const message = `dataset.path is ${show(path)}, but training_file is ${show(file)}; give one of them`;
    throw invalidField("dataset.path", message);
  }
  const revision = valueOf("dataset.revision");
  if (revision !== undefined && (typeof revision !== "string" || !isRevision(revision))) {
    const message = `dataset.revision is ${show(revision)}; a branch, a tag or a commit is needed`;
    throw invalidField("dataset.revision", message);
  }
  put(draft, "training_file", hubUri(path), "dataset.path");
}
