/** W&B's HTTP interfaces: GraphQL for the run and its files, the file stream for its points. */
import { z } from "zod";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { WandbSettings } from "../../config/tracker_settings.ts";
import { TrackerHttp } from "../run/http.ts";

const VIEWER = `query Viewer { viewer { id entity username } }`;

const UPSERT_BUCKET = `mutation UpsertBucket(
  $id: String, $name: String, $project: String, $entity: String, $groupName: String, $description: String,
  $displayName: String, $notes: String, $commit: String, $config: JSONString, $host: String, $debug: Boolean,
  $program: String, $repo: String, $jobType: String, $state: String, $sweep: String, $tags: [String!],
  $summaryMetrics: JSONString
) {
  upsertBucket(input: {
    id: $id, name: $name, groupName: $groupName, modelName: $project, entityName: $entity, description: $description,
    displayName: $displayName, notes: $notes, config: $config, commit: $commit, host: $host, debug: $debug,
    jobProgram: $program, jobRepo: $repo, jobType: $jobType, state: $state, sweep: $sweep, tags: $tags,
    summaryMetrics: $summaryMetrics
  }) {
    bucket { id name displayName project { id name entity { id name } } }
    inserted
  }
}`;

const CREATE_RUN_FILES =
  `mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
  createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
    runID
    uploadHeaders
    files { name uploadUrl }
  }
}`;

const answerSchema = z.object({
  data: z.unknown().optional(),
  errors: z.array(z.object({ message: z.string() })).nullish(),
});
const viewerSchema = z.object({ viewer: z.unknown() });
const bucketSchema = z.object({
  upsertBucket: z.object({
    bucket: z.object({ project: z.object({ name: z.string(), entity: z.object({ name: z.string() }) }) }),
  }),
});
const filesSchema = z.object({
  createRunFiles: z.object({
    uploadHeaders: z.array(z.string()).nullish(),
    files: z.array(z.object({ name: z.string(), uploadUrl: z.string() })),
  }),
});

/** What a run is to W&B; null leaves a field as it is. */
export interface RunVariables {
  readonly name: string;
  readonly project: string;
  readonly entity: string | null;
  readonly groupName: string | null;
  readonly displayName: string | null;
  readonly config: string | null;
  readonly host: string | null;
  readonly program: string | null;
  readonly tags: readonly string[] | null;
}

const NOT_SET = {
  ...{ id: null, description: null, notes: null, commit: null, debug: null, repo: null, jobType: null },
  ...{ state: null, sweep: null, summaryMetrics: null },
};

/** Where a run lies. */
export interface RunPlace {
  readonly entity: string;
  readonly project: string;
  readonly name: string;
}

export class WandbApi {
  readonly #http: TrackerHttp;

  constructor({ url, apiKey, username, email }: WandbSettings) {
    this.#http = new TrackerHttp({
      url,
      headers: {
        authorization: `Basic ${btoa(`api:${apiKey}`)}`,
        "user-agent": "lorafleet",
        "x-wandb-username": username,
        "x-wandb-user-email": email,
      },
      secrets: [apiKey],
      remedy: "correct WANDB_API_KEY of the coordinator",
    });
  }

  /** Throws `unauthorized` for a key that no user has. */
  async checkKey(signal: AbortSignal): Promise<void> {
    const { viewer } = viewerSchema.parse(await this.#ask("Viewer", VIEWER, {}, signal));
    if (viewer !== null && viewer !== undefined) return;
    throw new LoraFleetError(
      "unauthorized",
      "the server knows no user of this key; correct WANDB_API_KEY of the coordinator",
    );
  }

  /** Creates the run, or changes it if there is one of that name. */
  async upsertRun(variables: RunVariables, signal: AbortSignal): Promise<RunPlace> {
    const asked = await this.#ask("UpsertBucket", UPSERT_BUCKET, { ...NOT_SET, ...variables }, signal);
    const { project } = bucketSchema.parse(asked).upsertBucket.bucket;
    return { entity: project.entity.name, project: project.name, name: variables.name };
  }

  async uploadFiles(
    place: RunPlace,
    files: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { entity, project, name } = place;
    const variables = { entity, project, run: name, files: Object.keys(files) };
    const asked = filesSchema.parse(await this.#ask("CreateRunFiles", CREATE_RUN_FILES, variables, signal));
    const { uploadHeaders, files: targets } = asked.createRunFiles;
    const headers = Object.fromEntries((uploadHeaders ?? []).map(splitHeader));
    for (const { name, uploadUrl } of targets) {
      const body = files[name];
      // A server of one's own may give out a path.
      const path = uploadUrl.startsWith("/") ? uploadUrl : new URL(uploadUrl).href;
      if (body !== undefined) await this.#http.request({ method: "PUT", path, body, headers }, signal);
    }
  }

  async stream(place: RunPlace, body: object, signal: AbortSignal): Promise<void> {
    const [entity, project, name] = [place.entity, place.project, place.name].map(encodeURIComponent);
    const path = `/files/${entity}/${project}/${name}/file_stream`;
    await this.#http.request({ method: "POST", path, body: JSON.stringify(body) }, signal);
  }

  async #ask(operationName: string, query: string, variables: object, signal: AbortSignal): Promise<unknown> {
    const body = JSON.stringify({ query, variables, operationName });
    const answer = answerSchema.safeParse(
      await this.#http.request({ method: "POST", path: "/graphql", body }, signal),
    );
    const [error] = answer.data?.errors ?? [];
    if (error === undefined && answer.success) return answer.data.data;
    const why = error?.message.slice(0, 200) ?? "no GraphQL";
    throw new LoraFleetError("invalid_request", `the server answers ${operationName} with: ${why}`);
  }
}

/** `Name:value`. */
function splitHeader(header: string): [string, string] {
  const colon = header.indexOf(":");
  return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()];
}
